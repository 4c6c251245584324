//! The text of a scrape: OpenMetrics, or Prometheus' older format for a client that does not ask for
//! OpenMetrics.

use std::collections::HashSet;
use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::metric_set::MetricSet;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OLDER_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The answer to a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposition {
    pub content_type: &'static str,
    pub text: String,
}

/// Encodes sets of metrics, each with the prefix of its names, in the format of an `Accept` header.
///
/// # Errors
/// Never for metrics that this crate makes.
pub fn expose(
    sets: Vec<(&'static str, MetricSet)>,
    accept: Option<&str>,
) -> Result<Exposition, fmt::Error> {
    let mut registry = Registry::default();
    for (prefix, set) in sets {
        registry.sub_registry_with_prefix(prefix).register_collector(Box::new(set));
    }
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
        return Ok(Exposition { content_type: OPEN_METRICS, text });
    }
    Ok(Exposition { content_type: OLDER_TEXT, text: older_text(&text) })
}

/// The older format names a counter's family as its samples, with `_total`, and has no end mark.
fn older_text(open_metrics: &str) -> String {
    let types = open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: HashSet<&str> =
        types.filter_map(|family| family.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len() + 16 * counters.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        let comment = ["# HELP ", "# TYPE "].into_iter().find(|comment| line.starts_with(comment));
        let family = comment.and_then(|comment| {
            let (name, rest) = line[comment.len()..].split_once(' ')?;
            counters.contains(name).then_some((comment, name, rest))
        });
        match family {
            Some((comment, name, rest)) => {
                text.extend([comment, name, "_total ", rest, "\n"]);
            }
            None => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::LatencyHistogram;

    fn sample() -> Vec<(&'static str, MetricSet)> {
        let mut set = MetricSet::default();
        set.counter("visits", "Visits", 3);
        set.counters("answers", "Answers", "status", vec![("302".into(), 2), ("404".into(), 1)]);
        set.gauge("open", "Open connections", 7);
        set.seconds("age_seconds", "Age", 1.5);
        set.info("build_info", "Build", vec![("version", "1".into()), ("commit", "ab\"c".into())]);
        let latency = LatencyHistogram::default();
        latency.add(Duration::from_micros(7));
        let each = vec![("redirect".to_owned(), latency.snapshot())];
        set.latencies("answer_seconds", "Latency", "outcome", each);
        vec![("coupond", set)]
    }

    #[test]
    fn open_metrics_are_given_to_a_client_that_asks_for_them() {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3";
        let Exposition { content_type, text } = expose(sample(), Some(accept)).unwrap();
        assert!(content_type.starts_with("application/openmetrics-text"));
        for line in [
            "# TYPE coupond_visits counter",
            "coupond_visits_total 3",
            "coupond_answers_total{status=\"404\"} 1",
            "coupond_open 7",
            "coupond_age_seconds 1.5",
            "coupond_build_info{version=\"1\",commit=\"ab\\\"c\"} 1",
            "coupond_answer_seconds_bucket{le=\"0.00001\",outcome=\"redirect\"} 1",
            "coupond_answer_seconds_bucket{le=\"+Inf\",outcome=\"redirect\"} 1",
            "coupond_answer_seconds_count{outcome=\"redirect\"} 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }

    #[test]
    fn any_other_client_gets_the_older_text() {
        for accept in [None, Some("*/*"), Some("text/plain")] {
            let Exposition { content_type, text } = expose(sample(), accept).unwrap();
            assert_eq!(content_type, OLDER_TEXT);
            assert!(text.contains("# HELP coupond_visits_total Visits\n"), "{text}");
            assert!(text.contains("# TYPE coupond_visits_total counter\ncoupond_visits_total 3\n"));
            assert!(text.contains("# TYPE coupond_open gauge\n") && !text.contains("# EOF"));
        }
    }
}
