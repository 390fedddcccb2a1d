//! Datagrams over the internet's protocol.
//!
//! It makes sockets and knows nothing of what is sent over them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// A socket that sends to one address and hears nobody else, itself at `own` or, without that, wherever the system likes.
pub fn connect(own: Option<SocketAddr>, to: SocketAddr) -> io::Result<UdpSocket> {
    let anywhere = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own.unwrap_or(anywhere))?;
    socket.connect(to)?;
    Ok(socket)
}
