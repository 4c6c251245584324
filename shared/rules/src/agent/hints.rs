//! Client hints: what a Chromium browser says of itself beside its user agent.

use super::{Agent, Device, Platform};

/// Raw header values of client hints; empty if absent. Chromium sends both with each request to a
/// secure origin, the first included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA-Platform`, as `"Android"` with the quotes.
    pub platform: &'a [u8],
    /// `Sec-CH-UA-Mobile`: `?1` or `?0`.
    pub mobile: &'a [u8],
}

impl ClientHints<'_> {
    /// The agent, with the hints' facts where they contradict the user agent.
    pub(super) fn correct(&self, agent: Agent) -> Agent {
        // TVs and consoles hint at the system that their browser was made for.
        if matches!(agent.device, Device::Tv | Device::Console) {
            return agent;
        }
        let platform = self.platform().unwrap_or(agent.platform);
        let device = match (platform, self.is_mobile()) {
            (_, Some(true)) => Device::Mobile,
            (Platform::Android, Some(false)) if agent.device == Device::Mobile => Device::Tablet,
            (Platform::Android, _) if agent.device == Device::Desktop => Device::Tablet,
            (Platform::Windows | Platform::MacOs | Platform::Linux | Platform::ChromeOs, _)
                if platform != agent.platform =>
            {
                Device::Desktop
            }
            _ => agent.device,
        };
        if platform == agent.platform {
            return Agent { device, ..agent };
        }
        // The user agent describes another device.
        Agent { device, platform, os_version: None, brand: None, ..agent }
    }

    fn platform(&self) -> Option<Platform> {
        Some(match self.platform.trim_ascii() {
            b"\"Android\"" => Platform::Android,
            b"\"iOS\"" => Platform::Ios,
            b"\"Windows\"" => Platform::Windows,
            b"\"macOS\"" => Platform::MacOs,
            b"\"Linux\"" => Platform::Linux,
            b"\"Chrome OS\"" | b"\"Chromium OS\"" | b"\"ChromeOS\"" => Platform::ChromeOs,
            _ => return None,
        })
    }

    fn is_mobile(&self) -> Option<bool> {
        match self.mobile.trim_ascii() {
            b"?1" => Some(true),
            b"?0" => Some(false),
            _ => None,
        }
    }
}
