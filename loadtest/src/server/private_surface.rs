//! Asks a coupond's private surface.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

/// A base of ten million codes is read and checked before a reload is answered.
const PATIENCE: Duration = Duration::from_secs(120);
/// Of an answer.
const MOST_BYTES: u64 = 4 << 20;

pub(crate) struct PrivateSurface(PathBuf);

impl PrivateSurface {
    pub(crate) fn at(socket: PathBuf) -> PrivateSurface {
        PrivateSurface(socket)
    }

    /// Has the published index loaded; when this returns, it is served.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        self.ask("POST", "/reload").context("the published index is not served").map(drop)
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let metrics = self.ask("GET", "/metrics")?;
        value_of(&metrics, name).with_context(|| format!("coupond tells no {name}"))
    }

    fn ask(&self, method: &str, path: &str) -> anyhow::Result<String> {
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

/// The body of an answer that ended with its connection; one that is no success is an error.
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
