//! nginx with a `map` from path to page; nginx compares map keys without case.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use super::start::installed;
use crate::server::published::page;
use crate::server::{LaunchSpec, TestBed, free_address};

/// Whether nginx writes an access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    Buffered,
    Off,
}

pub(super) fn prepare(
    test_bed: &TestBed<'_>,
    folder: &Path,
    log: Log,
) -> anyhow::Result<Option<LaunchSpec>> {
    let Some(program) = installed("nginx") else { return Ok(None) };
    let map = folder.join("codes.map");
    write_map(test_bed, &map)?;
    let address = free_address()?;
    let access_log = match log {
        Log::Buffered => format!("{} combined buffer=256k flush=1s", folder.join("log").display()),
        Log::Off => "off".into(),
    };
    // A hash table with short chains.
    let hash_size = (test_bed.codes.len() * 2).max(2048);
    let (run, map) = (folder.display(), map.display());
    let config = format!(
        "daemon off;\nworker_processes 1;\nerror_log {run}/error.log warn;\npid {run}/pid;\n\
         events {{ worker_connections 4096; use epoll; multi_accept on; }}\n\
         http {{\n  access_log {access_log};\n  keepalive_requests 1000000000;\n\
         keepalive_timeout 300s;\n  tcp_nodelay on;\n  server_tokens off;\n\
         client_body_temp_path {run}/body;\n  proxy_temp_path {run}/proxy;\n\
         fastcgi_temp_path {run}/fastcgi;\n  uwsgi_temp_path {run}/uwsgi;\n\
         scgi_temp_path {run}/scgi;\n  map_hash_max_size {hash_size};\n\
         map_hash_bucket_size 256;\n  map $uri $page {{ include {map}; }}\n\
         server {{\n    listen {address} reuseport backlog=4096;\n\
         location / {{ if ($page) {{ return 302 $page; }} return 404; }}\n  }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, config)?;
    let command = vec![
        program.to_string_lossy().into_owned(),
        "-p".into(),
        folder.to_string_lossy().into_owned(),
        "-c".into(),
        path.to_string_lossy().into_owned(),
    ];
    Ok(Some(LaunchSpec { command, address }))
}

fn write_map(test_bed: &TestBed<'_>, path: &Path) -> std::io::Result<()> {
    let mut map = BufWriter::new(File::create(path)?);
    for at in 0..test_bed.codes.len() {
        let code = String::from_utf8_lossy(test_bed.codes.get(at));
        writeln!(map, "/{code}/ {}?coupon={code};", page(at))?;
    }
    map.into_inner()?.sync_all()
}
