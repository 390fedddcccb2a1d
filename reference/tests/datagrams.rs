//! The pair over datagrams: what is lost, repeated, out of order, too long, or none at all.

#![cfg(unix)]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use common::listening::{Listening, ask, raw};
use common::{DEADLINE, Peer, Session};

/// What stands between a client and a server, and hands on what it likes.
fn between(server: SocketAddr, hand_on: impl Fn(usize, &mut Vec<Vec<u8>>) + Send + Clone + 'static) -> SocketAddr {
    let near = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let far = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = near.local_addr().expect("an address");
    far.connect(server).expect("an address");
    let (near_back, far_back, back) =
        (near.try_clone().expect("a socket"), far.try_clone().expect("a socket"), hand_on.clone());
    let (sender, client) = channel();
    thread::spawn(move || {
        let mut bytes = vec![0; 70_000];
        let mut waiting = Vec::new();
        for n in 0.. {
            let (count, from) = near.recv_from(&mut bytes).expect("a datagram");
            let _ = sender.send(from);
            waiting.push(bytes[..count].to_vec());
            hand_on(n, &mut waiting);
            waiting.drain(..).for_each(|datagram| drop(far.send(&datagram)));
        }
    });
    thread::spawn(move || {
        let client = client.recv().expect("a client");
        let mut bytes = vec![0; 70_000];
        let mut waiting = Vec::new();
        for n in 0.. {
            let Ok(count) = far_back.recv(&mut bytes) else { return };
            waiting.push(bytes[..count].to_vec());
            back(n, &mut waiting);
            waiting.drain(..).for_each(|datagram| drop(near_back.send_to(&datagram, client)));
        }
    });
    address
}

/// A session of eight commands over such a way: what is said is the same as over any other, and each request is made once.
fn eight_commands(hand_on: impl Fn(usize, &mut Vec<Vec<u8>>) + Send + Clone + 'static) -> (Vec<String>, String) {
    let peer = Peer::serving(b"hello");
    let server = Listening::start(3, &[]);
    let mut session = {
        let way = format!("udp:{}", between(server.socket_address(), hand_on));
        Session::with(&["-connect", &way, "-grace-ms", "60000"])
    };
    let mut expected = Vec::new();
    for n in 0..4 {
        session.send(format!("setmeml 1{n}00\ndoreq GET http://{}/{n}\n", peer.address));
        expected.extend([format!("memory limit: 1{n}00 bytes"), "HTTP 200 OK".into(), "hello".into()]);
    }
    let shown: Vec<_> = expected.iter().map(|_| session.out()).collect();
    assert_eq!(shown, expected);
    session.send("exit\n");
    let (status, out, err) = session.end();
    assert_eq!((status, out), (0, vec![]), "{err:?}");
    let asked: Vec<_> = (0..4).map(|_| peer.request().head.lines().next().unwrap_or_default().to_owned()).collect();
    for n in 0..4 {
        assert_eq!(asked.iter().filter(|line| line.contains(&format!("/{n} "))).count(), 1, "{asked:?}");
    }
    assert!(peer.seen.try_recv().is_err());
    (err, server.stop().1)
}

#[test]
fn lost_datagrams_are_sent_again_and_nothing_is_done_twice() {
    let (err, _) = eight_commands(|n, waiting| {
        if n % 3 == 1 {
            waiting.clear();
        }
    });
    assert!(err.len() == 1 && err[0].starts_with("note: datagrams: ") && err[0].contains(" sent again"), "{err:?}");
}

#[test]
fn repeated_datagrams_are_noticed_and_nothing_is_done_twice() {
    let (err, said) = eight_commands(|_, waiting| waiting.extend(waiting.clone()));
    assert!(err.len() == 1 && err[0].contains(" came twice"), "{err:?}");
    assert!(said.contains(" came twice"), "{said}");
}

#[test]
fn reordered_datagrams_are_put_in_order() {
    // The first two of both directions change places, as far as there are two.
    let (_, said) = eight_commands(|n, waiting| match n {
        0 => {
            // Kept until the next one comes.
            let first = waiting.pop();
            FIRST.with(|kept| *kept.borrow_mut() = first);
        }
        1 => waiting.extend(FIRST.with(|kept| kept.borrow_mut().take())),
        _ => {}
    });
    assert!(said.contains(" came out of order"), "{said}");
}

thread_local! {
    static FIRST: std::cell::RefCell<Option<Vec<u8>>> = const { std::cell::RefCell::new(None) };
}

#[test]
fn what_no_datagram_can_carry_is_refused_and_the_session_goes_on() {
    let large = Peer::serving(&[b'x'; 100_000]);
    for kind in [2, 3] {
        let server = Listening::start(kind, &[]);
        let mut session = server.watchdog();
        let body = "x".repeat(if kind == 2 { 400_000 } else { 66_000 });
        session.send(format!("doreq POST http://{0}/ {body}\ndoreq GET http://{0}/\nsetmeml 5\n", large.address));
        let first = session.err();
        assert!(
            first.starts_with("error: the request is ") && first.contains("which no datagram can carry"),
            "{first}"
        );
        if kind == 3 {
            let second = session.err();
            assert!(
                second.starts_with("error: the reply is ") && second.contains("which no datagram can carry"),
                "{second}"
            );
        } else {
            assert_eq!(session.out(), "HTTP 200 OK");
            session.out();
        }
        assert_eq!(session.out(), "memory limit: 5 bytes");
        session.send("exit\n");
        assert_eq!(session.end(), (0, vec![], vec![]));
    }
}

#[test]
fn each_datagram_holds_one_message() {
    let server = Listening::start(3, &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server.socket_address()).expect("an address");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let ask = |datagram: &str| {
        let mut bytes = [0; 1000];
        socket.send(datagram.as_bytes()).expect("room");
        let count = socket.recv(&mut bytes).expect("a reply");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    assert_eq!(ask("7 1 1{Value: 5}#"), "7 1 1{Value: 5}#");
    for (n, message) in ["1{Value: 5}", "1{Value: 5}#1{Value: 6}#", "1{Value: 5}#1"].iter().enumerate() {
        let answer = ask(&format!("7 {} {message}", n + 2));
        assert!(answer.starts_with(&format!("7 {} 1{{Error: ", n + 2)) && answer.contains("one message"), "{answer}");
    }
    // What is no such datagram at all is dropped, and said once.
    socket.send(b"1{Value: 5}#").expect("room");
    socket.send(b"1{Value: 5}#").expect("room");
    assert_eq!(ask("8 1 1{Value: 5}#"), "8 1 1{Value: 5}#");
    let (status, said) = server.stop();
    assert_eq!((status, said.lines().count()), (Some(0), 1), "{said}");
    assert!(said.contains("expected a session's number"), "{said}");
}

#[test]
fn what_is_owed_when_a_client_leaves_over_datagrams_is_waited_for() {
    let (release, released) = channel::<()>();
    let slow = Peer::held_back(b"late", released);
    let server = Listening::start(3, &[]);
    let ends = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    // The watchdog has to say twice that it has no more requests before the answer comes.
    let way = between(server.socket_address(), move |_, waiting| {
        let is_end = waiting.last().is_some_and(|datagram| datagram.ends_with(b" 2 "));
        if is_end && ends.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 3 {
            let _ = release.send(());
        }
    });
    let mut session = Session::with(&["-connect", &format!("udp:{way}"), "-grace-ms", "60000"]);
    session.send(format!("doreq GET http://{}/\nexit\n", slow.address));
    let (status, out, _) = session.end();
    assert_eq!((status, out), (0, vec!["HTTP 200 OK".into(), "late".into()]));
}

#[test]
fn what_comes_again_after_the_end_is_not_done_again() {
    let peer = Peer::serving(b"hello");
    let server = Listening::start(3, &[]);
    let socket = raw(&server);
    let request = format!("7 1 3{{Method: \"GET\", URL: \"http://{}/\"}}#", peer.address);
    let answer = ask(&socket, &request);
    assert!(answer.contains("hello"), "{answer}");
    assert_eq!(ask(&socket, "7 2 "), "7 0 ");
    assert_eq!(ask(&socket, &request), answer);
    assert_eq!(ask(&socket, "7 2 "), "7 0 ");
    peer.request();
    assert!(peer.seen.try_recv().is_err());
    // Nor is a session begun by the end of one that is forgotten. A last word is answered by nobody, so that two do not answer
    // each other for ever: what comes is the answer to the next one.
    socket.send(b"9 0 ").expect("the server is there");
    assert_eq!(ask(&socket, "8 2 "), "8 0 ");
}

#[test]
fn datagrams_that_ask_for_nothing_take_no_room() {
    let server = Listening::start(3, &[]);
    let socket = raw(&server);
    for session in 0..5000 {
        assert_eq!(ask(&socket, &format!("{session} 9 ")), format!("{session} 0 "));
        socket.send(format!("{session} 99 1{{Value: 5}}#").as_bytes()).expect("room");
    }
    assert_eq!(ask(&socket, "7 1 1{Value: 5}#"), "7 1 1{Value: 5}#");
}

#[test]
fn many_requests_at_once_over_datagrams_do_not_stop_the_server() {
    let peer = Peer::serving(b"hello");
    let server = Listening::start(2, &[]);
    let client = UnixDatagram::bind(server.folder.path().join("client")).expect("a path");
    client.set_nonblocking(true).expect("a socket");
    let send =
        |number: u64, message: &str| drop(client.send_to(format!("7 {number} {message}").as_bytes(), server.path()));
    let request = format!("3{{Method: \"GET\", URL: \"http://{}/\"}}#", peer.address);
    let mut bytes = [0; 1000];
    let deadline = Instant::now() + DEADLINE;
    for number in 1..300 {
        let own = format!("7 {number} 3");
        let is_answer = |bytes: &[u8]| bytes.starts_with(own.as_bytes());
        loop {
            assert!(Instant::now() < deadline, "request {number} is not answered");
            // As often as it goes: what comes again is answered again.
            send(number, &request);
            (0..200).for_each(|_| send(1, &request));
            if client.recv(&mut bytes).is_ok_and(|count| is_answer(&bytes[..count])) {
                break;
            }
        }
    }
    let mut session = server.watchdog();
    session.send("setmeml 5\nexit\n");
    assert_eq!(session.out(), "memory limit: 5 bytes");
    assert_eq!(server.stop().0, Some(0));
}
