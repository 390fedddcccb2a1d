//! Who a service listens to: peers, each line of whom is counted and sent back, and callers, who are told the number. A thread
//! for each of them. It does not know what becomes of the number.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::codec::delimited::{Delimited, Piece};

/// The longest line of a peer or a caller.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How long to wait for those who serve a connection, after it was shut down. On some systems that does not wake who reads from
/// it; they go with the process.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// So many are served at a time; who comes then is sent away.
const CONNECTIONS_MAX: usize = 64;

/// Listeners at work.
#[derive(Debug)]
pub struct Network {
    shared: Arc<Shared>,
    peers: Listening,
    calls: Listening,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    lines: AtomicU64,
    connections: Mutex<Connections>,
    /// Somebody serves no connection any more.
    served: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    stopping: bool,
    next: u64,
    open: HashMap<u64, TcpStream>,
}

/// What is done with a line.
type Answer = fn(&Shared, &[u8]) -> Vec<u8>;

impl Network {
    /// Listens at these addresses, where port 0 stands for any, and goes on counting from `lines`.
    pub fn start(peers: SocketAddr, calls: SocketAddr, lines: u64) -> Result<Self, String> {
        let bind = |address: SocketAddr, who| {
            TcpListener::bind(address).map_err(|error| format!("cannot listen to {who} at {address}: {error}"))
        };
        let (peers, calls) = (bind(peers, "peers")?, bind(calls, "calls")?);
        let shared =
            Arc::new(Shared { lines: AtomicU64::new(lines), connections: Mutex::default(), served: Condvar::new() });
        let listen = |listener: TcpListener, answer: Answer| {
            let address = listener.local_addr()?;
            let shared = shared.clone();
            let thread = thread::Builder::new().spawn(move || accept(&listener, &shared, answer))?;
            io::Result::Ok(Listening { address, thread })
        };
        let told = |error: io::Error| format!("cannot listen: {error}");
        let peers = listen(peers, counted).map_err(told)?;
        let calls = listen(calls, asked).map_err(told)?;
        Ok(Self { shared, peers, calls })
    }

    /// Where peers are answered.
    pub fn peers_at(&self) -> SocketAddr {
        self.peers.address
    }

    /// Where calls are answered.
    pub fn calls_at(&self) -> SocketAddr {
        self.calls.address
    }

    /// Ends every connection, and says how many lines were counted in all.
    pub fn stop(self) -> u64 {
        self.shared.connections.lock().expect("nobody panics with it").stopping = true;
        for listening in [self.peers, self.calls] {
            // Whoever accepts looks up when somebody comes; if nobody can, it has ended already.
            let _ = TcpStream::connect(reachable(listening.address));
            let _ = listening.thread.join();
        }
        let connections = self.shared.connections.lock().expect("nobody panics with it");
        for stream in connections.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ =
            self.shared.served.wait_timeout_while(connections, LAST_WAIT, |connections| !connections.open.is_empty());
        self.shared.lines.load(Ordering::SeqCst)
    }
}

/// Nobody can connect to the address that stands for all of a machine's, but to one of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, answer: Answer) {
    for stream in listener.incoming() {
        let mut connections = shared.connections.lock().expect("nobody panics with it");
        if connections.stopping {
            return;
        }
        let stream = match stream {
            Ok(stream) => stream,
            // Whoever was gone before it was accepted is no news.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return eprintln!("service: error: nobody is listened to any more: {error}"),
        };
        if connections.open.len() >= CONNECTIONS_MAX {
            continue;
        }
        let Ok(end) = stream.try_clone() else { continue };
        let id = connections.next;
        connections.next += 1;
        let of_thread = shared.clone();
        let serving = thread::Builder::new().spawn(move || {
            // Whoever is gone is owed nothing.
            let _ = serve(stream, &of_thread, answer);
            of_thread.connections.lock().expect("nobody panics with it").open.remove(&id);
            of_thread.served.notify_all();
        });
        if serving.is_ok() {
            connections.open.insert(id, end);
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, answer: Answer) -> io::Result<()> {
    let mut lines = Delimited::new(b'\n', LINE_BYTES_MAX);
    loop {
        match stream.read(lines.space())? {
            0 => return Ok(()),
            bytes => lines.filled(bytes),
        }
        let mut answers = Vec::new();
        while let Ok(piece) = lines.next_piece() {
            match piece {
                Piece::Whole(line) => answers.extend(answer(shared, line)),
                Piece::TooLong { .. } => {
                    answers.extend(format!("error: expected at most {LINE_BYTES_MAX} bytes in a line\n").into_bytes());
                }
            }
        }
        stream.write_all(&answers)?;
    }
}

/// A peer's line.
fn counted(shared: &Shared, line: &[u8]) -> Vec<u8> {
    shared.lines.fetch_add(1, Ordering::SeqCst);
    [line, b"\n"].concat()
}

/// A call.
fn asked(shared: &Shared, line: &[u8]) -> Vec<u8> {
    match line.trim_ascii() {
        b"lines" => format!("{}\n", shared.lines.load(Ordering::SeqCst)).into_bytes(),
        other => format!("error: expected lines, found {}\n", other.escape_ascii()).into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    fn anywhere() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn say(address: SocketAddr, text: &str) -> (BufReader<TcpStream>, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        (reader, line)
    }

    #[test]
    fn lines_of_peers_are_sent_back_and_counted() {
        let network = Network::start(anywhere(), anywhere(), 40).unwrap();
        let (_peer, line) = say(network.peers_at(), "one\n");
        assert_eq!(line, "one\n");
        let (_other, line) = say(network.peers_at(), "two\n");
        assert_eq!(line, "two\n");
        assert_eq!(say(network.calls_at(), "lines\r\n").1, "42\n");
        assert_eq!(say(network.calls_at(), "li\x1b\n").1, "error: expected lines, found li\\x1b\n");
        assert_eq!(network.stop(), 42);
    }

    #[test]
    fn who_is_connected_is_let_go_when_it_stops_and_nobody_comes_in_any_more() {
        let network = Network::start(anywhere(), anywhere(), 0).unwrap();
        let address = network.peers_at();
        let (mut peer, _) = say(address, "here\n");
        network.stop();
        assert_eq!(peer.read_line(&mut String::new()).unwrap_or_default(), 0);
        assert!(TcpStream::connect(address).is_err());
    }
}
