//! A non-blocking connection: sends one request and reads its answer before the next.
//!
//! A connection that the server closed while idle is reopened without an error, as browsers do. A
//! connection that breaks after a request was sent is an error of this request. The request is
//! never repeated: the server may have counted it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustls::HandshakeKind;

use crate::answer::{AnswerError, AnswerReader, Head};
use crate::socket;
use crate::tally::FailureKind;
use crate::tls::TlsClient;
use crate::tls::session::{Received, TlsSession};

/// Reasons why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Connect(std::io::Error),
    #[error("no connection within the timeout")]
    ConnectTimeout,
    #[error("{0}")]
    Handshake(std::io::Error),
    #[error("no complete TLS handshake within the timeout")]
    HandshakeTimeout,
    #[error("{0}")]
    Broken(#[from] std::io::Error),
    #[error("the server closed the connection instead of answering")]
    Closed,
    #[error("no complete answer within the timeout")]
    Timeout,
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl Failure {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Connect(_) | Self::ConnectTimeout => FailureKind::Connect,
            Self::Handshake(_) | Self::HandshakeTimeout => FailureKind::Handshake,
            Self::Broken(_) | Self::Closed => FailureKind::Reset,
            Self::Timeout => FailureKind::Timeout,
            Self::Answer(_) => FailureKind::Parse,
        }
    }
}

/// Progress of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Connecting,
    /// TLS handshake.
    Handshaking,
    Writing,
    Reading,
}

pub(crate) struct Connection {
    target: SocketAddr,
    slot: u32,
    /// Distinguishes pending events of an earlier socket from events of the present one.
    incarnation: u32,
    socket: Option<TcpStream>,
    /// TLS above the socket, if any.
    tls: Option<Box<TlsSession>>,
    sent_on_socket: u64,
    phase: Phase,
    request: Vec<u8>,
    code: Range<usize>,
    written: usize,
    reader: AnswerReader,
}

impl Connection {
    pub(crate) fn new(target: SocketAddr, slot: u32) -> Self {
        Self {
            target,
            slot,
            incarnation: 0,
            socket: None,
            tls: None,
            sent_on_socket: 0,
            phase: Phase::Idle,
            request: Vec::with_capacity(2048),
            code: 0..0,
            written: 0,
            reader: AnswerReader::new(),
        }
    }

    /// Connects before the run, so the first requests do not include the cost of connecting.
    pub(crate) fn open_early(
        &mut self,
        epoll: &OwnedFd,
        tls: Option<&TlsClient>,
        source: Option<Ipv4Addr>,
        timeout: Duration,
    ) -> anyhow::Result<()> {
        let socket = socket::connect_within(self.target, source, timeout)?;
        let mut session = match tls {
            Some(tls) => Some(Box::new(tls.handshake(&socket, timeout)?)),
            None => None,
        };
        if let Some(session) = &mut session {
            session.flush(&socket)?;
        }
        self.adopt(epoll, socket)?;
        self.tls = session;
        Ok(())
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Slot of an event, and the incarnation of its connection.
    pub(crate) fn addressee(data: EventData) -> (usize, u32) {
        let data = data.u64();
        ((data & u64::from(u32::MAX)) as usize, (data >> 32) as u32)
    }

    pub(crate) fn is_of(&self, incarnation: u32) -> bool {
        self.socket.is_some() && self.incarnation == incarnation
    }

    /// Number of requests sent on the present socket.
    pub(crate) fn sent_on_socket(&self) -> u64 {
        self.sent_on_socket
    }

    /// Renders the next request; `render` returns the position of the code.
    pub(crate) fn prepare(&mut self, render: impl FnOnce(&mut Vec<u8>) -> Range<usize>) {
        self.code = render(&mut self.request);
        self.written = 0;
        self.reader.begin();
    }

    pub(crate) fn code(&self) -> &[u8] {
        &self.request[self.code.clone()]
    }

    pub(crate) fn head(&self) -> Option<&Head> {
        self.reader.head()
    }

    pub(crate) fn location(&self) -> Option<&[u8]> {
        self.reader.location()
    }

    /// Starts connecting; an event reports the result.
    pub(crate) fn start_connecting(
        &mut self,
        epoll: &OwnedFd,
        tls: Option<&TlsClient>,
        source: Option<Ipv4Addr>,
    ) -> Result<(), Failure> {
        let socket = socket::start_connecting(self.target, source).map_err(Failure::Connect)?;
        self.adopt(epoll, socket).map_err(Failure::Connect)?;
        self.phase = Phase::Connecting;
        let session = tls.map(TlsClient::session).transpose();
        let session = session.map_err(|error| Failure::Handshake(std::io::Error::other(error)))?;
        self.tls = session.map(Box::new);
        Ok(())
    }

    /// Result of connecting, after an event; true when the connection can carry a request, false
    /// when a TLS handshake has begun.
    pub(crate) fn finish_connecting(&mut self) -> Result<bool, Failure> {
        let socket = self.socket.as_ref().ok_or(Failure::Closed)?;
        match socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(Failure::Connect(error)),
        }
        if self.tls.is_none() {
            return Ok(true);
        }
        self.phase = Phase::Handshaking;
        self.handshake(false)
    }

    /// Advances the TLS handshake; true when the connection can carry a request.
    pub(crate) fn handshake(&mut self, readable: bool) -> Result<bool, Failure> {
        let (Some(socket), Some(tls)) = (&self.socket, &mut self.tls) else {
            return Err(Failure::Closed);
        };
        tls.handshake(socket, readable).map_err(Failure::Handshake)
    }

    pub(crate) fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.as_ref()?.handshake_kind()
    }

    /// Reads session tickets that arrive between requests; false if the connection is over.
    pub(crate) fn survives_idle_bytes(&mut self) -> bool {
        match (&self.socket, &mut self.tls) {
            (Some(socket), Some(tls)) => tls.read_while_idle(socket),
            _ => false,
        }
    }

    /// Sends the prepared request; continues at the next event if the socket is full.
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        let begins = self.phase != Phase::Writing;
        if begins {
            self.sent_on_socket += 1;
            self.phase = Phase::Writing;
        }
        let socket = self.socket.as_mut().ok_or(Failure::Closed)?;
        let all_written = match &mut self.tls {
            Some(tls) => {
                if begins {
                    tls.queue(&self.request)?;
                }
                tls.flush(socket)?
            }
            None => write_some(socket, &self.request, &mut self.written)?,
        };
        if all_written {
            self.phase = Phase::Reading;
        }
        Ok(())
    }

    /// Reads available bytes; true when the answer is complete.
    pub(crate) fn read(&mut self, server_closed: bool) -> Result<bool, Failure> {
        let socket = self.socket.as_mut().ok_or(Failure::Closed)?;
        match &mut self.tls {
            Some(tls) => read_tls(socket, tls, &mut self.reader, server_closed),
            None => read_plain(socket, &mut self.reader, server_closed),
        }
    }

    /// Makes the connection ready for the next request.
    pub(crate) fn rest(&mut self) {
        self.phase = Phase::Idle;
    }

    pub(crate) fn close(&mut self) {
        if let (Some(socket), Some(tls)) = (&self.socket, &mut self.tls) {
            tls.announce_end(socket);
        }
        self.socket = None;
        self.tls = None;
        self.phase = Phase::Idle;
    }

    fn adopt(&mut self, epoll: &OwnedFd, socket: TcpStream) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        self.incarnation = self.incarnation.wrapping_add(1);
        let data = u64::from(self.slot) | u64::from(self.incarnation) << 32;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(data), flags)?;
        self.socket = Some(socket);
        self.sent_on_socket = 0;
        Ok(())
    }
}

/// Writes from position `written` on; false if the socket is full.
fn write_some(
    socket: &mut TcpStream,
    request: &[u8],
    written: &mut usize,
) -> std::io::Result<bool> {
    while *written < request.len() {
        match socket.write(&request[*written..]) {
            Ok(bytes) => *written += bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_plain(
    socket: &mut TcpStream,
    reader: &mut AnswerReader,
    server_closed: bool,
) -> Result<bool, Failure> {
    loop {
        let space = reader.space();
        let room = space.len();
        match socket.read(space) {
            Ok(0) => return Err(Failure::Closed),
            Ok(bytes) if reader.accept(bytes)? => return Ok(true),
            // A short read means the socket is empty; later bytes make a new event.
            Ok(bytes) if bytes < room && !server_closed => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn read_tls(
    socket: &TcpStream,
    tls: &mut TlsSession,
    reader: &mut AnswerReader,
    server_closed: bool,
) -> Result<bool, Failure> {
    loop {
        let received = tls.receive(socket)?;
        while let Some(bytes) = tls.plaintext(reader.space())? {
            if bytes == 0 {
                return Err(Failure::Closed);
            }
            if reader.accept(bytes)? {
                return Ok(true);
            }
        }
        match received {
            Received::End => return Err(Failure::Closed),
            Received::Nothing => return Ok(false),
            Received::Bytes { drained } if drained && !server_closed => return Ok(false),
            Received::Bytes { .. } => {}
        }
    }
}
