//! The programs with a first user, and a browser in which the user is signed in.

use crate::cdp::{Chromium, Page};
use crate::http::{self, Answer};
use crate::programs::{Network, Program, wait_for};
use serde_json::json;
use std::net::SocketAddr;

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Both programs, with an admin `anna` who is signed in.
pub(crate) struct Console {
    pub(crate) network: Network,
    /// The value of the session's cookie.
    token: String,
    programs: [Program; 2],
}

impl Console {
    pub(crate) fn start() -> Console {
        Console::start_with(&[])
    }

    /// With further environment variables of the admin.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Console {
        let network = Network::new();
        let programs = [network.start_admin_with(variables), network.start_daemon()];
        let file = network.path("admin/setup.link");
        let link = wait_for("the set-up link", || std::fs::read_to_string(&file).ok());
        let path = link.trim().split_once("//").unwrap().1.split_once('/').unwrap().1;
        let form = [
            ("name", "Anna"),
            ("login", "anna"),
            ("password", PASSWORD),
            ("password_again", PASSWORD),
        ];
        let answer = post(&network, &format!("/{path}"), "", &form);
        assert_eq!(answer.status, 303, "{answer:?}");
        let token = session_of(&answer);
        Console { network, token, programs }
    }

    /// Stops both programs as an operator does.
    pub(crate) fn stop(&mut self) {
        self.programs.iter_mut().for_each(Program::stop);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.network.admin_address)
    }

    /// A page of a browser in which the admin is signed in.
    pub(crate) fn page(&self, chromium: &Chromium, width: u32) -> Page {
        let page = chromium.new_private_page(width, 900);
        page.goto(&self.url("/sign-in"));
        page.by_role("textbox", "Sign-in name").fill("anna");
        // A password has no role.
        page.evaluate(&format!("document.getElementById('password').value = '{PASSWORD}'"));
        page.by_role("button", "Sign in").click();
        page.wait_for_text("Home");
        page
    }

    /// The body of a page, as the admin gets it without a browser.
    pub(crate) fn html(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_as(&self.cookie(), path)
    }

    pub(crate) fn get_as(&self, cookie: &str, path: &str) -> Answer {
        self.request("GET", path, &[("Cookie", cookie)], "")
    }

    /// Sends a request with these headers, which may name another host.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        request_to(self.network.admin_address, method, path, headers, body)
    }

    /// Creates a user; returns the path of the invitation.
    pub(crate) fn invite(&self, login: &str, role: &str, partner: Option<u64>) -> String {
        let user = json!({
            "name": login, "login": login, "role": role, "network_affiliate_id": partner,
        });
        let made = self.network.done("POST", "users", user);
        format!("/link/{}", made["link_token"].as_str().unwrap())
    }

    /// Creates a user with [`PASSWORD`]; returns a session as a `Cookie` header.
    pub(crate) fn add_user(&self, login: &str, role: &str, partner: Option<u64>) -> String {
        let path = self.invite(login, role, partner);
        let form = [("password", PASSWORD), ("password_again", PASSWORD)];
        let answer = post(&self.network, &path, "", &form);
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    /// The session's cookie, as a browser sends it.
    pub(crate) fn cookie(&self) -> String {
        format!("__Host-coupon={}", self.token)
    }

    /// Sends a form as the admin.
    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        post(&self.network, path, &self.cookie(), form)
    }
}

/// Sends a form from a page of the console.
pub(crate) fn post(network: &Network, path: &str, cookie: &str, form: &[(&str, &str)]) -> Answer {
    let address = network.admin_address;
    let body = encode(form);
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    http::send(address, &request).unwrap()
}

/// Sends a request with these headers.
pub(crate) fn request_to(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let own_host = address.to_string();
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = [("Host", own_host.as_str())];
    let host = if has_host { &[] } else { host.as_slice() };
    let lines = host.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{lines}Content-Length: {length}\r\nConnection: close\r\n\r\n\
         {body}"
    );
    http::send(address, &request).unwrap()
}

/// A form as a browser encodes it.
pub(crate) fn encode(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// The session that an answer sets.
pub(crate) fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split([';', '=']).nth(1).unwrap().to_owned()
}
