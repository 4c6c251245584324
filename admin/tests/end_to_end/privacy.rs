//! Erasure of personal data in a running network, on the command line, and by a program that is
//! killed meanwhile.

use crate::http;
use crate::programs::{Network, admin_program, is_installed, wait_for};
use coupon_shared::click::Tag;
use coupon_shared::click::block::Block;
use coupon_shared::framed_log::FrameReader;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

const ANNA: (&str, &str) = ("AnnasBrowser/5.0", "https://annas-blog.example/?page=7");
const BOB: (&str, &str) = ("BobsBrowser/6.0", "https://bobs-page.example/");

fn visit(network: &Network, (agent, referer): (&str, &str)) {
    let request = format!(
        "GET /winter25?sub1=story HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\n\
         Referer: {referer}\r\nConnection: close\r\n\r\n",
        network.visitors
    );
    assert_eq!(http::send(network.visitors, &request).unwrap().status, 302);
}

/// Anna's click and two of Bob's, archived.
fn visited() -> (Network, crate::programs::Program, crate::programs::Program) {
    let network = Network::new();
    let (admin, daemon) = (network.start_admin(), network.start_daemon());
    network.create_winter25();
    for visitor in [ANNA, BOB, BOB] {
        visit(&network, visitor);
    }
    wait_for("3 clicks", || (network.gross_clicks() == 3).then_some(()));
    (network, admin, daemon)
}

fn id_of(clicks: &[Value], agent: &str) -> String {
    let click = clicks.iter().find(|click| click["user_agent"] == agent).unwrap();
    click["transaction_id"].as_str().unwrap().to_owned()
}

fn erase(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(admin_program());
    command.arg("erase").args(arguments).arg("--data").arg(folder);
    command
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether a file of the data folder, or a block of its archive, contains the text.
fn holds(data: &Path, text: &str) -> bool {
    let needle = text.as_bytes();
    a_file_holds(data, needle) || archived(&data.join("archive")).iter().any(|b| within(b, needle))
}

fn a_file_holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => a_file_holds(&path, needle),
            false => within(&std::fs::read(&path).unwrap(), needle),
        }
    })
}

fn within(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Decoded clicks of the archive: a text that occurs twice in a block may be absent from its
/// compressed bytes.
fn archived(folder: &Path) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let mut frames = FrameReader::open(folder, 1).unwrap();
    while let Some(frame) = frames.next_frame().unwrap() {
        let block = Block::parse(frame.payload).unwrap().decode().unwrap();
        for click in block.clicks() {
            values.extend(Tag::all().filter_map(|tag| click.tag(tag)).map(<[u8]>::to_vec));
        }
    }
    values
}

#[test]
fn a_click_is_erased_over_the_api_and_its_address_beside_the_running_admin() {
    let (network, mut admin, _daemon) = visited();
    let data = network.path("admin");
    assert!(holds(&data, ANNA.0) && holds(&data, BOB.1), "the test looks in the wrong places");
    let anna = id_of(&network.clicks(), ANNA.0);
    let done = network.done("POST", "privacy/erase", json!({"transaction_id": anna}));
    assert_eq!((&done["clicks"], &done["stage"]), (&json!(1), &json!("done")), "{done}");
    assert!(!holds(&data, ANNA.0) && !holds(&data, ANNA.1));
    let click = network.call("GET", &format!("reporting/clicks/{anna}"), None).json();
    assert_eq!((&click["user_agent"], &click["user_ip"]), (&json!(""), &json!("")));
    assert_eq!((&click["sub1"], &click["coupon_code"]), (&json!("story"), &json!("winter25")));

    let bob = id_of(&network.clicks(), BOB.0);
    let click = network.call("GET", &format!("reporting/clicks/{bob}"), None).json();
    let address = click["user_ip"].as_str().unwrap();
    let output = erase(&data, &["--ip", address, "--dry-run"]).output().unwrap();
    assert!(said(&output).contains("the running coupon-admin does it"), "{}", said(&output));
    assert!(said(&output).contains("found what is personal of 2 clicks"), "{}", said(&output));
    assert!(holds(&data, BOB.0));
    let output = erase(&data, &["--ip", address]).output().unwrap();
    assert!(said(&output).contains("erased what is personal of 2 clicks"), "{}", said(&output));
    assert!(!holds(&data, BOB.0) && !holds(&data, BOB.1) && !holds(&data, address));
    assert_eq!(network.gross_clicks(), 3);

    // Later clicks are archived as usual, and the next start finds no fault.
    visit(&network, ANNA);
    wait_for("4 clicks", || (network.gross_clicks() == 4).then_some(()));
    admin.stop();
    let _admin = network.start_admin();
    visit(&network, BOB);
    wait_for("5 clicks", || (network.gross_clicks() == 5).then_some(()));
    let status = network.call("GET", "status", None).json();
    assert_eq!(status["intake"]["last_error"], Value::Null, "{status}");
}

#[test]
fn an_erasure_that_is_killed_at_any_write_is_finished_by_the_next_one() {
    if !is_installed("strace") {
        return;
    }
    let (network, mut admin, mut daemon) = visited();
    let address = network.clicks()[0]["user_ip"].as_str().unwrap().to_owned();
    daemon.stop();
    admin.stop();
    let (mut at, mut killed) = (1, 0);
    loop {
        let data = network.path(&format!("copy-{at}"));
        let copied =
            Command::new("cp").arg("-r").arg(network.path("admin")).arg(&data).status().unwrap();
        assert!(copied.success());
        let calls = "fsync,fdatasync,rename,renameat,renameat2,unlink,ftruncate";
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e"]);
        strace.arg(format!("inject={calls}:signal=SIGKILL:when={at}"));
        strace.arg(admin_program()).args(["erase", "--ip", &address, "--data"]).arg(&data);
        let is_done = strace.output().unwrap().status.success();
        killed += u32::from(!is_done);
        // Pending erasures finish first.
        let output = erase(&data, &["--ip", &address]).output().unwrap();
        assert!(output.status.success(), "killed at {at}: {}", said(&output));
        for text in [ANNA.0, ANNA.1, BOB.0, BOB.1, &address] {
            assert!(!holds(&data, text), "killed at {at}: {text} is there");
        }
        std::fs::remove_dir_all(&data).unwrap();
        if is_done {
            break;
        }
        at += 1;
    }
    assert!(killed >= 8, "killed {killed} times");
}
