//! Starts pebble, a real ACME server, with a name server of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::programs::{Network, Program, is_installed, own_loopback_address, wait_for};
use crate::{http, https};

/// A running ACME server. All names resolve to the visitors' address of a network, unless
/// [`Pebble::point_at`] says otherwise.
pub(crate) struct Pebble {
    listen: SocketAddr,
    management: SocketAddr,
    ca_file: PathBuf,
    name_server_control: SocketAddr,
    _programs: [Program; 2],
}

impl Pebble {
    /// `None` without the programs.
    pub(crate) fn start(network: &Network, lifetime_seconds: u32) -> Option<Pebble> {
        if !is_installed("pebble") || !is_installed("pebble-challtestsrv") {
            return None;
        }
        let ip = own_loopback_address();
        let [listen, management, dns, name_server_control, tls] = free_addresses(ip);
        let ca_file = network.path("pebble.pem");
        let key_file = network.path("pebble.key");
        let own = rcgen::generate_simple_self_signed([ip.to_string()]).unwrap();
        std::fs::write(&ca_file, own.cert.pem()).unwrap();
        std::fs::write(&key_file, own.signing_key.serialize_pem()).unwrap();
        let config = network.path("pebble.json");
        let settings = json!({ "pebble": {
            "listenAddress": listen, "managementListenAddress": management,
            "certificate": ca_file, "privateKey": key_file,
            "httpPort": network.visitors.port(), "tlsPort": tls.port(),
            "certificateValidityPeriod": lifetime_seconds,
        } });
        std::fs::write(&config, settings.to_string()).unwrap();
        let name_server = Program::start(
            Command::new("pebble-challtestsrv")
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""])
                .args(["-dns01", &dns.to_string()])
                .args(["-management", &name_server_control.to_string()])
                .args(["-defaultIPv4", &network.visitors.ip().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let pebble = Program::start(
            Command::new("pebble")
                .args(["-config", config.to_str().unwrap(), "-dnsserver", &dns.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .stdout(std::fs::File::create(network.path("pebble.log")).unwrap())
                .stderr(Stdio::null()),
        );
        for address in [listen, management, name_server_control] {
            wait_for("pebble to listen", || TcpStream::connect(address).ok());
        }
        let programs = [name_server, pebble];
        Some(Pebble { listen, management, ca_file, name_server_control, _programs: programs })
    }

    /// Environment of a coupon-admin that orders certificates here.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("COUPON_ADMIN_ACME_DIRECTORY_URL", format!("https://{}/dir", self.listen)),
            ("COUPON_ADMIN_ACME_CA_FILE", self.ca_file.to_str().unwrap().to_owned()),
            ("COUPON_ADMIN_ACME_TERMS_OF_SERVICE_AGREED", "true".into()),
            ("COUPON_ADMIN_ACME_CONTACT", "ops@example.com".into()),
            ("COUPON_ADMIN_ACME_FIRST_RETRY_MS", "60000".into()),
        ]
    }

    /// The certificate of the authority that issues, as PEM.
    pub(crate) fn root_pem(&self) -> String {
        let trusted = std::fs::read_to_string(&self.ca_file).unwrap();
        let host = self.management.ip().to_string();
        https::get(self.management, &host, &trusted, "/roots/0").unwrap().body
    }

    /// Lets a name resolve to another address.
    pub(crate) fn point_at(&self, host: &str, address: Ipv4Addr) {
        // An added address stands beside earlier ones.
        for path in ["/clear-a", "/add-a"] {
            let body = json!({ "host": format!("{host}."), "addresses": [address] }).to_string();
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            );
            assert_eq!(http::send(self.name_server_control, &request).unwrap().status, 200);
        }
    }
}

/// Distinct free addresses. The sockets do not listen, so no child process inherits a listener.
pub(crate) fn free_addresses<const N: usize>(ip: Ipv4Addr) -> [SocketAddr; N] {
    let taken = [(); N].map(|()| UdpSocket::bind((ip, 0)).unwrap());
    taken.map(|socket| socket.local_addr().unwrap())
}
