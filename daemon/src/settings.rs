//! The settings that can change while the program runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use ipnet::IpNet;

use crate::config::LiveConfig;
use crate::not_found_limit::NotFoundRateLimit;

/// The configuration that visits depend on, besides the index.
#[derive(Debug)]
pub struct Settings {
    /// Networks whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether codes are looked up under any host name.
    pub accept_any_host: bool,
    /// Whether only the network part of clients' addresses is recorded.
    pub truncate_addresses: bool,
    /// Whether balancers are told to send visitors elsewhere, because the program will stop.
    pub is_draining: bool,
    /// The limit on requests of one address that lead nowhere.
    pub not_found_limit: Arc<NotFoundRateLimit>,
}

impl Settings {
    /// The part of a configuration that visits depend on.
    pub fn from_config(live: &LiveConfig) -> Settings {
        Settings::with_not_found_limit(live, Arc::new(NotFoundRateLimit::new(live.misses)))
    }

    /// The settings of a changed configuration. If the limit on misses is unchanged, used budgets
    /// stay used.
    #[must_use]
    pub fn changed_to(&self, live: &LiveConfig) -> Settings {
        if self.not_found_limit.misses() == live.misses {
            Settings::with_not_found_limit(live, Arc::clone(&self.not_found_limit))
        } else {
            Settings::from_config(live)
        }
    }

    /// The same settings of a program that will stop.
    #[must_use]
    pub fn draining(&self) -> Settings {
        let limit = Arc::clone(&self.not_found_limit);
        let trusted_proxies = self.trusted_proxies.clone();
        Settings { trusted_proxies, is_draining: true, not_found_limit: limit, ..*self }
    }

    fn with_not_found_limit(
        live: &LiveConfig,
        not_found_limit: Arc<NotFoundRateLimit>,
    ) -> Settings {
        Settings {
            trusted_proxies: live.trusted_proxies.clone(),
            accept_any_host: live.accept_any_host,
            truncate_addresses: live.truncate_addresses,
            is_draining: false,
            not_found_limit,
        }
    }
}

/// The shared handle to the current settings.
#[derive(Debug, Clone)]
pub struct LiveSettings(Arc<ArcSwap<Settings>>);

impl LiveSettings {
    pub fn new(settings: Settings) -> LiveSettings {
        LiveSettings(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Puts settings into force.
    pub fn replace(&self, settings: Settings) {
        self.0.store(Arc::new(settings));
    }

    /// The current settings, for callers other than serving threads.
    pub fn current(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// A handle for one serving thread.
    pub fn reader(&self) -> SettingsReader {
        Cache::new(Arc::clone(&self.0))
    }
}

/// One serving thread's handle: `load` returns the current settings.
pub type SettingsReader = Cache<Arc<ArcSwap<Settings>>, Arc<Settings>>;
