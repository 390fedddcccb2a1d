//! Streams that are sockets: told from pipes, and made for the two between whom the suite stands.
//!
//! What passes through them is not known here.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::FileType;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};

use crate::subject::handover::Kind;

/// How much each end of a connection that the suite makes holds, as the system counts it.
const STREAM_BYTES: usize = 64 * 1024;

/// Whether a descriptor is a socket, which carries both directions.
pub fn is_socket(end: &impl AsFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(end)?.st_mode) == FileType::Socket)
}

/// Both ends of a stream like one of this kind: over the network, or else a local one.
pub fn pair_like(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    if kind != Kind::Connection {
        let (one, other) = UnixStream::pair()?;
        return Ok((one.into(), other.into()));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    // Anybody on this machine may connect, and only one of them is us.
    let far = loop {
        let (far, from) = listener.accept()?;
        if from == near.local_addr()? {
            break far;
        }
    };
    for end in [&near, &far] {
        // What is passed on goes at once, as it came.
        end.set_nodelay(true)?;
        // The network would hold megabytes, and what nobody reads has to come to a stop.
        set_socket_send_buffer_size(end, STREAM_BYTES)?;
        set_socket_recv_buffer_size(end, STREAM_BYTES)?;
    }
    Ok((near.into(), far.into()))
}
