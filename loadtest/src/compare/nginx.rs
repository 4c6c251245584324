//! nginx with a `map` from path to page (nginx compares map keys without case), and nginx in front
//! of coupond.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::start::installed;
use crate::server::certificate::ServerCertificate;
use crate::server::published::page;
use crate::server::{LaunchSpec, TestBed, coupond, free_address};

/// Whether nginx writes an access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Buffered,
    Off,
}

/// nginx that redirects by a map of its own.
pub(super) fn prepare(
    test_bed: &TestBed<'_>,
    folder: &Path,
    log: Log,
) -> anyhow::Result<Option<LaunchSpec>> {
    let Some(program) = installed("nginx") else { return Ok(None) };
    let map = folder.join("codes.map");
    write_map(test_bed, &map)?;
    // A hash table with short chains.
    let hash_size = (test_bed.codes.len() * 2).max(2048);
    let http = format!(
        "  map_hash_max_size {hash_size};\n  map_hash_bucket_size 256;\n\
         \x20 map $uri $page {{ include {}; }}\n",
        map.display()
    );
    let location = "if ($page) { return 302 $page; } return 404;";
    launch(test_bed, program, folder, log, &http, location).map(Some)
}

/// nginx that passes every request on to coupond, which logs the clicks.
pub(super) fn prepare_in_front_of_coupond(
    test_bed: &TestBed<'_>,
    folder: &Path,
) -> anyhow::Result<Option<LaunchSpec>> {
    let Some(program) = installed("nginx") else { return Ok(None) };
    let behind = folder.join("backend");
    std::fs::create_dir(&behind)?;
    let programs = test_bed.programs.clone();
    let plain = TestBed { certificate: None, programs, ..*test_bed };
    let behind = coupond::prepare(&plain, &behind)?;
    let http = format!(
        "  upstream coupond {{ server {}; keepalive 64; keepalive_requests 1000000000; }}\n",
        behind.address
    );
    let location = "proxy_pass http://coupond; proxy_http_version 1.1; \
        proxy_set_header Connection \"\"; proxy_set_header Host $host; \
        proxy_set_header X-Forwarded-For $remote_addr;";
    let launch = launch(test_bed, program, folder, Log::Off, &http, location)?;
    Ok(Some(LaunchSpec { backend: Some(Box::new(behind)), ..launch }))
}

/// Writes the configuration: `http` and `location` are the lines that tell the two uses apart.
fn launch(
    test_bed: &TestBed<'_>,
    program: PathBuf,
    folder: &Path,
    log: Log,
    http: &str,
    location: &str,
) -> anyhow::Result<LaunchSpec> {
    let (address, tls_address) = (free_address()?, test_bed.free_tls_address()?);
    let access_log = match log {
        Log::Buffered => format!("{} combined buffer=256k flush=1s", folder.join("log").display()),
        Log::Off => "off".into(),
    };
    let tls = match (tls_address, test_bed.certificate) {
        (Some(address), Some(certificate)) => listen_tls(address, certificate),
        _ => String::new(),
    };
    let run = folder.display();
    let config = format!(
        "daemon off;\nworker_processes 1;\nerror_log {run}/error.log warn;\npid {run}/pid;\n\
         events {{ worker_connections 16384; use epoll; multi_accept on; }}\n\
         http {{\n  access_log {access_log};\n  keepalive_requests 1000000000;\n\
         keepalive_timeout 300s;\n  tcp_nodelay on;\n  server_tokens off;\n\
         client_body_temp_path {run}/body;\n  proxy_temp_path {run}/proxy;\n\
         fastcgi_temp_path {run}/fastcgi;\n  uwsgi_temp_path {run}/uwsgi;\n\
         scgi_temp_path {run}/scgi;\n{http}  server {{\n\
         listen {address} reuseport deferred backlog=4096;\n{tls}\
         location / {{ {location} }}\n  }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config)?;
    let command = [program, "-p".into(), folder.into(), "-c".into(), path];
    let command = command.map(|part| part.to_string_lossy().into_owned()).to_vec();
    Ok(LaunchSpec { command, address, tls_address, backend: None })
}

fn listen_tls(address: SocketAddr, certificate: &ServerCertificate) -> String {
    let (chain, key) = (certificate.chain(), certificate.key());
    format!(
        "listen {address} ssl reuseport deferred backlog=4096;\n\
         ssl_certificate {};\n  ssl_certificate_key {};\n  ssl_protocols TLSv1.2 TLSv1.3;\n\
         ssl_session_tickets on;\n  ssl_session_cache shared:SSL:50m;\n  ssl_session_timeout 1h;\n\
         ssl_buffer_size 4k;\n",
        chain.display(),
        key.display()
    )
}

fn write_map(test_bed: &TestBed<'_>, path: &Path) -> std::io::Result<()> {
    let mut map = BufWriter::new(File::create(path)?);
    for at in 0..test_bed.codes.len() {
        let code = String::from_utf8_lossy(test_bed.codes.get(at));
        writeln!(map, "/{code}/ {}?coupon={code};", page(at))?;
    }
    map.into_inner()?.sync_all()
}
