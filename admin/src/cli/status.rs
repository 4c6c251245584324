//! `coupon-admin status`: how the running programs stand.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use indicatif::HumanBytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config::Config;

/// Time for each program to answer.
const DEADLINE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Print one JSON object with the health of all programs
    #[arg(long)]
    json: bool,
}

pub(super) fn run(config: &Config, args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin = runtime.block_on(admin_health(config));
    let daemons: Vec<(&str, anyhow::Result<Value>)> = config
        .effective_daemons()
        .into_iter()
        .map(|(name, socket)| (name, runtime.block_on(daemon_health(socket))))
        .collect();
    let mut healths = std::iter::once(&admin).chain(daemons.iter().map(|(_, health)| health));
    let is_ok = |health: &anyhow::Result<Value>| {
        health.as_ref().is_ok_and(|health| health["status"] == "ok")
    };
    let is_well = healths.all(is_ok);
    if args.json {
        let daemons = daemons_value(&daemons);
        println!("{:#}", json!({ "coupon_admin": health_value(&admin), "coupond": daemons }));
    } else {
        print_program("coupon-admin", &admin, admin_lines);
        if daemons.is_empty() {
            println!("coupond: none on this machine (daemon_socket = \"none\")");
        }
        for (name, health) in &daemons {
            let program =
                if name.is_empty() { "coupond".into() } else { format!("coupond {name}") };
            print_program(&program, health, daemon_lines);
        }
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The health of an only daemon; of several an object with the health of each under its name.
fn daemons_value(daemons: &[(&str, anyhow::Result<Value>)]) -> Value {
    if let [("", only)] = daemons {
        return health_value(only);
    }
    let named = daemons.iter().map(|(name, health)| ((*name).to_owned(), health_value(health)));
    Value::Object(named.collect())
}

fn health_value(health: &anyhow::Result<Value>) -> Value {
    match health {
        Ok(health) => health.clone(),
        Err(error) => json!({ "status": "unreachable", "problems": [format!("{error:#}")] }),
    }
}

/// The health of the running coupon-admin.
///
/// # Errors
/// When it does not answer.
pub(super) fn ask_admin(config: &Config) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(admin_health(config))
}

async fn admin_health(config: &Config) -> anyhow::Result<Value> {
    let Some(address) = config.metrics.listen else {
        bail!(
            "coupon-admin cannot be asked, because metrics.listen is empty: set it, such as \
             127.0.0.1:9690, and start coupon-admin again"
        );
    };
    let connected = async { Ok(TcpStream::connect(reachable(address)).await?) };
    let health = within_deadline(connected).await;
    health.with_context(|| format!("coupon-admin does not answer at {address}; is it running?"))
}

/// An address that stands for all addresses of the machine is asked at its loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => [127, 0, 0, 1].into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        _ => address.ip(),
    };
    SocketAddr::new(ip, address.port())
}

async fn daemon_health(socket: &Path) -> anyhow::Result<Value> {
    let connected = async { Ok(UnixStream::connect(socket).await?) };
    let health = within_deadline(connected).await;
    health.with_context(|| {
        format!(
            "coupond does not answer at {}; is it running, and may this user open the socket?",
            socket.display()
        )
    })
}

async fn within_deadline<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    connected: impl Future<Output = anyhow::Result<S>>,
) -> anyhow::Result<Value> {
    let answer = async { health_of(connected.await?).await };
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(health) => health,
        Err(_) => bail!("no answer within {} s", DEADLINE.as_secs()),
    }
}

async fn health_of<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> anyhow::Result<Value> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/health").header(HOST, "localhost").body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer could not be read: {error}"))?;
    Ok(serde_json::from_slice(&body.to_bytes())?)
}

fn print_program(name: &str, health: &anyhow::Result<Value>, lines: fn(&Value) -> Vec<String>) {
    let health = match health {
        Ok(health) => health,
        Err(error) => {
            println!("{name}: unreachable\n  problem: {error:#}");
            return;
        }
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    println!("{name} {}: {}", text(&health["version"]), text(&health["status"]));
    for (list, word) in [("problems", "problem"), ("warnings", "warning")] {
        for sentence in health[list].as_array().into_iter().flatten() {
            println!("  {word}: {}", text(sentence));
        }
    }
    lines(health).into_iter().for_each(|line| println!("  {line}"));
}

fn admin_lines(health: &Value) -> Vec<String> {
    let system = &health["system"];
    let mut lines = vec![
        format!("running {}", since(&health["started_at"])),
        format!(
            "published: generation {}, {} entries; {}",
            system["publication"]["generation"],
            system["publication"]["entries"],
            served(system)
        ),
        format!(
            "clicks: {} taken in, {} missing, last answer of coupond {}",
            system["intake"]["clicks"],
            system["intake"]["missing"],
            ago(&system["intake"]["last_pull"])
        ),
        format!(
            "postbacks: {} taken in, {} waiting, {} missing",
            system["postbacks"]["postbacks"],
            system["postbacks"]["waiting"],
            system["postbacks"]["missing"]
        ),
        format!(
            "partner postbacks: {} to be sent, {} given up",
            system["pixels"]["pending"], system["pixels"]["dead"]
        ),
    ];
    if let Some(free) = system["disk"]["free_bytes"].as_u64() {
        let archive = system["intake"]["archive_bytes"].as_u64().unwrap_or(0);
        let (free, archive) = (HumanBytes(free), HumanBytes(archive));
        lines.push(format!("disk: {free} free; click archive {archive}"));
    }
    lines.extend(node_lines(&system["daemons"]));
    lines.push(format!("last backup: {}", ago(&system["last_backup"]["made_at"])));
    lines
}

fn served(system: &Value) -> String {
    match system["daemons"].as_array() {
        Some(daemons) if daemons.is_empty() => "no coupond serves it".to_owned(),
        _ => format!("coupond serves {}", system["publication"]["served_generation"]),
    }
}

/// A line for each daemon with a name.
fn node_lines(daemons: &Value) -> Vec<String> {
    let has_name = |daemon: &&Value| daemon["name"].as_str().is_some_and(|name| !name.is_empty());
    let line = |daemon: &Value| {
        let (name, node) = (daemon["name"].as_str().unwrap_or_default(), &daemon["node_id"]);
        let (served, answer) = (&daemon["served_generation"], ago(&daemon["last_answer"]));
        let refused = &daemon["refused_blocks"];
        format!(
            "{name}: node {node}, serves {served}, last answer {answer}, {refused} blocks refused"
        )
    };
    daemons.as_array().into_iter().flatten().filter(has_name).map(line).collect()
}

fn daemon_lines(health: &Value) -> Vec<String> {
    vec![
        format!("serves generation {}", health["generation"]),
        format!(
            "clicks: {} answered, {} logged, {} not logged, {} blocks to be fetched",
            health["clicks"]["answered"],
            health["clicks"]["logged"],
            health["clicks"]["unlogged"],
            health["wal"]["blocks_not_at_the_admin"]
        ),
        format!(
            "postbacks: {} received, {} refused, {} to be decided",
            health["postbacks"]["received"],
            health["postbacks"]["refused"],
            health["postbacks"]["not_at_the_admin"]
        ),
        format!("connections: {} open", health["connections"]["open"]),
    ]
}

/// Such as `for 3h 5m`.
fn since(unix_seconds: &Value) -> String {
    age(unix_seconds).map_or("for an unknown time".to_owned(), |age| format!("for {age:#}"))
}

/// Such as `3h 5m ago`.
fn ago(unix_seconds: &Value) -> String {
    age(unix_seconds).map_or("never".to_owned(), |age| format!("{age:#} ago"))
}

fn age(unix_seconds: &Value) -> Option<SignedDuration> {
    let at = Timestamp::from_second(unix_seconds.as_i64()?).ok()?;
    let age = Timestamp::now().duration_since(at);
    Some(SignedDuration::from_secs(age.as_secs().max(0)))
}
