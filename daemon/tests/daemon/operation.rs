//! Starting, stopping and reconfiguring.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use coupon_shared::feed::Cursor;
use coupon_shared::postback::PollRequest;
use rustix::process::Signal;

use crate::published::{HOST, sample};
use crate::running::{
    Answer, Coupond, after_shell, command, control_request, folder, read_head, until,
};

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
    assert!(printed.contains("node_id = 3 # 0 to 1023\n"), "{printed}");
    assert!(printed.contains("max_connections = 50 # "), "{printed}");

    write(&file, "node_idd = 3\nnode_id = 'x'\n");
    let (bad, error) = check(&file);
    assert_eq!(bad.status.code(), Some(78), "sysexits.h: EX_CONFIG");
    assert!(error.contains(file.to_str().unwrap()), "{error}");
    assert!(error.contains("node_idd: there is no such key"), "{error}");
    assert!(error.contains("node_id = \"x\""), "{error}");
    assert!(!folder.path().join("data").exists(), "a check made a folder");
}

#[test]
fn an_unknown_key_keeps_the_daemon_from_starting() {
    let folder = folder();
    let (output, error) = output(command(folder.path()).env("COUPOND_LISTEN_TO", "x"));
    assert_eq!(output.status.code(), Some(78));
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
    write(
        &file,
        "accept_any_host = true\nnode_id = 5\n[limits]\nclient_timeout_ms = 150\n\
         [clicks]\nretention_days = 9\n",
    );
    coupond.signal(Signal::HUP);
    coupond.wait_for_log("configuration reloaded");
    assert_eq!(coupond.metric("config_keys_needing_restart"), 2);
    let health = coupond.health();
    assert_eq!(health["status"], "ok");
    let holds = |key: &str| format!("{key} has changed: the new value holds from the next start");
    let expected = [holds("clicks.retention_days"), holds("node_id")];
    assert_eq!(health["warnings"], serde_json::json!(expected));
    assert_eq!(elsewhere(), 302);
    assert_eq!(coupond.connect().read(&mut [0]).unwrap(), 0, "the new time-out does not hold");

    write(&file, "accept_any_host = maybe");
    coupond.signal(Signal::HUP);
    coupond.wait_for_log("the configuration stays as it was");
    assert_eq!(elsewhere(), 302);
    assert_eq!(coupond.metric("config_last_reload_successful"), 0);
    let health = coupond.health();
    assert_eq!(health["status"], "degraded");
    assert!(health["problems"][0].as_str().unwrap().contains("coupond.toml"), "{health}");
}

#[test]
fn monitors_have_a_read_only_listener_of_their_own() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_METRICS_LISTEN", "127.0.0.1:0");
    });
    let log = coupond.log();
    let line = log.lines().find(|line| line.contains("listening for monitors")).unwrap();
    let address: SocketAddr = line.split("address=").nth(1).unwrap().trim().parse().unwrap();
    let ask = |method: &str, path: &str, accept: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: monitor\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Answer::parse(&answer)
    };
    coupond.get("/winter25");
    assert_eq!(ask("GET", "/health", "*/*").json()["status"], "ok");
    assert_eq!(ask("GET", "/ready", "*/*").json()["generation"], 1);
    let scraped = ask("GET", "/metrics", "application/openmetrics-text; version=1.0.0");
    assert!(scraped.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(scraped.body.contains("coupond_clicks_logged_total 1\n"), "{}", scraped.body);
    assert!(scraped.body.ends_with("# EOF\n"));
    assert_eq!(ask("POST", "/health", "*/*").status, 405);
    for path in ["/reload", "/clicks/feed", "/unknown-codes", "/certificates", "/winter25"] {
        assert_eq!(ask("GET", path, "*/*").status, 404, "{path}");
        assert_eq!(ask("POST", path, "*/*").status, 404, "{path}");
    }
}

#[test]
fn a_taken_port_for_monitors_is_a_problem_and_stops_no_visitor() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let coupond = Coupond::start(folder, |command| {
        command.env("COUPOND_METRICS_LISTEN", taken.local_addr().unwrap().to_string());
    });
    assert_eq!(coupond.get("/winter25").status, 302);
    let problem = coupond.health()["problems"][0].as_str().unwrap().to_owned();
    assert!(problem.starts_with("metrics.listen: cannot listen on 127.0.0.1:"), "{problem}");
}

#[test]
fn balancers_learn_of_a_stop_before_anything_closes() {
    let folder = folder();
    let index = folder.path().join("index");
    let mut coupond = Coupond::start(folder, |command| {
        command
            .env("COUPOND_LIMITS_DRAIN_NOTICE_MS", "1500")
            // The question is under no limit.
            .env("COUPOND_LIMITS_MISSES_PER_MINUTE", "1")
            .env("COUPOND_LIMITS_MISSES_BURST", "1");
    });
    let ready = |coupond: &Coupond| {
        let request = b"GET /.well-known/coupond/ready HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n";
        coupond.raw(request).status
    };
    assert_eq!(ready(&coupond), 503, "nothing is published");
    assert!(!coupond.log().contains("ERROR"), "a first start has no errors");
    sample().publish(&index);
    assert_eq!(coupond.reload().status, 200);
    for _ in 0..5 {
        assert_eq!(ready(&coupond), 200);
    }
    coupond.signal(Signal::TERM);
    until("balancers are told", || (ready(&coupond) == 503).then_some(()));
    assert_eq!(coupond.control("GET", "/ready").status, 503);
    assert_eq!(coupond.metric("draining"), 1);
    assert_eq!(coupond.get("/winter25").status, 302, "visitors are still served");
    assert!(coupond.wait().success());
}

#[test]
fn a_stop_does_not_wait_for_a_poll() {
    let mut coupond = Coupond::serving(&sample());
    let socket = coupond.socket();
    until("the log is open", || coupond.feed_after(&Cursor::default()));
    let polls: Vec<_> = ["/clicks/feed", "/postbacks/feed"]
        .into_iter()
        .map(|path| {
            let (socket, path) = (socket.clone(), format!("{path}?wait_ms=20000"));
            let body =
                if path.starts_with("/clicks") { Cursor::default().encode() } else { empty_poll() };
            std::thread::spawn(move || control_request(&socket, "POST", &path, &body))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    coupond.signal(Signal::TERM);
    assert!(coupond.wait().success());
    let took = began.elapsed();
    for poll in polls {
        let answer = poll.join().unwrap().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    // Without a visitor nothing else is waited for but the grace of idle connections.
    assert!(took < Duration::from_millis(900), "{took:?}");
}

fn empty_poll() -> Vec<u8> {
    PollRequest { cursors: Vec::new(), verdicts: Vec::new() }.encode()
}

#[test]
fn the_service_manager_is_given_signs_of_life_and_the_journal_priorities() {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let log = folder.path().join("log");
    let mut coupond = Coupond::start(folder, |command| {
        command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "900000");
        let file = std::fs::metadata(&log).unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", file.dev(), file.ino()));
    });
    let mut signs = Vec::new();
    while signs.iter().filter(|sign| *sign == "WATCHDOG=1").count() < 3 {
        let mut sign = [0; 256];
        let length = manager.recv(&mut sign).unwrap();
        signs.push(String::from_utf8_lossy(&sign[..length]).trim().to_owned());
    }
    assert_eq!(signs.iter().filter(|sign| *sign == "READY=1").count(), 1, "{signs:?}");
    let text = coupond.log();
    assert!(text.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{text}");
    coupond.signal(Signal::TERM);
    assert!(coupond.wait().success());
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
