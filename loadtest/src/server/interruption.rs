//! Clean-up when a measurement is interrupted.
//!
//! Servers and folders normally end with the values that own them. A signal would end the program
//! without running destructors, and leave a server that occupies a core and gigabytes of memory. So
//! servers and folders are registered here, and a thread that waits for signals removes them.

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

/// From this call on, a signal that ends this program also ends its servers.
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
        // Locked until the exit: no server starts any more, and no other thread cleans up.
        let noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
        noted.remove();
        std::process::exit(128 + signal.as_raw_value());
    };
    std::thread::Builder::new().name("interruption".into()).spawn(run).map(drop)
}

/// Starts a server.
pub(super) fn start(command: &mut Command) -> io::Result<Child> {
    // Start and registration under one lock, so an interruption between them misses no server.
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    noted.servers.push(child.id());
    Ok(child)
}

/// Removes an ended server from the register.
pub(super) fn has_ended(server: u32) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    noted.servers.retain(|noted| *noted != server);
}

/// Creates a folder.
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
                // A server that has already ended needs no signal.
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
