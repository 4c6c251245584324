//! Starting, stopping and reconfiguring.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::published::{HOST, sample};
use crate::running::{Coupond, after_shell, command, folder, read_head, until};

fn output(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, error)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn check_config_prints_the_configuration_or_all_that_is_wrong_with_it() {
    let folder = folder();
    let file = folder.path().join("coupond.toml");
    write(&file, "node_id = 3\n[limits]\nmax_connections = 50\n");
    let check =
        |file: &Path| output(command(folder.path()).arg("--config").arg(file).arg("check-config"));
    let (good, _) = check(&file);
    let printed = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success());
    assert!(printed.contains("node_id = 3\n") && printed.contains("max_connections = 50\n"));

    write(&file, "node_idd = 3\nnode_id = 'x'\n");
    let (bad, error) = check(&file);
    assert_eq!(bad.status.code(), Some(1));
    assert!(error.contains("node_idd: there is no such key"), "{error}");
    assert!(error.contains("node_id = \"x\""), "{error}");
    assert!(!folder.path().join("data").exists(), "a check made a folder");
}

#[test]
fn an_unknown_key_keeps_the_daemon_from_starting() {
    let folder = folder();
    let (output, error) = output(command(folder.path()).env("COUPOND_LISTEN_TO", "x"));
    assert!(!output.status.success());
    assert!(error.contains("COUPOND_LISTEN_TO: there is no such variable"), "{error}");
}

#[test]
fn a_taken_port_is_named_in_the_error() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (output, error) = output(command(folder.path()).args(["--listen", &address]));
    assert!(!output.status.success());
    assert!(error.contains(&address) && error.contains("in use"), "{error}");
}

#[test]
fn a_second_daemon_does_not_share_the_first_ones_port_or_folders() {
    let coupond = Coupond::serving(&sample());
    let second = folder();
    let address = coupond.address.to_string();
    let (output, error) = output(command(second.path()).args(["--listen", &address]));
    assert!(!output.status.success());
    assert!(error.contains("in use"), "{error}");
    let (output, error) = crate::operation::output(&mut command(coupond.folder.path()));
    assert!(!output.status.success());
    assert!(error.contains("another coupond uses"), "{error}");
    let mut elsewhere = command(coupond.folder.path());
    let (output, error) =
        crate::operation::output(elsewhere.env("COUPOND_DATA_DIR", second.path()));
    assert!(!output.status.success());
    assert!(error.contains("another program listens there"), "{error}");
    assert_eq!(coupond.get("/winter25").status, 302);
}

#[test]
fn a_folder_that_cannot_be_used_is_named_in_the_error() {
    for (key, flag) in
        [("data_dir", "--data-dir"), ("runtime_dir", "--runtime-dir"), ("index_dir", "--index-dir")]
    {
        let folder = folder();
        let file = folder.path().join("a-file");
        write(&file, "");
        let (output, error) = output(command(folder.path()).arg(flag).arg(&file));
        assert!(!output.status.success());
        assert!(error.contains(key) && error.contains("a-file"), "{error}");
    }
}

#[test]
fn data_and_index_folders_are_all_that_must_be_said() {
    let folder = folder();
    let index_dir = folder.path().join("index");
    sample().publish(&index_dir);
    let mut child = Command::new(env!("CARGO_BIN_EXE_coupond"))
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(folder.path().join("data"))
        .arg("--index-dir")
        .arg(&index_dir)
        .spawn()
        .unwrap();
    let address_file = folder.path().join("data/run/coupond.addr");
    until("it is bound", || address_file.exists().then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn told_to_stop_it_answers_who_is_there_and_ends_well() {
    let mut coupond = Coupond::serving(&sample());
    let request = format!("GET /winter25 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut visitors: Vec<_> = (0..20).map(|_| coupond.connect()).collect();
    for visitor in &mut visitors[..10] {
        visitor.write_all(request.as_bytes()).unwrap();
        read_head(visitor).unwrap();
    }
    coupond.signal(Signal::TERM);
    coupond.wait_for_log("no new visitors");
    for visitor in &mut visitors {
        // A thread that has not seen the shutdown yet answers without closing the connection.
        let mut is_last = false;
        while !is_last {
            visitor.write_all(request.as_bytes()).unwrap();
            let head = read_head(visitor).unwrap();
            assert!(head.starts_with("HTTP/1.1 302"), "{head}");
            is_last = head.contains("connection: close");
        }
    }
    drop(visitors);
    assert!(coupond.wait().success());
    assert!(!coupond.path("run/coupond.sock").exists());
    assert!(!coupond.path("run/coupond.addr").exists());
}

#[test]
fn it_stops_quickly_when_nobody_is_there() {
    let mut coupond = Coupond::serving(&sample());
    coupond.get("/winter25");
    let began = Instant::now();
    coupond.signal(Signal::INT);
    assert!(coupond.wait().success());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn silent_visitors_are_closed() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "200");
    });
    let mut silent = coupond.connect();
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert_eq!(coupond.get("/winter25").status, 302);
}

#[test]
fn a_hang_up_changes_what_can_change_and_names_what_cannot() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let file = folder.path().join("coupond.toml");
    write(&file, "");
    let coupond = Coupond::start(folder, |command| {
        command.arg("--config").arg(&file);
    });
    let elsewhere = || {
        let request =
            b"GET /winter25 HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\r\n";
        coupond.raw(request).status
    };
    assert_eq!(elsewhere(), 404);
    write(&file, "accept_any_host = true\nnode_id = 5\n[limits]\nclient_timeout_ms = 150\n");
    coupond.signal(Signal::HUP);
    coupond.wait_for_log("configuration reloaded");
    assert!(coupond.log().contains("needs a restart") && coupond.log().contains("node_id"));
    assert_eq!(elsewhere(), 302);
    assert_eq!(coupond.connect().read(&mut [0]).unwrap(), 0, "the new time-out does not hold");

    write(&file, "accept_any_host = maybe");
    coupond.signal(Signal::HUP);
    coupond.wait_for_log("the configuration stays as it was");
    assert_eq!(elsewhere(), 302);
}

#[test]
fn with_few_file_descriptors_it_serves_fewer_at_a_time_and_lives_on() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_LIMITS_CLIENT_TIMEOUT_MS", "400");
        after_shell(command, "ulimit -n 150");
    });
    let silent: Vec<_> = (0..60).map(|_| coupond.connect()).collect();
    assert_eq!(coupond.get("/winter25").status, 302);
    drop(silent);
    assert_eq!(coupond.get("/winter25").status, 302);
    assert_eq!(coupond.health()["status"], "ok");
}
