//! Reads the only file of a form (`multipart/form-data`) piece by piece as the bytes arrive. Texts
//! before the file are fields of the form.
//!
//! The bytes before the file (the first boundary and the headers of the part) are bounded by
//! [`MAX_HEAD_BYTES`] and searched only once. Only bytes of the file that may begin a boundary are
//! buffered.

use axum::body::Bytes;
use axum::http::StatusCode;

use super::byte_source::{ByteSource, WholeBody};
use crate::api::error::ApiError;

/// Most bytes before the file: the first boundary and the headers of the part.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// The most texts before the file.
const MAX_FIELDS: usize = 16;
/// From RFC 2046.
const MAX_BOUNDARY_BYTES: usize = 70;

/// The file inside a form.
pub(super) struct FormFile {
    body: WholeBody,
    /// The end of the file: a line end and the boundary.
    delimiter: Vec<u8>,
    /// Received bytes that are not passed on yet.
    held: Vec<u8>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the file.
    Head,
    /// In the file.
    File,
    /// After the file.
    End,
}

impl FormFile {
    /// Reads the boundary from the media type.
    pub(super) fn new(media_type: &str, body: WholeBody) -> Result<FormFile, ApiError> {
        let boundary = boundary_of(media_type).ok_or_else(|| {
            unreadable("its Content-Type must name a boundary of 1 to 70 characters")
        })?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first boundary may have no line end before it, so the buffer begins with a line end.
        Ok(FormFile { body, delimiter, held: b"\r\n".to_vec(), place: Place::Head })
    }

    /// Reads up to the first byte of the file; returns the fields before it with their texts.
    pub(super) async fn read_fields(&mut self) -> Result<Vec<(String, String)>, ApiError> {
        let mut fields = Vec::new();
        loop {
            let head = self.read_head().await?.ok_or_else(one_part)?;
            self.skip_immediate_end().await?;
            let Some(name) = field_name(&head) else {
                self.place = Place::File;
                return Ok(fields);
            };
            if fields.len() == MAX_FIELDS {
                return Err(unreadable(&format!(
                    "there are more than {MAX_FIELDS} texts before the file"
                )));
            }
            let end = self.find_in_head(0, &self.delimiter.clone()).await?;
            let text = String::from_utf8_lossy(&self.held[..end]);
            fields.push((name, text.into_owned()));
            self.held.drain(..end);
        }
    }

    /// The empty line behind the headers of a part may be the line end of an immediate boundary.
    async fn skip_immediate_end(&mut self) -> Result<(), ApiError> {
        while self.held.len() + 2 < self.delimiter.len()
            && self.delimiter[2..].starts_with(&self.held)
        {
            self.read_more().await?;
        }
        if self.held.starts_with(&self.delimiter[2..]) {
            self.held.splice(..0, *b"\r\n");
        }
        Ok(())
    }

    /// Reads the headers of a part, and the empty line behind them; `None`: there is no part.
    async fn read_head(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let begin = self.find_in_head(0, &self.delimiter.clone()).await?;
        let behind = begin + self.delimiter.len();
        let line_end = self.find_in_head(behind, b"\r\n").await?;
        if self.held[behind..line_end].starts_with(b"--") {
            return Ok(None);
        }
        // A part without headers begins with the empty line.
        let head_end = self.find_in_head(line_end, b"\r\n\r\n").await? + 4;
        Ok(Some(self.held.drain(..head_end).skip(line_end).collect()))
    }

    /// The position of a sequence at or after `from`.
    async fn find_in_head(&mut self, mut from: usize, sought: &[u8]) -> Result<usize, ApiError> {
        loop {
            if let Some(at) = find(&self.held[from..], sought) {
                return Ok(from + at);
            }
            // Searching the same bytes again would make long heads quadratic.
            from = from.max((self.held.len() + 1).saturating_sub(sought.len()));
            if self.held.len() > MAX_HEAD_BYTES {
                let message = format!(
                    "there are more than {MAX_HEAD_BYTES} bytes before the file; \
                     send one part with the file and nothing else"
                );
                return Err(unreadable(&message));
            }
            self.read_more().await?;
        }
    }

    async fn read_more(&mut self) -> Result<(), ApiError> {
        match self.body.next().await? {
            Some(bytes) => {
                self.held.extend_from_slice(&bytes);
                Ok(())
            }
            None => {
                let message = "the body broke off: the form's last boundary is missing";
                Err(ApiError::new(StatusCode::BAD_REQUEST, "body.broken_off", message))
            }
        }
    }

    /// Takes the bytes that certainly belong to the file.
    fn take_of_file(&mut self) -> Bytes {
        let sure = boundary_at(&self.held, &self.delimiter);
        let rest = self.held.split_off(sure);
        Bytes::from(std::mem::replace(&mut self.held, rest))
    }

    /// Reads the bytes after the file, which are bounded.
    async fn read_end(&mut self) -> Result<(), ApiError> {
        self.held.drain(..self.delimiter.len());
        while self.held.len() < 2 {
            self.read_more().await?;
        }
        if !self.held.starts_with(b"--") {
            return Err(one_part());
        }
        self.place = Place::End;
        let mut left = MAX_HEAD_BYTES;
        while let Some(bytes) = self.body.next().await? {
            left = left
                .checked_sub(bytes.len())
                .ok_or_else(|| unreadable("there is more behind its last boundary"))?;
        }
        Ok(())
    }
}

impl ByteSource for FormFile {
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        if self.place == Place::End {
            return Ok(None);
        }
        if self.place == Place::Head {
            self.read_fields().await?;
        }
        loop {
            let bytes = self.take_of_file();
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            if self.held.starts_with(&self.delimiter) {
                self.read_end().await?;
                return Ok(None);
            }
            self.read_more().await?;
        }
    }
}

/// The position of a delimiter or of its possible beginning; the length of `held` if there is none.
fn boundary_at(held: &[u8], delimiter: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = held[from..].iter().position(|byte| *byte == b'\r') {
        let rest = &held[from + at..];
        if rest.starts_with(delimiter) || delimiter.starts_with(rest) {
            return from + at;
        }
        from += at + 1;
    }
    held.len()
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    text.windows(sought.len()).position(|window| window == sought)
}

/// The boundary parameter of a media type.
fn boundary_of(media_type: &str) -> Option<&str> {
    let mut parameters = media_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    (1..=MAX_BOUNDARY_BYTES).contains(&value.len()).then_some(value)
}

/// The name of a text; `None` for the headers of a file.
fn field_name(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let is_disposition =
        |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let disposition = head.lines().find(is_disposition)?;
    let value = |name: &str| {
        let parameters = disposition.split(';').filter_map(|part| part.trim().split_once('='));
        let mut named = parameters.filter(|(own, _)| own.trim().eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let is_file = ["filename", "filename*"].iter().any(|name| value(name).is_some());
    value("name").filter(|name| !is_file && name != "file")
}

fn one_part() -> ApiError {
    let sentence = "the form must have one part with the file, and nothing else behind texts";
    ApiError::field("file", sentence)
}

fn unreadable(reason: &str) -> ApiError {
    let message = format!("the form cannot be read: {reason}");
    ApiError::new(StatusCode::BAD_REQUEST, "body.syntax", message)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use axum::body::{Body, HttpBody};
    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body in pieces.
    struct Pieces(std::vec::IntoIter<Bytes>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.next().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    /// Reads the file of a form with a body in pieces of `piece_bytes`.
    fn read(body: &[u8], piece_bytes: usize) -> Result<Vec<u8>, String> {
        let pieces: Vec<Bytes> = body.chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
        let body = WholeBody(Body::new(Pieces(pieces.into_iter())));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut form = FormFile::new("multipart/form-data; boundary=XX", body)
                .map_err(|error| format!("{error:?}"))?;
            let mut file = Vec::new();
            while let Some(bytes) = form.next().await.map_err(|error| format!("{error:?}"))? {
                assert!(!bytes.is_empty());
                file.extend_from_slice(&bytes);
            }
            Ok(file)
        })
    }

    fn part(file: &[u8]) -> Vec<u8> {
        let head = b"--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        [head, file, b"\r\n--XX--\r\n"].concat()
    }

    #[test]
    fn a_form_has_one_part() {
        assert!(read(b"--XX--\r\n", 99).unwrap_err().contains("one part"));
        let two = [b"--XX\r\n\r\na\r\n".as_slice(), &part(b"b")].concat();
        assert!(read(&two, 7).unwrap_err().contains("one part"));
        assert_eq!(read(b"--XX\r\n\r\nplain\r\n--XX--", 3), Ok(b"plain".to_vec()));
        assert_eq!(
            read(b"before\r\n--XX  \r\nA: b\r\n\r\nx\r\n--XX--\r\nbehind", 1),
            Ok(b"x".to_vec())
        );
        assert_eq!(read(&part(b""), 2), Ok(Vec::new()));
        assert_eq!(read(b"--XX\r\n\r\n--XX--\r\n", 4), Ok(Vec::new()));
    }

    #[test]
    fn texts_before_the_file_are_fields() {
        let field = |name: &str, text: &str| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
        };
        let head = field("date_format", "dd/mm/yyyy") + &field("sheet", "");
        let file = b"--XX\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a;b.csv\"\r\n\r\n1\r\n--XX--\r\n";
        let body = [head.as_bytes(), file].concat();
        let body = || WholeBody(Body::from(body.clone()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut form = FormFile::new("multipart/form-data; boundary=XX", body()).unwrap();
            let fields = form.read_fields().await.unwrap();
            let text = |text: &str| text.to_owned();
            let expected = [(text("date_format"), text("dd/mm/yyyy")), (text("sheet"), text(""))];
            assert_eq!(fields, expected);
            assert_eq!(form.next().await.unwrap().unwrap(), "1");
            assert!(form.next().await.unwrap().is_none());
        });
        let many = field("sheet", "x").repeat(MAX_FIELDS + 1) + "--XX--\r\n";
        assert!(read(many.as_bytes(), 99).unwrap_err().contains("texts before the file"));
        assert!(read(field("sheet", "x").as_bytes(), 5).unwrap_err().contains("broken_off"));
    }

    #[test]
    fn a_form_that_ends_anywhere_is_broken_off() {
        let whole = part(b"1,2\r\n3,4\r\n");
        for end in 0..whole.len() - 4 {
            let broken = read(&whole[..end], 16).unwrap_err();
            assert!(broken.contains("broken_off"), "{end}: {broken}");
        }
    }

    #[test]
    fn headers_without_end_are_refused_early() {
        let endless = [b"--XX\r\nA: ".as_slice(), &b"x".repeat(100 << 20)].concat();
        let began = std::time::Instant::now();
        let refused = read(&endless, 1000).unwrap_err();
        assert!(
            refused.contains("before the file") && refused.contains("body.syntax"),
            "{refused}"
        );
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
        assert!(read(&b"x".repeat(1 << 20), 10).is_err());
    }

    #[test]
    fn a_boundary_is_read_from_the_media_type() {
        for (media_type, boundary) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data", None),
        ] {
            assert_eq!(boundary_of(media_type), boundary, "{media_type}");
        }
        assert_eq!(boundary_of(&format!("x; boundary={}", "a".repeat(71))), None);
    }

    proptest! {
        #[test]
        fn any_file_comes_through_in_pieces_of_any_length(
            file in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n-X"[..])], 0..200),
            piece_bytes in 1_usize..40,
        ) {
            prop_assume!(find(&[b"\r\n", file.as_slice()].concat(), b"\r\n--XX").is_none());
            prop_assert_eq!(read(&part(&file), piece_bytes), Ok(file));
        }
    }
}
