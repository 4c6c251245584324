//! Every route as every kind of user.

use super::routes::{Route, Side, routes};
use crate::http::Answer;
use crate::signed_in::{Console, encode};
use serde_json::json;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    SignedOut,
    FirstPartner,
    SecondPartner,
    ReadOnly,
    Manager,
    Admin,
}

impl Who {
    /// Users with few rights come first: they change nothing for those behind.
    const ALL: [Who; 6] = [
        Who::SignedOut,
        Who::FirstPartner,
        Who::SecondPartner,
        Who::ReadOnly,
        Who::Manager,
        Who::Admin,
    ];

    fn is_partner(self) -> bool {
        matches!(self, Who::FirstPartner | Who::SecondPartner)
    }

    /// Whether the user gets past the guard of a side.
    fn is_of(self, side: Side) -> bool {
        match side {
            Side::Staff => matches!(self, Who::ReadOnly | Who::Manager | Who::Admin),
            Side::Partner => self.is_partner(),
            Side::Everybody => true,
        }
    }
}

/// Pages and forms for admins only.
const FOR_ADMINS: [&str; 3] = ["/console/users", "/console/keys", "/console/privacy"];
/// Pages for all staff whose forms are for admins only.
const CHANGED_BY_ADMINS: [&str; 2] = ["/console/settings", "/console/bots"];
/// Forms about the user's own account.
const OWN_ACCOUNT: [&str; 5] = [
    "/console/profile",
    "/portal/profile",
    "/console/confirm",
    "/portal/confirm",
    "/console/views",
];

/// Queries of pages that need one.
const QUERIES: &[(&str, &str)] = &[
    ("/console/coupon-codes/check", "?code=NEW"),
    ("/console/coupon-codes/change", "?action=partner&all=true"),
    (
        "/console/leaks/decide",
        "?coupon_code=WINTER25&partner=1&from=2026-01-01&to=2026-01-02&decision=hold",
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    /// A form about the user's own account.
    OwnAccount,
    /// A form about the network or a partner.
    Change,
}

fn kind_of(route: &Route) -> Kind {
    match route.method {
        "GET" => Kind::Page,
        _ if OWN_ACCOUNT.iter().any(|own| route.path.starts_with(own)) => Kind::OwnAccount,
        _ => Kind::Change,
    }
}

/// A route that answers one kind of user otherwise than [`expected`] says.
struct Exception {
    method: &'static str,
    path: &'static str,
    who: &'static [Who],
    status: u16,
    /// Shown when the exception does not fit any more.
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        method: "GET",
        path: "/console/coupon-codes/generated",
        who: &[Who::ReadOnly, Who::Manager, Who::Admin],
        status: 303,
        reason: "without a generation the page leads to its form",
    },
    Exception {
        method: "GET",
        path: "/console/live/stream",
        who: &[Who::ReadOnly, Who::Manager, Who::Admin],
        status: 406,
        reason: "an answer that does not end is for scripts only",
    },
];

/// A form that changes something on most pages, for users who may not.
const FORM: &[(&str, &str)] = &[
    ("id", "1"),
    ("name", "Changed"),
    ("coupon_code", "CHANGED"),
    ("coupon_status", "paused"),
    ("status", "rejected"),
    ("network_offer_id", "1"),
    ("network_affiliate_id", "1"),
    ("time_zone", "UTC"),
    ("offer.1", "rejected"),
];

/// The statuses that a user may get.
fn expected(route: &Route, who: Who) -> Vec<u16> {
    let exception = EXCEPTIONS.iter().find(|exception| {
        (exception.method, exception.path) == (route.method, &*route.path)
            && exception.who.contains(&who)
    });
    if let Some(exception) = exception {
        return vec![exception.status];
    }
    let is_below = |prefixes: &[&str]| prefixes.iter().any(|prefix| route.path.starts_with(prefix));
    let kind = kind_of(route);
    let is_change = kind != Kind::Page;
    if route.side == Side::Everybody {
        // Attempts to sign in are limited.
        return if is_change { vec![303, 404, 422, 429] } else { vec![200, 303, 404] };
    }
    if !who.is_of(route.side) {
        // A form that waits for its user to sign in again.
        return vec![if is_change { 401 } else { 303 }];
    }
    let is_for_admins = is_below(&FOR_ADMINS) || (is_change && is_below(&CHANGED_BY_ADMINS));
    let may_not =
        (is_for_admins && who != Who::Admin) || (who == Who::ReadOnly && kind == Kind::Change);
    if may_not {
        // Some forms look for their object first.
        return if route.has_parameter() { vec![403, 404] } else { vec![403] };
    }
    if is_change {
        // The form is sent empty, and for an id that nothing has.
        return vec![200, 303, 400, 404, 409, 422, 429];
    }
    let mut statuses = vec![200];
    // The id 1 is unknown to some pages, and no id at all to others.
    statuses.extend(if route.has_parameter() { &[400, 404][..] } else { &[] });
    // A form is shown to those who may send it, or to all.
    statuses.extend((who == Who::ReadOnly && route.takes_form).then_some(403));
    statuses
}

/// Why an answer is not the expected one.
fn fault(route: &Route, who: Who, answer: &Answer) -> Option<String> {
    let expected = expected(route, who);
    let leads_to_sign_in = answer.location().starts_with("/sign-in?next=");
    let asks_to_sign_in = answer.body.contains("action=\"/sign-in\"");
    let is_kept_out = route.side == Side::Everybody
        || who.is_of(route.side)
        || leads_to_sign_in
        || asks_to_sign_in;
    let is_expected = expected.contains(&answer.status) && is_kept_out;
    (!is_expected).then(|| {
        format!(
            "{} {} as {who:?}: status {}, expected one of {expected:?}",
            route.method, route.path, answer.status
        )
    })
}

fn request(console: &Console, route: &Route, who: Who, cookie: &str) -> Answer {
    let kind = kind_of(route);
    if kind == Kind::Page {
        let query = QUERIES.iter().find(|(path, _)| *path == route.path);
        let path = route.path_of("1") + query.map_or("", |(_, query)| query);
        return console.get_as(cookie, &path);
    }
    let is_allowed = match who {
        Who::SignedOut => false,
        Who::ReadOnly => kind == Kind::OwnAccount,
        Who::FirstPartner | Who::SecondPartner => route.side == Side::Partner,
        Who::Manager | Who::Admin => true,
    };
    let (id, form) = if is_allowed { ("999999", &[][..]) } else { ("1", FORM) };
    let origin = format!("http://{}", console.network.admin_address);
    let headers = [
        ("Cookie", cookie),
        ("Origin", origin.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    console.request(route.method, &route.path_of(id), &headers, &encode(form))
}

/// Number of audited changes.
fn changes(console: &Console) -> u64 {
    let audit = console.network.call("GET", "audit?page_size=1", None).json();
    audit["paging"]["total_count"].as_u64().unwrap()
}

#[test]
fn each_route_answers_each_user_by_the_users_rights() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    console.network.done("POST", "affiliates", json!({"name": "Ben", "account_status": "active"}));
    let cookies = Who::ALL.map(|who| match who {
        Who::SignedOut => String::new(),
        Who::FirstPartner => console.add_user("partner-1", "partner", Some(codes.partner)),
        Who::SecondPartner => console.add_user("partner-2", "partner", Some(codes.partner + 1)),
        Who::ReadOnly => console.add_user("reader", "read_only", None),
        Who::Manager => console.add_user("manager", "manager", None),
        Who::Admin => console.cookie(),
    });
    let routes = routes();
    let mut faults = Vec::new();
    for (who, cookie) in Who::ALL.into_iter().zip(&cookies) {
        let (open, guarded): (Vec<&Route>, Vec<&Route>) =
            routes.iter().partition(|route| route.side == Side::Everybody);
        for kind in [Kind::Page, Kind::OwnAccount, Kind::Change] {
            let before = changes(&console);
            for route in guarded.iter().filter(|route| kind_of(route) == kind) {
                faults.extend(fault(route, who, &request(&console, route, who, cookie)));
            }
            let may_change = match kind {
                Kind::Page => false,
                Kind::OwnAccount => who != Who::SignedOut,
                Kind::Change => !matches!(who, Who::SignedOut | Who::ReadOnly),
            };
            if !may_change && changes(&console) != before {
                faults.push(format!("{kind:?} has changed something for {who:?}: see the audit"));
            }
        }
        // The last of these signs the user out.
        for route in open {
            faults.extend(fault(route, who, &request(&console, route, who, cookie)));
        }
    }
    for exception in EXCEPTIONS {
        let is_there =
            |route: &Route| (route.method, &*route.path) == (exception.method, exception.path);
        if !routes.iter().any(is_there) {
            let Exception { method, path, reason, .. } = exception;
            faults
                .push(format!("no route {method} {path} any more; remove the exception: {reason}"));
        }
    }
    assert!(
        faults.is_empty(),
        "{}\nMend the page, or add an Exception with its reason to this test.",
        faults.join("\n")
    );
}

#[test]
fn a_session_is_no_key_for_the_api() {
    let console = Console::start();
    for (method, path) in [("GET", "/v1/networks/offers"), ("DELETE", "/v1/networks/couponcodes/1")]
    {
        let headers = [("Cookie", console.cookie()), ("Sec-Fetch-Site", "same-origin".to_owned())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = console.request(method, path, &headers, "");
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!("auth.missing")));
    }
}

/// The cookie of one side counts on the other side neither by its own name nor by the other's.
#[test]
fn a_session_counts_on_its_own_side_only() {
    let console = Console::start();
    let codes = console.network.create_winter25();
    let partner = console.add_user("partner", "partner", Some(codes.partner));
    assert_eq!(console.get_as(&partner, "/portal").status, 200);
    let (staff_name, staff_token) = (String::from("__Host-coupon"), console.cookie());
    let staff_token = staff_token.split_once('=').unwrap().1.to_owned();
    let (partner_name, partner_token) = partner.split_once('=').unwrap();
    assert_eq!(partner_name, "__Host-coupon-portal");
    for (name, token, path) in [
        (staff_name.as_str(), partner_token, "/console"),
        (partner_name, partner_token, "/console"),
        (partner_name, &staff_token, "/portal"),
        (&staff_name, &staff_token, "/portal"),
    ] {
        let answer = console.get_as(&format!("{name}={token}"), path);
        assert_eq!(answer.status, 303, "{name} {path}: {answer:?}");
        assert!(answer.location().starts_with("/sign-in"), "{answer:?}");
    }
    // Each side leads its own user home.
    assert_eq!(console.get("/").location(), "/console");
    assert_eq!(console.get_as(&partner, "/").location(), "/portal");
    assert_eq!(console.get_as("", "/").location(), "/sign-in");
}
