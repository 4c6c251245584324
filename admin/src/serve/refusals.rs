//! Adds the API's JSON error body to hyper's own refusals.
//!
//! hyper answers malformed requests without calling a handler, with a status and an empty body. It
//! writes such a response in one piece, as the last one of the connection. All other errors have a
//! body, so no other response is mistaken for a refusal.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use coupon_serve::{ClientStream, Listener};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// hyper's status line, the error code, and the error text.
const REFUSALS: [(&str, &str, &str); 3] = [
    (
        "400 Bad Request",
        "request.malformed",
        "the request is not valid HTTP; percent-encode spaces and control characters in its target, \
         and write each header on a line of its own",
    ),
    ("414 URI Too Long", "request.target_too_long", "the request's target is too long"),
    (
        "431 Request Header Fields Too Large",
        "request.head_too_large",
        "the request's target and headers are too long together",
    ),
];

/// A listener for connections with JSON refusals.
pub(super) struct RefusingInJson<L>(pub(super) L);

impl<L: Listener> Listener for RefusingInJson<L> {
    type Stream = JsonRefusals<L::Stream>;
    type Peer = L::Peer;

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, Self::Peer)>> {
        let (stream, peer) = ready!(self.0.poll_accept(cx))?;
        Poll::Ready(Ok((JsonRefusals { stream, refusal: None }, peer)))
    }
}

/// A connection that replaces hyper's refusals by JSON ones.
pub(super) struct JsonRefusals<T> {
    stream: T,
    refusal: Option<Refusal>,
}

/// A refusal being written.
struct Refusal {
    bytes: Vec<u8>,
    written: usize,
    /// Length of hyper's refusal.
    replaced: usize,
}

impl Refusal {
    /// Returns the replacement if hyper writes a refusal.
    fn instead_of(written: &[u8]) -> Option<Refusal> {
        let line = written.strip_prefix(b"HTTP/1.1 ")?;
        let of_line = |(status, ..): &&(&str, &str, &str)| line.starts_with(status.as_bytes());
        let (status, code, sentence) = REFUSALS.iter().find(of_line)?;
        let head = std::str::from_utf8(written).ok()?.to_ascii_lowercase();
        if !head.contains("\r\ncontent-length: 0\r\n") {
            return None;
        }
        let body = json!({"error": sentence, "code": code, "fields": []}).to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\
             X-Frame-Options: DENY\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        Some(Refusal { bytes: head.into_bytes(), written: 0, replaced: written.len() })
    }
}

impl<T: AsyncWrite + Unpin> JsonRefusals<T> {
    /// Writes the rest of a refusal; returns the length of the replaced bytes.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(refusal) = &mut self.refusal else { return Poll::Ready(Ok(0)) };
        while let Some(rest) = refusal.bytes.get(refusal.written..).filter(|rest| !rest.is_empty())
        {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            refusal.written += written;
        }
        let replaced = refusal.replaced;
        self.refusal = None;
        Poll::Ready(Ok(replaced))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for JsonRefusals<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<T: ClientStream> ClientStream for JsonRefusals<T> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_readable(cx)
    }

    fn has_unread(&self) -> bool {
        self.stream.has_unread()
    }

    fn held_bytes(&self) -> u32 {
        self.stream.held_bytes()
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_close(cx)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for JsonRefusals<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refusal.is_none() {
            self.refusal = Refusal::instead_of(buf);
        }
        if self.refusal.is_some() {
            return self.poll_refusal(cx).map_ok(|replaced| replaced.min(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn written(bytes: &[u8]) -> String {
        let (stream, mut other) = tokio::io::duplex(16);
        let mut stream = JsonRefusals { stream, refusal: None };
        let reading = tokio::spawn(async move {
            let mut read = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut other, &mut read).await.unwrap();
            read
        });
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        String::from_utf8(reading.await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn only_an_error_without_a_body_gets_one() {
        for (status, code, _) in REFUSALS {
            let bare = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n"
            );
            let answer = written(bare.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["code"], code);
        }
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(written(other.as_bytes()).await, other);
        }
    }
}
