//! Postbacks from the request to the verdict: kept in the spool, delivered to the admin, answered
//! with the verdict.

#[path = "postbacks/admin.rs"]
pub(crate) mod admin;

#[path = "postbacks/bounds.rs"]
mod bounds;
#[path = "postbacks/crashes.rs"]
mod crashes;
#[path = "postbacks/feed.rs"]
mod feed;
#[path = "postbacks/requests.rs"]
mod requests;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, folder};

/// A daemon that answers every postback `queued` at once instead of waiting for an admin.
fn answering_at_once() -> Coupond {
    serving_with(&[("COUPOND_POSTBACKS_MAX_WAITING", "0")])
}

fn serving_with(variables: &[(&str, &str)]) -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    Coupond::start(folder, with(variables))
}

fn with(variables: &[(&str, &str)]) -> impl FnOnce(&mut Command) {
    move |command| {
        command.envs(variables.iter().copied());
    }
}

fn post(coupond: &Coupond, target: &str, content_type: &str, body: &str) -> Answer {
    post_with(coupond, target, &format!("Content-Type: {content_type}\r\n"), body)
}

fn post_with(coupond: &Coupond, target: &str, headers: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {HOST}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    coupond.raw(&[head.as_bytes(), body.as_bytes()].concat())
}

/// Sends a request without waiting for the answer.
fn send(coupond: &Coupond, target: &str) -> TcpStream {
    let mut stream = coupond.connect();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {HOST}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn answer_of(mut stream: TcpStream) -> Answer {
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut answer).unwrap();
    Answer::parse(&answer)
}
