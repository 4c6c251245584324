//! An epoll loop and nothing else: the same bytes answer every read that ends a request's head. No
//! server can redirect at less cost. Takes the address to listen on; runs until killed.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};

const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: https://shop1.example/landing?coupon=ABCDEFGH25\r\n\
    cache-control: private, no-store\r\ncontent-length: 0\r\ndate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\r\n";
const LISTENER: u64 = u64::MAX;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr =
        std::env::args().nth(1).ok_or("give the address to listen on")?.parse()?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut connections = HashMap::new();
    let mut events: Vec<Event> = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            let id = event.data.u64();
            if id == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let id = stream.as_raw_fd() as u64;
                    epoll::add(&epoll, &stream, EventData::new_u64(id), EventFlags::IN)?;
                    connections.insert(id, stream);
                }
            } else if connections.get_mut(&id).is_some_and(|stream| answer(stream).is_err()) {
                // Closing it takes it out of the set.
                connections.remove(&id);
            }
        }
    }
}

/// One read, one answer; an error when the connection is over.
fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut head = [0; 8192];
    let len = match stream.read(&mut head) {
        Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
        Ok(len) => len,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        Err(error) => return Err(error),
    };
    if head[..len].ends_with(b"\r\n\r\n") {
        stream.write_all(ANSWER)?;
    }
    Ok(())
}
