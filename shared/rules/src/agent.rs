//! The visitor's program and device, by the user agent and the client hints of the request.
//!
//! One pass over the first [`MAX_AGENT_BYTES`] finds all tokens of [`tokens`]; each fact is the
//! value of its first token there, in order of precedence. The daemon's rules and the admin's
//! reports use this scanner, so both mean the same device.
//!
//! Client hints win where they contradict the user agent: a browser cannot forget to change them
//! when it asks for the page of another device. Reports have no hints, because click records do not
//! keep them.
//!
//! **Not to be known** from a user agent:
//! - an iPad that asks for desktop pages: Safari on it sends exactly the user agent of a Mac;
//! - an Android device that asks for desktop pages, if the browser sends no hints;
//! - the version of Android in Chrome and most of its relatives, which always say `Android 10; K`,
//!   and the maker of such a device;
//! - the version of Windows, and of macOS from 10.15 on;
//! - Brave and other browsers that call themselves Chrome.

mod brand;
mod browser;
mod device;
mod hints;
mod platform;
mod recent;
mod tokens;
mod version;

#[cfg(test)]
mod tests;

pub use brand::Brand;
pub use browser::Browser;
pub use device::Device;
pub use hints::ClientHints;
pub use platform::Platform;
pub use recent::RecentAgents;
pub use version::Version;

/// Bytes of a user agent that are read. Click records keep as many.
pub const MAX_AGENT_BYTES: usize = 512;

/// Facts about the visitor's program and device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agent {
    pub device: Device,
    pub platform: Platform,
    /// `None` if unknown, or if the browser always sends the same version.
    pub os_version: Option<Version>,
    pub browser: Browser,
    /// Maker of the device; `None` if the user agent names no device.
    pub brand: Option<Brand>,
}

impl Agent {
    /// Identifies a user agent. Never fails: any bytes have a device, a platform and a browser,
    /// which may be the variants `Other`.
    ///
    /// The first call in a process builds the automaton, which takes some milliseconds.
    #[must_use]
    pub fn identify(user_agent: &[u8], hints: &ClientHints<'_>) -> Agent {
        let user_agent = &user_agent[..user_agent.len().min(MAX_AGENT_BYTES)];
        let found = tokens::find(user_agent);
        let platform = found.platform();
        let agent = Agent {
            device: found.device(user_agent),
            platform,
            os_version: version::os_version(platform, user_agent, &found),
            browser: found.browser(platform),
            brand: found.brand().or_else(|| brand::by_model(platform, user_agent, &found)),
        };
        hints.correct(agent)
    }
}
