//! The suite in a client's place: a server started alone, and connections to it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use tokio::net::{TcpSocket, UnixStream};

use super::datagrams::Datagrams;
use super::stream::Stream;
use crate::dialect::find;
use crate::event::{Event, Stream as Shown, Who, ended, shown};
use crate::observe::at_path::AtPath;
use crate::observe::datagrams::{Peer, bound_at, unbound};
use crate::observe::ends::unblock;
use crate::observe::looking::Looking;
use crate::observe::process;
use crate::outcome::Stop;
use crate::stage::addressed::{How, Kind, OURS, PATH};
use crate::stage::{Run, Stage};

/// A server that listens, or was started to.
pub struct Listening<'a> {
    stage: &'a Stage,
    /// Its session.
    pub run: Run,
    /// What kind of address it has.
    pub kind: Kind,
    port: u16,
    connections: AtomicI32,
}

impl<'a> Listening<'a> {
    /// Starts a server of this kind, and waits until it shows that it listens, which must come.
    pub async fn start(stage: &'a Stage, kind: Kind) -> Result<Self, Stop> {
        Self::start_so(stage, kind, How::default()).await
    }

    /// The same after this script; see [`How::after`].
    pub async fn start_after(stage: &'a Stage, kind: Kind, after: &str) -> Result<Self, Stop> {
        Self::start_so(stage, kind, How { after, ..How::default() }).await
    }

    /// The same, started so.
    pub async fn start_so(stage: &'a Stage, kind: Kind, how: How<'_>) -> Result<Self, Stop> {
        let run = stage.server_at(kind, how).await?;
        let form = stage.suite.profile.sockets.listening.clone();
        let is_there = |events: &[Event]| {
            let line = shown_address(&shown(events, Some(Shown::Stdout)), &form);
            line.map(Some).or_else(|| ended(events, Who::Listener(0)).map(|_| None))
        };
        let told = || {
            let words = run.record.look(|events| shown(events, None));
            let words = String::from_utf8_lossy(&words[words.len().saturating_sub(200)..]).into_owned();
            Stop::failure(
                format!("at {}, the line `{form}`", kind.name()),
                format!("none; shown: `{}`", words.escape_debug()),
            )
        };
        let address = run.until(is_there).await.flatten().ok_or_else(told)?;
        let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
        if !kind.is_path() && port.is_none() {
            return Err(Stop::failure("a port at the end of the address that it shows", format!("`{address}`")));
        }
        Ok(Listening { stage, run, kind, port: port.unwrap_or_default(), connections: AtomicI32::new(0) })
    }

    /// Starts a server that is to meet the suite, at the first socket that is made here, and waits until it has its path.
    pub async fn peer(stage: &'a Stage) -> Result<Self, Stop> {
        if stage.suite.profile.sockets.peer.is_empty() {
            return Err(Stop::NotApplicable("the profile does not say how a peer is started".into()));
        }
        let run = stage.peer_of("1").await?;
        let server = Listening { stage, run, kind: Kind::UnixDatagram, port: 0, connections: AtomicI32::new(0) };
        let coming = async {
            let there = async {
                let looking = Looking::begin();
                // Nobody tells when a path comes to be; who sleeps without one waits for something else first.
                while server.path().is_err() && !process::is_over(server.run.pid) {
                    process::asleep(server.run.pid, Instant::now() + server.run.patience()).await;
                    looking.again().await;
                }
            };
            tokio::time::timeout(server.run.patience(), there).await.is_ok() && server.path().is_ok()
        };
        if server.run.record.ask("its path is there", coming).await {
            return Ok(server);
        }
        server.run.record.run_out();
        Err(Stop::failure("a socket at its path", "none"))
    }

    /// Connects to it, which must be possible.
    pub async fn connect(&self) -> Result<Stream, Stop> {
        let failed = |error: String| Stop::failure(format!("a connection at {}", self.kind.name()), error);
        self.try_connect().await?.map_err(failed)
    }

    /// Connects to it; the inner error is the system's.
    pub async fn try_connect(&self) -> Result<Result<Stream, String>, Stop> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (mut socket, mut broken) = (None, None);
        let connecting = async {
            match tokio::time::timeout(self.run.patience(), self.socket()).await {
                Ok(Ok(connected)) => {
                    socket = Some(connected);
                    Ok(())
                }
                Ok(Err(Failed::Ours(error))) => {
                    broken = Some(error);
                    Ok(())
                }
                Ok(Err(Failed::Theirs(error))) => Err(error.to_string()),
                Err(_) => {
                    // A machine that is too slow is no reason to blame anybody.
                    self.run.record.run_out();
                    Err("nobody took it in time".to_owned())
                }
            }
        };
        let connected: Result<(), String> =
            self.run.record.ask(&format!("connection {number} stands"), connecting).await;
        if let Some(error) = broken {
            return Err(error.into());
        }
        let end = &self.stage.suite.profile.sockets.end;
        match connected {
            Ok(()) => Ok(Ok(Stream::new(&self.run, number, Who::Listener(0), end, socket)?)),
            Err(error) => Ok(Err(error)),
        }
    }

    async fn socket(&self) -> Result<OwnedFd, Failed> {
        match self.kind.is_path() {
            false => {
                let bound = self.stage.suite.folder.sandbox.bound().map_err(Failed::Ours)?;
                unblock(&bound).map_err(Failed::Ours)?;
                let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(bound));
                let stream =
                    socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await.map_err(Failed::Theirs)?;
                // One byte at a time is one byte at a time.
                stream.set_nodelay(true).map_err(Failed::Ours)?;
                stream.into_std().map(OwnedFd::from).map_err(Failed::Ours)
            }
            true => {
                let at = self.path().map_err(Failed::Theirs)?;
                let looking = Looking::begin();
                loop {
                    match UnixStream::connect(at.address()).await {
                        Ok(stream) => return stream.into_std().map(OwnedFd::from).map_err(Failed::Ours),
                        // Whoever blocks would wait for room in the queue; and nobody tells of that who does not.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => looking.again().await,
                        Err(error) => return Err(Failed::Theirs(error)),
                    }
                }
            }
        }
    }

    /// A socket from which datagrams can be sent to it, and to which it can answer.
    pub fn datagrams(&self) -> Result<Datagrams, Stop> {
        self.exchange(|number| match self.kind.is_path() {
            true => bound_at(&self.run.folder.join(OURS).join(number.to_string()), true),
            false => self.stage.suite.folder.sandbox.bound_for_datagrams(),
        })
    }

    /// One that has no address, so that it cannot answer.
    pub fn nameless(&self) -> Result<Datagrams, Stop> {
        self.exchange(|_| unbound(true))
    }

    fn exchange(&self, make: impl FnOnce(i32) -> io::Result<OwnedFd>) -> Result<Datagrams, Stop> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let mut socket = None;
        let made = self.run.record.answer(&format!("socket {number} is there"), || {
            socket = Some(make(number).map_err(|error| error.to_string())?);
            Ok(())
        });
        made.map_err(|error: String| Stop::Harness(format!("a socket for datagrams: {error}")))?;
        let at = match self.kind.is_path() {
            true => Peer::Path(self.run.folder.join(PATH)),
            false => Peer::Internet(SocketAddr::from(([127, 0, 0, 1], self.port))),
        };
        Datagrams::new(self.stage, &self.run, number, Who::Listener(0), socket, at)
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What is at its path.
    pub fn path(&self) -> io::Result<AtPath> {
        AtPath::of(self.run.pid, &self.run.folder.join(PATH))
    }
}

/// Whose fault it is.
enum Failed {
    Ours(io::Error),
    Theirs(io::Error),
}

/// The address in the first line that has this form.
fn shown_address(shown: &[u8], form: &str) -> Option<String> {
    let (before, after) = form.split_once("{address}")?;
    let lines = shown.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let found = |line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        let at = if before.is_empty() { 0 } else { find(line.as_bytes(), before.as_bytes())? + before.len() };
        line.get(at..)?.strip_suffix(after).map(str::to_owned)
    };
    lines.into_iter().find_map(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_a_whole_line_of_its_form() {
        let found = |shown: &str| shown_address(shown.as_bytes(), "listening on {address}");
        assert_eq!(found("hello\nlistening on tcp:127.0.0.1:4000\n").as_deref(), Some("tcp:127.0.0.1:4000"));
        assert_eq!(found("[info] listening on 127.0.0.1:4000\r\n").as_deref(), Some("127.0.0.1:4000"));
        assert_eq!(found("listening on tcp:127.0.0.1:40"), None);
        assert_eq!(shown_address(b"port 4000 is open\n", "port {address} is open").as_deref(), Some("4000"));
    }
}
