//! A browser without a window: it keeps its cookies, and sends forms as pages do.

use crate::http::{self, Answer};
use crate::programs::Network;
use crate::signed_in::{PASSWORD, post};
use serde_json::{Value, json};
use std::cell::RefCell;

pub(crate) struct HttpBrowser<'n> {
    network: &'n Network,
    cookies: RefCell<Vec<(String, String)>>,
}

impl<'n> HttpBrowser<'n> {
    pub(crate) fn new(network: &'n Network) -> HttpBrowser<'n> {
        HttpBrowser { network, cookies: RefCell::default() }
    }

    /// A browser that has signed in.
    pub(crate) fn signed_in_as(network: &'n Network, login: &str) -> HttpBrowser<'n> {
        let browser = HttpBrowser::new(network);
        let answer = browser.sign_in(login, PASSWORD, "");
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    /// A browser of a new user with this role, who has used the invitation.
    pub(crate) fn invited(network: &'n Network, login: &str, role: &str) -> HttpBrowser<'n> {
        let partner = if role == "partner" { json!(1) } else { Value::Null };
        let user =
            json!({"name": login, "login": login, "role": role, "network_affiliate_id": partner});
        let made = network.done("POST", "users", user);
        let link = format!("/link/{}", made["link_token"].as_str().unwrap());
        let browser = HttpBrowser::new(network);
        let answer = browser.post(&link, &[("password", PASSWORD), ("password_again", PASSWORD)]);
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    pub(crate) fn sign_in(&self, login: &str, password: &str, code: &str) -> Answer {
        self.post("/sign-in", &[("login", login), ("password", password), ("code", code)])
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let address = self.network.admin_address;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            self.cookies()
        );
        self.keep_cookies(http::send(address, &request).unwrap())
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.keep_cookies(post(self.network, path, &self.cookies(), form))
    }

    /// The body of a page.
    pub(crate) fn html(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    pub(crate) fn cookies(&self) -> String {
        let cookies = self.cookies.borrow();
        let pairs: Vec<String> =
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep_cookies(&self, answer: Answer) -> Answer {
        let set = answer.head.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let pair = value.split(';').next()?;
            name.eq_ignore_ascii_case("set-cookie").then(|| pair.split_once('='))?
        });
        for (name, value) in set {
            let mut cookies = self.cookies.borrow_mut();
            cookies.retain(|(kept, _)| kept != name);
            cookies.push((name.to_owned(), value.to_owned()));
        }
        answer
    }
}

/// The value of the input with this id.
pub(crate) fn input<'h>(html: &'h str, id: &str) -> &'h str {
    let (_, rest) = html.split_once(&format!("<input id=\"{id}\"")).unwrap();
    rest.split_once("value=\"").unwrap().1.split_once('"').unwrap().0
}

/// The value of the hidden input with this name, with its quotes.
pub(crate) fn hidden(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split_once('"').unwrap().0.replace("&#34;", "\"")
}
