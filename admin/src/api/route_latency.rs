//! How long answers of the API take, by route, and how many there were, by status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use coupon_watch::{LatencyHistogram, LatencySnapshot};

/// Answers of the API since the start. Routes are those of the program, so their number is bounded.
#[derive(Debug, Clone, Default)]
pub struct RouteLatencies(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    by_route: BTreeMap<String, Arc<LatencyHistogram>>,
    by_status: BTreeMap<u16, u64>,
}

impl RouteLatencies {
    /// Latencies by method and route, for routes that were used.
    pub(crate) fn by_route(&self) -> Vec<(String, LatencySnapshot)> {
        let answers = self.lock();
        let routes = answers.by_route.iter();
        routes.map(|(route, latency)| (route.clone(), latency.snapshot())).collect()
    }

    /// Number of answers by status.
    pub(crate) fn by_status(&self) -> Vec<(String, u64)> {
        let answers = self.lock();
        answers.by_status.iter().map(|(status, count)| (status.to_string(), *count)).collect()
    }

    fn histogram(&self, route: &str) -> Arc<LatencyHistogram> {
        let mut answers = self.lock();
        if let Some(histogram) = answers.by_route.get(route) {
            return Arc::clone(histogram);
        }
        Arc::clone(answers.by_route.entry(route.to_owned()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures a request up to the head of its answer.
pub(super) async fn measure(
    State(latencies): State<RouteLatencies>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = matched.map(|matched| format!("{} {}", request.method(), matched.as_str()));
    let response = next.run(request).await;
    // Paths without a route are chosen by strangers.
    if let Some(route) = route {
        latencies.histogram(&route).add(begun.elapsed());
    }
    *latencies.lock().by_status.entry(response.status().as_u16()).or_default() += 1;
    response
}
