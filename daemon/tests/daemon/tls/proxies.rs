//! coupond behind the proxies whose configurations are in `systemd/proxies`. The tests run these
//! files, with the addresses of the test in them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coupon_shared::click::block::DecodedBlock;
use coupon_shared::feed::{self, Cursor};
use rustix::process::Signal;

use super::authority::Authority;
use super::client::{Client, visit};
use crate::published::{HOST, sample};
use crate::running::{Answer, Coupond, connect_from, folder, is_installed, until};

/// The visitor's address, which is not the proxy's.
const VISITOR: [u8; 4] = [127, 0, 0, 7];

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a proxy, and waits until it takes connections.
fn start(command: &mut Command, address: SocketAddr) -> Proxy {
    let proxy = Proxy(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    until("the proxy takes connections", || TcpStream::connect(address).ok());
    proxy
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The configuration of a proxy, with the test's values in place of the example's.
fn configuration(name: &str, values: &[(&str, String)]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/proxies");
    let file = std::fs::read_to_string(folder.join(name)).unwrap();
    values.iter().fold(file, |file, (example, value)| {
        assert!(file.contains(example), "{name} has no {example}");
        file.replace(example, value)
    })
}

fn behind_a_proxy() -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    Coupond::start(folder, |command| {
        command.env("COUPOND_TRUSTED_PROXIES", "127.0.0.1");
    })
}

/// A visit that pretends to come from elsewhere; `None` if the connection ends without an answer.
fn visited(address: SocketAddr) -> Option<Answer> {
    let mut stream = connect_from(VISITOR, address);
    let request = format!(
        "GET /WINTER25/ HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 192.0.2.99\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| Answer::parse(&answer))
}

/// Checks that these daemons have recorded so many clicks, all of them the visitor's.
fn check_recorded(daemons: &[&Coupond], clicks: usize) {
    let recorded = until("the clicks are in the feeds", || {
        let feeds = daemons.iter().map(|coupond| coupond.feed_after(&Cursor::default()));
        let feeds: Vec<Vec<u8>> = feeds.collect::<Option<_>>()?;
        let blocks = feeds.iter().flat_map(|feed| feed::blocks(feed));
        let blocks: Vec<DecodedBlock> =
            blocks.map(|block| block.unwrap().decode().unwrap()).collect();
        let addresses = blocks.iter().flat_map(DecodedBlock::clicks);
        let addresses: Vec<_> =
            addresses.map(|click| click.address().unwrap().to_string()).collect();
        (addresses.len() >= clicks).then_some(addresses)
    });
    assert_eq!(recorded, vec!["127.0.0.7"; clicks]);
}

#[test]
fn nginx_passes_host_and_visitor_on_with_and_without_tls() {
    if !is_installed("/usr/sbin/nginx", "-v") {
        return;
    }
    let (coupond, folder, authority) = (behind_a_proxy(), folder(), Authority::new());
    authority.issue(&[HOST]).write(folder.path());
    let (plain, tls) = (free_address(), free_address());
    let values = [
        ("127.0.0.1:8080", coupond.address.to_string()),
        ("listen 80;", format!("listen {plain};")),
        ("listen 443 ssl;", format!("listen {tls} ssl;")),
        ("/etc/ssl/go.example.com", folder.path().display().to_string()),
    ];
    let site = configuration("nginx.conf", &values);
    let main = "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
                events {}\nhttp { client_body_temp_path body; proxy_temp_path proxied;\n\
                fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n";
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, format!("{main}{site}}}\n")).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-p").arg(folder.path()).arg("-e").arg("stderr").arg("-c").arg(&file);
    let _nginx = start(&mut command, plain);
    let answer = visited(plain).unwrap();
    assert_eq!(answer.status, 302);
    let socket = connect_from(VISITOR, tls);
    let mut stream = Client::new(&authority).over(socket, HOST).unwrap();
    let over_tls = visit(&mut stream, HOST, "/winter25").unwrap();
    assert_eq!((over_tls.status, over_tls.location().is_empty()), (302, false));
    check_recorded(&[&coupond], 2);
}

#[test]
fn caddy_passes_host_and_visitor_on() {
    if !is_installed("caddy", "version") {
        return;
    }
    let (coupond, folder, address) = (behind_a_proxy(), folder(), free_address());
    let values = [
        ("127.0.0.1:8080", coupond.address.to_string()),
        ("go.example.com {", format!("http://{HOST}:{} {{\n\tbind 127.0.0.1", address.port())),
    ];
    let site = configuration("Caddyfile", &values);
    let file = folder.path().join("Caddyfile");
    std::fs::write(&file, format!("{{\n\tadmin off\n}}\n{site}")).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
    command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
    command.env("XDG_CONFIG_HOME", folder.path()).stderr(Stdio::null());
    let _caddy = start(&mut command, address);
    assert_eq!(visited(address).unwrap().status, 302);
    check_recorded(&[&coupond], 1);
}

/// An edge behind a balancer.
fn edge(authority: &Authority) -> Coupond {
    let folder = folder();
    sample().publish(&folder.path().join("index"));
    let certificates = folder.path().join("certificates");
    authority.issue(&[HOST]).write(&certificates.join(HOST));
    Coupond::start(folder, |command| {
        command
            .env("COUPOND_TRUSTED_PROXIES", "127.0.0.1")
            .env("COUPOND_LISTENERS", "127.0.0.1:0 proxy_protocol, 127.0.0.1:0 tls proxy_protocol")
            .env("COUPOND_TLS_CERTIFICATES_DIR", certificates)
            .env("COUPOND_LIMITS_DRAIN_NOTICE_MS", "4000");
    })
}

#[test]
fn an_edge_stops_behind_haproxy_without_a_visitor_noticing() {
    if !is_installed("/usr/sbin/haproxy", "-v") {
        return;
    }
    let (authority, folder) = (Authority::new(), folder());
    let (mut stopping, staying) = (edge(&authority), edge(&authority));
    let (plain, tls) = (free_address(), free_address());
    let values = [
        ("bind :80", format!("bind {plain}")),
        ("bind :443", format!("bind {tls}")),
        ("10.0.0.11:80", stopping.addresses[0].to_string()),
        ("10.0.0.11:443", stopping.addresses[1].to_string()),
        ("10.0.0.12:80", staying.addresses[0].to_string()),
        ("10.0.0.12:443", staying.addresses[1].to_string()),
    ];
    let file = folder.path().join("haproxy.cfg");
    std::fs::write(&file, configuration("haproxy.cfg", &values)).unwrap();
    let mut command = Command::new("/usr/sbin/haproxy");
    let _haproxy = start(command.args(["-db", "-f"]).arg(&file), plain);
    let client = Client::new(&authority);
    let mut visits = 0;
    let mut visit_both = || {
        assert_eq!(visited(plain).map(|answer| answer.status), Some(302));
        let mut stream = client.over(connect_from(VISITOR, tls), HOST).unwrap();
        assert_eq!(visit(&mut stream, HOST, "/winter25").unwrap().status, 302);
        visits += 2;
    };
    (0..20).for_each(|_| visit_both());
    until("the edge has visitors", || (stopping.metric("clicks_durable") > 0).then_some(()));
    stopping.signal(Signal::TERM);
    let began = Instant::now();
    while !stopping.has_ended() {
        visit_both();
        std::thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_secs(30), "the edge does not end");
    }
    (0..5).for_each(|_| visit_both());
    // The balancer's checks are no visits. The edge that stopped has the clicks of its visitors.
    check_recorded(&[&stopping.restarted(), &staying], visits);
}
