//! Sessions with the built pair: commands in, replies out, HTTP peers of every sort at the other end.

#![cfg(unix)]

mod common;

use std::io::Write;

use common::{Peer, Session, drain};

/// The first line that a `doreq` to this peer brings on standard error; the session must then still be of use.
fn failure(server_arguments: &str, peer: &Peer) -> String {
    let mut session = Session::start(server_arguments);
    session.send(format!("doreq GET http://{}/\nsetmeml 7\n", peer.address));
    let sentence = session.err();
    assert_eq!(session.out(), "memory limit: 7 bytes");
    session.close_input();
    assert_eq!(session.end(), (0, vec![], vec![]));
    sentence.replace(&peer.address.to_string(), "PEER")
}

#[test]
fn the_sequence_of_the_assignment() {
    let peer = Peer::serving(b"hello");
    let mut session = Session::start("state=c, test=123");
    let body = r#"{"arg": "body"}"#;
    session.send("setmeml 123000\nsetproc 32\n");
    session.send(format!("doreq GET http://{} {body}\ndoreq POST http://{} {body}\n", peer.address, peer.address));
    session.send("exit\n");
    let (status, out, err) = session.end();
    let processors = std::thread::available_parallelism().expect("processors").get().min(32);
    let processors = format!("processors: {processors}");
    let expected = ["memory limit: 123000 bytes", &processors, "HTTP 200 OK", "hello", "HTTP 200 OK", "hello"];
    assert_eq!((status, &out[..], &err[..]), (0, &expected.map(String::from)[..], &[][..]));
    let mut methods = Vec::new();
    for _ in 0..2 {
        let seen = peer.request();
        assert_eq!(seen.body, body.as_bytes());
        methods.extend(seen.head.split(' ').next().map(String::from));
    }
    methods.sort();
    assert_eq!(methods, ["GET", "POST"]);
}

#[test]
fn what_is_typed_is_what_is_sent() {
    let peer = Peer::serving(b"");
    let url = format!("http://{}/a?b#top", peer.address);
    let mut session = Session::start("");
    let mut sent = |line: &[u8]| {
        session.send([b"doreq ", line, b"\n"].concat());
        assert_eq!(session.out(), "HTTP 200 OK");
        // The empty body.
        peer.request()
    };
    let with = |method: &str, body: &[u8]| [method.as_bytes(), b" ", url.as_bytes(), body].concat();
    let start = |seen: &common::Seen| seen.head.lines().next().map(String::from).unwrap_or_default();

    let seen = sent(&with("GET", b""));
    assert_eq!((start(&seen), seen.body), ("GET /a?b HTTP/1.1".into(), vec![]));
    assert!(!seen.head.to_ascii_lowercase().contains("content-length"), "{}", seen.head);
    let seen = sent(&with("POST", b""));
    assert!(seen.head.to_ascii_lowercase().contains("content-length: 0"), "{}", seen.head);
    let seen = sent(&with("pUrGe", b"  # two blanks before, two after  "));
    assert_eq!(
        (start(&seen), &seen.body[..]),
        ("pUrGe /a?b HTTP/1.1".into(), &b" # two blanks before, two after  "[..])
    );
    let seen = sent(&with("DELETE", b" \xff\x00\xfe#\x1b"));
    assert_eq!((start(&seen), &seen.body[..]), ("DELETE /a?b HTTP/1.1".into(), &b"\xff\x00\xfe#\x1b"[..]));
    assert!(!seen.head.to_ascii_lowercase().contains("cookie"));
}

#[test]
fn every_status_and_every_body_is_printed_for_a_terminal() {
    let peer = Peer::saying("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
    let mut session = Session::start("");
    session.send(format!("doreq GET http://{}\n", peer.address));
    assert_eq!(session.out(), "HTTP 302 Found");
    let peer = Peer::saying(b"HTTP/1.1 599 Strange\r\nContent-Length: 12\r\n\r\na#\x1b[2J\xff\n\tb\r\n".to_vec());
    session.send(format!("doreq GET http://{}\nexit\n", peer.address));
    let (status, out, err) = session.end();
    let expected = ["HTTP 599", "a#\\x1b[2J\\xff", "\tb\\x0d"].map(String::from);
    assert_eq!((status, &out[..], &err[..]), (0, &expected[..], &[][..]));
}

#[test]
fn each_way_in_which_a_peer_fails_has_its_sentence() {
    let say = |bytes: &str| Peer::saying(bytes);
    let half_closed = Peer::new(|_, stream| {
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        drain(stream);
    });
    let drop_in_head = say("HTTP/1.1 200 OK\r\nContent-Le");
    let stalled = Peer::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").expect("write");
        drain(stream);
    });
    let secure = |peer: Peer| {
        let mut session = Session::start("timeout_ms=5000");
        session.send(format!("doreq GET https://{}/\n", peer.address));
        session.err().replace(&peer.address.to_string(), "PEER")
    };
    let table = [
        ("refused", failure("", &Peer::refusing())),
        ("reset", failure("", &Peer::resetting())),
        ("silent", failure("timeout_ms=150", &Peer::silent())),
        ("half-closed", failure("", &half_closed)),
        ("closed at once", failure("", &say(""))),
        ("closed inside the head", failure("", &drop_in_head)),
        ("truncated", failure("", &say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"))),
        ("truncated chunk", failure("", &say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhello"))),
        ("stalled", failure("timeout_ms=150", &stalled)),
        ("garbage", failure("", &say("SSH-2.0-OpenSSH_9.6\r\n\r\n"))),
        ("bad chunk", failure("", &say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"))),
        ("not secure", secure(Peer::blurting(b"HTTP/1.1 400 Bad Request\r\n\r\n"))),
    ];
    let table: Vec<String> = table.iter().map(|(name, sentence)| format!("{name:<24}{sentence}")).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_body_larger_than_the_memory_limit_is_refused_and_the_server_lives_on() {
    let chunked =
        Peer::saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n".to_owned() + &"x".repeat(0x65));
    let exact = Peer::serving(&[b'x'; 100]);
    let larger = Peer::serving(&[b'x'; 101]);
    let mut session = Session::start("");
    session.send("setmeml 100\n");
    assert_eq!(session.out(), "memory limit: 100 bytes");
    for peer in [&larger, &chunked] {
        session.send(format!("doreq GET http://{}/\n", peer.address));
        let sentence = "error: response body is larger than the memory limit of 100 bytes; setmeml sets another limit";
        assert_eq!(session.err(), sentence);
    }
    session.send(format!("doreq POST http://{}/ {}\n", exact.address, "y".repeat(101)));
    assert_eq!(
        session.err(),
        "error: request body is larger than the memory limit of 100 bytes; setmeml sets another limit"
    );
    session.send(format!("doreq GET http://{}/\nsetmeml 101\n", exact.address));
    assert_eq!((&*session.out(), &*session.out()), ("HTTP 200 OK", &*"x".repeat(100)));
    assert_eq!(session.out(), "memory limit: 101 bytes");
    session.send(format!("doreq GET http://{}/\nexit\n", larger.address));
    assert_eq!(session.end(), (0, vec!["HTTP 200 OK".into(), "x".repeat(101)], vec![]));
}

#[test]
fn mistakes_cost_one_line_each_and_send_nothing() {
    let mut session = Session::start("");
    session.send("\n  \nhello\nsetmeml -1\r\nsetproc\nexit now\ndoreq GET ftp://h\nsetmeml 3\r\nexit");
    session.close_input();
    let (status, out, err) = session.end();
    assert_eq!((status, &out[..]), (0, &["memory limit: 3 bytes".to_owned()][..]));
    assert_eq!(err.len(), 5, "{err:#?}");
    assert!(err.iter().all(|line| line.starts_with("error: ")), "{err:#?}");
}

#[test]
fn long_lines_are_taken_up_to_the_limit_and_refused_beyond() {
    let peer = Peer::echoing();
    let head = format!("doreq POST http://{}/ ", peer.address);
    let longest = head.clone() + &"#".repeat(1024 * 1024 - head.len());
    let mut session = Session::start("");
    let text = format!("{longest}\n{longest}x\n{}\nsetmeml 9\nexit\n", "y".repeat(3_000_000));
    session.send_behind(text.into_bytes());
    let (status, out, err) = session.end();
    assert_eq!(status, 0);
    assert_eq!((out.len(), &*out[0], &*out[2]), (3, "HTTP 200 OK", "memory limit: 9 bytes"));
    assert_eq!(out[1].len(), longest.len() - head.len());
    assert_eq!(err, vec!["error: the line is longer than 1048576 bytes and was not sent; send a shorter one"; 2]);
}

/// Many times what the pipes hold, in both directions at once: nobody may wait for the other to read first.
#[test]
fn large_messages_in_both_directions_do_not_deadlock() {
    let peer = Peer::echoing();
    let mut session = Session::start("");
    let body = "#\u{1}".repeat(300_000);
    let line = format!("doreq POST http://{}/ {body}\n", peer.address);
    session.send_behind((line.repeat(12) + "exit\n").into_bytes());
    let shown = body.replace('\u{1}', "\\x01");
    for _ in 0..12 {
        assert_eq!(session.out(), "HTTP 200 OK");
        assert!(session.out() == shown, "the body came back changed");
    }
    assert_eq!(session.end(), (0, vec![], vec![]));
}

#[test]
fn replies_keep_their_order_and_a_hanging_request_holds_up_no_setting() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let slow = Peer::held_back(b"slow", released);
    let fast = Peer::serving(b"fast");
    let mut session = Session::start("");
    session.send("setproc 2\n");
    session.out();
    session.send(format!("doreq GET http://{}/\nsetmeml 100\n", slow.address));
    // This request is made while the first one hangs, and under the limit that was set in between.
    session.send(format!("doreq GET http://{}/\n", fast.address));
    fast.request();
    release.send(()).expect("the peer waits");
    session.send("exit\n");
    let (status, out, _) = session.end();
    let expected = ["HTTP 200 OK", "slow", "memory limit: 100 bytes", "HTTP 200 OK", "fast"].map(String::from);
    assert_eq!((status, &out[..]), (0, &expected[..]));
}

#[cfg(target_os = "linux")]
#[test]
fn setproc_can_be_seen_from_outside() {
    let mut session = Session::script(&format!("echo $$; exec {}", common::SERVER));
    let pid: u32 = session.out().parse().expect("a pid");
    let allowed = || {
        let mut lists: Vec<String> = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads") {
            let status = std::fs::read_to_string(task.expect("a thread").path().join("status")).expect("a status");
            let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
            lists.extend(list.map(String::from));
        }
        lists.sort();
        lists.dedup();
        assert_eq!(lists.len(), 1, "{lists:?}");
        lists.remove(0)
    };
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).expect("threads").count();
    let before = allowed();
    let silent = Peer::silent();
    session.send("setproc 1\n");
    assert_eq!(session.out(), "processors: 1");
    assert!(allowed().parse::<usize>().is_ok(), "{}", allowed());
    // More requests than workers: the second waits until the first is given up, so one worker is all there is.
    session
        .send(format!("doreq GET http://{}/\ndoreq GET http://{}/\nsetproc 60000\n", silent.address, silent.address));
    let answering = Peer::serving(b"");
    session.send(format!("doreq GET http://{}/\n", answering.address));
    answering.request();
    assert_eq!(allowed(), before);
    assert_eq!(threads(), 1 + 3);
}
