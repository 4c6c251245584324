//! Request lines below hyper: bytes that hyper's URI parser refuses become percent-escapes.
//!
//! A shared link may contain a raw `"`, `<`, `>` or a byte that is not UTF-8, most often in its
//! query. hyper answers such a request with 400 before a service sees it. This layer stands below
//! hyper and passes bytes on unchanged, except that each of these bytes within a target becomes its
//! escape. A byte that hyper accepts is never changed, because a server may have signed the target.
//! hyper stays strict everywhere else; blanks and control characters are left to hyper, because
//! servers disagree on whether they end a target.
//!
//! Invariant: the layer knows where a target begins and never guesses, so it changes nothing but
//! targets, and never the length of a body.
//!
//! - A connection begins with a request. The layer passes on one head at a time; a head ends at the
//!   first empty line, as for hyper.
//! - The service reports the length of the body, as found by hyper
//!   ([`HeadProgress`](crate::head_progress::HeadProgress)). The next request begins behind the
//!   body.
//! - A request is the connection's last if the length of its body is unknown before the body's end
//!   (chunked), or if the layer did not search for the end of the head exactly.
//!
//! A browser's request, whole in one read and with a clean first line, is checked in a few wide
//! steps and not copied. Everything else goes through [`ParsePosition::after`], byte by byte. At
//! most one read of hyper's is buffered here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use memchr::memmem::Finder;
use memchr::{memchr, memchr3};
use tokio::io::{AsyncRead, ReadBuf};

use crate::listener::ClientStream;
use crate::open::ConnectionState;

/// Position of the next byte in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParsePosition {
    /// The beginning of a request, or an empty line before a request.
    Start,
    Method,
    TargetsFirstByte,
    /// A target that begins with a scheme or a host, before its query.
    Authority,
    /// A path or a query.
    Escaped,
    Version,
    /// A header line, as far as read.
    Field(Line),
    /// Behind a whole head; `read_before` heads were read by hyper before.
    HeadsEnd {
        read_before: u32,
    },
    Body {
        left: u64,
    },
    /// Unknown: from here on nothing is changed.
    Unknown,
}

/// How much of a header line was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Nothing,
    CarriageReturn,
    More,
}

impl ParsePosition {
    /// The position behind a byte of a head; `None` behind the head's last byte. A head that hyper
    /// refuses may be parsed as anything.
    fn after(self, byte: u8) -> Option<ParsePosition> {
        Some(match (self, byte) {
            (ParsePosition::Start, b'\r' | b'\n') => ParsePosition::Start,
            (ParsePosition::Start, _) => ParsePosition::Method,
            (ParsePosition::Field(Line::Nothing | Line::CarriageReturn), b'\n') => return None,
            (ParsePosition::Field(Line::Nothing), b'\r') => {
                ParsePosition::Field(Line::CarriageReturn)
            }
            // Any line ends here.
            (_, b'\n') => ParsePosition::Field(Line::Nothing),
            (ParsePosition::Field(_), _) => ParsePosition::Field(Line::More),
            (ParsePosition::Method, b' ') => ParsePosition::TargetsFirstByte,
            (ParsePosition::TargetsFirstByte, b'/') | (ParsePosition::Authority, b'?') => {
                ParsePosition::Escaped
            }
            (ParsePosition::TargetsFirstByte, _) => ParsePosition::Authority,
            (ParsePosition::Authority | ParsePosition::Escaped, b' ') => ParsePosition::Version,
            (same, _) => same,
        })
    }
}

/// How to pass on the next byte of a path or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteTreatment {
    /// This byte and `more` further bytes, which form one character, stay unchanged.
    Plain {
        more: u8,
    },
    Escape,
    /// The decision needs the next bytes.
    Wait,
}

fn treatment_of(rest: &[u8]) -> ByteTreatment {
    match rest[0] {
        b'"' | b'<' | b'>' | 0x7f => return ByteTreatment::Escape,
        0..0x80 => return ByteTreatment::Plain { more: 0 },
        0x80.. => {}
    }
    let error = match std::str::from_utf8(&rest[..rest.len().min(4)]) {
        Ok(text) => return first_character(text),
        Err(error) => error,
    };
    match (std::str::from_utf8(&rest[..error.valid_up_to()]), error.error_len()) {
        (Ok(text), _) if !text.is_empty() => first_character(text),
        (_, None) => ByteTreatment::Wait,
        (_, Some(_)) => ByteTreatment::Escape,
    }
}

fn first_character(text: &str) -> ByteTreatment {
    let bytes = text.chars().next().map_or(1, char::len_utf8);
    ByteTreatment::Plain { more: bytes as u8 - 1 }
}

/// A stream with only URI characters in its targets.
#[derive(Debug)]
pub(crate) struct RequestLines<T> {
    stream: T,
    watch: Arc<ConnectionState>,
    place: ParsePosition,
    /// Bytes that were read; those before `handed_on` are passed on.
    waiting: Vec<u8>,
    handed_on: usize,
    /// Number of next bytes that belong to the previous character and stay unchanged.
    plain: u8,
    /// Digits of an escape after its `%` was passed on.
    digits: Digits,
    /// The last read below took all bytes that had arrived.
    is_drained: bool,
    /// The client has ended its half.
    has_ended: bool,
}

type Digits = [Option<u8>; 2];

impl<T> RequestLines<T> {
    pub(crate) fn new(stream: T, watch: Arc<ConnectionState>) -> RequestLines<T> {
        RequestLines {
            stream,
            watch,
            place: ParsePosition::Start,
            waiting: Vec::new(),
            handed_on: 0,
            plain: 0,
            digits: [None; 2],
            is_drained: false,
            has_ended: false,
        }
    }

    /// The stream below, without the bytes buffered here.
    pub(crate) fn stream_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    /// Whether the client sends nothing any more and nothing is unread. Called once hyper closes the
    /// connection.
    pub(crate) fn is_clients_end(&mut self) -> bool {
        self.resolve_head();
        let is_between_requests = self.place == ParsePosition::Start && !self.has_waiting();
        self.has_ended || self.watch.is_last_request() && self.is_drained && is_between_requests
    }

    /// Whether the client's bytes wait here or below.
    pub(crate) fn has_unread(&self) -> bool
    where
        T: ClientStream,
    {
        self.has_waiting() || self.stream.has_unread()
    }

    /// Estimated bytes of memory that the stream below holds. None is buffered here while the
    /// connection is parked, except within an escape.
    pub(crate) fn held_bytes(&self) -> u32
    where
        T: ClientStream,
    {
        self.stream.held_bytes()
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.digits[0].is_some()
    }

    /// Called when hyper asks for more bytes: by then hyper has read the last head.
    fn resolve_head(&mut self) {
        let ParsePosition::HeadsEnd { read_before } = self.place else { return };
        let heads = &self.watch.heads;
        let requests = heads.count().wrapping_sub(read_before);
        let is_exact = heads.is_exact.load(Ordering::Relaxed);
        self.place = match heads.body_bytes.load(Ordering::Relaxed) {
            // Without a body behind the last head, hyper has read all heads that were passed on.
            0 if requests == 1 || requests > 1 && !is_exact => ParsePosition::Start,
            u64::MAX => ParsePosition::Unknown,
            left if requests == 1 && is_exact => ParsePosition::Body { left },
            _ => ParsePosition::Unknown,
        };
    }

    fn end_head(&mut self, is_exact: bool) {
        let heads = &self.watch.heads;
        heads.is_exact.store(is_exact, Ordering::Relaxed);
        self.place = ParsePosition::HeadsEnd { read_before: heads.count() };
    }

    /// Whether the bytes can go on to hyper unchanged.
    fn pass_unchanged(&mut self, read: &[u8]) -> bool {
        match self.place {
            _ if read.is_empty() => true,
            ParsePosition::Unknown => true,
            // hyper recognises this preface only when it sees the whole, and then ends the
            // connection.
            ParsePosition::Start if read.starts_with(b"PRI * HTTP/2.0\r\n") => {
                self.place = ParsePosition::Unknown;
                true
            }
            ParsePosition::Start if is_one_plain_head(read) => {
                self.end_head(false);
                true
            }
            ParsePosition::Body { left } if read.len() as u64 <= left => {
                self.advance_body(read.len());
                true
            }
            _ => false,
        }
    }

    fn advance_body(&mut self, bytes: usize) {
        if let ParsePosition::Body { left } = &mut self.place {
            *left -= bytes as u64;
            if *left == 0 {
                self.place = ParsePosition::Start;
            }
        }
    }

    /// Passes on buffered bytes, up to the end of a head or a body.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        while buf.remaining() > 0 {
            if let [Some(digit), next] = self.digits {
                buf.put_slice(&[digit]);
                self.digits = [next, None];
                continue;
            }
            let rest = &self.waiting[self.handed_on..];
            let (Some(&byte), false) =
                (rest.first(), matches!(self.place, ParsePosition::HeadsEnd { .. }))
            else {
                break;
            };
            let whole = match self.place {
                ParsePosition::Unknown => rest.len(),
                ParsePosition::Body { left } => usize::try_from(left).unwrap_or(rest.len()),
                _ => 0,
            };
            if whole == 0 {
                if !self.hand_on_byte(byte, buf) {
                    break;
                }
            } else {
                let count = whole.min(rest.len()).min(buf.remaining());
                buf.put_slice(&rest[..count]);
                self.handed_on += count;
                self.advance_body(count);
            }
        }
        if self.handed_on == self.waiting.len() {
            // An idle connection holds no buffer.
            (self.waiting, self.handed_on) = (Vec::new(), 0);
        }
    }

    /// Passes on one byte of a head, or a part of its escape; false where the treatment needs
    /// further bytes.
    fn hand_on_byte(&mut self, byte: u8, buf: &mut ReadBuf<'_>) -> bool {
        if self.plain > 0 {
            self.plain -= 1;
        } else if self.place == ParsePosition::Escaped {
            match treatment_of(&self.waiting[self.handed_on..]) {
                ByteTreatment::Plain { more } => self.plain = more,
                ByteTreatment::Wait => return false,
                ByteTreatment::Escape => {
                    let digit = |value: u8| Some(b"0123456789ABCDEF"[usize::from(value)]);
                    self.digits = [digit(byte >> 4), digit(byte & 15)];
                    self.handed_on += 1;
                    buf.put_slice(b"%");
                    return true;
                }
            }
        }
        self.handed_on += 1;
        buf.put_slice(&[byte]);
        match self.place.after(byte) {
            Some(place) => self.place = place,
            None => self.end_head(true),
        }
        true
    }
}

/// Whether this is exactly one request, most likely without a body, with a first line that needs no
/// change. Lines without a carriage return are not examined: several requests may look like one,
/// and [`RequestLines::resolve_head`] allows for this case.
fn is_one_plain_head(read: &[u8]) -> bool {
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    if !matches!(read[0], b'G' | b'H') || !read.ends_with(b"\r\n\r\n") {
        return false;
    }
    let line = &read[..memchr(b'\n', read).unwrap_or(read.len())];
    (line.is_ascii() || std::str::from_utf8(line).is_ok())
        && memchr3(b'"', b'<', b'>', line).is_none()
        && memchr(0x7f, line).is_none()
        && END.find(read) == Some(read.len() - 4)
}

impl<T: AsyncRead + Unpin> AsyncRead for RequestLines<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.has_waiting() {
            this.resolve_head();
            this.hand_on(buf);
        }
        // Bytes that may be the beginning of a character stay buffered, so read on.
        while buf.filled().len() == before {
            let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
            this.resolve_head();
            if polled.is_pending() {
                // hyper has used up all bytes that were passed on, or it would not ask for more.
                let is_start = this.place == ParsePosition::Start && !this.has_waiting();
                this.watch.set_between_requests(is_start);
            }
            ready!(polled)?;
            this.is_drained = buf.remaining() > 0;
            this.has_ended = buf.filled().len() == before;
            let read = &buf.filled()[before..];
            if read.is_empty() || !this.has_waiting() && this.pass_unchanged(read) {
                break;
            }
            this.waiting.extend_from_slice(read);
            buf.set_filled(before);
            this.hand_on(buf);
        }
        Poll::Ready(Ok(()))
    }
}

crate::forward_writes!(RequestLines, stream);

#[cfg(test)]
mod tests;
