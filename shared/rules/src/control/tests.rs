use super::*;
use crate::text_match::Comparison;
use crate::text_match::tests::WithText;

fn control(comparison: Comparison, variable: Variable, values: &[&str]) -> Control {
    Control {
        kind: ControlKind::TrafficControl,
        is_whitelist: false,
        fails_over: false,
        is_everywhere: true,
        variables: vec![variable as u8],
        matching: TextMatch::new(comparison, values.iter().copied()),
        partners: None,
        days: (10, 20),
    }
}

fn refuses(control: &Control, text: &str) -> bool {
    control.check().unwrap();
    control.refuses(&WithText(text), true, 7, 15)
}

#[test]
fn a_blacklist_refuses_its_values_and_a_whitelist_all_others() {
    let blacklist = control(Comparison::ExactMatch, Variable::SourceId, &["BAD"]);
    let refused = ["bad", "xbad", ""].map(|text| refuses(&blacklist, text));
    assert_eq!(refused, [true, false, false]);
    let whitelist = Control {
        is_whitelist: true,
        ..control(Comparison::ExactMatch, Variable::Sub1, &["a", "b"])
    };
    let refused = ["b", "c", ""].map(|text| refuses(&whitelist, text));
    assert_eq!(refused, [false, true, true]);
}

#[test]
fn a_control_binds_its_partners_on_its_days() {
    let always = control(Comparison::ExactMatch, Variable::Sub1, &["x"]);
    let refused =
        |control: &Control, partner, today| control.refuses(&WithText("x"), true, partner, today);
    let days = [9, 10, 20, 21].map(|today| refused(&always, 7, today));
    assert_eq!(days, [false, true, true, false]);
    let named = Control { partners: Some(vec![3, 7]), ..always };
    let partners = [3, 5, 7].map(|partner| refused(&named, partner, 15));
    assert_eq!(partners, [true, false, true]);
}

#[test]
fn texts_of_a_server_are_not_the_visitors() {
    let reported = |control: &Control| control.refuses(&WithText("curl"), false, 7, 15);
    let blacklist = control(Comparison::Contains, Variable::UserAgent, &["curl"]);
    assert!(refuses(&blacklist, "curl") && !reported(&blacklist));
    let whitelist = Control {
        is_whitelist: true,
        ..control(Comparison::Contains, Variable::UserAgent, &["mozilla"])
    };
    assert!(refuses(&whitelist, "curl") && !reported(&whitelist));
    assert!(reported(&control(Comparison::ExactMatch, Variable::Sub1, &["curl"])));
}

#[test]
fn a_control_that_cannot_be_used_is_refused() {
    let good = control(Comparison::ExactMatch, Variable::Sub1, &["x"]);
    for bad in [
        Control { variables: vec![], ..good.clone() },
        Control { variables: vec![99], ..good.clone() },
        Control { partners: Some(vec![7, 3]), ..good.clone() },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
