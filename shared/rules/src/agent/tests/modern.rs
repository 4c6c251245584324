//! User agents of today's browsers, apps and devices, by kind.

use super::super::{Brand, Browser, Device, Platform};

/// A user agent, and the facts in it. Of the version, major and minor number.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) user_agent: &'static str,
    pub(super) device: Device,
    pub(super) platform: Platform,
    pub(super) os_version: Option<(u8, u8)>,
    pub(super) browser: Browser,
    pub(super) brand: Option<Brand>,
}

macro_rules! known {
    ($($device:ident $platform:ident $version:tt $browser:ident $brand:tt $user_agent:literal;)*) => {
        pub(super) const KNOWN: &[Known] = &[$(Known {
            user_agent: $user_agent,
            device: Device::$device,
            platform: Platform::$platform,
            os_version: known!(@version $version),
            browser: Browser::$browser,
            brand: known!(@brand $brand),
        }),*];
    };
    (@version [$major:literal $minor:literal]) => { Some(($major, $minor)) };
    (@version []) => { None };
    (@brand [$brand:ident]) => { Some(Brand::$brand) };
    (@brand []) => { None };
}

known! {
    // Computers.
    Desktop Windows [] Chrome [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
    Desktop Windows [] Edge [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0";
    Desktop Windows [] Firefox [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0";
    Desktop Windows [] Opera [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 OPR/125.0.0.0";
    Desktop Windows [] Vivaldi [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Vivaldi/7.7.3851.52";
    Desktop Windows [] Yandex [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 YaBrowser/25.10.0.0 Safari/537.36";
    Desktop Windows [] Whale [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Whale/4.33.325.17 Safari/537.36";
    Desktop Windows [] InternetExplorer [] "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko";
    Desktop Windows [] InternetExplorer [] "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)";
    Desktop Windows [] Edge [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763";
    Desktop Windows [] Facebook [] "Mozilla/5.0 (Windows NT 10.0; Win64; x64; WebView/3.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.102 Safari/537.36 Edge/18.19041 [FBAN/FBW;FBAV/2021.119]";
    Desktop MacOs [] Safari [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";
    Desktop MacOs [] Chrome [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
    Desktop MacOs [] Edge [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36 Edg/143.0.0.0";
    Desktop MacOs [] Firefox [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0";
    Desktop MacOs [10 13] Safari [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_13_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.2 Safari/605.1.15";
    Desktop MacOs [] DuckDuckGo [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15 Ddg/18.5";
    Desktop MacOs [] WebView [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
    Desktop Linux [] Chrome [] "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
    Desktop Linux [] Firefox [] "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
    Desktop Linux [] Other [] "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15 Epiphany/605.1.15";
    Desktop Other [] Firefox [] "Mozilla/5.0 (X11; FreeBSD amd64; rv:140.0) Gecko/20100101 Firefox/140.0";
    Desktop ChromeOs [] Chrome [] "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";

    // iPhones.
    Mobile Ios [26 0] Safari [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
    Mobile Ios [26 1] Safari [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1";
    Mobile Ios [17 5] Safari [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    Mobile Ios [18 6] Safari [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";
    Mobile Ios [17 5] Chrome [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1";
    Mobile Ios [17 5] Firefox [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15";
    Mobile Ios [17 5] Edge [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/125.0.2535.96 Mobile/15E148 Safari/604.1";
    Mobile Ios [17 5] Opera [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1 OPT/4.8.0";
    Mobile Ios [17 5] DuckDuckGo [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 DuckDuckGo/7 Safari/605.1.15";
    Mobile Ios [17 4] GoogleApp [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) GSA/312.0.625538304 Mobile/15E148 Safari/604.1";
    Mobile Ios [17 5] Instagram [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 334.0.4.32.98 (iPhone15,3; iOS 17_5_1; de_DE; de; scale=3.00; 1290x2796; 606074123)";
    Mobile Ios [26 1] Instagram [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 408.0.0.29.69 (iPhone17,1; iOS 26_1; en_US; en; scale=3.00; 1206x2622; 816052414)";
    Mobile Ios [17 5] Facebook [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21F90 [FBAN/FBIOS;FBAV/468.0.0.32.70;FBBV/606074123;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.5.1;FBSS/3;FBID/phone;FBLC/de_DE;FBOP/5;FBRV/0]";
    Mobile Ios [18 7] Facebook [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/555.0.0.37.106;FBBV/923361586;FBDV/iPhone12,1;FBMD=iPhone;FBSN=iOS;FBSV=18.7;FBSS=2;FBLC=en_US;FBOP=80]";
    Mobile Ios [16 6] Messenger [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/20G75 [FBAN/MessengerForiOS;FBAV/420.0.0.28.104;FBDV/iPhone13,2;FBSN/iOS;FBSV/16.6;FBID/phone]";
    Mobile Ios [17 2] TikTok [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 BytedanceWebview/d8a21c6 musical_ly_32.8.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/de Region/DE";
    Mobile Ios [17 4] Snapchat [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Snapchat/12.80.0.40 (like Safari/8617.2.4.10.8, panda)";
    Mobile Ios [17 4] Line [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Safari Line/14.7.0";
    Mobile Ios [17 4] Pinterest [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [Pinterest/iOS]";
    Mobile Ios [17 4] Twitter [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/21E219 Twitter for iPhone/10.39";
    Mobile Ios [17 4] LinkedIn [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [LinkedInApp]/9.29.5872";
    Mobile Ios [] WeChat [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.66(0x18004235) NetType/WIFI Language/zh_CN";
    Mobile Ios [] WebView [Apple] "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
    Mobile Ios [] Other [Apple] "Shop/231 CFNetwork/1490.0.4 Darwin/23.2.0";
    Mobile Ios [15 8] Safari [Apple] "Mozilla/5.0 (iPod touch; CPU iPhone OS 15_8 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Mobile/15E148 Safari/604.1";

    // iPads.
    Tablet Ios [16 6] Safari [Apple] "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
    Tablet Ios [17 5] Chrome [Apple] "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1";
    Tablet Ios [17 5] Facebook [Apple] "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/468.0;FBDV/iPad13,18;FBMD/iPad;FBSN/iPadOS;FBSV/17.5;FBID/tablet]";
    Tablet Ios [] Chrome [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_4) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126 Version/11.1.1 Safari/605.1.15";
    Tablet Ios [] Firefox [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Safari/605.1.15";
    Tablet Ios [] Edge [Apple] "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/125.0 Safari/605.1.15";

    // Android phones.
    Mobile Android [] Chrome [] "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Mobile Safari/537.36";
    Mobile Android [] SamsungInternet [] "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36";
    Mobile Android [] Edge [] "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36 EdgA/142.0.0.0";
    Mobile Android [] Opera [] "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36 OPR/92.0.0.0";
    Mobile Android [14 0] Firefox [] "Mozilla/5.0 (Android 14; Mobile; rv:145.0) Gecko/145.0 Firefox/145.0";
    Mobile Android [9 0] Chrome [Samsung] "Mozilla/5.0 (Linux; Android 9; SM-G960F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0.4896.127 Mobile Safari/537.36";
    Mobile Android [14 0] WebView [Google] "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240205.004; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.6478.71 Mobile Safari/537.36";
    Mobile Android [13 0] Instagram [Samsung] "Mozilla/5.0 (Linux; Android 13; SM-S911B Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0 Mobile Safari/537.36 Instagram 334.0.0.42.95 Android (33/13; 480dpi; 1080x2125; samsung; SM-S911B; dm1q; qcom; de_DE; 606074123)";
    Mobile Android [15 0] Instagram [] "Mozilla/5.0 (Linux; Android 10; K; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36 Instagram 408.0.0.29.69 Android (35/15; 480dpi; 1080x2125)";
    Mobile Android [14 0] Facebook [Samsung] "Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/468.0.0.52.77;]";
    Mobile Android [14 0] Messenger [Samsung] "Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36 [FB_IAB/Orca-Android;FBAV/460.0;]";
    Mobile Android [13 0] TikTok [Xiaomi] "Mozilla/5.0 (Linux; Android 13; 23049PCD8G Build/TKQ1.221114.001; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36 trill_340501 JsSdk/1.0 NetType/WIFI AppName/trill ByteLocale/de BytedanceWebview/d8a21c6";
    Mobile Android [12 0] Snapchat [OnePlus] "Mozilla/5.0 (Linux; Android 12; ONEPLUS A6013 Build/SQ3A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36Snapchat12.85.0.37 (ONEPLUS A6013; Android 12#21#31; gzip; )";
    Mobile Android [12 0] Line [Sony] "Mozilla/5.0 (Linux; Android 12; SO-51B Build/61.1.F.0.2; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36 Line/14.8.0/IAB";
    Mobile Android [13 0] Pinterest [Oppo] "Mozilla/5.0 (Linux; Android 13; CPH2371 Build/TP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Mobile Safari/537.36 [Pinterest/Android]";
    Mobile Android [11 0] Xiaomi [Xiaomi] "Mozilla/5.0 (Linux; U; Android 11; de-de; M2101K6G Build/RKQ1.200826.002) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/112.0 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.4.0-g";
    Mobile Android [10 0] Huawei [Huawei] "Mozilla/5.0 (Linux; Android 10; VOG-L29; HMSCore 6.13.0.302) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.5735.196 HuaweiBrowser/15.0.4.312 Mobile Safari/537.36";
    Mobile Android [12 0] Chrome [Honor] "Mozilla/5.0 (Linux; Android 12; REA-NX9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/104.0.5112.97 Mobile Safari/537.36";
    Mobile Android [12 0] Uc [Vivo] "Mozilla/5.0 (Linux; U; Android 12; en-US; V2027 Build/SP1A) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/100.0 UCBrowser/13.7.0.1318 Mobile Safari/537.36";
    Mobile Android [9 0] Uc [Samsung] "UCWEB/2.0 (Linux; U; Adr 9; en-US; SM-J730F) U2/1.0.0 UCMini/12.12.10.1228 (SpeedMode; Proxy; Android 9; SM-J730F) U2/1.0.0 Mobile";
    Mobile Android [11 0] Chrome [Realme] "Mozilla/5.0 (Linux; Android 11; RMX2155) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.5060.71 Mobile Safari/537.36";
    Mobile Android [11 0] Chrome [Motorola] "Mozilla/5.0 (Linux; Android 11; moto g(30)) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/103.0.5060.71 Mobile Safari/537.36";
    Mobile Android [8 1] Opera [Tecno] "Mozilla/5.0 (Linux; U; Android 8.1.0; TECNO B1f Build/O11019; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/90.0 Mobile Safari/537.36 OPR/58.0.2254.57939";
    Mobile Android [4 2] AndroidBrowser [Htc] "Mozilla/5.0 (Linux; U; Android 4.2.2; de-de; HTC One Build/JDQ39) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30";
    Mobile Android [14 0] Other [Google] "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UQ1A.240205.004)";
    Mobile HarmonyOs [] Huawei [Huawei] "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0.4.300";
    Mobile KaiOs [2 5] Firefox [Nokia] "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5";
    Mobile WindowsPhone [] Edge [Nokia] "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063";

    // Android tablets.
    Tablet Android [13 0] Chrome [Samsung] "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
    Tablet Android [] Chrome [] "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36";
    Tablet Android [13 0] Firefox [] "Mozilla/5.0 (Android 13; Tablet; rv:145.0) Gecko/145.0 Firefox/145.0";
    Tablet Android [9 0] Silk [Amazon] "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/126.4.2 like Chrome/126.0.6478.186 Safari/537.36";
    Tablet Android [12 0] Facebook [Lenovo] "Mozilla/5.0 (Linux; Android 12; Lenovo TB-J606F Build/SKQ1; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/125.0 Safari/537.36 [FB_IAB/FB4A;FBAV/468.0;]";

    // Consoles.
    Console PlayStation [] Other [Sony] "Mozilla/5.0 (PlayStation; PlayStation 5/10.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15";
    Console Xbox [] Edge [Microsoft] "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/48.0.2564.82 Safari/537.36 Edge/20.02";
    Console Nintendo [] Other [Nintendo] "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3 NintendoBrowser/5.1.0.22474";

    // Television.
    Tv Tizen [6 0] SamsungInternet [Samsung] "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.1 Chrome/76.0.3809.146 TV Safari/537.36";
    Tv WebOs [] Chrome [Lg] "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36 WebAppManager";
    Tv Android [9 0] Silk [Amazon] "Mozilla/5.0 (Linux; Android 9; AFTKA) AppleWebKit/537.36 (KHTML, like Gecko) Silk/126.4.2 like Chrome/126.0.6478.186 Safari/537.36";
    Tv Android [10 0] Chrome [Sony] "Mozilla/5.0 (Linux; Android 10; BRAVIA 4K VH2 Build/QTG3.200305.006) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/111.0.5563.57 Safari/537.36";
    Tv Linux [] Chrome [Google] "Mozilla/5.0 (X11; Linux armv7l) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56.500000";
    Tv TvOs [] Other [Apple] "AppleTV14,1/16.5";
    Tv RokuOs [] Other [Roku] "Roku/DVP-12.5 (12.5.0.4178-46)";

    // Others.
    Other Android [12 0] Oculus [Meta] "Mozilla/5.0 (Linux; Android 12; Quest 3) AppleWebKit/537.36 (KHTML, like Gecko) OculusBrowser/33.2 Chrome/126.0.6478.122 VR Safari/537.36";
    Other WatchOs [] Other [Apple] "atc/1.0 watchOS/10.4 model/Watch6,6 hwp/t8301 build/21T216 (6; dt:277)";
    Other Other [] Other [] "curl/8.9.1";
    Other Other [] Other [] "";
}
