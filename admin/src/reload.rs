//! The configuration of the running program: what a reload changes, and what waits for a restart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coupon_geo::GeoWatcher;
use coupon_watch::LogLevel;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, ConfigSources};

/// The result of the last reading of the configuration; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigurationState(Arc<Mutex<LastReading>>);

#[derive(Debug, Default)]
struct LastReading {
    problem: Option<String>,
    keys_needing_restart: Vec<String>,
}

impl ConfigurationState {
    /// Why the configuration could not be read again.
    pub(crate) fn problem(&self) -> Option<String> {
        self.lock().problem.clone()
    }

    pub(crate) fn keys_needing_restart(&self) -> Vec<String> {
        self.lock().keys_needing_restart.clone()
    }

    /// A sentence for each key that waits for a restart.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let keys = self.keys_needing_restart().into_iter();
        keys.map(|key| format!("{key} has changed: the new value holds from the next start"))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, LastReading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a running program that a reload reaches.
pub(crate) struct Reloadable {
    pub(crate) config: Config,
    pub(crate) sources: ConfigSources,
    pub(crate) log_level: LogLevel,
    pub(crate) geo: Arc<GeoWatcher>,
    pub(crate) state: ConfigurationState,
}

impl Reloadable {
    /// Reloads at each SIGHUP, for ever.
    ///
    /// # Errors
    /// When the signal handler cannot be installed.
    pub(crate) fn follow_signals(mut self) -> std::io::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                self.reload();
            }
        });
        Ok(())
    }

    /// Reads the configuration again: the log's level and replaced databases of places count at
    /// once, everything else from the next start. A faulty configuration changes nothing.
    fn reload(&mut self) {
        self.geo.look_now();
        let new = match Config::load(&self.sources) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "the configuration stays as it was");
                let problem = format!("the configuration stays as it was, because {error}");
                self.state.lock().problem = Some(problem);
                return;
            }
        };
        if let Err(error) = self.log_level.set(&new.log.directives()) {
            tracing::error!(%error, "log level not changed");
        }
        self.config.log.filter.clone_from(&new.log.filter);
        let keys = coupon_config::changed_keys(&self.config, &new);
        for key in &keys {
            tracing::warn!(key, "changed key needs a restart");
        }
        *self.state.lock() = LastReading { problem: None, keys_needing_restart: keys };
        tracing::info!("configuration reloaded");
    }
}
