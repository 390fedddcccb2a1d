//! A server that listens, at an address of any kind, and its clients without a watchdog: what they send is what a test says.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{DEADLINE, SERVER, Session, in_time};

/// A server that listens, and a folder for its path.
pub struct Listening {
    pub child: Option<Child>,
    /// Where it listens, as it says.
    pub address: String,
    pub folder: TempDir,
}

/// The four kinds of address, for a server in this folder.
pub fn kinds(folder: &Path) -> [String; 4] {
    let path = folder.join("socket").display().to_string();
    [format!("unix:{path}"), "tcp:127.0.0.1:0".into(), format!("unix-dgram:{path}"), "udp:127.0.0.1:0".into()]
}

impl Listening {
    pub fn start(kind: usize, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = kinds(folder.path())[kind].clone();
        Self::at(&address, arguments, folder)
    }

    pub fn at(address: &str, arguments: &[&str], folder: TempDir) -> Self {
        let mut command = Command::new(SERVER);
        command.args(["--listen", address]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut said).expect("a line");
        let address = said.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("found {said:?}"));
        Self { address: address.to_owned(), child: Some(child), folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub fn socket_address(&self) -> SocketAddr {
        self.address[4..].parse().expect("an internet address")
    }

    pub fn watchdog(&self) -> Session {
        Session::with(&["-connect", &self.address, "-grace-ms", "60000"])
    }

    pub fn stream(&self) -> TcpStream {
        TcpStream::connect(self.socket_address()).expect("a connection")
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().expect("a server").id();
        kill(Pid::from_raw(pid as i32), signal).expect("the server lives");
    }

    /// From here on nobody hears what it says on standard error.
    pub fn mute(&mut self) {
        drop(self.child.as_mut().expect("a server").stderr.take());
    }

    /// Its exit status, and what it said on standard error.
    pub fn end(mut self) -> (Option<i32>, String) {
        self.ended()
    }

    pub fn ended(&mut self) -> (Option<i32>, String) {
        let child = self.child.take().expect("a server");
        let output = in_time("the end of the server", move || child.wait_with_output().expect("a child"));
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    pub fn stop(self) -> (Option<i32>, String) {
        self.signal(Signal::SIGALRM);
        self.end()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The next reply on a stream, with its end symbol.
pub fn reply(stream: &mut impl Read) -> String {
    let mut reply = Vec::new();
    while reply.last() != Some(&b'#') {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a reply");
        reply.push(byte[0]);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream
}

/// Lets this process have as many descriptors as it may.
pub fn many_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).expect("a limit");
}

pub const ALL: std::ops::Range<usize> = 0..4;

/// A client over UDP without a watchdog: what it sends is what the test says.
pub fn raw(server: &Listening) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.connect(server.socket_address()).expect("an address");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}

pub fn ask(socket: &UdpSocket, datagram: &str) -> String {
    let mut bytes = vec![0; 70_000];
    socket.send(datagram.as_bytes()).expect("room");
    let count = socket.recv(&mut bytes).expect("a reply");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}
