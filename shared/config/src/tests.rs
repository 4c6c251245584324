use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use coupon_serve::tls::CertificateFiles;

use crate::{
    ConfigError, ConfigSources, Configuration, GeoConfig, Keys, ListenerConfig, TlsConfig, bounds,
    changed_keys, listener_conflicts, load, to_toml,
};

/// A key of each kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sample {
    flag: bool,
    number: u16,
    listen: SocketAddr,
    folder: PathBuf,
    networks: Vec<IpNet>,
    limit: u64,
    timeout: Duration,
    period: Duration,
    filter: String,
}

impl Default for Sample {
    fn default() -> Sample {
        Sample {
            flag: false,
            number: 1,
            listen: SocketAddr::from(([127, 0, 0, 1], 80)),
            folder: PathBuf::from("/x"),
            networks: Vec::new(),
            limit: 0,
            timeout: Duration::from_secs(1),
            period: Duration::from_secs(2),
            filter: "info".to_owned(),
        }
    }
}

impl Configuration for Sample {
    const ENV_PREFIX: &'static str = "SAMPLE_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_flag("flag", &mut self.flag);
        keys.declare_number("number", &mut self.number, 1..=9);
        keys.declare_address("listen", &mut self.listen);
        keys.declare_path("folder", &mut self.folder);
        keys.declare_networks("networks", &mut self.networks);
        keys.declare_limit("limits.limit", &mut self.limit, 100..=bounds::MAX_DISK_BYTES);
        keys.declare_timeout("limits.timeout_ms", &mut self.timeout);
        keys.declare_period("limits.period_ms", &mut self.period);
        keys.declare_log_filter("log.filter", &mut self.filter);
    }

    fn conflicts(&self) -> Vec<String> {
        let conflict = self.flag && self.networks.is_empty();
        conflict.then(|| "flag: needs networks".to_owned()).into_iter().collect()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

fn load_from(
    toml: &str,
    env: &[(&str, &str)],
    arguments: &[(&str, &str)],
) -> Result<Sample, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.toml");
    std::fs::write(&file, toml).unwrap();
    load(&ConfigSources { file: Some(file), env: map(env), arguments: map(arguments) })
}

fn problems(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    match load_from(toml, env, &[]) {
        Err(ConfigError::Problems { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_overrules_the_environment_and_that_the_file() {
    let toml = "number = 1\nlimits.limit = 100\nflag = true\nnetworks = ['::1']";
    let env = [("SAMPLE_NUMBER", "2"), ("SAMPLE_LIMITS_LIMIT", "200"), ("PATH", "/bin")];
    let sample = load_from(toml, &env, &[("number", "3")]).unwrap();
    assert_eq!((sample.number, sample.limit, sample.flag), (3, 200, true));
}

#[test]
fn the_printed_configuration_reads_back_as_itself() {
    let toml = "flag = true\nnumber = 9\nlisten = '[::1]:81'\nfolder = 'a \"b\"'\n\
                networks = ['10.0.0.1', '10.0.0.0/8']\n[limits]\nlimit = 100\ntimeout_ms = 3\n\
                period_ms = 4\n[log]\nfilter = 'warn,x=debug'";
    let sample = load_from(toml, &[], &[]).unwrap();
    assert_eq!(load_from(&to_toml(&sample), &[], &[]).unwrap(), sample);
    assert_eq!(
        to_toml(&sample),
        "flag = true\nnumber = 9 # 1 to 9\nlisten = \"[::1]:81\"\nfolder = 'a \"b\"'\n\
         networks = [\"10.0.0.1/32\", \"10.0.0.0/8\"]\n\n[limits]\n\
         limit = 100 # 0 (no limit) or 100 to 1125899906842624\ntimeout_ms = 3 # 1 to 86400000\n\
         period_ms = 4 # 1 to 3153600000000\n\n[log]\nfilter = \"warn,x=debug\"\n"
    );
}

#[test]
fn every_problem_names_key_and_value_and_what_is_permitted() {
    let toml = "flag = 'yes'\nnumber = 10\nlisten = 'nowhere'\nfolder = ''\n\
                networks = ['::1', '10.0.0.0/99']\nother = 1\n[limits]\nlimit = 99\n\
                timeout_ms = [1]\nperiod_ms = 1.5";
    let problems = problems(toml, &[("SAMPLE_LOG_FILTER", "inof"), ("SAMPLE_NUMBR", "1")]);
    let expected = [
        "flag = \"yes\": must be true or false",
        "number = \"10\": must be a whole number between 1 and 9",
        "listen = \"nowhere\": must be an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080",
        "folder = \"\": must name a folder or a file",
        "networks = \"::1, 10.0.0.0/99\": `10.0.0.0/99` is neither an address nor a network such as 10.0.0.0/8",
        "limits.limit = \"99\": must be 0 (no limit) or a whole number between 100 and 1125899906842624",
        "limits.timeout_ms = \"1\": must be one value, not a list",
        "limits.period_ms: must be a text, a whole number, true or false",
        "SAMPLE_LOG_FILTER = \"inof\": `inof` is no level; use off, error, warn, info, debug or trace, and for one module `inof=LEVEL`",
        "other: there is no such key; correct or remove it",
        "SAMPLE_NUMBR: there is no such variable; correct or remove it",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_number_is_whole_and_within_its_bounds() {
    for text in ["-1", "0", "10", "1e1", "70000", "", "x"] {
        assert_eq!(problems("", &[("SAMPLE_NUMBER", text)]).len(), 1, "{text}");
    }
    for (text, is_good) in [("0", true), ("99", false), ("100", true), ("1125899906842625", false)]
    {
        assert_eq!(load_from("", &[("SAMPLE_LIMITS_LIMIT", text)], &[]).is_ok(), is_good, "{text}");
    }
}

#[test]
fn a_timeout_lasts_a_day_at_most_and_a_period_a_hundred_years() {
    let takes = |key: &str, ms: u64| {
        load_from("", &[(&format!("SAMPLE_LIMITS_{key}_MS"), &ms.to_string())], &[]).is_ok()
    };
    for (key, longest) in [("TIMEOUT", 86_400_000), ("PERIOD", 3_153_600_000_000)] {
        assert!(!takes(key, 0) && takes(key, 1) && takes(key, longest) && !takes(key, longest + 1));
    }
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    for filter in
        ["info", "OFF", "warn,coupond=debug", "coupond=trace", "info,a::b=off", "[span]=info"]
    {
        assert!(load_from("", &[("SAMPLE_LOG_FILTER", filter)], &[]).is_ok(), "{filter}");
    }
    for filter in ["", " ", "inof", "verbose", "coupond", "info,coupond", "coupond=loud", "=="] {
        assert_eq!(problems("", &[("SAMPLE_LOG_FILTER", filter)]).len(), 1, "{filter}");
    }
}

#[test]
fn keys_that_contradict_each_other_are_a_problem() {
    assert_eq!(problems("flag = true", &[]), ["flag: needs networks"]);
}

#[test]
fn an_error_names_the_file() {
    let error = load_from("number = 10", &[], &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("the configuration /") && error.contains("sample.toml has 1"),
        "{error}"
    );
}

#[test]
fn variables_that_an_orchestrator_makes_for_a_service_are_ignored() {
    let links = [
        ("SAMPLE_SERVICE_HOST", "10.0.0.7"),
        ("SAMPLE_SERVICE_PORT", "80"),
        ("SAMPLE_SERVICE_PORT_HTTP", "80"),
        ("SAMPLE_PORT", "tcp://10.0.0.7:80"),
        ("SAMPLE_PORT_80_TCP", "tcp://10.0.0.7:80"),
        ("SAMPLE_PORT_80_TCP_ADDR", "10.0.0.7"),
        ("SAMPLE_ADMIN_PORT_8090_UDP_PROTO", "udp"),
    ];
    assert_eq!(load_from("", &links, &[]).unwrap(), Sample::default());
    for (name, value) in [("SAMPLE_PORT", "80"), ("SAMPLE_PORT_TCP", "80"), ("SAMPLE_HOST", "x")] {
        assert_eq!(problems("", &[(name, value)]).len(), 1, "{name}");
    }
}

#[test]
fn changed_keys_are_named_one_by_one() {
    let old = Sample::default();
    let new = Sample { number: 2, limit: 100, period: Duration::from_secs(9), ..old.clone() };
    assert_eq!(changed_keys(&old, &new), ["limits.limit", "limits.period_ms", "number"]);
    assert_eq!(changed_keys(&old, &old), [""; 0]);
    let old = listening("", &[]).unwrap();
    let new = listening("tls.default_host = 'a.b'\nlisteners = ['[::]:80']", &[]).unwrap();
    assert_eq!(changed_keys(&old, &new), ["listeners", "tls.default_host"]);
}

#[test]
fn a_list_in_the_environment_is_separated_by_commas() {
    let sample = load_from("", &[("SAMPLE_NETWORKS", "10.0.0.1, ::1,")], &[]).unwrap();
    assert_eq!(sample.networks.len(), 2);
}

#[test]
fn a_missing_file_and_broken_toml_are_different_errors() {
    let missing = ConfigSources { file: Some("/nonexistent/x.toml".into()), ..Default::default() };
    assert!(matches!(load::<Sample>(&missing), Err(ConfigError::Read { .. })));
    assert!(matches!(load_from("number = ", &[], &[]), Err(ConfigError::Syntax { .. })));
}

/// The keys of listeners and certificates alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Listening {
    tls: TlsConfig,
    listeners: Vec<ListenerConfig>,
}

impl Configuration for Listening {
    const ENV_PREFIX: &'static str = "SAMPLE_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        self.tls.declare_keys(keys);
        keys.declare_entries("listeners", &mut self.listeners);
    }

    fn conflicts(&self) -> Vec<String> {
        listener_conflicts(&self.listeners, false)
    }
}

fn listening(file: &str, env: &[(&str, &str)]) -> Result<Listening, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.toml");
    std::fs::write(&path, file).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&ConfigSources { file: Some(path), env: env.collect(), arguments: BTreeMap::new() })
}

#[test]
fn listeners_and_certificates_are_read_from_tables_or_texts_and_printed_alike() {
    let in_file = listening(
        "[tls]\ncertificates_dir = \"/c\"\ndefault_host = \"go.example.com\"\n\
         [[tls.certificates]]\nchain = \"/a.pem\"\nkey = \"/a.key\"\n\
         [[listeners]]\naddress = \"[::]:80\"\n\
         [[listeners]]\nname = \"https\"\naddress = \"0.0.0.0:443\"\ntls = true\n",
        &[],
    );
    let in_file = in_file.unwrap();
    let https = ListenerConfig {
        name: "https".to_owned(),
        tls: true,
        ..ListenerConfig::plain("0.0.0.0:443".parse().unwrap(), false)
    };
    let http = ListenerConfig::plain("[::]:80".parse().unwrap(), false);
    assert_eq!(in_file.listeners, [http.clone(), https]);
    let files = CertificateFiles { chain: "/a.pem".into(), key: "/a.key".into() };
    assert_eq!(in_file.tls.certificates, [files]);
    let printed = to_toml(&in_file);
    assert_eq!(listening(&printed, &[]).unwrap(), in_file, "{printed}");

    let in_env = listening("", &[("SAMPLE_LISTENERS", "[::]:80, 0.0.0.0:443 tls proxy_protocol")]);
    let error = in_env.unwrap_err().to_string();
    assert!(error.contains("trusted_proxies is empty"), "{error}");
    let in_env = listening("", &[("SAMPLE_LISTENERS", "[::]:80, 0.0.0.0:443 tls")]).unwrap();
    assert_eq!(in_env.listeners[0], http);
    assert!(in_env.listeners[1].tls && !in_env.listeners[1].proxy_protocol);
}

#[test]
fn a_wrong_entry_is_named_with_its_number_and_the_mend() {
    for (file, problem) in [
        ("[[listeners]]\ntls = true", "listeners, entry 1: address: is missing"),
        ("[[listeners]]\naddress = \"go:443\"", "listeners, entry 1: address = \"go:443\""),
        ("[[listeners]]\naddress = \"[::]:80\"\nssl = true", "ssl: there is no such key"),
        ("listeners = [\"[::]:443 ssl\"]", "such as \"0.0.0.0:443 tls\""),
        ("listeners = 7", "listeners, entry 1"),
        (
            "listeners = [\"[::]:80\", \"[::]:80 tls\"]",
            "listeners, entry 2: [::]:80 is another entry's",
        ),
        ("[[tls.certificates]]\nchain = \"/a\"", "tls.certificates, entry 1: key: is missing"),
        ("tls.certificates = [\"/a\"]", "must be CHAIN_FILE:KEY_FILE"),
        ("tls.default_host = \"two words\"", "must be a host name"),
    ] {
        let error = listening(file, &[]).unwrap_err().to_string();
        assert!(error.contains(problem), "{file}: {error}");
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct WithGeo(GeoConfig);

impl Configuration for WithGeo {
    const ENV_PREFIX: &'static str = "SAMPLE_";

    fn declare_keys(&mut self, keys: &mut Keys) {
        self.0.declare_keys(keys);
    }

    fn conflicts(&self) -> Vec<String> {
        self.0.conflicts()
    }
}

fn databases(toml: &str, env: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sample.toml");
    std::fs::write(&file, toml).unwrap();
    let sources = ConfigSources { file: Some(file), env: map(env), ..ConfigSources::default() };
    let config = load::<WithGeo>(&sources).map_err(|error| error.to_string())?;
    assert_eq!(load_printed(&config), config);
    Ok(config.0.databases.iter().map(|path| path.display().to_string()).collect())
}

fn load_printed(config: &WithGeo) -> WithGeo {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed.toml");
    std::fs::write(&file, to_toml(config)).unwrap();
    load(&ConfigSources { file: Some(file), ..ConfigSources::default() }).unwrap()
}

#[test]
fn databases_are_a_list_of_paths_in_order() {
    let toml = "[geo]\ndatabases = ['/b.mmdb', '/a, \"b\".mmdb']";
    assert_eq!(databases(toml, &[]).unwrap(), ["/b.mmdb", "/a, \"b\".mmdb"]);
    let env = [("SAMPLE_GEO_DATABASES", "/city.mmdb, /isp.mmdb")];
    assert_eq!(databases(toml, &env).unwrap(), ["/city.mmdb", "/isp.mmdb"]);
    assert_eq!(databases("geo.databases = '/city.mmdb'", &[]).unwrap(), ["/city.mmdb"]);
    assert_eq!(databases("", &[]).unwrap(), [""; 0]);
}

#[test]
fn too_many_databases_and_one_named_twice_are_conflicts() {
    let error = databases("geo.databases = ['a', 'b', 'c', 'a', 'e']", &[]).unwrap_err();
    assert!(error.contains("5 files are named, at most 4 answer together"), "{error}");
    assert!(error.contains("a is named twice"), "{error}");
}
