//! The state of the running program: since when, with which configuration, stopping or not.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::clock::unix_ms;

/// The state of the running program.
#[derive(Debug)]
pub struct OperationState {
    started_unix_ms: u64,
    /// Cancelled as soon as the program is told to stop.
    draining: CancellationToken,
    configuration: Mutex<ConfigurationState>,
}

/// The result of the last reading of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigurationState {
    /// Why the configuration could not be read again; the one before stays in force.
    pub(crate) problem: Option<String>,
    /// Changed keys that hold from the next start.
    pub(crate) keys_needing_restart: Vec<String>,
    /// Unix milliseconds of the reading.
    pub(crate) read_unix_ms: u64,
}

impl Default for OperationState {
    fn default() -> OperationState {
        let now = unix_ms();
        let configuration = ConfigurationState {
            problem: None,
            keys_needing_restart: Vec::new(),
            read_unix_ms: now,
        };
        OperationState {
            started_unix_ms: now,
            draining: CancellationToken::new(),
            configuration: Mutex::new(configuration),
        }
    }
}

impl OperationState {
    pub(crate) fn started_unix_s(&self) -> f64 {
        self.started_unix_ms as f64 / 1000.0
    }

    /// Tells everybody who watches that the program is about to stop.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub(crate) fn configuration(&self) -> ConfigurationState {
        self.lock().clone()
    }

    pub(crate) fn configuration_read(&self, keys_needing_restart: Vec<String>) {
        *self.lock() =
            ConfigurationState { problem: None, keys_needing_restart, read_unix_ms: unix_ms() };
    }

    pub(crate) fn configuration_refused(&self, problem: String) {
        let mut configuration = self.lock();
        configuration.problem = Some(problem);
        configuration.read_unix_ms = unix_ms();
    }

    fn lock(&self) -> MutexGuard<'_, ConfigurationState> {
        self.configuration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
