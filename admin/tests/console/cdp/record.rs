//! Events of one page: whether it is loading, and what went wrong on it.

use serde_json::Value;
use std::collections::HashSet;
use url::Url;

#[derive(Default)]
pub(super) struct Record {
    main_frame: String,
    /// Hosts with ports that the test itself opened.
    own_hosts: HashSet<String>,
    /// A click or a key asked for a navigation that has not begun.
    is_requested: bool,
    is_loading: bool,
    faults: Vec<String>,
}

impl Record {
    pub(super) fn new(main_frame: &str) -> Record {
        Record { main_frame: main_frame.to_owned(), ..Record::default() }
    }

    pub(super) fn add_own_host(&mut self, url: &str) {
        self.own_hosts.extend(host(url));
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.is_requested && !self.is_loading
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    pub(super) fn take_faults(&mut self) -> Vec<String> {
        std::mem::take(&mut self.faults)
    }

    pub(super) fn add(&mut self, method: &str, event: &Value) {
        if event["frameId"] == *self.main_frame {
            self.follow_navigation(method);
        }
        self.faults.extend(match method {
            "Runtime.consoleAPICalled" => console_error(event),
            "Runtime.exceptionThrown" => exception(&event["exceptionDetails"]),
            "Log.entryAdded" => log_entry(&event["entry"]),
            "Audits.issueAdded" => issue(&event["issue"]),
            "Network.responseReceived" => refusal(event),
            "Network.requestWillBeSent" => self.foreign_request(text(&event["request"]["url"])),
            "Network.webSocketCreated" => self.foreign_request(text(&event["url"])),
            "Page.javascriptDialogOpening" => dialog(event),
            _ => None,
        });
    }

    fn follow_navigation(&mut self, method: &str) {
        match method {
            "Page.frameRequestedNavigation" | "Page.frameScheduledNavigation" => {
                self.is_requested = true;
            }
            "Page.frameClearedScheduledNavigation" => self.is_requested = false,
            "Page.frameStartedLoading" => (self.is_requested, self.is_loading) = (false, true),
            // A download ends so, too, without a load.
            "Page.frameStoppedLoading" => self.is_loading = false,
            _ => {}
        }
    }

    fn foreign_request(&self, url: &str) -> Option<String> {
        let host = host(url)?;
        (!self.own_hosts.contains(&host)).then(|| format!("request to another host: {url}"))
    }
}

/// Host and port; `None` if the URL asks no host.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let asks_a_host = matches!(url.scheme(), "http" | "https" | "ws" | "wss");
    asks_a_host.then(|| format!("{}:{:?}", url.host_str().unwrap_or_default(), url.port()))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn console_error(event: &Value) -> Option<String> {
    let arguments = event["args"].as_array()?.iter();
    let words: Vec<String> = arguments
        .map(|argument| match &argument["value"] {
            Value::Null => text(&argument["description"]).to_owned(),
            Value::String(word) => word.clone(),
            other => other.to_string(),
        })
        .collect();
    matches!(text(&event["type"]), "error" | "assert")
        .then(|| format!("console error: {}", words.join(" ")))
}

fn exception(details: &Value) -> Option<String> {
    let thrown = text(&details["exception"]["description"]);
    let thrown = if thrown.is_empty() { text(&details["text"]) } else { thrown };
    Some(format!("exception: {thrown} at {}:{}", text(&details["url"]), details["lineNumber"]))
}

fn log_entry(entry: &Value) -> Option<String> {
    let words = text(&entry["text"]);
    // The status of an answer is judged with the kind of its request, which is not told here.
    let is_status = words.contains("the server responded with a status of");
    (entry["level"] == "error" && !is_status)
        .then(|| format!("{} error: {words} ({})", text(&entry["source"]), text(&entry["url"])))
}

fn issue(issue: &Value) -> Option<String> {
    let (code, details) = (text(&issue["code"]), &issue["details"]);
    let policy = &details["contentSecurityPolicyIssueDetails"];
    match code {
        "ContentSecurityPolicyIssue" => Some(format!(
            "policy violation of {}: {} {}",
            text(&policy["violatedDirective"]),
            text(&policy["contentSecurityPolicyViolationType"]),
            policy,
        )),
        // Advice. Faults of forms are found by axe and by the checks of the structure.
        "GenericIssue" | "PerformanceIssue" => None,
        _ => Some(format!("{code}: {details}")),
    }
}

fn refusal(event: &Value) -> Option<String> {
    let (kind, response) = (text(&event["type"]), &event["response"]);
    let status = response["status"].as_u64()?;
    // The test asks for pages and answers itself, refused ones among them.
    let lowest = if matches!(kind, "Document" | "XHR" | "Fetch") { 500 } else { 400 };
    (status >= lowest).then(|| format!("status {status} of {kind} {}", text(&response["url"])))
}

fn dialog(event: &Value) -> Option<String> {
    let kind = text(&event["type"]);
    (kind != "beforeunload").then(|| format!("dialog ({kind}): {}", text(&event["message"])))
}
