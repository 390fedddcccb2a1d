//! The pair over sockets: one server for many watchdogs, peers of whom neither listens, and what can happen to streams on the
//! way. What can happen to datagrams is in a file of its own.

#![cfg(unix)]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use common::listening::{ALL, Listening, ask, many_descriptors, patient, raw, reply};
use common::{DEADLINE, Peer, SERVER, Session, in_time};
use nix::sys::signal::Signal;
use socket2::SockRef;

#[test]
fn watchdogs_at_one_server_do_not_disturb_each_other() {
    for kind in ALL {
        let server = Listening::start(kind, &[]);
        if server.path().exists() {
            let mode = std::fs::symlink_metadata(server.path()).expect("a socket").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", server.address);
        }
        let mut sessions: Vec<_> = (0..4).map(|_| server.watchdog()).collect();
        for (n, session) in sessions.iter_mut().enumerate() {
            session.send(format!("setmeml 1{n}\n"));
        }
        for (n, session) in sessions.iter_mut().enumerate() {
            assert_eq!(session.out(), format!("memory limit: 1{n} bytes"), "{}", server.address);
            session.send("setproc 1\nexit\n");
        }
        for session in sessions {
            assert_eq!(session.end(), (0, vec!["processors: 1".into()], vec![]), "{}", server.address);
        }
        let path = server.path();
        assert_eq!(server.stop(), (Some(0), String::new()));
        assert!(!path.exists());
    }
}

#[test]
fn a_started_server_works_over_its_standard_streams_and_over_one_socket_of_either_kind() {
    for over in ["pipes", "stdio", "socketpair", "tcp"] {
        for (text, status) in [("setmeml 5\nexit\n", 0), ("setmeml 5\n", 0)] {
            let mut session = Session::with(&["-sp", SERVER, "-over", over]);
            session.send(text);
            session.close_input();
            assert_eq!(session.end(), (status, vec!["memory limit: 5 bytes".into()], vec![]), "{over}");
        }
    }
}

#[test]
fn peers_of_whom_neither_listens_find_each_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("unix-dgram:{}", folder.path().join(name).display());
    // Nobody else is at this address, so that the ports are free still when the peers come to them.
    let host = if cfg!(target_os = "linux") { "127.0.0.2" } else { "127.0.0.1" };
    let port = || {
        let udp = UdpSocket::bind((host, 0)).expect("a port");
        udp.local_addr().expect("an address")
    };
    let mut pairs = vec![[format!("udp:{}", port()), format!("udp:{}", port())], [path("one"), path("other")]];
    // On one processor two requests never are on their way at once.
    if thread::available_parallelism().expect("a number").get() > 1 {
        pairs.push([format!("tcp:{}", port()), format!("tcp:{}", port())]);
    }
    for [one, other] in pairs {
        for is_server_first in [true, false] {
            let server = || {
                Command::new(SERVER)
                    .args(["--bind", &one, "--connect", &other])
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("a server")
            };
            let early = is_server_first.then(server);
            let mut session =
                Session::with(&["-bind", &other, "-connect", &one, "-connect-ms", "60000", "-grace-ms", "60000"]);
            session.send("setmeml 5\n");
            let server = early.unwrap_or_else(server);
            assert_eq!(session.out(), "memory limit: 5 bytes", "{one}");
            session.send("exit\n");
            let (status, out, _) = session.end();
            assert_eq!((status, out), (0, vec![]), "{one}");
            let output = in_time("the end of the server", move || server.wait_with_output().expect("a child"));
            assert_eq!(
                (
                    output.status.code(),
                    String::from_utf8_lossy(&output.stderr).lines().filter(|l| !l.contains("came twice")).count()
                ),
                (Some(0), 0),
                "{one}"
            );
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_thousand_clients_are_served_at_once() {
    const CLIENTS: usize = 1000;
    many_descriptors();
    let server = Listening::start(0, &[]);
    let mut unix: Vec<_> = (0..CLIENTS).map(|_| UnixStream::connect(server.path()).expect("a connection")).collect();
    for (n, stream) in unix.iter_mut().enumerate() {
        stream.write_all(format!("1{{Value: 1{n}}}#").as_bytes()).expect("the server reads");
    }
    for (n, stream) in unix.iter_mut().enumerate() {
        assert_eq!(reply(stream), format!("1{{Value: 1{n}}}#"));
    }
    // With all of them connected it ends in order, and all of them see that.
    assert_eq!(server.stop(), (Some(0), String::new()));
    for mut stream in unix {
        assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    }

    let server = Listening::start(3, &[]);
    let sockets: Vec<_> = (0..CLIENTS).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
    for request in 1..3 {
        // More than these would not fit into the system's buffer at once.
        for few in sockets.chunks(50) {
            for (n, socket) in few.iter().enumerate() {
                socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
                let datagram = format!("7 {request} 1{{Value: 1{n}}}#");
                socket.send_to(datagram.as_bytes(), server.socket_address()).expect("room");
            }
            for (n, socket) in few.iter().enumerate() {
                let mut bytes = [0; 100];
                let count = socket.recv(&mut bytes).expect("a reply");
                assert_eq!(&bytes[..count], format!("7 {request} 1{{Value: 1{n}}}#").as_bytes());
            }
        }
    }
    assert_eq!(server.stop(), (Some(0), String::new()));
    for socket in sockets {
        let mut bytes = [0; 100];
        let count = socket.recv(&mut bytes).expect("the server's last word");
        assert_eq!(&bytes[..count], b"7 0 ");
    }
}

#[test]
fn who_stalls_keeps_nobody_from_being_served() {
    for kind in ALL {
        let server = Listening::start(kind, &["grace_ms=0"]);
        let silent = Peer::silent();
        // One waits for a peer that never answers, another asks for much and takes nothing, a third stops inside a message.
        let mut waiting = server.watchdog();
        waiting.send(format!("doreq GET http://{}/\n", silent.address));
        silent.accepted.recv_timeout(DEADLINE).expect("a request");
        let overfill = |stream: &mut dyn Write| while stream.write(&b"1{Value: 5}#".repeat(1000)).is_ok() {};
        let flood = |send: &dyn Fn(&[u8])| (1..200).for_each(|n| send(format!("7 {n} 1{{Value: 5}}#").as_bytes()));
        let stalled: Box<dyn Send> = match kind {
            0 => {
                let mut stream = UnixStream::connect(server.path()).expect("a connection");
                stream.set_nonblocking(true).expect("a socket");
                overfill(&mut stream);
                Box::new(stream)
            }
            1 => {
                let mut stream = server.stream();
                stream.set_nonblocking(true).expect("a socket");
                overfill(&mut stream);
                Box::new(stream)
            }
            2 => {
                let socket = UnixDatagram::bind(server.folder.path().join("stalled")).expect("a path");
                flood(&|datagram| drop(socket.send_to(datagram, server.path())));
                Box::new(socket)
            }
            _ => {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
                flood(&|datagram| drop(socket.send_to(datagram, server.socket_address())));
                Box::new(socket)
            }
        };
        let mut session = server.watchdog();
        session.send("setmeml 5\nexit\n");
        assert_eq!(session.end(), (0, vec!["memory limit: 5 bytes".into()], vec![]), "{}", server.address);
        server.signal(Signal::SIGALRM);
        assert_eq!(waiting.err(), "error: the server was told to stop before this was done");
        drop(stalled);
        assert_eq!(server.end().0, Some(0));
        let (status, _, err) = waiting.end();
        assert_eq!((status, err), (1, vec!["error: the server closed the connection".into()]));
    }
}

#[test]
fn what_is_owed_comes_after_a_half_close_and_then_the_end() {
    let (release, released) = channel::<()>();
    let slow = Peer::held_back(b"late", released);
    let server = Listening::start(1, &[]);
    let mut stream = patient(server.stream());
    write!(stream, "3{{Method: \"GET\", URL: \"http://{}/\"}}#1{{Value: 5}}#", slow.address).expect("the server reads");
    stream.shutdown(Shutdown::Write).expect("a half-close");
    slow.accepted.recv_timeout(DEADLINE).expect("a request");
    release.send(()).expect("a peer");
    assert!(reply(&mut stream).contains("late"));
    assert_eq!(reply(&mut stream), "1{Value: 5}#");
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
}

#[test]
fn a_reset_is_said_and_ends_that_connection_alone() {
    let server = Listening::start(1, &[]);
    let mut other = patient(server.stream());
    let mut stream = server.stream();
    stream.write_all(b"1{Value: 5}#1{Val").expect("the server reads");
    reply(&mut stream);
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("a socket");
    drop(stream);
    other.write_all(b"1{Value: 6}#").expect("the server reads");
    assert_eq!(reply(&mut other), "1{Value: 6}#");
    drop(other);
    let mut session = server.watchdog();
    session.send("setmeml 5\n");
    session.out();
    server.signal(Signal::SIGKILL);
    let (status, _, err) = session.end();
    assert_eq!((status, err), (1, vec!["error: the server closed the connection".into()]));
    let (_, said) = server.end();
    assert_eq!(said, "server: client 2: the connection was reset\n");
}

#[test]
fn a_server_that_resets_is_named_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let mut session = Session::with(&["-connect", &format!("tcp:{at}")]);
    let (stream, _) = listener.accept().expect("a watchdog");
    session.send("setmeml 5\n");
    // What is not read is reset.
    stream.peek(&mut [0]).expect("a request");
    drop(stream);
    let (status, _, err) = session.end();
    let said = ["error: the server reset the connection", "error: not answered: 1 command"];
    assert_eq!((status, err), (1, said.map(String::from).to_vec()));
}

#[test]
fn where_one_message_ends_is_not_a_matter_of_how_it_arrives() {
    let server = Listening::start(1, &[]);
    let mut stream = patient(server.stream());
    stream.set_nodelay(true).expect("a socket");
    for byte in b"1{Value: 5}#" {
        stream.write_all(&[*byte]).expect("the server reads");
    }
    assert_eq!(reply(&mut stream), "1{Value: 5}#");
    stream.write_all(b"1{Value: 6}#1{Value: 7}#1{Val").expect("the server reads");
    assert_eq!(reply(&mut stream), "1{Value: 6}#");
    assert_eq!(reply(&mut stream), "1{Value: 7}#");
    stream.write_all(b"ue: 8}#").expect("the server reads");
    assert_eq!(reply(&mut stream), "1{Value: 8}#");
}

#[test]
fn where_nobody_is_is_said_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let nobody = Peer::refusing().address;
    let path = folder.path().join("nobody").display().to_string();
    for (address, why) in [
        (format!("tcp:{nobody}"), "Connection refused"),
        (format!("unix:{path}"), "No such file"),
        (format!("unix-dgram:{path}"), "No such file"),
    ] {
        let (status, out, err) = Session::with(&["-connect", &address]).end();
        assert_eq!((status, out), (2, vec![]));
        assert!(err.len() == 1 && err[0].starts_with(&format!("error: cannot connect to {address}: {why}")), "{err:?}");
    }
    // Datagrams are sent on suspicion.
    let mut session = Session::with(&["-connect", &format!("udp:{nobody}")]);
    session.send("setmeml 5\n");
    let (status, _, err) = session.end();
    assert_eq!(status, 1);
    assert!(err[0].starts_with("error: nobody is at the server's address"), "{err:?}");
}

#[test]
fn a_server_that_is_gone_is_noticed() {
    for kind in ALL {
        let server = Listening::start(kind, &[]);
        let mut session = server.watchdog();
        session.send("setmeml 5\n");
        assert_eq!(session.out(), "memory limit: 5 bytes");
        server.signal(Signal::SIGKILL);
        server.end();
        // A stream tells by itself; over datagrams who asks finds nobody.
        if kind > 1 {
            session.send("setmeml 6\n");
        }
        let (status, _, err) = session.end();
        assert_eq!(status, 1);
        let said = if kind > 1 {
            "error: nobody is at the server's address"
        } else {
            "error: the server closed the connection"
        };
        assert!(err[0].starts_with(said), "{err:?}");
    }
}

#[test]
fn the_path_of_a_server_that_was_killed_is_taken_over_and_that_of_one_that_lives_is_not() {
    for kind in [0, 2] {
        let mut server = Listening::start(kind, &[]);
        let refused = |address: &str| {
            let output = Command::new(SERVER).args(["--listen", address]).output().expect("a server");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{said}");
            said
        };
        let said = refused(&server.address);
        assert!(said.contains("another process listens there"), "{said}");
        server.signal(Signal::SIGKILL);
        server.ended();
        let folder = std::mem::replace(&mut server.folder, tempfile::tempdir().expect("a folder"));
        let mut again = Listening::at(&server.address, &[], folder);
        let mut session = again.watchdog();
        session.send("setmeml 5\nexit\n");
        assert_eq!(session.end(), (0, vec!["memory limit: 5 bytes".into()], vec![]));
        std::fs::remove_file(again.path()).expect("the socket");
        std::fs::write(again.path(), "a letter").expect("a file");
        let said = refused(&again.address);
        assert!(said.contains("no socket"), "{said}");
        // Nor does the server itself remove at its end what is not its own any more.
        again.signal(Signal::SIGALRM);
        let path = again.path();
        assert_eq!(again.ended(), (Some(0), String::new()));
        assert_eq!(std::fs::read_to_string(&path).expect("the file"), "a letter");
    }
}

#[test]
fn what_others_can_reach_has_to_be_asked_for() {
    let output = Command::new(SERVER).args(["--listen", "tcp:0.0.0.0:0"]).output().expect("a server");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("add --public"), "{said}");
    let (status, _, err) = Session::with(&["-connect", "udp:192.0.2.1:9"]).end();
    assert!(status == 2 && err[0].contains("add --public"), "{err:?}");
}

#[test]
fn every_signal_that_means_stop_ends_a_server_in_order() {
    for signal in [Signal::SIGALRM, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let server = Listening::start(0, &[]);
        let path = server.path();
        server.signal(signal);
        assert_eq!(server.end(), (Some(0), String::new()), "{signal}");
        assert!(!path.exists());
    }
}

/// On other systems a full queue refuses at once.
#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_is_waited_for_as_long_as_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).expect("a socket");
    socket.bind(&socket2::SockAddr::unix(&path).expect("a path")).expect("a path");
    socket.listen(0).expect("a listener");
    let _first = UnixStream::connect(&path).expect("room for one");
    let address = format!("unix:{}", path.display());
    let (status, _, err) = Session::with(&["-connect", &address, "-connect-ms", "50"]).end();
    let said = format!("error: cannot connect to {address}: nobody took the connection within 50 ms");
    assert_eq!((status, err), (2, vec![said]));
}

#[test]
fn a_server_whose_complaints_nobody_hears_goes_on() {
    for kind in [1, 3] {
        let mut server = Listening::start(kind, &[]);
        server.mute();
        if kind == 1 {
            let mut stream = patient(server.stream());
            stream.write_all(b"1{Val").and_then(|()| stream.shutdown(Shutdown::Write)).expect("a half-close");
            assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
            let mut stream = patient(server.stream());
            stream.write_all(b"1{Value: 5}#").expect("the server reads");
            assert_eq!(reply(&mut stream), "1{Value: 5}#");
        } else {
            let socket = raw(&server);
            socket.send(b"nothing that it knows").expect("room");
            assert_eq!(ask(&socket, "7 1 1{Value: 5}#"), "7 1 1{Value: 5}#");
        }
        assert_eq!(server.stop().0, Some(0));
    }
}

#[test]
fn what_was_answered_arrives_although_more_was_asked_at_the_end() {
    let (release, released) = channel::<()>();
    let large = Peer::serving(&[b'x'; 1_500_000]);
    let slow = Peer::held_back(b"late", released);
    let server = Listening::start(1, &["grace_ms=60000"]);
    let mut stream = patient(server.stream());
    for peer in [&large, &slow] {
        write!(stream, "3{{Method: \"GET\", URL: \"http://{}/\"}}#", peer.address).expect("the server reads");
    }
    slow.accepted.recv_timeout(DEADLINE).expect("a request");
    // The beginning of the first answer is here; most of it waits in the system, on the side of the server.
    stream.peek(&mut [0]).expect("a reply");
    server.signal(Signal::SIGALRM);
    // Who is not taken any more finds the connection closed: then the server reads nothing more from anybody.
    let is_served = |mut other: TcpStream| {
        let _ = other.write_all(b"1{Value: 5}#");
        other.read(&mut [0]).is_ok_and(|count| count > 0)
    };
    while TcpStream::connect(server.socket_address()).is_ok_and(is_served) {}
    stream.write_all(b"1{Value: 5}#").expect("room");
    release.send(()).expect("a peer");
    assert!(reply(&mut stream).len() > 1_500_000);
    assert!(reply(&mut stream).contains("late"));
    assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
    drop(stream);
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn a_folder_that_somebody_has_locked_is_not_waited_for_for_ever() {
    use nix::fcntl::{Flock, FlockArg};
    let server = Listening::start(0, &[]);
    let folder = std::fs::File::open(server.folder.path()).expect("a folder");
    let _locked = Flock::lock(folder, FlockArg::LockShared).expect("a lock");
    assert_eq!(server.stop(), (Some(0), String::new()));
}
