//! What a measurement leaves when it is interrupted: nothing.
//!
//! Servers and folders normally go with the values that stand for them. A signal would end the
//! program without that, and leave a server with a core and the codes' memory. So whatever has to
//! go is noted here, and a thread that waits for signals ends and removes it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::process::END_DEADLINE;

static NOTED: Mutex<Noted> = Mutex::new(Noted { servers: Vec::new(), folders: Vec::new() });

struct Noted {
    servers: Vec<u32>,
    folders: Vec<PathBuf>,
}

/// From now on a signal that ends this program ends what it started, too.
pub(crate) fn prepare() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = async move {
        tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        }
    };
    let run = move || {
        let signal = runtime.block_on(wait);
        eprintln!("coupon-loadtest: interrupted");
        // Kept to the end: nothing is started any more, and nobody else tidies up and exits.
        let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove();
        std::process::exit(128 + signal.as_raw_value());
    };
    std::thread::Builder::new().name("interruption".into()).spawn(run).map(drop)
}

/// Starts a server.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    // Together, so that an interruption between the two misses none.
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    noted.servers.push(child.id());
    Ok(child)
}

/// A server has ended.
pub(super) fn has_ended(server: u32) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.servers.retain(|noted| *noted != server);
}

/// Makes a folder.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::create_dir(folder)?;
    noted.folders.push(folder.to_owned());
    Ok(())
}

/// Removes a folder.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.folders.retain(|noted| noted != folder);
    std::fs::remove_dir_all(folder)
}

impl Noted {
    fn remove(&self) {
        let tell = |signal| {
            for server in self.servers.iter().filter_map(|id| Pid::from_raw(id.cast_signed())) {
                // One that has ended by itself needs none.
                let _ = rustix::process::kill_process(server, signal);
            }
        };
        tell(Signal::TERM);
        let deadline = Instant::now() + END_DEADLINE;
        while self.servers.iter().any(|server| is_alive(*server)) {
            if Instant::now() > deadline {
                tell(Signal::KILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for folder in &self.folders {
            if let Err(error) = std::fs::remove_dir_all(folder) {
                eprintln!("coupon-loadtest: cannot remove {}: {error}", folder.display());
            }
        }
    }
}

fn is_alive(server: u32) -> bool {
    let server = Pid::from_raw(server.cast_signed());
    matches!(rustix::process::waitpid(server, WaitOptions::NOHANG), Ok(None))
}
