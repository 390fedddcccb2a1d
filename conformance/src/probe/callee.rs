//! The suite in a server's place: it listens, and a client is started that is to connect.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use super::stream::Stream;
use crate::event::Who;
use crate::outcome::Stop;
use crate::stage::{Run, Stage};

/// One client comes, and no more than these.
const BACKLOG: i32 = 8;

/// Where the suite listens, over TCP: a path would have to lie in a folder that only the client sees.
pub struct Callee {
    listener: Option<tokio::net::TcpListener>,
    /// At which port of the loopback.
    pub port: u16,
    /// Keeps the port where nobody listens.
    _held: Option<TcpListener>,
}

impl Callee {
    /// Listens, or keeps a port at which nobody listens.
    pub fn start(stage: &Stage, listens: bool) -> Result<Self, Stop> {
        let (mut listener, mut held) = (None, None);
        let mut start = || -> std::io::Result<u16> {
            let bound = TcpListener::from(stage.suite.folder.sandbox.bound()?);
            let port = bound.local_addr()?.port();
            if listens {
                rustix::net::listen(&bound, BACKLOG)?;
                bound.set_nonblocking(true)?;
                listener = Some(tokio::net::TcpListener::from_std(bound)?);
            } else {
                held = Some(bound);
            }
            Ok(port)
        };
        let port = stage.notes.answer("the port of the suite", || start().map_err(|error| error.to_string()));
        let port = port.map_err(Stop::Harness)?;
        Ok(Callee { listener, port, _held: held })
    }

    /// Takes the client's connection, which must come.
    pub async fn accept(&self, stage: &Stage, run: &Run) -> Result<Stream, Stop> {
        let mut socket = None;
        let coming = async {
            let Some(listener) = &self.listener else { return false };
            let Ok(Ok((stream, _))) = tokio::time::timeout(run.patience(), listener.accept()).await else {
                return false;
            };
            let _ = stream.set_nodelay(true);
            socket = stream.into_std().ok().map(OwnedFd::from);
            socket.is_some()
        };
        if !run.record.ask("the client connects", coming).await {
            run.record.run_out();
            return Err(Stop::failure("a connection to where the suite listens", "none"));
        }
        let end = &stage.suite.profile.sockets.end;
        Ok(Stream::new(run, 1, Who::Client, end, socket)?)
    }
}
