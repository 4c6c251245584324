//! HAProxy with a map file from lower-case path to page, one look-up per request.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use super::start::installed;
use crate::server::certificate::{ServerCertificate, write_secret};
use crate::server::published::page;
use crate::server::{LaunchSpec, TestBed, free_address};

pub(super) fn prepare(test_bed: &TestBed<'_>, folder: &Path) -> anyhow::Result<Option<LaunchSpec>> {
    let Some(program) = installed("haproxy") else { return Ok(None) };
    let map = folder.join("codes.map");
    write_map(test_bed, &map)?;
    let (address, tls_address) = (free_address()?, test_bed.free_tls_address()?);
    let tls = match (tls_address, test_bed.certificate) {
        (Some(address), Some(certificate)) => bind_tls(address, certificate, folder)?,
        _ => String::new(),
    };
    let map = map.display();
    let config = format!(
        "global\n  nbthread 1\n  maxconn 4096\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n\
         \x20 tune.ssl.cachesize 100000\n  tune.ssl.lifetime 3600\n\
         defaults\n  mode http\n  timeout client 60s\n  timeout http-request 10s\n\
         \x20 timeout http-keep-alive 300s\n  timeout connect 1s\n  timeout server 1s\n\
         frontend codes\n  bind {address} backlog 4096 defer-accept\n{tls}\
         \x20 http-request set-var(txn.page) path,lower,map_str({map})\n\
         \x20 http-request redirect location %[var(txn.page)] code 302 if {{ var(txn.page) -m found }}\n\
         \x20 http-request return status 404\n"
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, config)?;
    let [program, path] = [program, path].map(|part| part.to_string_lossy().into_owned());
    let command = vec![program, "-db".into(), "-f".into(), path];
    Ok(Some(LaunchSpec { command, address, tls_address, backend: None }))
}

/// HAProxy reads certificate and key from one file.
fn bind_tls(
    address: SocketAddr,
    certificate: &ServerCertificate,
    folder: &Path,
) -> anyhow::Result<String> {
    let [chain, key] = [certificate.chain(), certificate.key()].map(std::fs::read_to_string);
    let file = folder.join("certificate.pem");
    write_secret(&file, &(chain? + &key?))?;
    Ok(format!(
        "  bind {address} backlog 4096 defer-accept ssl crt {} alpn http/1.1\n",
        file.display()
    ))
}

fn write_map(test_bed: &TestBed<'_>, path: &Path) -> std::io::Result<()> {
    let mut map = BufWriter::new(File::create(path)?);
    for at in 0..test_bed.codes.len() {
        let code = String::from_utf8_lossy(test_bed.codes.get(at));
        writeln!(map, "/{}/ {}?coupon={code}", code.to_ascii_lowercase(), page(at))?;
    }
    map.into_inner()?.sync_all()
}
