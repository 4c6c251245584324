//! New connections while all places are taken.

use super::*;

async fn start_with_limit(max_connections: usize) -> Running {
    start(Limits { max_connections, ..Limits::default() })
}

async fn send_request(stream: &mut TcpStream) {
    stream.write_all(GET).await.unwrap();
    assert!(head(stream).await.starts_with("HTTP/1.1 200"));
}

/// Asks on a new connection from 127.0.0.`host`; returns the time to the answer.
async fn visit_from(server: &Running, host: u8) -> (TcpStream, Duration) {
    let began = Instant::now();
    let mut stream = server.connect_from(host).await;
    send_request(&mut stream).await;
    (stream, began.elapsed())
}

/// Whether the server closed the connection, without a reset.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut [0])).await;
    read.is_ok_and(|read| read.unwrap() == 0)
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room_at_once() {
    let server = start_with_limit(3).await;
    let mut idle = Vec::new();
    for host in 2..=4 {
        idle.push(visit_from(&server, host).await.0);
    }
    send_request(&mut idle[0]).await;
    let (mut newcomer, took) = visit_from(&server, 5).await;
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert!(is_closed(&mut idle[1]).await, "the longest idle connection is still open");
    for stream in [&mut idle[0], &mut newcomer] {
        send_request(stream).await;
    }
    send_request(&mut idle[2]).await;
    assert_eq!((server.open(), server.evicted()), (3, 1));
}

#[tokio::test]
async fn every_newcomer_is_served_at_once_while_others_idle() {
    let server = start_with_limit(50).await;
    let mut idle = Vec::new();
    for number in 0..50 {
        idle.push(visit_from(&server, 2 + number).await.0);
    }
    let mut took = Vec::new();
    for number in 0..150 {
        let (stream, latency) = visit_from(&server, 60 + number).await;
        idle.push(stream);
        took.push(latency);
    }
    took.sort();
    assert!(took[148] < Duration::from_millis(300), "{took:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((server.open(), server.evicted()), (50, 150));
}

#[tokio::test]
async fn busy_connections_are_never_closed_and_newcomers_wait_for_them() {
    let server = start_with_limit(2).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for stream in [&mut first, &mut second] {
        stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut third = server.connect().await;
    third.write_all(GET).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), third.read_u8()).await;
    assert!(early.is_err(), "a third connection was served beyond the cap");
    assert_eq!((server.open(), server.evicted()), (2, 0));
    drop(first);
    assert!(head(&mut third).await.starts_with("HTTP/1.1 200"));
    assert!(!is_closed(&mut second).await, "a busy connection was closed");
}

#[tokio::test]
async fn an_answer_that_is_being_taken_or_made_keeps_its_connection_open() {
    let server = start_with_limit(2).await;
    let (mut large, mut pausing) = (server.connect_from(2).await, server.connect_from(2).await);
    large.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    pausing.write_all(b"GET /pauses HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    head(&mut pausing).await;
    tokio::time::sleep(Duration::from_millis(1700)).await;
    let mut newcomer = server.connect_from(3).await;
    newcomer.write_all(GET).await.unwrap();
    let mut body = [0; 19];
    pausing.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"4\r\nhalf\r\n4\r\nhalf\r\n0");
    assert!(head(&mut newcomer).await.starts_with("HTTP/1.1 200"));
    assert!(head(&mut large).await.starts_with("HTTP/1.1 200"));
    let mut answer = vec![0; 64 << 20];
    large.read_exact(&mut answer).await.unwrap();
}

#[tokio::test]
async fn the_address_with_most_connections_makes_room_first() {
    let server = start_with_limit(5).await;
    let (mut longest_idle, _) = visit_from(&server, 3).await;
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(visit_from(&server, 2).await.0);
    }
    let mut others = Vec::new();
    for host in 4..=6 {
        others.push(visit_from(&server, host).await.0);
    }
    for stream in &mut many[..3] {
        assert!(is_closed(stream).await, "an address kept more than its share");
    }
    for stream in others.iter_mut().chain([&mut longest_idle, &mut many[3]]) {
        send_request(stream).await;
    }
    assert_eq!(server.evicted(), 3);
}

#[tokio::test]
async fn an_address_with_most_connections_replaces_its_own() {
    let server = start_with_limit(4).await;
    let (mut longest_idle, _) = visit_from(&server, 3).await;
    let (mut other, _) = visit_from(&server, 4).await;
    let mut own = vec![visit_from(&server, 2).await.0, visit_from(&server, 2).await.0];
    for _ in 0..5 {
        // Sweeps find idle connections that still have buffers, and pause between two of them.
        tokio::time::sleep(Duration::from_millis(20)).await;
        own.push(visit_from(&server, 2).await.0);
    }
    for stream in own[5..].iter_mut().chain([&mut longest_idle, &mut other]) {
        send_request(stream).await;
    }
    assert_eq!((server.open(), server.evicted()), (4, 5));
}

#[tokio::test]
async fn silent_connections_and_unfinished_heads_of_a_second_go_before_idle_ones() {
    let server = start_with_limit(4).await;
    let mut idle = [visit_from(&server, 2).await.0, visit_from(&server, 2).await.0];
    let mut silent = server.connect_from(3).await;
    let mut unfinished = server.connect_from(4).await;
    unfinished.write_all(b"GET / HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let mut newcomers = Vec::new();
    for host in 5..=6 {
        newcomers.push(visit_from(&server, host).await.0);
    }
    assert!(is_closed(&mut silent).await && is_closed(&mut unfinished).await);
    for stream in idle.iter_mut().chain(&mut newcomers) {
        send_request(stream).await;
    }
}

#[tokio::test]
async fn silent_connections_alone_make_room_however_young() {
    let server = start_with_limit(20).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(server.connect_from(2).await);
    }
    let (_stream, took) = visit_from(&server, 3).await;
    assert!(took < Duration::from_millis(300), "{took:?}");
    assert!(is_closed(&mut silent[0]).await);
}

#[tokio::test]
async fn a_request_that_has_arrived_is_answered_although_its_connection_was_the_next_to_close() {
    let server = start_with_limit(2).await;
    let mut idle = Vec::new();
    for host in 2..=3 {
        idle.push(visit_from(&server, host).await.0);
    }
    for wait_ms in [0, 1600] {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        // The server shares this thread, so it learns of both at the same time.
        let mut oldest = idle.remove(0).into_std().unwrap();
        oldest.write_all(GET).unwrap();
        let newcomer = std::net::TcpStream::connect(server.address).unwrap();
        newcomer.set_nonblocking(true).unwrap();
        let mut oldest = TcpStream::from_std(oldest).unwrap();
        assert!(head(&mut oldest).await.starts_with("HTTP/1.1 200"));
        let mut newcomer = TcpStream::from_std(newcomer).unwrap();
        send_request(&mut newcomer).await;
        assert!(is_closed(&mut idle[0]).await, "another idle connection had to make room");
        idle = vec![oldest, newcomer];
    }
}

#[tokio::test]
async fn a_lowered_limit_closes_idle_connections() {
    let server = start_with_limit(10).await;
    let mut idle = Vec::new();
    for host in 2..=6 {
        idle.push(visit_from(&server, host).await.0);
    }
    server.limits.send(Limits { max_connections: 2, ..Limits::default() }).unwrap();
    for stream in &mut idle[..3] {
        assert!(is_closed(stream).await);
    }
    send_request(&mut idle[3]).await;
    send_request(&mut idle[4]).await;
}

/// Memory for three connections with buffers, or for 32 without.
const LITTLE_MEMORY: u64 = 128 << 10;

async fn start_with_little_memory() -> Running {
    start(Limits { max_connection_bytes: LITTLE_MEMORY, ..Limits::default() })
}

#[tokio::test]
async fn idle_connections_give_their_buffers_back_before_any_is_closed_for_memory() {
    let server = start_with_little_memory().await;
    let mut idle = Vec::new();
    for host in 2..=26 {
        let (stream, took) = visit_from(&server, host).await;
        assert!(took < Duration::from_millis(300), "{took:?}");
        idle.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(server.bytes() <= LITTLE_MEMORY, "{} bytes", server.bytes());
    for stream in &mut idle {
        send_request(stream).await;
    }
    assert_eq!((server.open(), server.evicted_for_memory()), (25, 0));
}

#[tokio::test]
async fn at_the_limit_of_memory_the_longest_idle_connection_makes_room_at_once() {
    let server = start_with_little_memory().await;
    let mut idle = Vec::new();
    let mut took = Vec::new();
    for host in 2..=101 {
        let (stream, latency) = visit_from(&server, host).await;
        idle.push(stream);
        took.push(latency);
    }
    took.sort();
    assert!(took[98] < Duration::from_millis(300), "{took:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (open, evicted) = (server.open(), server.evicted_for_memory());
    assert!((25..=32).contains(&open) && open + evicted == 100, "{open} open, {evicted} closed");
    assert!(server.bytes() <= LITTLE_MEMORY && server.evicted() == 0, "{} bytes", server.bytes());
    for stream in &mut idle[80..] {
        send_request(stream).await;
    }
}

#[tokio::test]
async fn the_buffers_of_an_unfinished_request_take_the_memory_of_those_who_wait() {
    let server = start_with_little_memory().await;
    let mut silent = Vec::new();
    for host in 2..=31 {
        silent.push(server.connect_from(host).await);
    }
    let mut unfinished = server.connect_from(40).await;
    unfinished.write_all(b"GET / HT").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(is_closed(&mut silent[0]).await);
    assert!(server.bytes() <= LITTLE_MEMORY, "{} bytes", server.bytes());
    let evicted = server.evicted_for_memory();
    assert!((1..=8).contains(&evicted) && server.open() == 31 - evicted, "{evicted} closed");
    unfinished.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(head(&mut unfinished).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn memory_is_given_back_by_the_idle_and_by_those_who_leave() {
    let server = start_with_little_memory().await;
    let (stream, _) = visit_from(&server, 2).await;
    let serving = server.bytes();
    tokio::time::sleep(Duration::from_millis(1800)).await;
    let parked = server.bytes();
    assert!(parked > 0 && parked * 4 < serving, "{parked} of {serving} bytes while idle");
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.bytes(), 0);
}

#[tokio::test]
async fn busy_connections_are_not_closed_for_their_memory_and_newcomers_wait_for_them() {
    let server = start_with_little_memory().await;
    let mut busy = Vec::new();
    for host in 2..=7 {
        let mut stream = server.connect_from(host).await;
        stream.write_all(b"GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        busy.push(stream);
    }
    let mut newcomer = server.connect_from(8).await;
    newcomer.write_all(GET).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(300), newcomer.read_u8()).await;
    assert!(early.is_err(), "a connection was served beyond the limit");
    assert_eq!(server.evicted_for_memory(), 0);
    busy.truncate(2);
    assert!(head(&mut newcomer).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_lowered_limit_of_memory_closes_waiting_connections() {
    let server = start(Limits::default());
    let mut unfinished = Vec::new();
    for host in 2..=6 {
        let mut stream = server.connect_from(host).await;
        stream.write_all(b"GET / HT").await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        unfinished.push(stream);
    }
    let lowered = Limits { max_connection_bytes: 72 << 10, ..Limits::default() };
    server.limits.send(lowered).unwrap();
    for stream in &mut unfinished[..3] {
        assert!(is_closed(stream).await);
    }
    for stream in &mut unfinished[3..] {
        stream.write_all(b"TP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(head(stream).await.starts_with("HTTP/1.1 200"));
    }
}
