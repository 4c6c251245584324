//! Browser, or the app that shows the page in a browser of its own.

use crate::names::named_numbers;

named_numbers! {
    /// Browser, or the app that shows the page in a browser of its own.
    pub enum Browser {
        Chrome = 1, "Chrome";
        Safari = 2, "Safari";
        Firefox = 3, "Firefox";
        Edge = 4, "Edge";
        Opera = 5, "Opera";
        SamsungInternet = 6, "Samsung Internet";
        InternetExplorer = 7, "Internet Explorer";
        /// The browser of Android before Chrome.
        AndroidBrowser = 8, "Android Browser";
        Uc = 9, "UC Browser";
        Yandex = 10, "Yandex";
        Vivaldi = 11, "Vivaldi";
        DuckDuckGo = 12, "DuckDuckGo";
        /// Where it says so; on most devices Brave calls itself Chrome.
        Brave = 13, "Brave";
        Huawei = 14, "Huawei Browser";
        Xiaomi = 15, "Mi Browser";
        Silk = 16, "Amazon Silk";
        Qq = 17, "QQ Browser";
        Whale = 18, "Whale";
        Ecosia = 19, "Ecosia";
        Baidu = 20, "Baidu";
        CocCoc = 21, "Coc Coc";
        Oppo = 22, "Oppo Browser";
        Vivo = 23, "Vivo Browser";
        Oculus = 24, "Meta Quest Browser";
        /// An app that does not name itself.
        WebView = 50, "WebView";
        Instagram = 51, "Instagram";
        Facebook = 52, "Facebook";
        Messenger = 53, "Messenger";
        TikTok = 54, "TikTok";
        Snapchat = 55, "Snapchat";
        Line = 56, "LINE";
        Pinterest = 57, "Pinterest";
        /// X, formerly Twitter.
        Twitter = 58, "Twitter";
        LinkedIn = 59, "LinkedIn";
        Reddit = 60, "Reddit";
        Telegram = 61, "Telegram";
        WeChat = 62, "WeChat";
        KakaoTalk = 63, "KakaoTalk";
        Naver = 64, "Naver";
        GoogleApp = 65, "Google app";
        Threads = 66, "Threads";
        WhatsApp = 67, "WhatsApp";
        Discord = 68, "Discord";
        YahooJapan = 69, "Yahoo! Japan";
        /// Another or an unknown browser.
        Other = 255, "Other";
    }
}

/// Tokens of browsers, in order of precedence: apps before the browsers that they embed, browsers
/// before the ones that they call themselves.
pub(super) const TOKENS: &[(&str, Browser)] = &[
    ("Barcelona ", Browser::Threads),
    ("Instagram", Browser::Instagram),
    ("FBAN/Messenger", Browser::Messenger),
    ("MessengerForiOS", Browser::Messenger),
    ("Orca-Android", Browser::Messenger),
    ("FB_IAB/Orca", Browser::Messenger),
    ("FB_IAB/MESSENGER", Browser::Messenger),
    ("FBAN/", Browser::Facebook),
    ("FBAV/", Browser::Facebook),
    ("FB_IAB/", Browser::Facebook),
    ("FBIOS", Browser::Facebook),
    ("TikTok", Browser::TikTok),
    ("musical_ly", Browser::TikTok),
    ("trill_", Browser::TikTok),
    ("BytedanceWebview", Browser::TikTok),
    ("Snapchat", Browser::Snapchat),
    (" Line/", Browser::Line),
    ("Pinterest/", Browser::Pinterest),
    ("Pinterest for", Browser::Pinterest),
    ("Twitter for", Browser::Twitter),
    ("TwitterAndroid", Browser::Twitter),
    ("LinkedInApp", Browser::LinkedIn),
    ("Reddit/", Browser::Reddit),
    ("Telegram", Browser::Telegram),
    ("MicroMessenger", Browser::WeChat),
    ("KAKAOTALK", Browser::KakaoTalk),
    ("NAVER(", Browser::Naver),
    ("GSA/", Browser::GoogleApp),
    ("WhatsApp", Browser::WhatsApp),
    ("Discord", Browser::Discord),
    ("YJApp-", Browser::YahooJapan),
    ("OculusBrowser", Browser::Oculus),
    ("SamsungBrowser", Browser::SamsungInternet),
    ("UCBrowser", Browser::Uc),
    ("UCWEB", Browser::Uc),
    ("UCMobile", Browser::Uc),
    (" UBrowser", Browser::Uc),
    ("YaBrowser", Browser::Yandex),
    ("YaApp", Browser::Yandex),
    ("Vivaldi", Browser::Vivaldi),
    ("DuckDuckGo/", Browser::DuckDuckGo),
    ("Ddg/", Browser::DuckDuckGo),
    ("Brave", Browser::Brave),
    ("HuaweiBrowser", Browser::Huawei),
    ("MiuiBrowser", Browser::Xiaomi),
    ("HeyTapBrowser", Browser::Oppo),
    ("VivoBrowser", Browser::Vivo),
    ("QQBrowser", Browser::Qq),
    ("Whale/", Browser::Whale),
    ("Ecosia", Browser::Ecosia),
    ("baiduboxapp", Browser::Baidu),
    ("baidubrowser", Browser::Baidu),
    ("BIDUBrowser", Browser::Baidu),
    ("coc_coc_browser", Browser::CocCoc),
    ("Silk/", Browser::Silk),
    ("Silk-", Browser::Silk),
    ("Edg/", Browser::Edge),
    ("EdgA/", Browser::Edge),
    ("EdgiOS/", Browser::Edge),
    ("EdgW/", Browser::Edge),
    ("Edge/", Browser::Edge),
    ("OPR/", Browser::Opera),
    ("OPRGX/", Browser::Opera),
    ("OPT/", Browser::Opera),
    ("OPX/", Browser::Opera),
    ("OPiOS/", Browser::Opera),
    ("Opera", Browser::Opera),
    ("Firefox", Browser::Firefox),
    ("FxiOS/", Browser::Firefox),
    ("Focus/", Browser::Firefox),
    ("Klar/", Browser::Firefox),
    ("MSIE ", Browser::InternetExplorer),
    ("IEMobile", Browser::InternetExplorer),
    ("Trident/", Browser::InternetExplorer),
    ("PlayStation", Browser::Other),
    ("PLAYSTATION", Browser::Other),
    ("Nintendo", Browser::Other),
    ("; wv)", Browser::WebView),
    ("Chrome/", Browser::Chrome),
    ("Chromium/", Browser::Chrome),
    ("CriOS/", Browser::Chrome),
    ("CrMo/", Browser::Chrome),
    (SAFARI, Browser::Safari),
    (WEBKIT, Browser::WebView),
];

/// Not only of Safari: the browser of old Android versions says so, too.
pub(super) const SAFARI: &str = "Safari/";
/// Without [`SAFARI`] on Apple's devices: an app's page.
pub(super) const WEBKIT: &str = "AppleWebKit/";
