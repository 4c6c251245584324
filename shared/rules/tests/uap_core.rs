//! Compares the scanner with the test files of uap-core, the regular expressions that many
//! user-agent parsers share.
//!
//! The files are not part of this repository: check out github.com/ua-parser/uap-core and run
//!
//! ```sh
//! COUPON_UAP_CORE=DIR/tests cargo test -p coupon-rules --test uap_core -- --ignored --nocapture
//! ```
//!
//! `COUPON_UAP_MISSES=3` also prints three user agents of each row that differ. Many differences
//! are intended: the files name the programs and devices of 25 years, rules name those of today.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coupon_rules::agent::{Agent, Brand, Browser, ClientHints, Device, Platform};

/// A case of a file: the user agent and the expected fields.
struct Case {
    user_agent: String,
    fields: BTreeMap<String, String>,
}

impl Case {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Reads a file of cases. The files use a small part of YAML: a list of maps of one-line scalars.
fn cases(path: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start().trim_start_matches("- ");
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = scalar(value.trim());
        if name == "user_agent_string" {
            cases.push(Case { user_agent: value, fields: BTreeMap::new() });
        } else if let Some(case) = cases.last_mut() {
            case.fields.insert(name.into(), value);
        }
    }
    cases
}

fn scalar(value: &str) -> String {
    if let Some(quoted) = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return quoted.replace("''", "'");
    }
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.map_or(value.into(), |quoted| quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}

fn platform(family: &str) -> Option<Platform> {
    Some(match family {
        "iOS" => Platform::Ios,
        "Android" => Platform::Android,
        "Windows" => Platform::Windows,
        "Mac OS X" | "Mac OS" => Platform::MacOs,
        "Linux" | "Ubuntu" | "Debian" | "Fedora" | "Gentoo" | "Red Hat" | "Mandriva" => {
            Platform::Linux
        }
        "Chrome OS" => Platform::ChromeOs,
        "Windows Phone" => Platform::WindowsPhone,
        "KaiOS" => Platform::KaiOs,
        "Tizen" => Platform::Tizen,
        "webOS" | "Web0S" => Platform::WebOs,
        "tvOS" | "ATV OS X" => Platform::TvOs,
        "WatchOS" => Platform::WatchOs,
        "Roku" => Platform::RokuOs,
        "HarmonyOS" => Platform::HarmonyOs,
        "Other" | "FreeBSD" | "OpenBSD" | "NetBSD" | "Solaris" | "Symbian OS" | "BREW" | "Bada"
        | "BlackBerry OS" | "Firefox OS" => Platform::Other,
        _ => return None,
    })
}

fn browser(family: &str) -> Option<Browser> {
    Some(match family {
        "Chrome" | "Chrome Mobile" | "Chrome Mobile iOS" | "HeadlessChrome" | "Chromium" => {
            Browser::Chrome
        }
        "Safari" | "Mobile Safari" => Browser::Safari,
        "Firefox" | "Firefox Mobile" | "Firefox iOS" | "Firefox Alpha" | "Firefox Beta" => {
            Browser::Firefox
        }
        "Edge" | "Edge Mobile" => Browser::Edge,
        "Opera" | "Opera Mini" | "Opera Mobile" | "Opera Touch" | "Opera Tablet" => Browser::Opera,
        "Samsung Internet" => Browser::SamsungInternet,
        "IE" | "IE Mobile" => Browser::InternetExplorer,
        "Android" => Browser::AndroidBrowser,
        "UC Browser" => Browser::Uc,
        "Yandex Browser" => Browser::Yandex,
        "Vivaldi" => Browser::Vivaldi,
        "DuckDuckGo" | "DuckDuckGo Mobile" => Browser::DuckDuckGo,
        "Brave" => Browser::Brave,
        "Huawei Browser" => Browser::Huawei,
        "MiuiBrowser" => Browser::Xiaomi,
        "Amazon Silk" => Browser::Silk,
        "QQ Browser" | "QQ Browser Mobile" => Browser::Qq,
        "Whale" => Browser::Whale,
        "Baidu Browser" | "Baidu Browser Mobile" => Browser::Baidu,
        "Coc Coc" => Browser::CocCoc,
        "HeyTap Browser" => Browser::Oppo,
        "VivoBrowser" => Browser::Vivo,
        "Oculus Browser" => Browser::Oculus,
        "Chrome Mobile WebView" | "Mobile Safari UI/WKWebView" => Browser::WebView,
        "Instagram" => Browser::Instagram,
        "Facebook" => Browser::Facebook,
        "Facebook Messenger" => Browser::Messenger,
        "TikTok" => Browser::TikTok,
        "Snapchat" => Browser::Snapchat,
        "LINE" => Browser::Line,
        "Pinterest" => Browser::Pinterest,
        "Twitter" => Browser::Twitter,
        "LinkedIn" => Browser::LinkedIn,
        "Telegram" => Browser::Telegram,
        "WeChat Browser" => Browser::WeChat,
        "KakaoTalk" => Browser::KakaoTalk,
        "Google" => Browser::GoogleApp,
        _ => return None,
    })
}

/// Only families that are one kind of device: the files name models, not kinds.
fn device(family: &str) -> Option<Device> {
    let begins_with = |beginnings: &[&str]| beginnings.iter().any(|name| family.starts_with(name));
    if begins_with(&["iPhone", "iPod", "Generic Smartphone", "Generic Feature Phone"]) {
        Some(Device::Mobile)
    } else if begins_with(&["iPad", "Kindle", "Generic Tablet"]) {
        Some(Device::Tablet)
    } else if begins_with(&["PlayStation", "Nintendo", "Xbox"]) {
        Some(Device::Console)
    } else if begins_with(&["HbbTV", "NetCast", "AppleTV", "Roku", "Inettv", "WebTV"]) {
        Some(Device::Tv)
    } else if family == "Mac" {
        Some(Device::Desktop)
    } else {
        None
    }
}

fn brand(name: &str) -> Option<Brand> {
    match name {
        "SonyEricsson" => Some(Brand::Sony),
        _ => Brand::from_name(name),
    }
}

/// Cases and equal ones of each row.
#[derive(Default)]
struct Table(BTreeMap<String, (usize, usize)>);

impl Table {
    fn add(&mut self, row: &str, is_equal: bool, case: &Case, found: &str) {
        let (cases, equal) = self.0.entry(row.into()).or_default();
        *cases += 1;
        *equal += usize::from(is_equal);
        let misses = std::env::var("COUPON_UAP_MISSES").ok().and_then(|n| n.parse().ok());
        if !is_equal && *cases - *equal <= misses.unwrap_or(0) {
            eprintln!("{row}: found {found}: {}", case.user_agent);
        }
    }

    /// Prints the table; returns the share of equal cases in percent.
    fn print(&self, title: &str) -> f64 {
        let percent = |(cases, equal): (usize, usize)| 100.0 * equal as f64 / cases.max(1) as f64;
        println!("\n{title:28} {:>6} {:>6} {:>6}", "cases", "equal", "%");
        for (row, counts) in &self.0 {
            println!("{row:28} {:>6} {:>6} {:>6.1}", counts.0, counts.1, percent(*counts));
        }
        let sum = self.0.values().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1));
        println!("{:28} {:>6} {:>6} {:>6.1}", "all", sum.0, sum.1, percent(sum));
        percent(sum)
    }
}

#[test]
#[ignore = "needs a checkout of uap-core in COUPON_UAP_CORE"]
fn the_scanner_agrees_with_uap_core() {
    let folder = std::env::var_os("COUPON_UAP_CORE").map(PathBuf::from);
    let folder = folder.expect("COUPON_UAP_CORE names the folder of test_os.yaml");
    let identify =
        |case: &Case| Agent::identify(case.user_agent.as_bytes(), &ClientHints::default());

    let (mut platforms, mut versions) = (Table::default(), Table::default());
    for case in cases(&folder.join("test_os.yaml")) {
        let Some(expected) = platform(case.field("family")) else { continue };
        let found = identify(&case);
        let is_equal = found.platform == expected;
        platforms.add(expected.as_str(), is_equal, &case, found.platform.as_str());
        if let (true, Platform::Ios | Platform::Android) = (is_equal, expected)
            && let Ok(major) = case.field("major").parse::<u8>()
        {
            match found.os_version {
                Some(version) => {
                    let found = version.to_string();
                    versions.add(expected.as_str(), version.major == major, &case, &found);
                }
                None => versions.add(&format!("{expected:?}, unknown here"), true, &case, ""),
            }
        }
    }
    let mut browsers = Table::default();
    for case in cases(&folder.join("test_ua.yaml")) {
        let Some(expected) = browser(case.field("family")) else { continue };
        let found = identify(&case).browser;
        browsers.add(expected.as_str(), found == expected, &case, found.as_str());
    }
    let (mut devices, mut brands) = (Table::default(), Table::default());
    for case in cases(&folder.join("test_device.yaml")) {
        let found = identify(&case);
        if let Some(expected) = device(case.field("family")) {
            let is_equal = found.device == expected;
            devices.add(expected.as_str(), is_equal, &case, found.device.as_str());
        }
        if let Some(expected) = brand(case.field("brand")) {
            let is_equal = found.brand == Some(expected);
            brands.add(expected.as_str(), is_equal, &case, found.brand.map_or("", Brand::as_str));
        }
    }

    let shares = [
        platforms.print("platform"),
        versions.print("version (major)"),
        browsers.print("browser"),
        devices.print("device"),
        brands.print("brand"),
    ];
    let limits = [90.0, 99.0, 96.0, 94.0, 80.0];
    for (share, limit) in shares.into_iter().zip(limits) {
        assert!(share >= limit, "{shares:?} are below {limits:?}");
    }
}
