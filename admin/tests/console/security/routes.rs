//! The routes of console and portal, collected from their sources.

use std::path::Path;

/// A route with one of its methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// With parameters such as `{id}`.
    pub(crate) path: String,
    pub(crate) side: Side,
    /// Whether the path also takes a form.
    pub(crate) takes_form: bool,
}

/// The users for whom a route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Staff,
    Partner,
    /// Everybody, also without a session.
    Everybody,
}

impl Side {
    fn prefix(self) -> &'static str {
        match self {
            Side::Staff => "/console",
            Side::Partner => "/portal",
            Side::Everybody => "",
        }
    }
}

impl Route {
    pub(crate) fn has_parameter(&self) -> bool {
        self.path.contains('{')
    }

    /// The path for the object with this id.
    pub(crate) fn path_of(&self, id: &str) -> String {
        let segments = self.path.split('/').map(|segment| match segment {
            "{kind}" => "offer".to_owned(),
            "{token}" => "0".repeat(64),
            "{transaction_id}" => "0".repeat(32),
            _ => match (segment.find('{'), segment.find('}')) {
                (Some(start), Some(end)) => {
                    format!("{}{id}{}", &segment[..start], &segment[end + 1..])
                }
                _ => segment.to_owned(),
            },
        });
        segments.collect::<Vec<_>>().join("/")
    }
}

/// Objects whose pages share the routes of `pages/catalog_object.rs`.
const CATALOG_OBJECTS: [&str; 8] = [
    "offers",
    "offer-groups",
    "caps",
    "traffic-controls",
    "smart-switch",
    "partners",
    "advertisers",
    "domains",
];
/// Those of them without a status.
const WITHOUT_STATUS: [&str; 3] = ["offer-groups", "caps", "domains"];

/// All routes; those for everybody come last.
pub(crate) fn routes() -> Vec<Route> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut routes = Vec::new();
    collect_file(&sources.join("console.rs"), &[Side::Everybody], &mut routes);
    collect_folder(&sources.join("console"), None, &mut routes);
    routes.sort_by(|a, b| (a.side, &a.path, a.method).cmp(&(b.side, &b.path, b.method)));
    routes
}

/// Files of `pages` and `portal` serve one side, and so does the one with views of lists. Of the other
/// files, some serve strangers too, and the rest both sides.
fn collect_folder(folder: &Path, side: Option<Side>, routes: &mut Vec<Route>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let side = side.or(match stem {
            "pages" | "arrangement" => Some(Side::Staff),
            "portal" => Some(Side::Partner),
            "assets" | "sign_in" => Some(Side::Everybody),
            _ => None,
        });
        if path.is_dir() {
            collect_folder(&path, side, routes);
        } else {
            let both = [Side::Staff, Side::Partner];
            collect_file(&path, side.as_ref().map_or(&both, std::slice::from_ref), routes);
        }
    }
}

fn collect_file(file: &Path, sides: &[Side], routes: &mut Vec<Route>) {
    let source = std::fs::read_to_string(file).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_root = file.ends_with("src/console.rs");
    assert!(
        is_root || !source.contains(".nest("),
        "{}: write whole paths instead of nesting routers, so this test sees each path",
        file.display()
    );
    for call in source.split(".route(").skip(1) {
        let call = arguments(call);
        let (paths, handlers) = paths(call).unwrap_or_else(|| {
            panic!("{}: write the path into the call .route({call}", file.display())
        });
        let methods = methods(handlers);
        assert!(!methods.is_empty(), "{}: no method in .route({call}", file.display());
        for path in paths {
            for side in sides {
                push(&path, *side, &methods, routes);
            }
        }
    }
}

fn push(path: &str, side: Side, methods: &[&'static str], routes: &mut Vec<Route>) {
    // The start page of a side is the prefix itself.
    let own = if path == "/" && side != Side::Everybody { "" } else { path };
    let path = format!("{}{own}", side.prefix());
    let takes_form = methods.contains(&"POST");
    let with = |method: &&'static str| Route { method, path: path.clone(), side, takes_form };
    routes.extend(methods.iter().map(with));
}

/// The paths of a call, and the rest of its arguments.
fn paths(call: &str) -> Option<(Vec<String>, &str)> {
    let call = call.trim_start();
    if let Some(rest) = call.strip_prefix("&at(\"") {
        let (action, rest) = rest.split_once('"')?;
        // A domain has no status.
        let objects = CATALOG_OBJECTS
            .iter()
            .filter(|object| action != "status" || !WITHOUT_STATUS.contains(*object));
        let paths = objects.map(|object| format!("/{object}/{{id}}/{action}"));
        return Some((paths.collect(), rest.strip_prefix(')')?));
    }
    let (path, rest) = call.strip_prefix('"')?.split_once('"')?;
    Some((vec![path.to_owned()], rest))
}

/// The text up to the parenthesis that closes the call.
fn arguments(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c: char| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

fn methods(handlers: &str) -> Vec<&'static str> {
    const NAMES: [(&str, &str); 5] = [
        ("get(", "GET"),
        ("post(", "POST"),
        ("put(", "PUT"),
        ("patch(", "PATCH"),
        ("delete(", "DELETE"),
    ];
    let calls = |name: &str| {
        let is_in_word = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        handlers.match_indices(name).any(|(at, _)| !is_in_word(&handlers[..at]))
    };
    NAMES.iter().filter(|(name, _)| calls(name)).map(|(_, method)| *method).collect()
}

#[test]
fn routes_are_found_with_their_methods() {
    let found = routes();
    let has = |method: &str, path: &str, side: Side, takes_form: bool| {
        let route = Route {
            method: if method == "GET" { "GET" } else { "POST" },
            path: path.to_owned(),
            side,
            takes_form,
        };
        assert!(found.contains(&route), "{route:?} is not in {found:#?}");
    };
    has("GET", "/console", Side::Staff, false);
    has("GET", "/console/coupon-codes/{id}", Side::Staff, false);
    has("GET", "/console/coupon-codes/{id}/edit", Side::Staff, true);
    has("POST", "/console/coupon-codes/{id}/edit", Side::Staff, true);
    has("POST", "/console/offers/{id}/delete", Side::Staff, true);
    has("POST", "/portal/key/revoke", Side::Partner, true);
    has("POST", "/sign-in", Side::Everybody, true);
    has("GET", "/", Side::Everybody, false);
    let paths = found.iter().map(|route| route.path_of("7"));
    assert!(paths.clone().any(|path| path == "/console/coupon-codes/7/qr.svg"));
    assert!(paths.clone().all(|path| !path.contains('{')));
}
