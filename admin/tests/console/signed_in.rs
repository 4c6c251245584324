//! The programs with a first user, and a browser in which the user is signed in.

use crate::cdp::{Chromium, Page};
use crate::http::{self, Answer};
use crate::programs::{Network, Program, wait_for};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Both programs, with an admin `anna` who is signed in.
pub(crate) struct Console {
    pub(crate) network: Network,
    /// The value of the session's cookie.
    token: String,
    _programs: [Program; 2],
}

impl Console {
    pub(crate) fn start() -> Console {
        let network = Network::new();
        let programs = [network.start_admin(), network.start_daemon()];
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
        Console { network, token, _programs: programs }
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
        let address = self.network.admin_address;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: __Host-coupon={}\r\n\
             Connection: close\r\n\r\n",
            self.token
        );
        http::send(address, &request).unwrap()
    }

    /// The session's cookie, as a browser sends it.
    pub(crate) fn cookie(&self) -> String {
        format!("__Host-coupon={}", self.token)
    }

    /// Sends a form as the admin.
    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        post(&self.network, path, &format!("__Host-coupon={}", self.token), form)
    }
}

/// Sends a form from a page of the console.
pub(crate) fn post(network: &Network, path: &str, cookie: &str, form: &[(&str, &str)]) -> Answer {
    let address = network.admin_address;
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nCookie: {cookie}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    http::send(address, &request).unwrap()
}

/// The session that an answer sets.
pub(crate) fn session_of(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap();
    cookie.split([';', '=']).nth(1).unwrap().to_owned()
}
