//! Requests to every described route of a portal. A route without requests fails the test, so a new
//! route cannot tell too much unseen.

use serde_json::{Value, json};

use crate::client::{Answer, Running, with};

/// A request to a route: path and body.
pub(crate) type Asked = (String, Option<Value>);

pub(crate) fn asked(path: &str, bodies: impl IntoIterator<Item = Value>) -> Vec<Asked> {
    bodies.into_iter().map(|body| (path.to_owned(), Some(body))).collect()
}

pub(crate) fn got(paths: impl IntoIterator<Item = String>) -> Vec<Asked> {
    paths.into_iter().map(|path| (path, None)).collect()
}

pub(crate) fn june(over: Value) -> Value {
    with(json!({"from": "2026-06-10", "to": "2026-06-20"}), over)
}

/// Filters and exclusions by these types, and other parts of bodies that may tell of hidden data.
pub(crate) fn tempting_by(types: &[(&str, Value)]) -> Vec<Value> {
    let filter = |resource: &str, value: &Value| json!([{"resource_type": resource, "filter_id_value": value}]);
    let mut tempting = vec![json!({})];
    for (resource, value) in types {
        tempting.push(json!({"query": {"filters": filter(resource, value)}}));
        tempting.push(json!({"query": {"exclusions": filter(resource, value)}}));
    }
    tempting.extend([
        json!({"show_only_conflicts": true}),
        json!({"show_only_suspicious": true}),
        json!({"affiliate_id": 2, "network_affiliate_id": 2}),
        json!({"page": 1, "page_size": 2000}),
        json!({"query": {"search_terms": [{"search_type": "email", "value": "mark"}]}}),
        json!({"query": {"metric_filters": [{"metric_type": "revenue"}]}}),
    ]);
    tempting
}

pub(crate) fn entity_bodies(temptations: Vec<Value>) -> Vec<Value> {
    let mut bodies = Vec::new();
    let every = [
        "offer",
        "coupon_code",
        "date",
        "hour",
        "currency",
        "country",
        "region",
        "device_type",
        "sub1",
        "sub2",
        "sub3",
        "sub4",
        "sub5",
        "sub6",
        "sub10",
        "adv1",
        "adv6",
        "source_id",
        "affiliate",
        "advertiser",
        "platform",
        "browser",
        "city",
    ];
    for column in every {
        bodies.push(june(json!({"columns": [{"column": column}]})));
        bodies.push(june(json!({"columns": [{"column": "coupon_code"}, {"column": column}]})));
    }
    for order in ["-revenue", "profit", "gross_sales", "rpc", "advertiser", "-payout", "epc"] {
        bodies.push(june(json!({"columns": [{"column": "offer"}], "order": order})));
    }
    bodies.extend(
        temptations
            .into_iter()
            .map(|over| with(june(json!({"columns": [{"column": "coupon_code"}]})), over)),
    );
    bodies
}

/// Methods and paths of all described routes.
pub(crate) fn described_routes() -> Vec<(String, String)> {
    let description = serde_json::to_value(coupon_admin::api::description()).unwrap();
    let paths = description["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
    });
    methods.collect()
}

/// A portal, and the key of one who uses it.
pub(crate) struct Portal<'a> {
    pub(crate) network: &'a Running,
    pub(crate) key: &'a str,
    pub(crate) prefix: &'a str,
    /// Ends of routes whose answers do not name the key's own code, `ANNA10`.
    pub(crate) without_codes: &'a [&'a str],
}

impl Portal<'_> {
    /// Sends the requests for each described route of the portal, for JSON and for a file, and
    /// passes each answer to `check`. Each route has to answer what belongs to the key. Returns the
    /// number of routes.
    pub(crate) async fn ask_every_route(
        &self,
        questions: impl Fn(&str, &str) -> Option<Vec<Asked>>,
        check: impl Fn(&Answer, &Asked),
    ) -> usize {
        let own_routes =
            described_routes().into_iter().filter(|(_, path)| path.starts_with(self.prefix));
        let mut count = 0;
        for (method, template) in own_routes {
            let questions = questions(&method, &template)
                .unwrap_or_else(|| panic!("nobody asks {method} {template}: add questions"));
            let own = self.count_own_answers(&method, &template, &questions, &check).await;
            assert!(own > 1, "{method} {template} never answers what belongs to the key");
            count += 1;
        }
        count
    }

    /// Returns the number of answers that hold what belongs to the key.
    async fn count_own_answers(
        &self,
        method: &str,
        template: &str,
        questions: &[Asked],
        check: impl Fn(&Answer, &Asked),
    ) -> usize {
        let method = method.to_ascii_uppercase();
        let has_no_code = self.without_codes.iter().any(|end| template.ends_with(end));
        let mut own = 0;
        for question in questions {
            for accept in ["application/json", "text/csv"] {
                let (path, body) = question;
                let headers = [("accept", accept)];
                let answer =
                    self.network.call_with(self.key, &method, path, &headers, body.clone()).await;
                check(&answer, question);
                let is_own = has_no_code || answer.text.to_ascii_lowercase().contains("anna10");
                own += usize::from(answer.status == 200 && is_own);
            }
        }
        own
    }
}
