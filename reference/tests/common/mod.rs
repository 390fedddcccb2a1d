//! What the tests of the built pair share: a session with a watchdog over plain pipes, and HTTP peers that behave in
//! one given way. Whatever is waited for has a deadline that only a failure reaches.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of this")]

pub mod listening;

use std::io::{BufRead, BufReader, Read, Write};
use std::iter;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reference::ending::Ending;
use reference::process::Process;

/// Long enough for any machine; nothing that works waits for it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// So long a test that has failed already looks for what a program says about that.
const COMPLAINT: Duration = Duration::from_secs(1);

pub const WATCHDOG: &str = env!("CARGO_BIN_EXE_watchdog");
pub const SERVER: &str = env!("CARGO_BIN_EXE_server");

/// What comes of `wait` within the deadline.
pub fn in_time<T: Send + 'static>(what: &str, wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(wait()));
    receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("expected {what}"))
}

/// How a child ends that is about to.
pub fn ending(mut process: Process) -> Ending {
    in_time("the end of the child", move || {
        loop {
            match process.try_wait().expect("a child") {
                Some(ending) => return ending,
                None => thread::yield_now(),
            }
        }
    })
}

/// A watchdog, driven over pipes.
pub struct Session {
    pub pid: i32,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    status: Receiver<ExitStatus>,
}

impl Session {
    /// A watchdog with the real server.
    pub fn start(server_arguments: &str) -> Self {
        Self::with(&["-sp", SERVER, "-sargs", server_arguments])
    }

    /// A watchdog whose server is a shell that runs this script, which must not hold single quotes.
    pub fn script(script: &str) -> Self {
        Self::with(&["-sp", "/bin/sh", "-sargs", &format!("-c, '{script}'")])
    }

    pub fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new(WATCHDOG);
        command.args(arguments);
        Self::of(command)
    }

    pub fn of(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the watchdog");
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take().expect("stdout"));
        let stderr = lines(child.stderr.take().expect("stderr"));
        let pid = child.id() as i32;
        Self { pid, stdin, stdout, stderr, status: waiter(child) }
    }

    pub fn send(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("an open input");
        stdin.write_all(text.as_ref()).and_then(|()| stdin.flush()).expect("the watchdog reads");
    }

    /// Writes on a thread of its own, for what is more than a pipe holds.
    pub fn send_behind(&mut self, text: Vec<u8>) {
        let mut stdin = self.stdin.take().expect("an open input");
        thread::spawn(move || {
            let _ = stdin.write_all(&text);
        });
    }

    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    pub fn close_output(&mut self) {
        self.stdout = channel().1;
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).expect("the watchdog lives");
    }

    /// The next line of standard output.
    pub fn out(&mut self) -> String {
        self.stdout.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            let complaints: Vec<_> = iter::from_fn(|| self.stderr.recv_timeout(COMPLAINT).ok()).collect();
            panic!("expected a line on standard output; on standard error came {complaints:?}")
        })
    }

    /// The next line of standard error.
    pub fn err(&mut self) -> String {
        self.stderr.recv_timeout(DEADLINE).expect("a line on standard error")
    }

    /// The exit status, or 128 and the signal that killed it; and all lines that nobody has read yet. It returns once
    /// nobody holds the watchdog's output any more, so neither does a server.
    pub fn end(mut self) -> (i32, Vec<String>, Vec<String>) {
        let status = self.status.recv_timeout(DEADLINE).expect("the end of the watchdog");
        self.close_input();
        let rest = |lines: &Receiver<String>| {
            let mut rest = Vec::new();
            loop {
                match lines.recv_timeout(DEADLINE) {
                    Ok(line) => rest.push(line),
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return rest,
                    Err(_) => panic!("somebody still holds the output of the watchdog"),
                }
            }
        };
        let status = status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal"));
        (status, rest(&self.stdout), rest(&self.stderr))
    }
}

/// Lines as they come; the channel closes when the last holder of the other end has.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { return };
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                // The reader is gone: so is this end of the pipe.
                return;
            }
        }
    });
    receiver
}

fn waiter(mut child: Child) -> Receiver<ExitStatus> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(child.wait().expect("a child")));
    receiver
}

/// A request, as an HTTP peer sees it.
#[derive(Debug)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

/// An HTTP peer on the loopback that treats every connection in the same way.
pub struct Peer {
    pub address: SocketAddr,
    /// Gets something for each connection.
    pub accepted: Receiver<()>,
    /// Gets each request, after it has been answered.
    pub seen: Receiver<Seen>,
}

impl Peer {
    /// A peer that reads each request and then does this with its connection.
    pub fn new(answer: impl Fn(&Seen, &mut TcpStream) + Send + Sync + Clone + 'static) -> Self {
        let (sender, seen) = channel();
        Self::raw(seen, move |mut stream| {
            let Some(request) = read_request(&mut stream) else { return };
            answer(&request, &mut stream);
            let _ = sender.send(request);
        })
    }

    /// A peer that answers with these bytes and closes.
    pub fn saying(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |_, stream| stream.write_all(&bytes).expect("the server reads"))
    }

    /// A peer that says this before it is asked, and then waits for the server to let go.
    pub fn blurting(bytes: &'static [u8]) -> Self {
        Self::raw(channel().1, move |mut stream| {
            let _ = stream.write_all(bytes);
            drain(&mut stream);
        })
    }

    /// A peer that answers with this body when it is released, each time once.
    pub fn held_back(body: &'static [u8], released: Receiver<()>) -> Self {
        let released = Arc::new(Mutex::new(released));
        Self::new(move |_, stream| {
            let _ = released.lock().expect("a lock").recv_timeout(DEADLINE);
            // Who has given it up meanwhile does not read it.
            let _ = stream.write_all(&response(body));
        })
    }

    /// A peer that answers with this body.
    pub fn serving(body: &[u8]) -> Self {
        Self::saying(response(body))
    }

    /// A peer that sends back the body that it gets.
    pub fn echoing() -> Self {
        Self::new(|seen, stream| stream.write_all(&response(&seen.body)).expect("the server reads"))
    }

    /// A peer that reads nothing and resets: the bytes that it leaves unread see to that.
    pub fn resetting() -> Self {
        Self::raw(channel().1, |stream| {
            let _ = stream.peek(&mut [0]);
        })
    }

    /// A peer that reads and never answers, until the server lets go.
    pub fn silent() -> Self {
        Self::new(|_, stream| drain(stream))
    }

    /// An address at which nobody listens any more.
    pub fn refusing() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        Self { address, accepted: channel().1, seen: channel().1 }
    }

    /// A peer that does this with each connection, and tells of the requests itself.
    pub fn raw(seen: Receiver<Seen>, treat: impl Fn(TcpStream) + Send + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (accepting, accepted) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = accepting.send(());
                let treat = treat.clone();
                thread::spawn(move || treat(stream));
            }
        });
        Self { address, accepted, seen }
    }

    pub fn request(&self) -> Seen {
        self.seen.recv_timeout(DEADLINE).expect("a request")
    }
}

/// Waits for the other side to close.
pub fn drain(stream: &mut TcpStream) {
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
}

pub fn response(body: &[u8]) -> Vec<u8> {
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend_from_slice(body);
    response
}

pub fn read_request(stream: &mut impl Read) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = bytes.split_off(at + 4);
            while body.len() < length.unwrap_or(0) {
                let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
                body.extend_from_slice(&chunk[..count]);
            }
            return Some(Seen { head, body });
        }
        let count = stream.read(&mut chunk).ok().filter(|&count| count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    }
}
