//! The server at the other end, started or connected to, and what a watchdog then has of it.
//!
//! It knows how to come by one, not what is sent to it.

use super::Failure;
use super::machine::Hold;
use super::options::{Over, Server};
use crate::codec::op_frame::{Op, Reply};
use crate::process::Process;
use crate::transport::ends::{self, Incoming, Outgoing};
use crate::transport::inherited;
use crate::transport::link::Link;

/// What a watchdog has of its server.
#[derive(Debug)]
pub enum Held {
    /// It is a child.
    Child(Process),
    /// It is elsewhere.
    Connection(Link),
}

impl Held {
    /// Starts the server or connects to it; what it says comes out of the first end, what it is told goes into the other.
    pub fn obtain(server: &Server) -> Result<(Self, Incoming, Outgoing), Failure> {
        match server {
            Server::Start { path, arguments, over } => {
                let with = |option: &str| arguments.iter().cloned().chain([option.into()]).collect::<Vec<_>>();
                let started = match over {
                    Over::Pipes => Process::start(path, arguments, inherited::arguments),
                    Over::Stdio => Process::start_on_standard(path, &with("--stdio")),
                    Over::Socketpair => Process::start_on_socket(path, &with("--socket")),
                    Over::Tcp => Process::start_on_connection(path, &with("--socket")),
                };
                let told = |error| Failure::NoServer(format!("cannot start the server {}: {error}", path.display()));
                let (process, theirs) = started.map_err(told)?;
                let (incoming, outgoing) = ends::of_child(theirs);
                Ok((Held::Child(process), incoming, outgoing))
            }
            Server::Connect { to, own, patience } => {
                let connected = Link::connect(to, own.as_ref(), *patience, too_long);
                let (link, incoming, outgoing) = connected.map_err(Failure::NoServer)?;
                Ok((Held::Connection(link), incoming, outgoing))
            }
        }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Hold {
        match self {
            Held::Child(_) => Hold::Child,
            Held::Connection(_) => Hold::Connection,
        }
    }
}

/// What stands in for the reply to a request that no datagram can carry.
fn too_long(request: &[u8]) -> Vec<u8> {
    let op = request.first().map_or(Op::NONE, |first| Op(*first));
    let bytes = request.len();
    let mut reply = Vec::new();
    Reply::Error(format!("the request is {bytes} bytes long, which no datagram can carry; use a stream"))
        .encode(op, &mut reply);
    reply
}
