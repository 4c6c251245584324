//! Client of coupond's control socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// A reload answers after the index is read and checked, also one of ten million codes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest answer.
const MOST_BYTES: u64 = 4 << 20;

pub(crate) struct ControlSocket(PathBuf);

impl ControlSocket {
    pub(crate) fn at(socket: PathBuf) -> ControlSocket {
        ControlSocket(socket)
    }

    /// Loads the published index; on return coupond serves it.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        self.request("POST", "/reload").context("the published index is not served").map(drop)
    }

    /// Value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let metrics = self.request("GET", "/metrics")?;
        value_of(&metrics, name).with_context(|| format!("coupond tells no {name}"))
    }

    fn request(&self, method: &str, path: &str) -> anyhow::Result<String> {
        let asked = self.exchange(method, path).and_then(|answer| body_of(&answer));
        asked.with_context(|| format!("asking {} for {path}", self.0.display()))
    }

    fn exchange(&self, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.take(MOST_BYTES).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// Body of an answer that ends with its connection; a status other than 200 is an error.
fn body_of(answer: &[u8]) -> anyhow::Result<String> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else {
        bail!("the answer is cut");
    };
    let body = String::from_utf8_lossy(&answer[head..]).into_owned();
    let status = response.code.unwrap_or_default();
    ensure!(status == 200, "it answers {status}: {}", body.trim());
    Ok(body)
}

fn value_of(metrics: &str, name: &str) -> Option<u64> {
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let metrics = "# TYPE a_b gauge\na_b_total 3\na_b{status=\"200\"} 4\na_b 5\n";
        assert_eq!(value_of(metrics, "a_b"), Some(5));
        assert_eq!(value_of(metrics, "a"), None);
    }

    #[test]
    fn an_answer_that_is_no_success_is_quoted() {
        let answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 9\r\n\r\nnot newer";
        let error = body_of(answer).unwrap_err().to_string();
        assert!(error.contains("409") && error.contains("not newer"), "{error}");
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\n\r\nbody").unwrap(), "body");
        assert!(body_of(b"HTTP/1.1 200 OK\r\nx: y").is_err());
    }
}
