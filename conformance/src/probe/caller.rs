//! The suite in a client's place: a server started alone, and connections to it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

use tokio::net::{TcpSocket, UnixStream};

use super::stream::{Stream, harness};
use crate::dialect::find;
use crate::event::{Event, Stream as Shown, Who, ended, shown};
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
    /// Starts a server of this kind, and waits until it shows that it listens.
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
                Err(_) => Err("nobody took it in time".to_owned()),
            }
        };
        let connected: Result<(), String> =
            self.run.record.ask(&format!("connection {number} stands"), connecting).await;
        if let Some(error) = broken {
            return Err(harness(&error));
        }
        let end = &self.stage.suite.profile.sockets.end;
        let stream =
            |()| Stream::new(&self.run, number, Who::Listener(0), end, socket).map_err(|error| harness(&error));
        connected.map(stream).map_or_else(|error| Ok(Err(error)), |stream| stream.map(Ok))
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

/// A socket at a path, whatever becomes of that.
#[cfg(target_os = "linux")]
pub struct AtPath(OwnedFd);

#[cfg(target_os = "linux")]
impl AtPath {
    /// The path as this process sees it: in a sandbox its folder is another one than where it was made. A link may lead nowhere
    /// that the process could not go, or the suite would connect for it to whatever it likes.
    fn of(pid: i32, path: &Path) -> io::Result<Self> {
        use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, open, openat2};
        let root =
            open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(&root, path, flags, Mode::empty(), within)?;
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Socket {
            return Err(io::Error::other("there is something that is no socket"));
        }
        Ok(AtPath(found))
    }

    /// Where it can be connected to. It is short, as a socket's address has to be.
    fn address(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Who may do what with it: the lower nine bits of its mode.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.0)?.st_mode & 0o777)
    }
}

/// A socket at a path.
#[cfg(not(target_os = "linux"))]
pub struct AtPath(PathBuf);

#[cfg(not(target_os = "linux"))]
impl AtPath {
    fn of(_pid: i32, path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
            return Err(io::Error::other("there is something that is no socket"));
        }
        Ok(AtPath(path.to_owned()))
    }

    fn address(&self) -> PathBuf {
        self.0.clone()
    }

    /// Who may do what with it: the lower nine bits of its mode.
    pub fn mode(&self) -> io::Result<u32> {
        use std::os::unix::fs::PermissionsExt;
        Ok(std::fs::symlink_metadata(&self.0)?.permissions().mode() & 0o777)
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
    fn a_link_is_no_socket_and_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let listener = std::os::unix::net::UnixListener::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let pid = std::process::id().cast_signed();
        let at = AtPath::of(pid, &real).unwrap();
        std::os::unix::net::UnixStream::connect(at.address()).unwrap();
        listener.accept().unwrap();
        assert!(at.mode().is_ok());
        assert!(AtPath::of(pid, &link).is_err());
        assert!(AtPath::of(pid, folder.path()).is_err());
    }

    #[test]
    fn an_address_is_found_in_a_whole_line_of_its_form() {
        let found = |shown: &str| shown_address(shown.as_bytes(), "listening on {address}");
        assert_eq!(found("hello\nlistening on tcp:127.0.0.1:4000\n").as_deref(), Some("tcp:127.0.0.1:4000"));
        assert_eq!(found("[info] listening on 127.0.0.1:4000\r\n").as_deref(), Some("127.0.0.1:4000"));
        assert_eq!(found("listening on tcp:127.0.0.1:40"), None);
        assert_eq!(shown_address(b"port 4000 is open\n", "port {address} is open").as_deref(), Some("4000"));
    }
}
