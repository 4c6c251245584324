//! Requests to the browser, its answers, and the events of its pages. One thread reads; callers
//! wait until their answer or the event has arrived.

use super::LONGEST_WAIT;
use super::record::Record;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

pub(super) struct Connection {
    requests: Mutex<ChildStdin>,
    last_id: AtomicU64,
    inbox: Mutex<Inbox>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inbox {
    answers: HashMap<u64, Value>,
    /// By session.
    records: HashMap<String, Record>,
    has_ended: bool,
}

impl Connection {
    pub(super) fn open(requests: ChildStdin, answers: ChildStdout) -> Arc<Connection> {
        let connection = Arc::new(Connection {
            requests: Mutex::new(requests),
            last_id: AtomicU64::new(0),
            inbox: Mutex::default(),
            arrived: Condvar::new(),
        });
        let reader = Arc::clone(&connection);
        // The thread ends with the browser.
        std::thread::spawn(move || reader.receive(answers));
        connection
    }

    pub(super) fn is_open(&self) -> bool {
        !self.inbox.lock().unwrap_or_else(PoisonError::into_inner).has_ended
    }

    /// Calls a method of a page's session or of the browser. A refused call is an `Err` with the
    /// browser's words.
    pub(super) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        params: Value,
    ) -> Result<Value, String> {
        let id = self.send(session, method, params);
        let answer = self.wait(|inbox| inbox.answers.remove(&id));
        let mut answer = answer.unwrap_or_else(|| panic!("Chromium does not answer to {method}"));
        match answer.get("error") {
            Some(error) => Err(error["message"].to_string()),
            None => Ok(answer["result"].take()),
        }
    }

    /// Events of a session before this call are not recorded.
    pub(super) fn add_record(&self, session: &str, record: Record) {
        self.inbox.lock().unwrap().records.insert(session.to_owned(), record);
    }

    pub(super) fn with_record<T>(&self, session: &str, read: impl FnOnce(&mut Record) -> T) -> T {
        let mut inbox = self.inbox.lock().unwrap();
        read(inbox.records.get_mut(session).expect("each page has a record"))
    }

    /// Whether the record fulfils the condition in time.
    pub(super) fn wait_for_record(&self, session: &str, is_so: impl Fn(&Record) -> bool) -> bool {
        self.wait(|inbox| is_so(&inbox.records[session]).then_some(())).is_some()
    }

    fn wait<T>(&self, mut find: impl FnMut(&mut Inbox) -> Option<T>) -> Option<T> {
        let mut found = None;
        let inbox = self.inbox.lock().unwrap();
        let waits = self.arrived.wait_timeout_while(inbox, LONGEST_WAIT, |inbox| {
            found = find(inbox);
            found.is_none() && !inbox.has_ended
        });
        assert!(found.is_some() || !waits.unwrap().0.has_ended, "Chromium has ended");
        found
    }

    /// Closes a page. A browser that has ended has closed it already.
    pub(super) fn close(&self, session: &str, frame: &str) {
        if self.is_open() {
            let target = json!({"targetId": frame});
            let _ = self.try_send(None, "Target.closeTarget", target);
        }
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).records.remove(session);
    }

    fn send(&self, session: Option<&str>, method: &str, params: Value) -> u64 {
        let sent = self.try_send(session, method, params);
        sent.unwrap_or_else(|error| panic!("Chromium takes no request: {error}"))
    }

    fn try_send(&self, session: Option<&str>, method: &str, params: Value) -> std::io::Result<u64> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut request = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        write!(requests, "{request}\0").and_then(|()| requests.flush())?;
        Ok(id)
    }

    fn receive(&self, answers: ChildStdout) {
        let mut answers = BufReader::new(answers);
        let mut message = Vec::new();
        while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
            message.pop();
            // The last message of a killed browser can be cut.
            let Ok(value) = serde_json::from_slice(&message) else { break };
            self.dispatch(value);
            self.arrived.notify_all();
            message.clear();
        }
        self.inbox.lock().unwrap().has_ended = true;
        self.arrived.notify_all();
    }

    fn dispatch(&self, message: Value) {
        let mut inbox = self.inbox.lock().unwrap();
        if let Some(id) = message["id"].as_u64() {
            inbox.answers.insert(id, message);
            return;
        }
        let (Some(session), Some(method)) =
            (message["sessionId"].as_str(), message["method"].as_str())
        else {
            return;
        };
        let Some(record) = inbox.records.get_mut(session) else { return };
        record.add(method, &message["params"]);
        drop(inbox);
        if method == "Page.javascriptDialogOpening" {
            // The page stands still until its dialog is answered.
            let accept = json!({"accept": message["params"]["type"] == "beforeunload"});
            self.send(Some(session), "Page.handleJavaScriptDialog", accept);
        }
    }
}
