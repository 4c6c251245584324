//! Real servers with TLS: the constant answer on hyper, and nginx. A relay in front of a server
//! delays or drops connections.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

use super::compare::build_contenders;

/// Name in the certificate of the servers.
pub(crate) const NAME: &str = "go.example.com";

pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
    process: Child,
}

impl TlsServer {
    /// The constant redirect on hyper and rustls.
    pub(crate) fn hyper() -> Self {
        build_contenders();
        let (folder, [address, plain]) = (certificate(), [(); 2].map(|()| free_address()));
        let own = PathBuf::from(env!("CARGO_BIN_EXE_coupon-loadtest"));
        let mut command = Command::new(own.with_file_name("constant-redirect-hyper"));
        command.args([plain, address].map(|address| address.to_string()));
        command.args(["chain.pem", "key.pem"].map(|file| folder.path().join(file)));
        Self::start(command, address, folder)
    }

    /// nginx with these further lines of configuration.
    pub(crate) fn nginx(lines: &str) -> Self {
        let (folder, address) = (certificate(), free_address());
        let at = folder.path().display();
        let config = format!(
            "daemon off;\nmaster_process off;\nerror_log {at}/error.log;\npid {at}/pid;\n\
             events {{ }}\nhttp {{ access_log off; client_body_temp_path {at}/body;\n\
             proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;\n\
             uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;\n\
             server {{ listen {address} ssl; ssl_certificate {at}/chain.pem;\n\
             ssl_certificate_key {at}/key.pem;\n\
             ssl_protocols TLSv1.2 TLSv1.3; {lines} return 302 https://shop.example/; }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        Self::start(command, address, folder)
    }

    fn start(mut command: Command, address: SocketAddr, folder: tempfile::TempDir) -> Self {
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { address, folder, process };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    /// Options that name the server and trust its certificate.
    pub(crate) fn options(&self) -> String {
        format!("--server-name {NAME} --tls-ca {}", self.certificate().display())
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// Passes connections on after `delay` each, and drops those after the first `count`.
    pub(crate) fn behind_relay(&self, delay: Duration, count: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (relay, server) = (listener.local_addr().unwrap(), self.address);
        std::thread::spawn(move || {
            for visitor in listener.incoming().take(count) {
                std::thread::spawn(move || pass_on(visitor.unwrap(), server, delay));
            }
            listener.incoming().for_each(drop);
        });
        relay
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pass_on(visitor: TcpStream, server: SocketAddr, delay: Duration) -> io::Result<()> {
    std::thread::sleep(delay);
    let server = TcpStream::connect(server)?;
    let [mut from_visitor, mut to_visitor] = [visitor.try_clone()?, visitor];
    let [mut from_server, mut to_server] = [server.try_clone()?, server];
    let back = std::thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_visitor);
        let _ = to_visitor.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut from_visitor, &mut to_server);
    let _ = to_server.shutdown(Shutdown::Write);
    back.join().map_err(|_| io::ErrorKind::Other.into())
}

fn certificate() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut made = CertificateParams::new([NAME.to_owned()]).unwrap();
    // As `openssl req -x509` makes certificates.
    made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let made = made.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("chain.pem"), made.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    folder
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}
