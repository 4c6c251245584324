//! The checks of the structure on a page without faults and on pages with each of them.

use crate::structure::{
    assert_well_formed, assert_well_formed_fragment, faults, faults_of_fragment,
};

const GOOD: &str = r#"<!doctype html>
<html lang="en">
<head><title>Codes</title><script src="/console.js" defer></script></head>
<body>
<h1>Codes</h1>
<form method="post" action="/console/codes">
<input type="hidden" name="revision" value="3">
<label for="code">Code</label> <input id="code" name="code" aria-describedby="hint">
<p id="hint">Letters and digits</p>
<label>Offer <select name="offer"><option>Jackets</option></select></label>
<textarea name="notes" aria-label="Notes"></textarea>
<button>Save</button>
<button aria-label="Close"><svg viewBox="0 0 1 1"><path d="M0 0"/></svg></button>
</form>
<table><thead><tr><th>Code</th></tr></thead><tbody><tr><td>WINTER25</td></tr></tbody></table>
<a href="/console/codes?page=2">Next</a> <a href="/console"><img src="/logo.svg" alt="Home"></a>
</body>
</html>"#;

/// Faults of the good page after a change.
fn faults_after(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from} is not in the page");
    faults(&GOOD.replacen(from, to, 1))
}

#[test]
fn a_good_page_has_no_fault() {
    assert_well_formed(GOOD);
    assert_well_formed_fragment("<tr><td>WINTER25</td></tr>\n<tr><td>SUMMER</td></tr>");
    assert_well_formed_fragment("<td>WINTER25</td>\n<td>active</td>");
    assert_well_formed_fragment("<tbody>\n<tr><td>WINTER25</td></tr>\n</tbody>");
    assert_well_formed_fragment("<option>Jackets</option>\n<option>Pants</option>");
    assert_well_formed_fragment("<p>3 codes are paused.</p>");
}

#[test]
fn each_fault_is_reported_with_its_line() {
    for (from, to, fault) in [
        ("<h1>Codes</h1>", "<p>Codes</p>", "line 1: the page needs exactly one h1, it has 0"),
        ("<h1>", "<h1>x</h1><h1>", "line 1: the page needs exactly one h1, it has 2"),
        ("<title>Codes", "<title> ", "line 1: the page has no title, or an empty one"),
        (" lang=\"en\"", "", "line 2: the html element has no lang"),
        ("<!doctype html>", "", "line 2: the parser reports"),
        ("</table>", "", "line 16: the parser reports"),
        ("</h1>", "", "line 17: the parser reports \"Unexpected open tag at end of body\""),
        ("id=\"hint\"", "id=\"code\"", "line 9: the id \"code\" is on line 8, too"),
        ("for=\"code\"", "for=\"cod\"", "line 8: the input has no label"),
        ("for=\"code\"", "for=\"cod\"", "line 8: for names the id \"cod\", which no element has"),
        ("=\"hint\">\n", "=\"hind\">\n", "line 8: aria-describedby names the id \"hind\""),
        ("Offer <select", "<select", "line 10: the select has no label"),
        (" aria-label=\"Notes\"", "", "line 11: the textarea has no label"),
        ("hidden", "text", "line 7: the input has no label"),
        ("<p id", "<p style=\"color:red\" id", "line 9: the policy refuses the attribute style"),
        ("<p id", "<p onclick=\"x()\" id", "line 9: the policy refuses the attribute onclick"),
        (
            "<p id",
            "<p hx-on:click=\"x()\" id",
            "line 9: the policy refuses the attribute hx-on:click",
        ),
        ("<h1>", "<script>x()</script><h1>", "line 5: the policy refuses an inline script"),
        ("</head>", "<style>p{}</style></head>", "line 3: the policy refuses an inline style"),
        ("\"/console\"", "\" JavaScript:x()\"", "line 16: the link runs a script"),
        (" alt=\"Home\"", "", "line 16: the img has no alt"),
        (" alt=\"Home\"", " alt=\"\"", "line 16: the link has neither text nor aria-label"),
        ("\"/console/codes\"", "\"//x.example/\"", "line 6: the form sends to \"//x.example/\""),
        ("\"/console/codes\"", "\"/\\x.example\"", "line 6: the form sends to \"/\\\\x.example\""),
        ("<button>", "<button formaction=\"https://x.example\">", "line 12: the form sends to"),
        (">Save<", "><", "line 12: the button has neither text nor aria-label"),
        (" aria-label=\"Close\"", "", "line 13: the button has neither text nor aria-label"),
        (" href=\"/console/codes?page=2\"", "", "line 16: the link has no href"),
    ] {
        let found = faults_after(from, to);
        assert!(found.iter().any(|line| line.starts_with(fault)), "{fault} is not in {found:#?}");
        let with_source = |line: &String| line.contains(": <");
        assert!(found.iter().all(with_source), "{found:#?}");
    }
}

#[test]
fn faults_of_fragments_are_reported_too() {
    let found = faults_of_fragment("<tr>\n<td><input name=\"code\"></td></tr><a>x</a></div>");
    let rules: Vec<&str> = found.iter().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert!(rules.contains(&"the input has no label"), "{found:#?}");
    assert!(rules.contains(&"the link has no href"), "{found:#?}");
    assert!(rules.iter().any(|rule| rule.starts_with("the parser reports")), "{found:#?}");
}
