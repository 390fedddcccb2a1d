//! The built server alone, with its pipes in the test's hands.

#![cfg(unix)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;

use common::{DEADLINE, Peer, SERVER, ending};
use reference::ending::Ending;
use reference::process::Process;
use reference::transport::inherited;

/// A server and our ends of its pipes, used with plain blocking calls.
struct Server {
    process: Process,
    requests: Option<File>,
    replies: File,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        let (process, ends) = Process::start(Path::new(SERVER), &arguments, inherited::arguments).expect("the server");
        let file = |fd: OwnedFd| File::from(fd);
        Self { process, requests: Some(file(ends.to_child)), replies: file(ends.from_child) }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.requests.as_mut().expect("open").write_all(bytes.as_ref()).expect("the server reads");
    }

    fn close(&mut self) {
        self.requests = None;
    }

    /// The next reply, with its end symbol.
    fn reply(&mut self) -> String {
        let mut reply = Vec::new();
        while reply.last() != Some(&b'#') {
            let mut byte = [0];
            self.replies.read_exact(&mut byte).expect("a reply");
            reply.push(byte[0]);
        }
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// All replies up to the end, which comes when the server ends; and how it ended.
    fn end(mut self) -> (String, Ending) {
        let mut rest = String::new();
        self.replies.read_to_string(&mut rest).expect("text");
        (rest, ending(self.process))
    }
}

const WELL: Ending = Ending::Exited(0);

#[test]
fn every_message_gets_one_reply_in_order() {
    let mut server = Server::start(&[]);
    server.send("1{Value: 123000}#1{\"Value\" : 7, x: [1]}#9{}##1#2{Value: 0}#\n1{Value: 1}#3{Method: \"GET\"}#1{Va");
    server.close();
    let (replies, ending) = server.end();
    assert_eq!(ending, WELL);
    insta::assert_snapshot!(replies.replace('#', "#\n"));
}

#[test]
fn a_message_that_is_too_long_is_refused_and_the_server_lives_on() {
    let mut server = Server::start(&[]);
    let long = vec![b'x'; 8 * 1024 * 1024 + 1];
    server.send([b"1", &long[..]].concat());
    // The refusal comes as soon as it is certain, before the end symbol.
    assert_eq!(server.reply(), r#"1{Error: "the message is longer than 8388608 bytes"}#"#);
    server.send(b"1{Value: 1}xxx#1{Value: 2}#");
    assert_eq!(server.reply(), "1{Value: 2}#");
    server.close();
    assert_eq!(server.end(), (String::new(), WELL));
}

/// Whoever writes everything before reading anything must not be stuck: the replies are many times what a pipe holds.
#[test]
fn the_server_keeps_reading_while_nobody_takes_its_replies() {
    let mut server = Server::start(&[]);
    let messages = 200_000;
    server.send("9#".repeat(messages));
    server.close();
    let (replies, ending) = server.end();
    assert_eq!((replies.matches('#').count(), ending), (messages, WELL));
    assert!(replies.len() > 9_000_000, "{}", replies.len());
}

#[test]
fn large_bodies_pass_each_other() {
    let peer = Peer::echoing();
    let mut server = Server::start(&[]);
    let body = "b".repeat(6_000_000);
    let message = format!("3{{Method: \"POST\", URL: \"http://{}/\", Body: \"{body}\"}}#", peer.address);
    for _ in 0..4 {
        server.send(&message);
    }
    server.close();
    let (replies, ending) = server.end();
    assert_eq!(ending, WELL);
    assert!(replies == format!("3{{Status: 200, Reason: \"OK\", Body: \"{body}\"}}#").repeat(4));
}

/// What was received is finished, even after the requests have ended.
#[test]
fn the_end_of_the_requests_cuts_nothing_off() {
    let (release, released) = channel::<()>();
    let peer = Peer::held_back(b"late", released);
    let mut server = Server::start(&[]);
    server.send(format!("3{{Method: \"GET\", URL: \"http://{}\"}}#1{{Value: 1}}#", peer.address));
    server.close();
    release.send(()).expect("the peer waits");
    assert_eq!(server.end(), ("3{Status: 200, Reason: \"OK\", Body: \"late\"}#1{Value: 1}#".into(), WELL));
}

#[test]
fn an_alarm_gives_what_is_under_way_its_grace() {
    let (release, released) = channel::<()>();
    let peer = Peer::held_back(b"late", released);
    let mut server = Server::start(&["grace_ms=60000"]);
    // In one piece, so that all of it was read when the first request is under way.
    server.send(format!("3{{Method: \"GET\", URL: \"http://{}\"}}#2{{Value: 1}}#9#", peer.address));
    // Only once the request is under way does an alarm find something to give grace to.
    peer_waits(&peer).expect("a connection");
    server.process.alarm();
    // Reading has stopped: the other end of this pipe is open, and yet there is no reply.
    release.send(()).expect("the peer waits");
    let (replies, ending) = server.end();
    assert_eq!(ending, WELL);
    assert!(replies.starts_with("3{Status: 200, Reason: \"OK\", Body: \"late\"}#2{Value: 1}#9{Error: "), "{replies}");
}

/// The held-back peer tells of its request only after it has answered, so the connection itself is the sign.
fn peer_waits(peer: &Peer) -> Option<()> {
    peer.accepted.recv_timeout(DEADLINE).ok()
}

#[test]
fn an_alarm_gives_up_what_takes_longer_than_the_grace() {
    let peer = Peer::silent();
    let mut server = Server::start(&["grace_ms=10"]);
    server.send("1{Value: 5}#");
    assert_eq!(server.reply(), "1{Value: 5}#");
    server.send(format!("3{{Method: \"GET\", URL: \"http://{}\"}}#", peer.address));
    peer_waits(&peer).expect("a connection");
    server.process.alarm();
    let sentence = r#"3{Error: "the server was told to stop before this was done"}#"#;
    assert_eq!(server.end(), (sentence.into(), WELL));
}

#[test]
fn an_alarm_ends_an_idle_server_and_a_second_one_a_busy_one() {
    let mut server = Server::start(&[]);
    server.send("1{Value: 5}#");
    server.reply();
    server.process.alarm();
    assert_eq!(server.end(), (String::new(), WELL));

    let peer = Peer::silent();
    let mut server = Server::start(&["grace_ms=60000"]);
    server.send(format!("1{{Value: 5}}#3{{Method: \"GET\", URL: \"http://{}\"}}#", peer.address));
    server.reply();
    peer_waits(&peer).expect("a connection");
    server.process.alarm();
    // Alarms of one kind merge until they are taken; so they are sent until the server is gone.
    let mut process = server.process;
    let ending = loop {
        process.alarm();
        match process.try_wait().expect("a child") {
            Some(ending) => break ending,
            None => thread::yield_now(),
        }
    };
    assert_eq!(ending, WELL);
}

#[test]
fn a_server_whose_replies_nobody_can_read_ends_at_once() {
    let peer = Peer::silent();
    let mut server = Server::start(&["timeout_ms=86400000"]);
    server.send(format!("1{{Value: 5}}#3{{Method: \"GET\", URL: \"http://{}\"}}#", peer.address));
    server.reply();
    peer_waits(&peer).expect("a connection");
    let Server { process, requests, replies } = server;
    drop(replies);
    assert_eq!(ending(process), WELL);
    drop(requests);
}
