//! The suite in a client's place: a server started alone, and connections to it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::net::{TcpSocket, UnixStream};

use super::stream::Stream;
use crate::dialect::find;
use crate::event::{Event, Stream as Shown, Who, ended, shown};
use crate::observe::at_path::AtPath;
use crate::observe::terminal::unblock;
use crate::outcome::Stop;
use crate::stage::addressed::{Kind, PATH};
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
        Self::start_after(stage, kind, "").await
    }

    /// The same after this script; see [`Stage::server_at`].
    pub async fn start_after(stage: &'a Stage, kind: Kind, script: &str) -> Result<Self, Stop> {
        let run = stage.server_at(kind, script).await?;
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
        if kind == Kind::Tcp && port.is_none() {
            return Err(Stop::failure("a port at the end of the address that it shows", format!("`{address}`")));
        }
        Ok(Listening { stage, run, kind, port: port.unwrap_or_default(), connections: AtomicI32::new(0) })
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
        match self.kind {
            Kind::Tcp => {
                let bound = self.stage.suite.folder.sandbox.bound().map_err(Failed::Ours)?;
                unblock(&bound).map_err(Failed::Ours)?;
                let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(bound));
                let stream =
                    socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await.map_err(Failed::Theirs)?;
                // One byte at a time is one byte at a time.
                stream.set_nodelay(true).map_err(Failed::Ours)?;
                stream.into_std().map(OwnedFd::from).map_err(Failed::Ours)
            }
            Kind::Unix => {
                let at = self.path().map_err(Failed::Theirs)?;
                let stream = UnixStream::connect(at.address()).await.map_err(Failed::Theirs)?;
                stream.into_std().map(OwnedFd::from).map_err(Failed::Ours)
            }
        }
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
