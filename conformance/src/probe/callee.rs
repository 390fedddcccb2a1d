//! The suite in a server's place: it is at an address, and a client is started that is to come there.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::net::SocketAddrUnix;

use super::datagrams::Datagrams;
use super::stream::Stream;
use crate::event::Who;
use crate::observe::datagrams::{Peer, bound_at, deafen, unbound};
use crate::outcome::Stop;
use crate::stage::addressed::{Kind, OURS, PATH};
use crate::stage::{Run, Stage};
use crate::subject::place::SessionFolder;

/// One client comes, and no more than these.
const BACKLOG: i32 = 8;

/// Where the suite is, or keeps anybody from being.
pub struct Callee {
    kind: Kind,
    folder: SessionFolder,
    /// Bound. Nothing in another run.
    socket: Option<OwnedFd>,
    /// Waits to be taken, and is in the way of all others.
    _filler: Option<OwnedFd>,
    /// At which port of the loopback, if it is no path.
    pub port: u16,
}

/// What the suite does at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// It waits for who comes.
    Listen,
    /// It takes nobody, and nobody else finds room to wait.
    Fill,
    /// Nothing: nobody can come, and nobody else can be there.
    Nothing,
}

impl Callee {
    /// Is at an address of this kind, or keeps one at which nobody is.
    pub fn start(stage: &Stage, kind: Kind, does: Does) -> Result<Self, Stop> {
        let folder = stage.meeting_place()?;
        let path = folder.join(OURS).join(PATH);
        let sandbox = &stage.suite.folder.sandbox;
        let (mut socket, mut filler) = (None, None);
        let mut start = || -> std::io::Result<u16> {
            let bound = match kind {
                Kind::Unix | Kind::UnixDatagram => bound_at(&path, kind.is_for_datagrams())?,
                Kind::Tcp => sandbox.bound()?,
                Kind::Udp => sandbox.bound_for_datagrams()?,
            };
            match (does, kind) {
                (Does::Listen, Kind::Unix | Kind::Tcp) => rustix::net::listen(&bound, BACKLOG)?,
                (Does::Fill, Kind::Unix | Kind::Tcp) => rustix::net::listen(&bound, 0)?,
                (Does::Nothing, Kind::Udp) => deafen(&bound)?,
                _ => {}
            }
            let port = match kind.is_path() {
                true => 0,
                false => SocketAddr::try_from(rustix::net::getsockname(&bound)?)?.port(),
            };
            if does == Does::Fill {
                filler = Some(match kind.is_path() {
                    true => connected(unbound(false)?, &SocketAddrUnix::new(&path)?)?,
                    false => connected(sandbox.bound()?, &SocketAddr::from(([127, 0, 0, 1], port)))?,
                });
            }
            // A path at which nobody is any more is there still.
            socket = Some(bound).filter(|_| does != Does::Nothing || !kind.is_path());
            Ok(port)
        };
        let port = stage.notes.answer("the port of the suite", || start().map_err(|error| error.to_string()));
        let port = port.map_err(Stop::Harness)?;
        Ok(Callee { kind, folder, socket, _filler: filler, port })
    }

    /// Starts a client that is to come there.
    pub async fn client(self, stage: &Stage) -> Result<Client, Stop> {
        let stated = &stage.suite.profile.sockets.client;
        let run = stage.client_at(stated, self.kind, self.folder, self.port).await?;
        Ok(Client { run, kind: self.kind, socket: self.socket, _filler: self._filler })
    }

    /// Starts one that is to wait for its connection for so long.
    pub async fn impatient_client(self, stage: &Stage, wait: Duration) -> Result<Client, Stop> {
        let stated = &stage.suite.profile.sockets.client_that_waits;
        if stated.is_empty() {
            return Err(Stop::NotApplicable("the profile does not say how a client is told how long to wait".into()));
        }
        let told: Vec<_> = stated.iter().map(|arg| arg.replace("{ms}", &wait.as_millis().to_string())).collect();
        let run = stage.client_at(&told, self.kind, self.folder, self.port).await?;
        Ok(Client { run, kind: self.kind, socket: self.socket, _filler: self._filler })
    }
}

/// A client that was told where the suite is.
pub struct Client {
    /// Its session.
    pub run: Run,
    kind: Kind,
    socket: Option<OwnedFd>,
    _filler: Option<OwnedFd>,
}

impl Client {
    /// Takes the client's connection, which must come.
    pub async fn accept(self, stage: &Stage) -> Result<(Run, Stream), Stop> {
        let Client { run, kind, socket, .. } = self;
        let mut accepted = None;
        let coming = async {
            let Some(socket) = socket else { return false };
            let accepting = tokio::time::timeout(run.patience(), accept(kind, socket));
            accepted = accepting.await.ok().and_then(Result::ok);
            accepted.is_some()
        };
        if !run.record.ask("the client connects", coming).await {
            run.record.run_out();
            return Err(Stop::failure("a connection to where the suite listens", "none"));
        }
        let end = &stage.suite.profile.sockets.end;
        let stream = Stream::new(&run, 1, Who::Client, end, accepted)?;
        Ok((run, stream))
    }

    /// What it sends comes here.
    pub fn datagrams(self, stage: &Stage) -> Result<(Run, Datagrams), Stop> {
        let exchange = Datagrams::new(stage, &self.run, 1, Who::Client, self.socket, Peer::Nobody)?;
        Ok((self.run, exchange))
    }
}

fn connected(socket: OwnedFd, to: &impl rustix::net::addr::SocketAddrArg) -> std::io::Result<OwnedFd> {
    rustix::net::connect(&socket, to)?;
    Ok(socket)
}

async fn accept(kind: Kind, socket: OwnedFd) -> std::io::Result<OwnedFd> {
    if kind.is_path() {
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        let (stream, _) = tokio::net::UnixListener::from_std(listener)?.accept().await?;
        return stream.into_std().map(OwnedFd::from);
    }
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let (stream, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
    // One byte at a time is one byte at a time.
    stream.set_nodelay(true)?;
    stream.into_std().map(OwnedFd::from)
}
