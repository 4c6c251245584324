//! `/v1/networks/botlist`: replacement of the bot list during operation.

use serde_json::{Value, json};

use crate::client::{Running, start, with};

/// The bot list, after the reclassification of all visits.
async fn in_force(network: &Running) -> Value {
    for _ in 0..2_000 {
        let list = network.get("botlist").await.done();
        if list["is_in_force"] == true {
            return list;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn a_network_starts_with_the_list_of_the_program_and_may_put_its_own_in_its_place() {
    let network = start().await;
    let built_in = in_force(&network).await;
    let patterns = built_in["patterns"].as_array().unwrap().clone();
    assert!(patterns.contains(&json!("whatsapp/")) && patterns.contains(&json!("!cubot")));
    let told = (&built_in["is_built_in"], &built_in["time_saved"], &built_in["blocks"]);
    assert_eq!(told, (&json!(true), &json!(0), &json!(0)));

    // Clients can edit an answer and send it back.
    let own = with(built_in, json!({"patterns": ["LinkChecker", "!LinkChecker Phone"]}));
    let saved = network.put("botlist", own.clone()).await.done();
    assert_eq!((&saved["patterns"], &saved["is_built_in"]), (&own["patterns"], &json!(false)));
    let network = network.restart(|_| ()).await;
    assert_eq!(in_force(&network).await["patterns"], own["patterns"]);

    let back = network.delete("botlist").await.done();
    assert_eq!((&back["patterns"], &back["is_built_in"]), (&json!(patterns), &json!(true)));
    assert_eq!(in_force(&network).await["is_built_in"], true);
    let entries = network.get("audit?filter=object=bot_list").await.done();
    let entries = entries["audit"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!((&entry["action"], &entry["first_id"]), (&json!("changed"), &json!(0)));
        assert_eq!(entry["changes"][0]["field"], "patterns");
    }
}

#[tokio::test]
async fn a_list_that_cannot_be_used_changes_nothing_and_each_wrong_pattern_is_named() {
    let network = start().await;
    let refused = |patterns: Value| network.put("botlist", json!({ "patterns": patterns }));
    let answer = refused(json!(["bot/", "ab", " bot", "BOT/", "b\u{f6}t", "x".repeat(101)])).await;
    let expected = [1, 2, 3, 4, 5].map(|at| format!("patterns[{at}]"));
    let (status, code, fields) = answer.refusal();
    assert_eq!((status, code), (400, "request.invalid"));
    assert_eq!(fields, expected);
    assert_eq!(refused(json!(vec!["bot"; 2_001])).await.refusal().2, ["patterns"]);
    assert_eq!(refused(json!("bot")).await.refusal().2, ["patterns"]);
    assert_eq!(network.put("botlist", json!({})).await.refusal().2, ["patterns"]);
    let unknown = network.put("botlist", json!({"patterns": [], "colour": 1})).await;
    assert_eq!(unknown.refusal().2, ["colour"]);
    assert_eq!(in_force(&network).await["is_built_in"], true);
    assert_eq!(refused(json!([])).await.done()["patterns"], json!([]), "nobody is a bot then");
}

#[tokio::test]
async fn an_edit_meant_for_an_older_list_is_refused() {
    let network = start().await;
    let tag = network.get("botlist").await.header("etag").unwrap().to_owned();
    let own = json!({"patterns": ["linkchecker"]});
    network.put("botlist", own.clone()).await.done();
    let path = "/v1/networks/botlist";
    for (method, body) in [("PUT", Some(own)), ("DELETE", None)] {
        let headers = [("if-match", tag.as_str())];
        let stale = network.call_with(&network.key, method, path, &headers, body).await;
        assert_eq!(stale.status, 412, "{method}");
    }
}

#[tokio::test]
async fn a_user_agent_is_looked_up_in_the_configured_list() {
    let network = start().await;
    network.put("botlist", json!({"patterns": ["checker", "!goodchecker"]})).await.done();
    for (user_agent, is_bot, pattern, line) in [
        ("LinkChecker/10", true, "checker", 1),
        ("GoodChecker", false, "!goodchecker", 2),
        ("Firefox", false, "", 0),
    ] {
        let path = format!("botlist/check?user_agent={user_agent}");
        let found = network.get(&path).await.done();
        assert_eq!(found, json!({"is_bot": is_bot, "pattern": pattern, "line": line}));
    }
    for query in ["", "?user_agent=x&more=1"] {
        let refused = network.get(&format!("botlist/check{query}")).await;
        assert_eq!(refused.refusal().2, ["user_agent"], "{query}");
    }
}
