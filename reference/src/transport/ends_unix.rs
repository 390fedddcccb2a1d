//! The two ends of a connection on Unix: descriptors, whatever is behind them. A socket has one for both directions, so it is
//! there twice.

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use os_pipe::{PipeReader, PipeWriter};

use super::inherited;
use crate::process::Ends;

/// What comes from the other side is read here.
pub type Incoming = OwnedFd;

/// What goes to the other side is written here.
pub type Outgoing = OwnedFd;

/// Both ends of a stream.
pub fn of_tcp(stream: TcpStream) -> io::Result<(Incoming, Outgoing)> {
    of_socket(stream)
}

/// Both ends of any stream.
pub fn of_socket(stream: impl Into<OwnedFd>) -> io::Result<(Incoming, Outgoing)> {
    let one = stream.into();
    Ok((one.try_clone()?, one))
}

/// Both ends of what a child was given.
pub fn of_child(ends: Ends) -> (Incoming, Outgoing) {
    (ends.from_child, ends.to_child)
}

/// Both ends that were inherited.
pub fn of_inherited(ends: inherited::Ends) -> (Incoming, Outgoing) {
    (ends.requests, ends.replies)
}

/// Both ends, each of its own pipe.
pub fn of_pipes(incoming: PipeReader, outgoing: PipeWriter) -> (Incoming, Outgoing) {
    (incoming.into(), outgoing.into())
}
