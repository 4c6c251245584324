//! The file of answers, for comparison with the server's click log.
//!
//! A line is `unix microseconds, status, code as sent, transaction id`, separated by tabs; the id
//! is empty if the Location has none. All threads append to one file. Each write holds whole lines,
//! so lines of different threads never mix.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const FLUSH_BYTES: usize = 64 * 1024;
const FLUSH_EVERY: Duration = Duration::from_millis(100);

pub(crate) struct AnsweredLog {
    file: File,
    parameter: Vec<u8>,
    lines: Vec<u8>,
    flushed: Instant,
    failure: Option<std::io::Error>,
}

impl AnsweredLog {
    pub(crate) fn open(path: &Path, parameter: &str) -> std::io::Result<Self> {
        Ok(Self {
            file: OpenOptions::new().create(true).append(true).open(path)?,
            parameter: parameter.as_bytes().to_vec(),
            lines: Vec::with_capacity(2 * FLUSH_BYTES),
            flushed: Instant::now(),
            failure: None,
        })
    }

    pub(crate) fn note(&mut self, now: Instant, status: u16, code: &[u8], location: Option<&[u8]>) {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = location.and_then(|url| query_value(url, &self.parameter)).unwrap_or_default();
        // Writing to memory cannot fail.
        let _ = write!(self.lines, "{}\t{status}\t", unix.as_micros());
        self.lines.extend_from_slice(code);
        self.lines.push(b'\t');
        self.lines.extend_from_slice(id);
        self.lines.push(b'\n');
        if self.lines.len() >= FLUSH_BYTES || now.duration_since(self.flushed) >= FLUSH_EVERY {
            self.flush(now);
        }
    }

    /// Writes the rest. Returns the first error of any write so far.
    pub(crate) fn finish(&mut self) -> std::io::Result<()> {
        self.flush(Instant::now());
        self.failure.take().map_or(Ok(()), Err)
    }

    fn flush(&mut self, now: Instant) {
        self.flushed = now;
        if self.failure.is_none() {
            self.failure = self.file.write_all(&self.lines).err();
        }
        self.lines.clear();
    }
}

/// Raw value of a parameter in the query of a URL.
fn query_value<'a>(url: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let without_fragment = url.split(|byte| *byte == b'#').next()?;
    let query = without_fragment.splitn(2, |byte| *byte == b'?').nth(1)?;
    query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_found_by_its_whole_name_in_the_query_only() {
        let value = |url: &str| {
            query_value(url.as_bytes(), b"tid").map(|value| String::from_utf8_lossy(value).into())
        };
        let found = |text: &str| Some::<String>(text.to_owned());
        assert_eq!(value("https://a.example/?xtid=1&tid=abc#tid=z"), found("abc"));
        assert_eq!(value("https://a.example/?a=b?c&tid=abc"), found("abc"));
        assert_eq!(value("https://a.example/?tid="), found(""));
        assert_eq!(value("https://a.example/tid=abc"), None);
        assert_eq!(value("https://a.example/?tidy=abc#?tid=z"), None);
    }

    #[test]
    fn lines_are_appended_to_what_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        for (code, url) in [("ANNA1", Some("https://a.example/?tid=0a")), ("BEN2", None)] {
            let mut log = AnsweredLog::open(&path, "tid").unwrap();
            log.note(Instant::now(), 302, code.as_bytes(), url.map(str::as_bytes));
            log.finish().unwrap();
        }
        let content = std::fs::read_to_string(path).unwrap();
        let fields: Vec<Vec<&str>> = content.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(fields[0][1..], ["302", "ANNA1", "0a"]);
        assert_eq!(fields[1][1..], ["302", "BEN2", ""]);
        assert!(fields[0][0].parse::<u64>().unwrap() > 1_700_000_000_000_000);
    }

    #[test]
    fn a_full_disk_is_reported_at_the_end() {
        let mut log = AnsweredLog::open(Path::new("/dev/full"), "tid").unwrap();
        log.note(Instant::now(), 302, b"ANNA1", None);
        assert!(log.finish().is_err());
    }
}
