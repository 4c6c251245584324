//! The addresses at which a program listens, and its TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

use coupon_serve::AddressRate;
use coupon_serve::tls::{CertificateFiles, CertificatePlaces};

use crate::bounds;
use crate::keys::{ConfigEntry, Keys};

/// One address at which a program listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConfig {
    /// The name of inherited sockets for this listener; may be empty.
    pub name: String,
    /// The address to bind, unless sockets are inherited.
    pub address: SocketAddr,
    /// Whether connections speak TLS.
    pub tls: bool,
    /// Whether each connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
}

/// Where certificates come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// A folder with a folder for each host.
    pub certificates_dir: Option<PathBuf>,
    /// The host whose certificate also serves clients without a known server name; may be empty.
    pub default_host: String,
    /// Chains and keys by their own paths.
    pub certificates: Vec<CertificateFiles>,
}

impl ListenerConfig {
    /// A listener without name or TLS.
    pub fn plain(address: SocketAddr, proxy_protocol: bool) -> ListenerConfig {
        ListenerConfig { name: String::new(), address, tls: false, proxy_protocol }
    }
}

impl Default for ListenerConfig {
    fn default() -> ListenerConfig {
        ListenerConfig::plain(SocketAddr::from(([127, 0, 0, 1], 0)), false)
    }
}

impl ConfigEntry for ListenerConfig {
    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_text("name", &mut self.name, check_socket_name);
        keys.declare_required_address("address", &mut self.address);
        keys.declare_flag("tls", &mut self.tls);
        keys.declare_flag("proxy_protocol", &mut self.proxy_protocol);
    }

    /// An address, and behind it the words `tls` and `proxy_protocol` where they hold.
    fn from_text(text: &str) -> Result<ListenerConfig, String> {
        let problem = || {
            format!(
                "{text:?} must be an IP address with a port, and behind it `tls` or \
                 `proxy_protocol` where wanted, such as \"0.0.0.0:443 tls\""
            )
        };
        let mut words = text.split_ascii_whitespace();
        let address = words.next().and_then(|word| word.parse().ok()).ok_or_else(problem)?;
        let mut listener = ListenerConfig::plain(address, false);
        for word in words {
            match word {
                "tls" => listener.tls = true,
                "proxy_protocol" => listener.proxy_protocol = true,
                _ => return Err(problem()),
            }
        }
        Ok(listener)
    }
}

impl ConfigEntry for CertificateFiles {
    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_required_path("chain", &mut self.chain);
        keys.declare_required_path("key", &mut self.key);
    }

    fn from_text(text: &str) -> Result<CertificateFiles, String> {
        match text.split_once(':') {
            Some((chain, key)) if !chain.is_empty() && !key.is_empty() => {
                Ok(CertificateFiles { chain: chain.into(), key: key.into() })
            }
            _ => Err(format!("{text:?} must be CHAIN_FILE:KEY_FILE")),
        }
    }
}

impl TlsConfig {
    /// Declares the keys of section `tls`.
    pub fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_optional_path("tls.certificates_dir", &mut self.certificates_dir);
        keys.declare_text("tls.default_host", &mut self.default_host, check_host);
        keys.declare_entries("tls.certificates", &mut self.certificates);
    }

    /// All places of certificates: the configured ones, and a folder of the program's own.
    pub fn places(&self, own_folder: Option<PathBuf>) -> CertificatePlaces {
        let default_host = self.default_host.to_ascii_lowercase();
        CertificatePlaces {
            folders: self.certificates_dir.iter().cloned().chain(own_folder).collect(),
            pairs: self.certificates.clone(),
            default_host: (!default_host.is_empty()).then_some(default_host),
        }
    }
}

/// Declares the keys of the limit on TLS handshakes of one address.
pub fn declare_handshake_limit(keys: &mut Keys, rate: &mut AddressRate) {
    let handshakes = 1..=bounds::MAX_REQUESTS;
    let per_minute = &mut rate.per_minute;
    keys.declare_limit("limits.handshakes_per_minute", per_minute, handshakes.clone());
    keys.declare_number("limits.handshakes_burst", &mut rate.burst, handshakes);
}

/// The listeners of a program: those of `[[listeners]]`, else one at the address of key `listen`.
pub fn listeners_or(listeners: &[ListenerConfig], listen: ListenerConfig) -> Vec<ListenerConfig> {
    if listeners.is_empty() { vec![listen] } else { listeners.to_vec() }
}

/// Violated rules between the listeners of a program, each a sentence with the keys.
pub fn listener_conflicts(listeners: &[ListenerConfig], has_trusted_proxies: bool) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, listener) in listeners.iter().enumerate() {
        let (number, address) = (at + 1, listener.address);
        let earlier = &listeners[..at];
        if address.port() != 0 && earlier.iter().any(|other| other.address == address) {
            problems.push(format!("listeners, entry {number}: {address} is another entry's"));
        }
        if !listener.name.is_empty() && earlier.iter().any(|other| other.name == listener.name) {
            let name = &listener.name;
            problems.push(format!("listeners, entry {number}: the name {name} is another entry's"));
        }
    }
    if !has_trusted_proxies && listeners.iter().any(|listener| listener.proxy_protocol) {
        let problem = "proxy_protocol = true: every connection would be closed, because \
                       trusted_proxies is empty; name the proxies there";
        problems.push(problem.to_owned());
    }
    problems
}

fn check_socket_name(text: &str) -> Result<(), String> {
    let is_name =
        text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    if is_name { Ok(()) } else { Err("must be the name in `FileDescriptorName=`".to_owned()) }
}

fn check_host(text: &str) -> Result<(), String> {
    let is_host = text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if is_host { Ok(()) } else { Err("must be a host name, such as go.example.com".to_owned()) }
}
