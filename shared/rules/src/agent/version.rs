//! Version of the operating system.

use std::fmt;

use super::Platform;
use super::tokens::Found;

/// Version of an operating system, of which rules compare two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    pub major: u8,
    /// 0 if the user agent leaves it out.
    pub minor: u8,
}

impl Version {
    const fn new(major: u8, minor: u8) -> Version {
        Version { major, minor }
    }

    /// Parses the version at the beginning of the bytes: `14`, `8.1.0`, `17_5_1`. `None` if there
    /// is none, or a number above 255.
    fn at_beginning(bytes: &[u8]) -> Option<Version> {
        let (major, rest) = number(bytes)?;
        let minor = match rest {
            [b'.' | b'_', rest @ ..] if rest.first().is_some_and(u8::is_ascii_digit) => {
                number(rest)?.0
            }
            _ => 0,
        };
        Some(Version { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

fn number(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(digits);
    if digits.is_empty() {
        return None;
    }
    let add = |sum: u8, digit: &u8| sum.checked_mul(10)?.checked_add(digit - b'0');
    Some((digits.iter().try_fold(0, add)?, rest))
}

/// Tokens that a version follows.
pub(super) const TOKENS: [&str; 11] = [
    "Android ",
    "Android (",
    "iPhone OS ",
    "CPU OS ",
    "Version/",
    "; iOS ",
    "FBSV",
    "Mac OS X ",
    "KAIOS/",
    "Tizen ",
    "; Adr ",
];

pub(super) const ANDROID: usize = 0;
/// Of apps: `Android (34/14; …`, the API level before the version.
const ANDROID_OF_APP: usize = 1;
const IPHONE_OS: usize = 2;
const CPU_OS: usize = 3;
/// The version of Safari, which is the version of iOS since 18.
const SAFARI: usize = 4;
const IOS_OF_APP: usize = 5;
/// Of Facebook's apps: `FBSV/17.5` or `FBSV=17.5`.
const FACEBOOK_SYSTEM: usize = 6;
const MAC_OS: usize = 7;
const KAI_OS: usize = 8;
const TIZEN: usize = 9;
const ANDROID_OF_UC: usize = 10;

/// Android browsers with a reduced user agent all say so.
const REDUCED_ANDROID: &[u8] = b"10; K";
/// Since version 26, iOS calls itself one of these; real devices had them, too.
const LAST_IOS_BEFORE_FREEZE: [Version; 2] = [Version::new(18, 6), Version::new(18, 7)];
/// All later systems call themselves so.
const LAST_MAC_OS_BEFORE_FREEZE: Version = Version::new(10, 15);

/// Version of the platform; `None` if the user agent hides it.
pub(super) fn os_version(platform: Platform, user_agent: &[u8], found: &Found) -> Option<Version> {
    let after = |token| found.version_after(token).map(|at| &user_agent[at..]);
    let version_after = |token| after(token).and_then(Version::at_beginning);
    match platform {
        Platform::Android => {
            let of_app = after(ANDROID_OF_APP).and_then(after_api_level);
            let of_app = of_app.or_else(|| after(FACEBOOK_SYSTEM).and_then(after_separator));
            let is_reduced = after(ANDROID).is_some_and(is_reduced_android);
            let named = version_after(ANDROID).filter(|_| !is_reduced);
            of_app.or(named).or_else(|| version_after(ANDROID_OF_UC))
        }
        Platform::Ios => {
            let named = version_after(IPHONE_OS).or_else(|| version_after(CPU_OS));
            let of_app = after(FACEBOOK_SYSTEM).and_then(after_separator);
            let of_app = of_app.max(version_after(IOS_OF_APP));
            let is_frozen = |named: &Version| *named >= LAST_IOS_BEFORE_FREEZE[0];
            let of_safari = named.filter(is_frozen).and(version_after(SAFARI));
            let told_again = of_app.max(of_safari);
            match named {
                Some(named) if told_again < Some(named) => {
                    Some(named).filter(|named| !LAST_IOS_BEFORE_FREEZE.contains(named))
                }
                _ => told_again,
            }
        }
        Platform::MacOs => {
            version_after(MAC_OS).filter(|version| *version != LAST_MAC_OS_BEFORE_FREEZE)
        }
        Platform::KaiOs => version_after(KAI_OS),
        Platform::Tizen => version_after(TIZEN),
        _ => None,
    }
}

fn is_reduced_android(version: &[u8]) -> bool {
    let rest = version.strip_prefix(REDUCED_ANDROID);
    rest.is_some_and(|rest| matches!(rest.first(), Some(b')' | b';')))
}

fn after_api_level(bytes: &[u8]) -> Option<Version> {
    let (_, rest) = number(bytes)?;
    Version::at_beginning(rest.strip_prefix(b"/")?)
}

fn after_separator(bytes: &[u8]) -> Option<Version> {
    match bytes {
        [b'/' | b'=', version @ ..] => Version::at_beginning(version),
        _ => None,
    }
}
