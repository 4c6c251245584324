//! An ACME server over real HTTPS that misbehaves on demand. Accepts every account and confirms
//! every host without asking.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::programs::Network;

/// How the server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Good,
    /// Answers each request with 500 and a page.
    Broken,
    /// Refuses orders with 429 and a `Retry-After` of two days.
    RateLimits,
    /// Takes the request and answers nothing.
    Hangs,
    /// Closes each connection after the request.
    Closes,
    /// Answers with text that is no JSON.
    Garbage,
    /// Answers with endless bytes.
    Huge,
    /// Names resources with plain HTTP.
    PlainUrls,
    /// Names a token that would leave the folder of challenges.
    OddToken,
    /// Declares the order invalid.
    Invalid,
    /// Issues for another name.
    OtherName,
    /// Issues for another key.
    OtherKey,
    /// Issues an expired certificate.
    Expired,
    /// Issues a certificate of next year.
    NotYetValid,
    /// Issues a text.
    NoCertificate,
}

pub(crate) struct AcmeServer {
    address: SocketAddr,
    ca_file: PathBuf,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
}

impl AcmeServer {
    pub(crate) fn start(network: &Network) -> AcmeServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let ca_file = network.path("acme-ca.pem");
        std::fs::write(&ca_file, own.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        let behaviour = Arc::new(Mutex::new(Behaviour::Good));
        let site = Arc::new(Site {
            base: format!("https://{address}"),
            behaviour: Arc::clone(&behaviour),
            chain: Mutex::default(),
            requests: Arc::default(),
        });
        let requests = Arc::clone(&site.requests);
        let config = Arc::new(config);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (site, config) = (Arc::clone(&site), Arc::clone(&config));
                std::thread::spawn(move || site.serve(stream.unwrap(), config));
            }
        });
        AcmeServer { address, ca_file, behaviour, requests }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// Number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Environment of a coupon-admin that orders certificates here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 5] {
        [
            ("COUPON_ADMIN_ACME_DIRECTORY_URL", format!("https://{}/dir", self.address)),
            ("COUPON_ADMIN_ACME_CA_FILE", self.ca_file.to_str().unwrap().to_owned()),
            ("COUPON_ADMIN_ACME_TERMS_OF_SERVICE_AGREED", "true".into()),
            ("COUPON_ADMIN_ACME_TIMEOUT_MS", "1000".into()),
            ("COUPON_ADMIN_ACME_FIRST_RETRY_MS", "60000".into()),
        ]
    }
}

struct Site {
    base: String,
    behaviour: Arc<Mutex<Behaviour>>,
    /// The last issued chain.
    chain: Mutex<String>,
    requests: Arc<AtomicUsize>,
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Site {
    /// Answers one request. The client may give up at any time.
    fn serve(&self, stream: TcpStream, config: Arc<ServerConfig>) {
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let Some((path, body)) = read_request(&mut stream) else { return };
        self.requests.fetch_add(1, Ordering::SeqCst);
        let behaviour = *self.behaviour.lock().unwrap();
        let answer = match behaviour {
            Behaviour::Broken => response("500 Oops", "Content-Type: text/html", "<h1>Oops</h1>"),
            Behaviour::Garbage => response("200 OK", "Replay-Nonce: x", "{\"newNonce\": \u{7}"),
            Behaviour::Hangs => {
                std::thread::sleep(Duration::from_secs(3));
                return;
            }
            Behaviour::Closes => return,
            Behaviour::Huge => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                while stream.write_all(&[b' '; 65536]).is_ok() {}
                return;
            }
            _ => self.answer(behaviour, &path, &body),
        };
        let _ = stream.write_all(answer.as_bytes());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }

    fn answer(&self, behaviour: Behaviour, path: &str, body: &Value) -> String {
        let at = |path: &str| format!("{}{path}", self.base);
        let located = |path: &str| format!("Replay-Nonce: x\r\nLocation: {}", at(path));
        let nonce = "Replay-Nonce: x";
        match path {
            "/dir" => {
                let base = match behaviour {
                    Behaviour::PlainUrls => self.base.replace("https", "http"),
                    _ => self.base.clone(),
                };
                let directory = json!({
                    "newNonce": format!("{base}/nonce"), "newAccount": format!("{base}/account"),
                    "newOrder": format!("{base}/new-order"),
                });
                response("200 OK", nonce, &directory.to_string())
            }
            "/nonce" => response("200 OK", nonce, ""),
            "/account" => response("200 OK", &located("/account/1"), "{\"status\": \"valid\"}"),
            "/new-order" if behaviour == Behaviour::RateLimits => {
                let header = "Retry-After: 172800\r\nContent-Type: application/problem+json";
                let problem = json!({
                    "type": "urn:ietf:params:acme:error:rateLimited",
                    "detail": "too many certificates\u{1b}[31m", "status": 429,
                });
                response("429 Slow down", header, &problem.to_string())
            }
            "/authorization" => {
                let token = match behaviour {
                    Behaviour::OddToken => "../../etc/passwd",
                    _ => "token",
                };
                let status = match behaviour {
                    Behaviour::OddToken => "pending",
                    _ => "valid",
                };
                let authorization = json!({
                    "identifier": { "type": "dns", "value": "go.example.com" }, "status": status,
                    "challenges": [{
                        "type": "http-01", "url": at("/challenge"), "token": token,
                        "status": status,
                    }],
                });
                response("200 OK", nonce, &authorization.to_string())
            }
            "/finalize" => {
                *self.chain.lock().unwrap() = issue(behaviour, body);
                response("200 OK", &located("/order"), &self.order("processing"))
            }
            "/certificate" => response("200 OK", nonce, &self.chain.lock().unwrap()),
            "/new-order" | "/order" => {
                let is_issued = !self.chain.lock().unwrap().is_empty();
                let status = match behaviour {
                    Behaviour::Invalid => "invalid",
                    _ if path == "/order" && is_issued => "valid",
                    _ => "ready",
                };
                if path == "/new-order" {
                    self.chain.lock().unwrap().clear();
                }
                response("200 OK", &located("/order"), &self.order(status))
            }
            _ => response("404 Not Found", nonce, "{}"),
        }
    }

    fn order(&self, status: &str) -> String {
        let at = |path: &str| format!("{}{path}", self.base);
        json!({
            "status": status, "authorizations": [at("/authorization")],
            "finalize": at("/finalize"), "certificate": at("/certificate"),
        })
        .to_string()
    }
}

/// The path and the payload of a request.
fn read_request(stream: &mut Stream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let signed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let payload = signed["payload"].as_str().map(base64url).unwrap_or_default();
    Some((path, serde_json::from_slice(&payload).unwrap_or_default()))
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n\
         {body}"
    )
}

fn base64url(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|known| *known == letter).unwrap();
        bits = bits << 6 | u32::try_from(value).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// The public key of a certificate request, as a P-256 point.
struct RequestedKey(Vec<u8>);

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

fn issue(behaviour: Behaviour, body: &Value) -> String {
    if behaviour == Behaviour::NoCertificate {
        return "here is your certificate".into();
    }
    let request = base64url(body["csr"].as_str().unwrap());
    // A bit string of 66 bytes, of which the last 65 are an uncompressed point.
    let at = request.windows(4).position(|bytes| bytes == [0x03, 0x42, 0x00, 0x04]).unwrap() + 3;
    let key = RequestedKey(request[at..at + 65].to_vec());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let host = match behaviour {
        Behaviour::OtherName => "bank.example",
        _ => "go.example.com",
    };
    let mut leaf = CertificateParams::new([host.to_owned()]).unwrap();
    match behaviour {
        Behaviour::Expired => leaf.not_after = rcgen::date_time_ymd(2020, 1, 1),
        Behaviour::NotYetValid => leaf.not_before = rcgen::date_time_ymd(2090, 1, 1),
        _ => {}
    }
    let leaf = match behaviour {
        Behaviour::OtherKey => leaf.signed_by(&KeyPair::generate().unwrap(), &issuer),
        _ => leaf.signed_by(&key, &issuer),
    };
    format!("{}{}", leaf.unwrap().pem(), ca_certificate.pem())
}
