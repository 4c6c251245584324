use std::path::Path;

use super::*;

const EXAMPLE: &str = include_str!("../../../systemd/coupond.toml");

fn load(toml: &str, env: &[(&str, &str)], arguments: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coupond.toml");
    std::fs::write(&file, toml).unwrap();
    let map = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let sources = ConfigSources { file: Some(file), env: map(env), arguments: map(arguments) };
    Config::load(&sources).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_gives_the_defaults() {
    assert_eq!(load("", &[], &[]), Ok(Config::default()));
}

#[test]
fn the_example_file_says_the_defaults() {
    assert_eq!(load(EXAMPLE, &[], &[]), Ok(Config::default()));
}

#[test]
fn every_key_can_be_set_in_the_file_and_in_the_environment() {
    let keys = [
        ("listen", "'127.0.0.1:81'"),
        ("data_dir", "'/d'"),
        ("runtime_dir", "'/r'"),
        ("index_dir", "'/i'"),
        ("node_id", "7"),
        ("threads", "3"),
        ("trusted_proxies", "['10.0.0.0/8', '::1']"),
        ("proxy_protocol", "true"),
        ("accept_any_host", "true"),
        ("truncate_addresses", "true"),
        ("limits.max_connections", "11"),
        ("limits.max_connection_bytes", "4194311"),
        ("limits.max_head_bytes", "20000"),
        ("limits.client_timeout_ms", "12"),
        ("limits.idle_timeout_ms", "13"),
        ("limits.drain_notice_ms", "22"),
        ("limits.drain_grace_ms", "14"),
        ("limits.drain_deadline_ms", "15"),
        ("limits.misses_per_minute", "20"),
        ("limits.misses_burst", "21"),
        ("clicks.durable", "true"),
        ("clicks.ring_bytes", "131072"),
        ("clicks.commit_interval_ms", "16"),
        ("clicks.commit_bytes", "5000"),
        ("clicks.wal_segment_bytes", "2000000"),
        ("clicks.wal_max_bytes", "3000000"),
        ("clicks.sled_cache_bytes", "4000000"),
        ("clicks.retention_days", "17"),
        ("clicks.store_max_bytes", "7000000"),
        ("clicks.disk_reserve_bytes", "8000000"),
        ("clicks.admin_silence_minutes", "0"),
        ("postbacks.keep_days", "18"),
        ("postbacks.max_bytes", "6000000"),
        ("postbacks.max_waiting", "19"),
        ("postbacks.answer_rejected_with_204", "true"),
        ("geo.databases", "['/city.mmdb', '/isp.mmdb']"),
        ("metrics.listen", "'127.0.0.1:1'"),
        ("log.level", "'debug'"),
        ("log.format", "'json'"),
    ];
    let toml: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let from_file = load(&toml, &[], &[]).unwrap();
    let env: Vec<(String, String)> = keys
        .iter()
        .map(|(key, value)| {
            let name = format!("COUPOND_{}", key.replace('.', "_").to_ascii_uppercase());
            (name, value.replace(['\'', '[', ']'], ""))
        })
        .collect();
    let env: Vec<(&str, &str)> =
        env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(load("", &env, &[]).unwrap(), from_file);
    assert_eq!(load(&from_file.to_string(), &[], &[]).unwrap(), from_file);
    let untouched = Config::default();
    let needing_restart = untouched.keys_needing_restart(&from_file);
    for (key, _) in keys {
        let live = ["trusted_proxies", "accept_any_host", "truncate_addresses", "log.level"];
        let is_live = key.starts_with("limits.") || live.contains(&key);
        assert_eq!(needing_restart.iter().any(|needing| needing == key), !is_live, "{key}");
    }
    assert_ne!(from_file.live, untouched.live);
    assert_eq!(from_file.live.trusted_proxies.len(), 2);
}

#[test]
fn all_problems_are_reported_at_once() {
    let toml = "listen = 'nowhere'\nnode_id = 1024\nthreads = 0\nmystery = 1\n\
                trusted_proxies = ['10.0.0.0/99']\n[limits]\nmax_conections = 5\n[log]\nlevel = '=='";
    let error = load(toml, &[("COUPOND_LISTN", "1")], &[]).unwrap_err();
    for part in [
        "8 problem(s)",
        "listen",
        "node_id",
        "threads",
        "mystery: there is no such key",
        "10.0.0.0/99",
        "limits.max_conections: there is no such key",
        "log.level",
        "COUPOND_LISTN: there is no such variable",
    ] {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
}

#[test]
fn the_proxy_protocol_needs_a_trusted_proxy() {
    let error = load("proxy_protocol = true", &[], &[]).unwrap_err();
    assert!(error.contains("trusted_proxies"), "{error}");
    let config = load("proxy_protocol = true\ntrusted_proxies = ['::1']", &[], &[]).unwrap();
    assert!(config.proxy_protocol);
}

#[test]
fn a_folder_without_a_name_is_refused() {
    let error = load("index_dir = ''", &[("COUPOND_DATA_DIR", "")], &[]).unwrap_err();
    assert!(error.contains("2 problem(s)") && error.contains("COUPOND_DATA_DIR"), "{error}");
}

#[test]
fn arguments_win_over_the_environment_and_that_over_the_file() {
    let env = [("COUPOND_NODE_ID", "2"), ("COUPOND_THREADS", "2")];
    let config = load("node_id = 1\nthreads = 1", &env, &[("threads", "3")]).unwrap();
    assert_eq!((config.node_id, config.threads), (2, 3));
}

#[test]
fn the_runtime_folder_follows_a_data_folder_that_is_given() {
    let config = load("data_dir = '/x'", &[], &[]).unwrap();
    assert_eq!(config.runtime_dir, Path::new("/x/run"));
}

#[test]
fn a_thread_gets_its_share_of_the_memory_and_of_the_connections_below_the_descriptor_limit() {
    let config = Config { threads: 2, ..Config::default() };
    assert_eq!(config.limits_per_thread(&config.live, 1128).max_connection_bytes, 128 << 20);
    assert_eq!(config.limits_per_thread(&config.live, 1128).max_connections, 500);
    assert_eq!(config.limits_per_thread(&config.live, u64::MAX).max_connections, 25_000);
}

/// The keys with numbers, as the printed configuration shows them: key, line.
fn lines_of_numbers(text: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((name, value)) = line.split_once(" = ")
            && value.starts_with(|c: char| c.is_ascii_digit())
        {
            found.push((format!("{section}{name}"), line.to_owned()));
        }
    }
    found
}

#[test]
fn every_number_has_bounds_that_the_example_file_says_and_that_are_held() {
    let numbers = lines_of_numbers(&Config::default().to_string());
    assert!(numbers.len() > 25, "{numbers:?}");
    let shown = lines_of_numbers(EXAMPLE);
    for (key, line) in numbers {
        // The number of threads is the machine's, so the example shows it in a comment.
        let is_shown = shown.contains(&(key.clone(), line.clone())) || key == "threads";
        assert!(is_shown, "the example file lacks: {line}");
        let (_, bounds) = line.split_once(" # ").unwrap();
        let bounds = bounds.trim_start_matches("0 (no limit) or ");
        let (least, most) = bounds.split_once(" to ").unwrap();
        let (least, most): (i128, i128) = (least.parse().unwrap(), most.parse().unwrap());
        let set = |value: i128| load(&format!("{key} = {value}"), &[], &[]);
        for value in [least, most] {
            assert!(set(value).is_ok(), "{key} = {value}: {:?}", set(value));
        }
        let beyond = [(most + 1, true), (least - 1, !line.contains("no limit")), (-1, true)];
        for (value, is_refused) in beyond {
            if !is_refused {
                continue;
            }
            let error = set(value).unwrap_err();
            let named = format!("{key} = \"{value}\": must be");
            let range = format!("between {least} and {most}");
            assert!(error.contains(&named) && error.contains(&range), "{error}");
        }
    }
}
