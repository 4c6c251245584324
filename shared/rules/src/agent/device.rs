//! Kind of device.

use crate::names::named_numbers;

named_numbers! {
    /// Kind of device. The numbers of `Desktop` and `Tv` are Everflow's.
    pub enum Device {
        Desktop = 1, "desktop";
        Mobile = 2, "mobile";
        Tablet = 3, "tablet";
        Console = 4, "console";
        /// Another or an unknown device.
        Other = 5, "other";
        Tv = 6, "tv";
    }
}

impl Device {
    /// Everflow's name, as `PC` for a desktop.
    #[must_use]
    pub fn everflow_name(self) -> &'static str {
        match self {
            Device::Desktop => "PC",
            Device::Mobile => "Mobile",
            Device::Tablet => "Tablet",
            Device::Console => "Console",
            Device::Other => "Other",
            Device::Tv => "TV",
        }
    }

    /// Finds a device by Everflow's name, ignoring ASCII case.
    #[must_use]
    pub fn from_everflow_name(name: &str) -> Option<Device> {
        Device::ALL.iter().copied().find(|known| known.everflow_name().eq_ignore_ascii_case(name))
    }
}

/// Tokens of devices, in order of precedence.
pub(super) const TOKENS: &[(&str, Device)] = &[
    ("SMART-TV", Device::Tv),
    ("SmartTV", Device::Tv),
    ("Smart-TV", Device::Tv),
    ("Smart TV", Device::Tv),
    ("HbbTV", Device::Tv),
    ("AppleTV", Device::Tv),
    ("Apple TV", Device::Tv),
    ("tvOS", Device::Tv),
    ("GoogleTV", Device::Tv),
    ("Google TV", Device::Tv),
    ("Android TV", Device::Tv),
    ("AndroidTV", Device::Tv),
    ("PhilipsTV", Device::Tv),
    ("TV Safari", Device::Tv),
    ("DTV", Device::Tv),
    ("NetCast", Device::Tv),
    ("NETTV", Device::Tv),
    ("Web0S", Device::Tv),
    ("webOS.TV", Device::Tv),
    ("BRAVIA", Device::Tv),
    ("VIZIO", Device::Tv),
    ("Viera", Device::Tv),
    ("AQUOS-TV", Device::Tv),
    ("; AFT", Device::Tv),
    ("CrKey", Device::Tv),
    ("Chromecast", Device::Tv),
    ("Roku", Device::Tv),
    ("OpenTV", Device::Tv),
    ("InettvBrowser", Device::Tv),
    ("MiTV", Device::Tv),
    ("MIBOX", Device::Tv),
    ("MiBOX", Device::Tv),
    ("PlayStation", Device::Console),
    ("PLAYSTATION", Device::Console),
    ("Xbox", Device::Console),
    ("Nintendo", Device::Console),
    ("watchOS", Device::Other),
    ("OculusBrowser", Device::Other),
    ("Tesla/", Device::Other),
    ("QtCarBrowser", Device::Other),
    ("iPad", Device::Tablet),
    ("Tablet;", Device::Tablet),
    ("Tablet)", Device::Tablet),
    ("Tablet/", Device::Tablet),
    ("Kindle", Device::Tablet),
    ("; KF", Device::Tablet),
    ("Silk/", Device::Tablet),
    ("PlayBook", Device::Tablet),
    ("iPhone", Device::Mobile),
    ("iPod", Device::Mobile),
    ("Mobi", Device::Mobile),
    ("Windows Phone", Device::Mobile),
    ("Opera Mini", Device::Mobile),
    ("BlackBerry", Device::Mobile),
    ("Symbian", Device::Mobile),
    ("SymbOS", Device::Mobile),
    ("Series60", Device::Mobile),
    ("MIDP", Device::Mobile),
    ("KAIOS", Device::Mobile),
    // These three are on iPhones and iPads alone. Without the name of either device the browser
    // asks for desktop pages, which it does by itself on iPads.
    ("CriOS/", Device::Tablet),
    ("FxiOS/", Device::Tablet),
    ("EdgiOS/", Device::Tablet),
    (ANDROID, Device::Tablet),
    ("Nokia", Device::Mobile),
    ("SonyEricsson", Device::Mobile),
    ("CFNetwork/", Device::Mobile),
    ("Windows", Device::Desktop),
    ("Macintosh", Device::Desktop),
    ("CrOS", Device::Desktop),
    ("X11", Device::Desktop),
    ("Linux x86_64", Device::Desktop),
    ("Linux i686", Device::Desktop),
];

/// An Android browser on a tablet leaves out the word "Mobile".
pub(super) const ANDROID: &str = "Android";
