//! `swaps` with the real daemon.

use serde_json::Value;

use super::compare::build_contenders;
use super::coupon_loadtest;

const CODES: usize = 3_000;

fn swaps(arguments: &str) -> (Option<i32>, Value, String, String) {
    build_contenders();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    let codes: String = (0..CODES).map(|number| format!("CODE{number}\n")).collect();
    std::fs::write(&path, codes).unwrap();
    let mut command = coupon_loadtest("swaps --steady 500ms --connections 4 --max-lag 1h");
    command.arg("--codes").arg(&path).arg("--out").arg(folder.path().join("out"));
    command.arg("--data").arg(folder.path());
    let output = command.args(arguments.split(' ')).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name));
    let json = read("swaps.json").ok().and_then(|json| serde_json::from_str(&json).ok());
    let svg = read("swaps.svg").unwrap_or_default();
    // Whatever is large is gone with the run.
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(left <= 2, "{left} files and folders are left");
    (output.status.code(), json.unwrap_or_default(), svg, said)
}

fn phase<'a>(swaps: &'a Value, name: &str) -> &'a Value {
    let mut phases = swaps["phases"].as_array().unwrap().iter();
    phases.find(|phase| phase["phase"] == name).unwrap()
}

#[test]
fn every_answer_is_a_redirect_from_a_current_index_while_levels_and_bases_are_swapped() {
    let arguments = "--rate 200 --level-swaps 4 --base-swaps 2 --every 1s --level-codes 100";
    let (code, swaps, svg, said) = swaps(arguments);
    assert_eq!(code, Some(0), "{said}");
    let kinds = swaps["swaps"].as_array().unwrap().iter().map(|swap| swap["kind"].as_str());
    let kinds: Vec<_> = kinds.flatten().collect();
    assert_eq!(kinds, ["level", "base", "level", "level", "base", "level"]);
    assert_eq!((swaps["codes"].as_u64(), swaps["level_codes"].as_u64()), (Some(3_000), Some(100)));
    // Every request is in a bucket, and every bucket in one phase.
    let count = |figures: &Value| figures["latency_us"]["count"].as_u64().unwrap();
    let buckets: u64 = swaps["buckets"].as_array().unwrap().iter().map(count).sum();
    let phases = ["steady", "between", "during"].map(|name| count(phase(&swaps, name)));
    assert_eq!((buckets, phases.iter().sum::<u64>()), (1_400, 1_400), "{said}");
    for failure in ["unanswered", "unexpected", "stale"] {
        for bucket in swaps["buckets"].as_array().unwrap() {
            assert_eq!(bucket["failures"][failure], 0, "{bucket}");
        }
    }
    assert!(swaps["ratio"].as_f64().unwrap() > 0.0);
    assert!(said.contains("from an index that was current"), "{said}");
    assert!(svg.contains("base swap, until freed") && svg.contains("p99.9"), "{svg}");
}

#[test]
fn the_rate_is_a_share_of_what_is_carried() {
    let arguments = "--load 0.05 --level-swaps 1 --base-swaps 0 --every 1s";
    let (code, swaps, _, said) = swaps(arguments);
    assert_eq!(code, Some(0), "{said}");
    let figure = |name: &str| swaps[name].as_f64().unwrap();
    assert!(figure("carried") > 100.0, "{said}");
    assert!((figure("rate") / figure("carried") - 0.05).abs() < 1e-9, "{said}");
    assert!(said.contains("5 % of the"), "{said}");
}

#[test]
fn a_run_that_would_take_too_long_is_refused_before_it_begins() {
    let (code, _, _, said) = swaps("--level-swaps 1000 --every 1s");
    assert_eq!(code, Some(1));
    assert!(said.contains("lower --every"), "{said}");
}
