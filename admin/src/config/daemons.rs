//! The daemons of a network and their control sockets.

use std::path::{Path, PathBuf};

use coupon_config::{ConfigEntry, Keys};

/// Most daemons beside one coupon-admin: each has a task that asks for clicks, with an answer in
/// memory.
pub const MAX_DAEMONS: usize = 64;

const MAX_NAME_BYTES: usize = 32;

/// One of several daemons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Names the daemon in the status, in metrics and in the log.
    pub name: String,
    /// Its control socket.
    pub socket: PathBuf,
}

impl ConfigEntry for DaemonConfig {
    fn declare_keys(&mut self, keys: &mut Keys) {
        keys.declare_text("name", &mut self.name, check_name);
        keys.declare_required_path("socket", &mut self.socket);
    }

    /// The name and the socket, with a colon between them.
    fn from_text(text: &str) -> Result<DaemonConfig, String> {
        match text.split_once(':') {
            Some((name, socket)) if !socket.is_empty() => {
                check_name(name)?;
                Ok(DaemonConfig { name: name.to_owned(), socket: socket.into() })
            }
            _ => Err(format!("{text:?} must be NAME:SOCKET")),
        }
    }
}

/// Checks the name of a daemon or an edge.
pub(crate) fn check_name(text: &str) -> Result<(), String> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_usual) {
        return Ok(());
    }
    Err(format!(
        "must be 1 to {MAX_NAME_BYTES} letters, digits, hyphens, underscores and dots, not {text:?}"
    ))
}

/// Violated rules between the daemons, each a sentence with the keys. `only` is the socket of
/// `daemon_socket` if it is not the default one.
pub(super) fn conflicts(daemons: &[DaemonConfig], only: Option<&Path>) -> Vec<String> {
    let mut problems = Vec::new();
    if daemons.len() > MAX_DAEMONS {
        let count = daemons.len();
        problems.push(format!("daemons: {count} entries are more than {MAX_DAEMONS}"));
    }
    if let (Some(socket), false) = (only, daemons.is_empty()) {
        let socket = socket.display();
        problems.push(format!(
            "daemon_socket = \"{socket}\" and [[daemons]] are both given: name every socket in \
             [[daemons]], and remove daemon_socket"
        ));
    }
    for (at, daemon) in daemons.iter().enumerate() {
        let (number, earlier) = (at + 1, &daemons[..at]);
        if daemon.name.is_empty() {
            problems.push(format!("daemons, entry {number}: name is missing"));
        } else if earlier.iter().any(|other| other.name == daemon.name) {
            let name = &daemon.name;
            problems.push(format!("daemons, entry {number}: the name {name} is another entry's"));
        }
        if earlier.iter().any(|other| other.socket == daemon.socket) {
            let socket = daemon.socket.display();
            problems.push(format!("daemons, entry {number}: {socket} is another entry's socket"));
        }
    }
    problems
}
