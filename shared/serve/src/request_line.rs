//! Request lines, before hyper reads them: bytes that its URI parser refuses become percent-escapes.
//!
//! A link that somebody shares may have a raw `"`, `<`, `>` or a byte in it that is no UTF-8, most often
//! in a query. hyper answers such a request with 400 before a service sees it. This layer stands under
//! hyper and hands on what comes, byte for byte, except that each of these bytes within a target
//! becomes its escape. What hyper takes is never changed: a server may have signed it. hyper's
//! strictness holds everywhere else; blanks and control characters are left to it, because servers
//! disagree on whether they end a target.
//!
//! Invariant: where a target begins is known, never guessed, so that nothing but a target is ever
//! changed, and no length of a body.
//!
//! - A connection begins with a request. One head is handed on at a time; its end is the first empty
//!   line, as it is for hyper.
//! - How long its body is, the service tells, as hyper found it ([`HeadProgress`]). Behind that, the next
//!   request begins.
//! - Where the body's length is unknown before its end (chunked), or the head's end was not looked
//!   for exactly, the request is the connection's last.
//!
//! A browser's request, whole in one read and with a clean first line, is looked over in a few wide
//! steps and not copied. Everything else goes through [`ParsePosition::after`], byte by byte. Of what is
//! read, at most one read of hyper's waits here.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use memchr::memmem::Finder;
use memchr::{memchr, memchr3};
use tokio::io::{AsyncRead, ReadBuf};

use crate::open::ConnectionState;

/// What hyper's reading of heads tells the layer under it.
#[derive(Debug, Default)]
pub(crate) struct HeadProgress {
    /// Requests that hyper has read so far.
    read: AtomicU32,
    /// Length in bytes of the last one's body.
    body_bytes: AtomicU64,
    /// The end of the last head handed on was looked for byte by byte.
    is_exact: AtomicBool,
}

impl HeadProgress {
    /// hyper has read a head, and its body has so many bytes; `None` where only its end tells.
    /// Returns whether it is known where the next request begins.
    pub(crate) fn read(&self, body_bytes: Option<u64>) -> bool {
        self.read.store(self.count().wrapping_add(1), Ordering::Relaxed);
        self.body_bytes.store(body_bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
        body_bytes == Some(0) || body_bytes.is_some() && self.is_exact.load(Ordering::Relaxed)
    }

    fn count(&self) -> u32 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Where the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParsePosition {
    /// A request begins here, or an empty line before one.
    Start,
    Method,
    TargetsFirstByte,
    /// A target that begins with a scheme or a host, before its query.
    Authority,
    /// A path or a query.
    Escaped,
    Version,
    /// A header line, of which this much came.
    Field(Line),
    /// A head was handed on whole, when hyper had read so many requests.
    HeadsEnd {
        read_before: u32,
    },
    Body {
        left: u64,
    },
    /// Nothing is changed any more.
    Unknown,
}

/// How much of a header line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Nothing,
    CarriageReturn,
    More,
}

impl ParsePosition {
    /// What follows a byte of a head; `None` behind the head's last one. HeadProgress that hyper refuses may
    /// be read as anything.
    fn after(self, byte: u8) -> Option<ParsePosition> {
        Some(match (self, byte) {
            (ParsePosition::Start, b'\r' | b'\n') => ParsePosition::Start,
            (ParsePosition::Start, _) => ParsePosition::Method,
            (ParsePosition::Field(Line::Nothing | Line::CarriageReturn), b'\n') => return None,
            (ParsePosition::Field(Line::Nothing), b'\r') => {
                ParsePosition::Field(Line::CarriageReturn)
            }
            // Whatever line it is, it ends here.
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

/// What becomes of the next byte of a path or a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteTreatment {
    /// It and so many after it, which are one character, go on as they are.
    Plain {
        more: u8,
    },
    Escape,
    /// What follows it tells.
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

/// A stream whose targets have only bytes that a URI may hold.
#[derive(Debug)]
pub(crate) struct RequestLines<T> {
    stream: T,
    watch: Arc<ConnectionState>,
    place: ParsePosition,
    /// Read, and not handed on yet from `handed_on`.
    waiting: Vec<u8>,
    handed_on: usize,
    /// Bytes that follow as they are, because they belong to the character before.
    plain: u8,
    /// Digits of an escape whose `%` was handed on, the last one first.
    digits: Digits,
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
        }
    }

    /// What is beneath, without what waits here.
    pub(crate) fn stream_mut(&mut self) -> &mut T {
        &mut self.stream
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.digits[0].is_some()
    }

    /// hyper asks for more: by now it has read the head that it was given.
    fn resolve_head(&mut self) {
        let ParsePosition::HeadsEnd { read_before } = self.place else { return };
        let heads = &self.watch.heads;
        let requests = heads.count().wrapping_sub(read_before);
        let is_exact = heads.is_exact.load(Ordering::Relaxed);
        self.place = match heads.body_bytes.load(Ordering::Relaxed) {
            // Without a body behind the last one, whatever heads were handed on are all read.
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

    /// Whether what was read can go on to hyper as it is.
    fn pass_unchanged(&mut self, read: &[u8]) -> bool {
        match self.place {
            _ if read.is_empty() => true,
            ParsePosition::Unknown => true,
            // hyper tells it from HTTP/1 only where it sees all of it, and then ends the connection.
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

    /// Hands on what waits, up to a head's end or a body's.
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
            // An idle connection holds no memory for it.
            (self.waiting, self.handed_on) = (Vec::new(), 0);
        }
    }

    /// Hands on one byte of a head, or a part of its escape; returns whether that could be done yet.
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

/// Whether this is a request without a body, in general, that ends where it does, and whose first
/// line needs nothing. Lines that end without a carriage return are not looked at: then several
/// requests may be taken for one, which [`RequestLines::resolve_head`] allows for.
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
        // Nothing can be handed on of what may be the first bytes of a character.
        while buf.filled().len() == before {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            this.resolve_head();
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
