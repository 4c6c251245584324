//! Maker of the device.

use super::Platform;
use super::tokens::Found;
use super::version;
use crate::names::named_numbers;

named_numbers! {
    /// Maker of the device.
    pub enum Brand {
        Apple = 1, "Apple";
        Samsung = 2, "Samsung";
        Google = 3, "Google";
        /// Also Redmi and Poco.
        Xiaomi = 4, "Xiaomi";
        Huawei = 5, "Huawei";
        Honor = 6, "Honor";
        Oppo = 7, "Oppo";
        Vivo = 8, "Vivo";
        OnePlus = 9, "OnePlus";
        Realme = 10, "Realme";
        Motorola = 11, "Motorola";
        Lg = 12, "LG";
        Sony = 13, "Sony";
        Nokia = 14, "Nokia";
        Htc = 15, "HTC";
        Lenovo = 16, "Lenovo";
        Asus = 17, "Asus";
        Amazon = 18, "Amazon";
        Zte = 19, "ZTE";
        Tcl = 20, "TCL";
        Alcatel = 21, "Alcatel";
        Tecno = 22, "Tecno";
        Infinix = 23, "Infinix";
        Itel = 24, "itel";
        Nothing = 25, "Nothing";
        Fairphone = 26, "Fairphone";
        Microsoft = 27, "Microsoft";
        Nintendo = 28, "Nintendo";
        Roku = 29, "Roku";
        Meta = 30, "Meta";
        Sharp = 31, "Sharp";
        Meizu = 32, "Meizu";
        BlackBerry = 33, "BlackBerry";
        Acer = 34, "Acer";
        Philips = 35, "Philips";
        Panasonic = 36, "Panasonic";
        Vizio = 37, "Vizio";
        Tesla = 38, "Tesla";
        Wiko = 39, "Wiko";
    }
}

/// Tokens of brands, in order of precedence. A model stands behind `; `.
pub(super) const TOKENS: &[(&str, Brand)] = &[
    ("PlayStation", Brand::Sony),
    ("PLAYSTATION", Brand::Sony),
    ("Xbox", Brand::Microsoft),
    ("Nintendo", Brand::Nintendo),
    ("OculusBrowser", Brand::Meta),
    ("Tesla/", Brand::Tesla),
    ("QtCarBrowser", Brand::Tesla),
    ("Roku", Brand::Roku),
    ("VIZIO", Brand::Vizio),
    ("BRAVIA", Brand::Sony),
    ("CrKey", Brand::Google),
    ("Chromecast", Brand::Google),
    ("PhilipsTV", Brand::Philips),
    ("Viera", Brand::Panasonic),
    ("Panasonic", Brand::Panasonic),
    // Phones of Microsoft and Nokia say that they are like an iPhone.
    ("Lumia", Brand::Nokia),
    ("NOKIA", Brand::Nokia),
    ("Nokia", Brand::Nokia),
    ("AppleTV", Brand::Apple),
    ("Apple TV", Brand::Apple),
    ("iPhone", Brand::Apple),
    ("iPad", Brand::Apple),
    ("iPod", Brand::Apple),
    ("Macintosh", Brand::Apple),
    ("watchOS", Brand::Apple),
    ("CFNetwork/", Brand::Apple),
    ("HUAWEI", Brand::Huawei),
    ("Huawei", Brand::Huawei),
    ("HONOR", Brand::Honor),
    ("Honor", Brand::Honor),
    ("SM-", Brand::Samsung),
    ("SAMSUNG", Brand::Samsung),
    ("Samsung ", Brand::Samsung),
    ("Samsung-", Brand::Samsung),
    ("Galaxy", Brand::Samsung),
    ("; GT-", Brand::Samsung),
    ("SGH-", Brand::Samsung),
    ("SCH-", Brand::Samsung),
    ("SPH-", Brand::Samsung),
    ("SHV-", Brand::Samsung),
    ("SHW-", Brand::Samsung),
    ("; SC-", Brand::Samsung),
    ("Pixel", Brand::Google),
    ("Redmi", Brand::Xiaomi),
    ("POCO", Brand::Xiaomi),
    ("Xiaomi", Brand::Xiaomi),
    ("; Mi ", Brand::Xiaomi),
    ("; MI ", Brand::Xiaomi),
    ("; Mi-", Brand::Xiaomi),
    ("; MIX ", Brand::Xiaomi),
    ("MiTV", Brand::Xiaomi),
    ("MIBOX", Brand::Xiaomi),
    ("; HM ", Brand::Xiaomi),
    ("OnePlus", Brand::OnePlus),
    ("ONEPLUS", Brand::OnePlus),
    ("; ONE A", Brand::OnePlus),
    ("OPPO", Brand::Oppo),
    ("; CPH", Brand::Oppo),
    ("realme", Brand::Realme),
    ("Realme", Brand::Realme),
    ("; RMX", Brand::Realme),
    ("; vivo", Brand::Vivo),
    ("; VIVO", Brand::Vivo),
    ("; moto", Brand::Motorola),
    ("; Moto", Brand::Motorola),
    ("; MOTO", Brand::Motorola),
    ("Motorola", Brand::Motorola),
    ("motorola", Brand::Motorola),
    ("; XT", Brand::Motorola),
    ("; MZ", Brand::Motorola),
    ("; DROID", Brand::Motorola),
    ("XOOM", Brand::Motorola),
    ("LG-", Brand::Lg),
    ("; LM-", Brand::Lg),
    ("LGE", Brand::Lg),
    ("; LG", Brand::Lg),
    ("; VS", Brand::Lg),
    ("Web0S", Brand::Lg),
    ("NetCast", Brand::Lg),
    ("Xperia", Brand::Sony),
    ("SonyEricsson", Brand::Sony),
    ("Sony", Brand::Sony),
    ("; XQ-", Brand::Sony),
    ("; SO-", Brand::Sony),
    ("; SOV", Brand::Sony),
    ("; SOG", Brand::Sony),
    ("; TA-", Brand::Nokia),
    ("HTC", Brand::Htc),
    ("Lenovo", Brand::Lenovo),
    ("LENOVO", Brand::Lenovo),
    ("IdeaTab", Brand::Lenovo),
    ("ASUS", Brand::Asus),
    ("Asus", Brand::Asus),
    ("ZenFone", Brand::Asus),
    ("Transformer", Brand::Asus),
    ("Kindle", Brand::Amazon),
    ("; KF", Brand::Amazon),
    ("; AFT", Brand::Amazon),
    ("Silk/", Brand::Amazon),
    ("ZTE", Brand::Zte),
    ("TECNO", Brand::Tecno),
    ("Tecno", Brand::Tecno),
    ("Infinix", Brand::Infinix),
    ("INFINIX", Brand::Infinix),
    ("; itel", Brand::Itel),
    ("; Nothing", Brand::Nothing),
    ("; A063", Brand::Nothing),
    ("; A065", Brand::Nothing),
    ("; A142", Brand::Nothing),
    ("; FP3", Brand::Fairphone),
    ("; FP4", Brand::Fairphone),
    ("; FP5", Brand::Fairphone),
    ("Fairphone", Brand::Fairphone),
    ("Alcatel", Brand::Alcatel),
    ("ALCATEL", Brand::Alcatel),
    ("TCL", Brand::Tcl),
    ("AQUOS", Brand::Sharp),
    ("; SH-", Brand::Sharp),
    ("MEIZU", Brand::Meizu),
    ("Meizu", Brand::Meizu),
    ("BlackBerry", Brand::BlackBerry),
    ("BB10", Brand::BlackBerry),
    ("PlayBook", Brand::BlackBerry),
    ("Acer", Brand::Acer),
    ("; WIKO", Brand::Wiko),
    ("; Wiko", Brand::Wiko),
    // Nexus devices were built by many makers; the other words have come before.
    ("Nexus", Brand::Google),
    ("Tizen", Brand::Samsung),
];

/// Brand by the form of an Android device's model, for makers that leave out their names.
pub(super) fn by_model(platform: Platform, user_agent: &[u8], found: &Found) -> Option<Brand> {
    if platform != Platform::Android {
        return None;
    }
    let version = &user_agent[found.version_after(version::ANDROID)?..];
    let mut parts = version.split(|byte| b";)".contains(byte)).skip(1).map(<[u8]>::trim_ascii);
    let model = parts.find(|part| !is_locale(part))?;
    brand_of_model(model.split(|byte| b" /".contains(byte)).next()?)
}

/// `de-de` or `en`, which older browsers write before the model.
fn is_locale(part: &[u8]) -> bool {
    matches!(part, [a, b, rest @ ..] if [a, b].iter().all(|letter| letter.is_ascii_lowercase())
        && (rest.is_empty() || matches!(rest, [b'-' | b'_', _, _])))
}

/// Xiaomi: `M2101K6G` or `23049PCD8G`. Huawei, and Honor once it was sold: `VOG-L29`, `REA-NX9`.
/// Vivo: `V2027`. OnePlus: `GM1917`. Oppo: `PCAM10`.
fn brand_of_model(model: &[u8]) -> Option<Brand> {
    let digits = |of: &[u8]| of.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_capital = |letters: &[u8]| letters.iter().all(u8::is_ascii_uppercase);
    match model {
        [b'M', rest @ ..] if digits(rest) >= 4 => Some(Brand::Xiaomi),
        [b'2', rest @ ..] if digits(rest) >= 4 && model.len() >= 8 => Some(Brand::Xiaomi),
        [b'V', rest @ ..] if digits(rest) == 4 => Some(Brand::Vivo),
        [b'P', letters @ .., _, _] if letters.len() == 3 && is_capital(letters) => {
            (digits(&model[4..]) == 2).then_some(Brand::Oppo)
        }
        [a, b, rest @ ..] if rest.len() == 4 && digits(rest) == 4 => {
            ONEPLUS.contains(&&[*a, *b]).then_some(Brand::OnePlus)
        }
        [a, b, c, b'-', kind, ..] if is_capital(&[*a, *b, *c]) => match kind {
            b'L' | b'A' | b'T' | b'W' | b'U' => Some(Brand::Huawei),
            b'N' => Some(Brand::Honor),
            _ => None,
        },
        _ => None,
    }
}

/// Beginnings of OnePlus models, before four digits.
const ONEPLUS: [&[u8; 2]; 12] =
    [b"GM", b"HD", b"IN", b"KB", b"LE", b"NE", b"DN", b"AC", b"BE", b"EB", b"MT", b"PH"];
