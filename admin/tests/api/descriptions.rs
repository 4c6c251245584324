//! HTML descriptions: stored as typed, harmless in every answer. An HTML parser reads the answers,
//! so the spelling of an attack does not matter.

use std::cell::RefCell;

use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use serde_json::{Value, json};

use crate::client::{code, start_with_offers, with};

/// Published cross-site scripting vectors by kind, including OWASP's list.
const VECTORS: [&str; 62] = [
    "<SCRIPT SRC=https://evil.example/xss.js></SCRIPT>",
    "<script>alert(1)</script>",
    "<SCR\0IPT>alert(1)</SCR\0IPT>",
    "<SCRIPT/XSS SRC=\"https://evil.example/xss.js\"></SCRIPT>",
    "<SCRIPT/SRC=\"https://evil.example/xss.js\"></SCRIPT>",
    "<<SCRIPT>alert(1);//\\<</SCRIPT>",
    "<SCRIPT SRC=https://evil.example/xss.js?< B >",
    "<SCRIPT SRC=//evil.example/.j>",
    "<SCRIPT a=\">\" SRC=\"https://evil.example/xss.js\"></SCRIPT>",
    "</TITLE><SCRIPT>alert(1);</SCRIPT>",
    "\\\";alert(1);//</script><script>alert(1)</script>",
    "<a onmouseover=\"alert(document.cookie)\">x</a>",
    "<a onmouseover=alert(document.cookie)>x</a>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<a href=\"JaVaScRiPt:alert(1)\">x</a>",
    "<a href=\"jav\tascript:alert(1)\">x</a>",
    "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
    "<a href=\"jav&#x0A;ascript:alert(1)\">x</a>",
    "<a href=\"jav&#x0D;ascript:alert(1)\">x</a>",
    "<a href=\" &#14;  javascript:alert(1)\">x</a>",
    "<a href=&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)>x</a>",
    "<a href=&#0000106&#0000097&#0000118&#0000097&#0000115&#0000099&#0000114&#0000105&#0000112&#0000116&#0000058alert(1)>x</a>",
    "<a href=&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A;alert(1)>x</a>",
    "<a href=\"data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==\">x</a>",
    "<a href=\"vbscript:msgbox(1)\">x</a>",
    "<a href=\"livescript:alert(1)\">x</a>",
    "<IMG SRC=\"javascript:alert(1);\">",
    "<IMG SRC=`javascript:alert(1)`>",
    "<IMG \"\"\"><SCRIPT>alert(1)</SCRIPT>\"\\>",
    "<IMG SRC=# onmouseover=\"alert(1)\">",
    "<IMG SRC= onmouseover=\"alert(1)\">",
    "<IMG onmouseover=\"alert(1)\">",
    "<IMG SRC=/ onerror=\"alert(String.fromCharCode(88,83,83))\"></img>",
    "<img src=x onerror=\"&#0000106&#0000097&#0000118&#0000097\">",
    "<IMG SRC=\"javascript:alert(1)\"",
    "<iframe src=https://evil.example/scriptlet.html <",
    "<IFRAME SRC=\"javascript:alert(1);\"></IFRAME>",
    "<IFRAME SRC=# onmouseover=\"alert(1)\"></IFRAME>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<FRAMESET><FRAME SRC=\"javascript:alert(1);\"></FRAMESET>",
    "<INPUT TYPE=\"IMAGE\" SRC=\"javascript:alert(1);\">",
    "<BODY BACKGROUND=\"javascript:alert(1)\">",
    "<BODY ONLOAD=alert(1)>",
    "<BODY onload!#$%&()*~+-_.,:;?@[/|\\]^`=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&lpar;1&rpar;</script></svg>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<STYLE>@import'https://evil.example/xss.css';</STYLE>",
    "<STYLE>li {list-style-image: url(\"javascript:alert(1)\");}</STYLE><UL><LI>x</br>",
    "<DIV STYLE=\"background-image: url(javascript:alert(1))\">x</DIV>",
    "<DIV STYLE=\"width: expression(alert(1));\">x</DIV>",
    "<LINK REL=\"stylesheet\" HREF=\"javascript:alert(1);\">",
    "<META HTTP-EQUIV=\"refresh\" CONTENT=\"0;url=javascript:alert(1);\">",
    "<BASE HREF=\"javascript:alert(1);//\">",
    "<OBJECT TYPE=\"text/x-scriptlet\" DATA=\"https://evil.example/x.html\"></OBJECT>",
    "<EMBED SRC=\"data:image/svg+xml;base64,PHN2Zz4=\" type=\"image/svg+xml\" AllowScriptAccess=\"always\"></EMBED>",
    "<form><button formaction=\"javascript:alert(1)\">x</button></form>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<video><source onerror=\"alert(1)\"></video><audio src=x onerror=alert(1)>",
];

/// Elements that run, load or restyle by their presence.
const NEVER: [&str; 24] = [
    "script",
    "style",
    "iframe",
    "frame",
    "frameset",
    "object",
    "embed",
    "applet",
    "link",
    "meta",
    "base",
    "form",
    "input",
    "button",
    "svg",
    "math",
    "noscript",
    "template",
    "body",
    "html",
    "title",
    "textarea",
    "xmp",
    "plaintext",
];

type Attributes = Vec<(String, String)>;

/// Elements with their attributes, from the tokenizer of a browser engine.
#[derive(Default)]
struct Elements(RefCell<Vec<(String, Attributes)>>);

impl TokenSink for Elements {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        if let Token::TagToken(tag) = token
            && tag.kind == TagKind::StartTag
        {
            let attributes = tag.attrs.iter();
            let attributes = attributes.map(|a| (a.name.local.to_string(), a.value.to_string()));
            self.0.borrow_mut().push((tag.name.to_string(), attributes.collect()));
        }
        TokenSinkResult::Continue
    }
}

/// The dangerous parts of a page.
fn dangers(html: &str) -> Vec<String> {
    let tokenizer = Tokenizer::new(Elements::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(html.into());
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let elements = tokenizer.sink.0.take();
    let mut dangers = Vec::new();
    for (element, attributes) in elements {
        if NEVER.contains(&element.as_str()) {
            dangers.push(format!("<{element}>"));
        }
        for (name, value) in attributes {
            let shown: String =
                value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
            let scheme = shown.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
            let runs = scheme.is_some_and(|s| !matches!(s.as_str(), "http" | "https" | "mailto"));
            if name.starts_with("on") || name == "style" || name == "srcdoc" {
                dangers.push(format!("{element} {name}"));
            }
            if runs
                && matches!(
                    name.as_str(),
                    "href"
                        | "src"
                        | "xlink:href"
                        | "action"
                        | "formaction"
                        | "background"
                        | "data"
                        | "cite"
                        | "poster"
                )
            {
                dangers.push(format!("{element} {name}={value}"));
            }
        }
    }
    dangers
}

#[test]
fn the_parser_finds_what_is_dangerous() {
    let found = VECTORS.iter().filter(|vector| !dangers(vector).is_empty()).count();
    assert!(found >= 55, "only {found} of {} vectors are recognised", VECTORS.len());
    let harmless = "<b>20%</b> <a href=\"https://shop.example/\">shop</a>";
    assert_eq!(dangers(harmless), Vec::<String>::new());
}

#[tokio::test]
async fn no_vector_survives_in_the_networks_answers_or_in_the_partners_list() {
    let network = start_with_offers().await;
    let wanted = json!({"name": "Anna's", "role": "partner", "network_affiliate_id": 1});
    let key = network.post("apikeys", wanted).await.done()["api_key"].as_str().unwrap().to_owned();
    let html = |vector: &str| format!("before {vector} <strong>after</strong>");
    let is_typeable = |vector: &&&str| !vector.contains('\0');
    let vectors: Vec<&str> = VECTORS.iter().filter(is_typeable).copied().collect();
    let rows = vectors.iter().enumerate().map(|(number, vector)| {
        let over = json!({"description": html(vector), "is_description_plain_text": false});
        with(code(&format!("XSS{number}")), over)
    });
    let made = network.post("couponcodes/bulk", rows.collect::<Vec<_>>().into()).await.done();
    let one = network.get("couponcodes/1").await.done();
    let list = network.get("couponcodes?page_size=2000").await.done();
    let partners = network.call_as(&key, "GET", "/v1/affiliates/couponcodes", None).await.done();
    let mut seen = 0;
    for answer in [&made, &json!({"coupon_codes": [one]}), &list, &partners] {
        for row in answer["coupon_codes"].as_array().unwrap() {
            let description = row["description"].as_str().unwrap();
            assert_eq!(dangers(description), Vec::<String>::new(), "{row}");
            assert!(description.contains("before"), "{row}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3 * vectors.len() + 1);
    let store = rusqlite::Connection::open(network.dir().join("admin.db")).unwrap();
    let mut kept = store.prepare("SELECT description FROM coupon_code ORDER BY id").unwrap();
    let kept: Vec<String> =
        kept.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let typed: Vec<String> = vectors.iter().map(|vector| html(vector)).collect();
    assert_eq!(kept, typed, "the store keeps what was typed");
}

#[tokio::test]
async fn what_only_shows_is_answered_as_typed() {
    let network = start_with_offers().await;
    let typed = "35$ off on <strong>dress pants</strong> at all times";
    let over = json!({"description": typed, "is_description_plain_text": false});
    let made = network.post("couponcodes", with(code("PANTS35"), over)).await.done();
    assert_eq!(made["description"], typed);
}

#[tokio::test]
async fn a_patch_of_something_else_does_not_save_the_harmless_form() {
    let network = start_with_offers().await;
    let typed = "<b>x</b><script>alert(1)</script>";
    let over = json!({"description": typed, "is_description_plain_text": false});
    network.post("couponcodes", with(code("KEPT"), over)).await.done();
    let patched: Value =
        network.patch("couponcodes/1", json!({"internal_notes": "n"})).await.done();
    assert_eq!(patched["description"], "<b>x</b>");
    let plain = network.patch("couponcodes/1", json!({"is_description_plain_text": true})).await;
    assert_eq!(plain.done()["description"], typed);
}
