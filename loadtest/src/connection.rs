//! A non-blocking connection: sends one request and reads its answer before the next.
//!
//! A connection that the server closed while idle is reopened without an error, as browsers do. A
//! connection that breaks after a request was sent is an error of this request. The request is
//! never repeated: the server may have counted it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::answer::{AnswerError, AnswerReader, Head};
use crate::tally::FailureKind;

/// Reasons why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Connect(std::io::Error),
    #[error("no connection within the timeout")]
    ConnectTimeout,
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
    Writing,
    Reading,
}

pub(crate) struct Connection {
    target: SocketAddr,
    slot: u32,
    /// Distinguishes pending events of an earlier socket from events of the present one.
    incarnation: u32,
    socket: Option<TcpStream>,
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
            sent_on_socket: 0,
            phase: Phase::Idle,
            request: Vec::with_capacity(2048),
            code: 0..0,
            written: 0,
            reader: AnswerReader::new(),
        }
    }

    /// Connects before the run, so the first requests do not include the cost of connecting.
    pub(crate) fn open_early(&mut self, epoll: &OwnedFd, timeout: Duration) -> std::io::Result<()> {
        let socket = TcpStream::connect_timeout(&self.target, timeout)?;
        socket.set_nonblocking(true)?;
        self.adopt(epoll, socket)
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
    pub(crate) fn start_connecting(&mut self, epoll: &OwnedFd) -> Result<(), Failure> {
        let socket = new_socket(self.target).map_err(Failure::Connect)?;
        match rustix::net::connect(&socket, &self.target) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(Failure::Connect(error.into())),
        }
        self.adopt(epoll, TcpStream::from(socket)).map_err(Failure::Connect)?;
        self.phase = Phase::Connecting;
        Ok(())
    }

    /// Result of connecting, after an event.
    pub(crate) fn finish_connecting(&mut self) -> Result<(), Failure> {
        let socket = self.socket.as_ref().ok_or(Failure::Closed)?;
        match socket.take_error() {
            Ok(None) => Ok(()),
            Ok(Some(error)) | Err(error) => Err(Failure::Connect(error)),
        }
    }

    /// Sends the prepared request; continues at the next event if the socket is full.
    pub(crate) fn write(&mut self) -> Result<(), Failure> {
        if self.phase != Phase::Writing {
            self.sent_on_socket += 1;
            self.phase = Phase::Writing;
        }
        let socket = self.socket.as_mut().ok_or(Failure::Closed)?;
        while self.written < self.request.len() {
            match socket.write(&self.request[self.written..]) {
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.phase = Phase::Reading;
        Ok(())
    }

    /// Reads available bytes; true when the answer is complete.
    pub(crate) fn read(&mut self, server_closed: bool) -> Result<bool, Failure> {
        let socket = self.socket.as_mut().ok_or(Failure::Closed)?;
        loop {
            let space = self.reader.space();
            let room = space.len();
            match socket.read(space) {
                Ok(0) => return Err(Failure::Closed),
                Ok(bytes) if self.reader.accept(bytes)? => return Ok(true),
                // A short read means the socket is empty; later bytes make a new event.
                Ok(bytes) if bytes < room && !server_closed => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes the connection ready for the next request.
    pub(crate) fn rest(&mut self) {
        self.phase = Phase::Idle;
    }

    pub(crate) fn close(&mut self) {
        self.socket = None;
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

fn new_socket(target: SocketAddr) -> std::io::Result<OwnedFd> {
    let family = if target.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}
