//! A TLS connection above a non-blocking socket.
//!
//! The last message of the handshake and the first request leave in one write. Session tickets may
//! arrive at any time after the handshake, also on an idle connection.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use rustls::{ClientConnection, HandshakeKind};

/// Bytes of one read from the socket: a handshake flight with one certificate fits in.
const READ_BYTES: usize = 4096;

pub(crate) struct TlsSession(ClientConnection);

/// Result of one read from the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// `drained` means that the socket held no further bytes.
    Bytes {
        drained: bool,
    },
    Nothing,
    End,
}

impl TlsSession {
    pub(super) fn new(connection: ClientConnection) -> Self {
        Self(connection)
    }

    /// Advances the handshake as far as the socket allows; true when it is complete.
    pub(crate) fn handshake(&mut self, socket: &TcpStream, readable: bool) -> io::Result<bool> {
        let mut more = readable;
        while more && self.0.is_handshaking() {
            more = match self.receive(socket) {
                Ok(Received::Bytes { drained }) => !drained,
                Ok(Received::Nothing) => false,
                Ok(Received::End) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) => {
                    // Tells the server the reason; the connection is lost anyway.
                    let _ = self.flush(socket);
                    return Err(error);
                }
            };
        }
        let complete = !self.0.is_handshaking();
        if !complete {
            self.flush(socket)?;
        }
        Ok(complete)
    }

    /// Kind of the completed handshake.
    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.0.handshake_kind()
    }

    pub(crate) fn queue(&mut self, request: &[u8]) -> io::Result<()> {
        self.0.writer().write_all(request)
    }

    /// Writes queued bytes; false if the socket is full.
    pub(crate) fn flush(&mut self, mut socket: &TcpStream) -> io::Result<bool> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads once from the socket; decrypted bytes wait for [`Self::plaintext`].
    pub(crate) fn receive(&mut self, mut socket: &TcpStream) -> io::Result<Received> {
        let mut buffer = [0; READ_BYTES];
        let bytes = loop {
            match socket.read(&mut buffer) {
                Ok(0) => return Ok(Received::End),
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        let mut unread = &buffer[..bytes];
        // After the server's announcement of the end no bytes are taken.
        while !unread.is_empty() && self.0.read_tls(&mut unread)? > 0 {
            let processed = self.0.process_new_packets();
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        Ok(Received::Bytes { drained: bytes < READ_BYTES })
    }

    /// Fills `space` with decrypted bytes. `None`: no bytes yet; 0: the server announced the end.
    pub(crate) fn plaintext(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.reader().read(space) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads session tickets on an idle connection; false if the server closed the connection or
    /// sent other bytes.
    pub(crate) fn read_while_idle(&mut self, socket: &TcpStream) -> bool {
        loop {
            match self.receive(socket) {
                Ok(Received::Nothing) => return true,
                Ok(Received::Bytes { .. }) if matches!(self.plaintext(&mut [0]), Ok(None)) => {}
                _ => return false,
            }
        }
    }

    /// Announces the end, as browsers do before they close a connection.
    pub(crate) fn announce_end(&mut self, socket: &TcpStream) {
        self.0.send_close_notify();
        // The socket is closed next, whatever the result.
        let _ = self.flush(socket);
    }
}
