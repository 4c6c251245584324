use super::*;

const EXAMPLE: &str = include_str!("../../../systemd/coupon-admin.toml");

fn load(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("admin.toml");
    std::fs::write(&file, toml).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Config::load(&ConfigSources { file: Some(file), env, ..ConfigSources::default() })
}

#[test]
fn the_environment_overrules_the_file() {
    let config = load(
        "listen = '127.0.0.1:1'\nnetwork_id = 3\n[limits]\nmax_connections = 7",
        &[
            ("COUPON_ADMIN_LISTEN", "127.0.0.1:2"),
            ("COUPON_ADMIN_LIMITS_DRAIN_TIMEOUT_MS", "1500"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.network_id, 3);
    assert_eq!(config.limits.max_connections, 7);
    assert_eq!(config.limits.drain_timeout, Duration::from_millis(1500));
}

#[test]
fn all_problems_are_reported_at_once() {
    let toml = "listen = 'nowhere'\nnetwork_id = 0\nport = 1\n[limits]\nmax_body_bytes = -1\nidle_timeout_ms = [1]\n[log]\nfilter = 'a=b=c'";
    let Err(ConfigError::Problems { problems, .. }) = load(toml, &[("COUPON_ADMIN_LISTEM", "x")])
    else {
        panic!()
    };
    for key in [
        "listen",
        "network_id",
        "port",
        "limits.max_body_bytes",
        "limits.idle_timeout_ms",
        "log.filter",
        "COUPON_ADMIN_LISTEM",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(key)),
            "{key} is not in {problems:?}"
        );
    }
    assert_eq!(problems.len(), 7);
}

#[test]
fn the_printed_configuration_reads_back_as_itself() {
    let config = Config { network_id: 9, ..Config::default() };
    assert_eq!(load(&config.to_string(), &[]).unwrap(), config);
}

#[test]
fn the_example_file_shows_every_key_with_its_default() {
    assert_eq!(load(EXAMPLE, &[]).unwrap(), Config::default());
    let shown: toml::Table = EXAMPLE.parse().unwrap();
    let all: toml::Table = Config::default().to_string().parse().unwrap();
    assert_eq!(shown, all);
}

#[test]
fn a_missing_file_and_broken_toml_are_told_apart() {
    let missing = Config::load(&ConfigSources {
        file: Some("/nonexistent/admin.toml".into()),
        ..ConfigSources::default()
    });
    assert!(matches!(missing, Err(ConfigError::Read { .. })));
    assert!(matches!(load("listen = ", &[]), Err(ConfigError::Syntax { .. })));
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
    assert!(numbers.len() > 30, "{numbers:?}");
    let shown = lines_of_numbers(EXAMPLE);
    for (key, line) in numbers {
        assert!(shown.contains(&(key.clone(), line.clone())), "the example file lacks: {line}");
        let (_, bounds) = line.split_once(" # ").unwrap();
        let bounds = bounds.trim_start_matches("0 (no limit) or ");
        let (least, most) = bounds.split_once(" to ").unwrap();
        let (least, most): (i128, i128) = (least.parse().unwrap(), most.parse().unwrap());
        let set = |value: i128| load(&format!("{key} = {value}"), &[]).map_err(|e| e.to_string());
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

#[test]
fn several_daemons_have_names_and_sockets_of_their_own() {
    let only = load("daemon_socket = '/run/x.sock'", &[]).unwrap();
    assert_eq!(only.effective_daemons(), [("", Path::new("/run/x.sock"))]);
    let pair = "[[daemons]]\nname = 'a'\nsocket = '/run/a.sock'\n[[daemons]]\nname = 'b'\n\
                socket = '/run/b.sock'";
    let config = load(pair, &[]).unwrap();
    let named = [("a", Path::new("/run/a.sock")), ("b", Path::new("/run/b.sock"))];
    assert_eq!(config.effective_daemons(), named);
    assert_eq!(load(&config.to_string(), &[]).unwrap(), config);
    let variables = [("COUPON_ADMIN_DAEMONS", "a:/run/a.sock,b:/run/b.sock")];
    assert_eq!(load("", &variables).unwrap(), config);
}

#[test]
fn a_hub_may_have_no_daemon_on_its_machine() {
    let config = load("daemon_socket = 'none'", &[]).unwrap();
    assert_eq!(config.effective_daemons(), []);
    assert_eq!(load(&config.to_string(), &[]).unwrap(), config);
    let variables = [("COUPON_ADMIN_DAEMON_SOCKET", "none")];
    assert_eq!(load("", &variables).unwrap().effective_daemons(), []);
}

#[test]
fn a_region_is_the_domain_of_a_leaf_node_and_named_once() {
    let regions = |text: &str| load(&format!("[hub]\nregions = {text}"), &[]);
    assert_eq!(regions("['fra', 'sin-2']").unwrap().hub.regions, ["fra", "sin-2"]);
    for (text, named) in [
        ("['hub']", "must not be \"hub\""),
        ("['Fra']", "must be the JetStream domain"),
        ("['a.b']", "must be the JetStream domain"),
        ("['fra', 'sin', 'fra']", "fra is named twice"),
    ] {
        let error = regions(text).unwrap_err().to_string();
        assert!(error.contains("hub.regions") && error.contains(named), "{text}: {error}");
    }
}

#[test]
fn daemons_that_cannot_be_told_apart_are_refused() {
    let entry = |name: &str, socket: &str| {
        format!("[[daemons]]\nname = '{name}'\nsocket = '/run/{socket}.sock'\n")
    };
    let many: String = (0..65).map(|at| entry(&format!("d{at}"), &format!("s{at}"))).collect();
    let cases = [
        (entry("a", "x") + &entry("a", "y"), "daemons, entry 2: the name a"),
        (entry("a", "x") + &entry("b", "x"), "daemons, entry 2: /run/x.sock"),
        (entry("", "x"), "daemons, entry 1: name is missing"),
        ("[[daemons]]\nname = 'a'\n".to_owned(), "daemons, entry 1: socket"),
        (entry("a b", "x"), "daemons, entry 1: name"),
        (many, "daemons: 65 entries"),
        ("daemon_socket = '/run/own.sock'\n".to_owned() + &entry("a", "x"), "both given"),
        ("daemon_socket = 'none'\n".to_owned() + &entry("a", "x"), "both given"),
    ];
    for (toml, expected) in cases {
        let Err(ConfigError::Problems { problems, .. }) = load(&toml, &[]) else {
            panic!("{toml}")
        };
        assert!(problems.iter().any(|it| it.contains(expected)), "{expected}: {problems:?}");
    }
}
