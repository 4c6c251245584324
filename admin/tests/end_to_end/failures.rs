//! Starts that fail: the exit code that a service manager goes by, and one line that names the
//! cause and how to mend it.

use std::path::Path;
use std::process::{Command, Output};

use crate::programs::{Network, admin_program};

/// `sysexits.h`: the configuration cannot be used, and the service manager does not try again.
const EX_CONFIG: i32 = 78;

/// A start that fails.
struct FailingStart {
    what: &'static str,
    /// The configuration file; `None` for a missing one.
    file: Option<&'static str>,
    environment: Vec<(&'static str, String)>,
    code: i32,
    /// Parts of the message: the name, the value, the mend.
    parts: Vec<String>,
}

impl FailingStart {
    fn of_file(what: &'static str, file: &'static str, parts: &[&str]) -> FailingStart {
        let parts = parts.iter().map(|part| (*part).to_owned()).collect();
        FailingStart { what, file: Some(file), environment: Vec::new(), code: EX_CONFIG, parts }
    }

    fn of_machine(what: &'static str, key: &'static str, value: &str, mend: &str) -> FailingStart {
        let environment = vec![(key, value.to_owned())];
        let parts = vec![value.to_owned(), mend.to_owned()];
        FailingStart { what, file: Some(""), environment, code: 1, parts }
    }

    fn check(&self, command: &mut Command, config: &Path) {
        let _ = std::fs::remove_file(config);
        if let Some(file) = self.file {
            std::fs::write(config, file).unwrap();
        }
        if self.environment.is_empty() {
            // The environment would overrule the file.
            for key in ["COUPON_ADMIN_LISTEN", "COUPON_ADMIN_LOG_FILTER", "COUPOND_LISTEN"] {
                command.env_remove(key);
            }
        }
        command.envs(self.environment.iter().map(|(key, value)| (*key, value)));
        let output = command.arg("--config").arg(config).output().unwrap();
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(self.code), "{}: {said}", self.what);
        for part in &self.parts {
            let count = said.matches(part.as_str()).count();
            assert_eq!(count, 1, "{}: {part:?} is {count} times in {said}", self.what);
        }
        let is_error = |line: &&str| line.contains(" ERROR ") || line.starts_with("coupon");
        assert_eq!(said.lines().filter(is_error).count(), 1, "{}: {said}", self.what);
        assert!(!said.contains("panicked"), "{}: {said}", self.what);
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Faults of the file, the same for both programs but for the key of the log's level.
fn faults_of_files(loud: &'static str, level_key: &'static str) -> Vec<FailingStart> {
    vec![
        FailingStart::of_file("a wrong log level", loud, &[level_key, "\"=loud=\""]),
        FailingStart::of_file(
            "an unknown key",
            "[limits]\nmax_conections = 5\n",
            &["limits.max_conections: there is no such key"],
        ),
        FailingStart::of_file(
            "a bad port",
            "listen = '127.0.0.1:99999'\n",
            &["listen = \"127.0.0.1:99999\"", "must be an IP address with a port"],
        ),
        FailingStart::of_file(
            "a number out of its bounds",
            "[limits]\nmax_connections = 0\n",
            &["limits.max_connections = \"0\"", "between 1 and 10000000"],
        ),
        FailingStart::of_file("broken TOML", "listen = \n", &["is not valid TOML", "line 1"]),
        FailingStart {
            what: "a missing file",
            file: None,
            environment: Vec::new(),
            code: EX_CONFIG,
            parts: vec![
                "cannot read the configuration".into(),
                "check that the file exists".into(),
            ],
        },
    ]
}

#[test]
fn failing_starts_end_with_their_code_and_one_line_that_says_how_to_mend_them() {
    let network = Network::new();
    let config = network.path("faulty.toml");
    let file = network.path("a-file");
    std::fs::write(&file, "").unwrap();
    let below_file = file.join("data").display().to_string();
    let file = file.display().to_string();
    let taken = std::net::TcpListener::bind(network.free_address()).unwrap();
    let taken = taken.local_addr().unwrap().to_string();

    let mut faults = faults_of_files("[log]\nfilter = '=loud='\n", "log.filter");
    faults.extend([
        FailingStart::of_machine(
            "a data folder below a file",
            "COUPON_ADMIN_DATA_DIR",
            &below_file,
            "choose another folder with data_dir",
        ),
        FailingStart::of_machine(
            "a taken port",
            "COUPON_ADMIN_LISTEN",
            &taken,
            "choose another port",
        ),
    ]);
    for fault in faults {
        fault.check(network.serve(&mut Command::new(admin_program())), &config);
    }

    let mut faults = faults_of_files("[log]\nlevel = '=loud='\n", "log.level");
    let folders = "choose another folder";
    faults.extend([
        FailingStart::of_machine(
            "a data folder below a file",
            "COUPOND_DATA_DIR",
            &below_file,
            folders,
        ),
        FailingStart::of_machine(
            "an index folder that is a file",
            "COUPOND_INDEX_DIR",
            &file,
            "coupon-admin's `index` folder",
        ),
        FailingStart::of_machine("a taken port", "COUPOND_LISTEN", &taken, "choose another port"),
    ]);
    for fault in faults {
        fault.check(network.daemon().env_remove("COUPOND_LOG_LEVEL"), &config);
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_with_the_way_back() {
    let network = Network::new();
    let mut admin = network.start_admin();
    admin.stop();
    let store = rusqlite::Connection::open(network.path("admin/admin.db")).unwrap();
    store.pragma_update(None, "user_version", 900).unwrap();
    drop(store);
    let output = network.serve(&mut Command::new(admin_program())).output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["schema 900", "start the newer program again", "migration-copies"] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
    assert_eq!(said.matches(" ERROR ").count(), 1, "{said}");
}
