//! Operating system.

use crate::names::named_numbers;

named_numbers! {
    /// Operating system. The numbers of `Android`, `Ios` and `Nintendo` are Everflow's.
    pub enum Platform {
        Android = 1, "Android";
        /// Also iPadOS.
        Ios = 2, "iOS";
        Windows = 3, "Windows";
        /// Also iPads that ask for desktop pages in Safari.
        MacOs = 4, "macOS";
        Linux = 5, "Linux";
        ChromeOs = 6, "ChromeOS";
        WindowsPhone = 7, "Windows Phone";
        KaiOs = 8, "KaiOS";
        Tizen = 9, "Tizen";
        WebOs = 10, "webOS";
        TvOs = 11, "tvOS";
        WatchOs = 12, "watchOS";
        RokuOs = 13, "Roku OS";
        PlayStation = 14, "PlayStation";
        Xbox = 15, "Xbox";
        HarmonyOs = 16, "HarmonyOS";
        /// Another or an unknown system.
        Other = 21, "Other";
        Nintendo = 22, "Nintendo OS";
    }
}

/// Tokens of platforms, in order of precedence.
pub(super) const TOKENS: &[(&str, Platform)] = &[
    ("PlayStation", Platform::PlayStation),
    ("PLAYSTATION", Platform::PlayStation),
    ("Xbox", Platform::Xbox),
    ("Nintendo", Platform::Nintendo),
    ("Windows Phone", Platform::WindowsPhone),
    ("IEMobile", Platform::WindowsPhone),
    ("watchOS", Platform::WatchOs),
    ("AppleTV", Platform::TvOs),
    ("Apple TV", Platform::TvOs),
    ("tvOS", Platform::TvOs),
    ("Roku", Platform::RokuOs),
    ("Web0S", Platform::WebOs),
    ("webOS", Platform::WebOs),
    ("hpwOS", Platform::WebOs),
    ("NetCast", Platform::WebOs),
    ("Tizen", Platform::Tizen),
    ("KAIOS", Platform::KaiOs),
    ("KaiOS", Platform::KaiOs),
    ("BlackBerry", Platform::Other),
    ("BB10", Platform::Other),
    ("PlayBook", Platform::Other),
    ("Symbian", Platform::Other),
    ("SymbOS", Platform::Other),
    ("iPhone", Platform::Ios),
    ("iPad", Platform::Ios),
    ("iPod", Platform::Ios),
    // Also `CriOS`, `FxiOS` and `EdgiOS`: browsers of iPhones and iPads, which can ask for desktop
    // pages as a Macintosh.
    ("iOS", Platform::Ios),
    ("Android", Platform::Android),
    // So says UC Browser.
    ("; Adr ", Platform::Android),
    // Both can ask for desktop pages as another system.
    ("Silk/", Platform::Android),
    ("OculusBrowser", Platform::Android),
    ("OpenHarmony", Platform::HarmonyOs),
    ("HarmonyOS", Platform::HarmonyOs),
    ("CrOS", Platform::ChromeOs),
    ("Windows", Platform::Windows),
    ("Macintosh", Platform::MacOs),
    ("Mac OS X", Platform::MacOs),
    ("Mac_PowerPC", Platform::MacOs),
    ("CFNetwork/", Platform::Ios),
    ("Linux", Platform::Linux),
];
