//! Sockets for datagrams, over the internet's protocol or at a path; and sockets that are bound to a path.
//!
//! What is in a datagram is not known here.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketType, bind, connect, getsockname,
    recvfrom, sendto, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::at_path::AtPath;
use super::ends::unblock;
use super::readiness::register;

/// More than any datagram holds.
const BYTES_MAX: usize = 256 << 10;

/// So long at most until it is tried again to send to somebody who had no room.
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// Whom a datagram is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// At this address.
    Internet(SocketAddr),
    /// At this path, as its process sees it.
    Path(PathBuf),
    /// It has a name that is no path; it leads nowhere from another network namespace.
    Abstract,
    /// It has no address.
    Nobody,
}

impl From<Option<SocketAddrAny>> for Peer {
    fn from(address: Option<SocketAddrAny>) -> Self {
        let Some(address) = address else { return Peer::Nobody };
        if let Ok(internet) = SocketAddr::try_from(address.clone()) {
            return Peer::Internet(internet);
        }
        let Ok(unix) = SocketAddrUnix::try_from(address) else { return Peer::Nobody };
        match unix.path() {
            Some(path) => Peer::Path(PathBuf::from(OsStr::from_bytes(path.to_bytes()))),
            #[cfg(target_os = "linux")]
            None if unix.abstract_name().is_some() => Peer::Abstract,
            None => Peer::Nobody,
        }
    }
}

/// A socket that is bound to this path, for whoever can see that.
pub fn bound_at(path: &Path, datagrams: bool) -> io::Result<OwnedFd> {
    let bound = unbound(datagrams)?;
    bind(&bound, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o666))?;
    Ok(bound)
}

/// A socket without an address.
pub fn unbound(datagrams: bool) -> io::Result<OwnedFd> {
    let kind = if datagrams { SocketType::DGRAM } else { SocketType::STREAM };
    let unbound = socket(AddressFamily::UNIX, kind, None)?;
    rustix::io::fcntl_setfd(&unbound, rustix::io::FdFlags::CLOEXEC)?;
    Ok(unbound)
}

/// Keeps a port at which nobody is: the socket hears nobody but itself. An error at a path.
pub fn deafen(bound: &impl AsFd) -> io::Result<()> {
    let own = SocketAddr::try_from(getsockname(bound)?)?;
    Ok(connect(bound, &own)?)
}

/// A socket for datagrams.
#[derive(Debug)]
pub struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    /// Takes it over; it no longer blocks.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        unblock(&socket)?;
        Ok(Socket(register(socket, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// The next datagram, and whom it is from.
    pub async fn receive(&self) -> io::Result<(Vec<u8>, Peer)> {
        let mut bytes = vec![0; BYTES_MAX];
        let receive = |socket: &OwnedFd| Ok(recvfrom(socket, &mut bytes[..], RecvFlags::empty())?);
        let (count, _, from) = self.0.async_io(Interest::READABLE, receive).await?;
        // In memory of just its size, since many are kept.
        Ok((bytes[..count].to_vec(), from.into()))
    }

    /// Has a port where nobody is any more: from here on the socket hears nobody but itself. An error at a path.
    pub fn deafen(&self) -> io::Result<()> {
        deafen(self.0.get_ref())
    }

    /// Waits until there may be room for another datagram. Who is connected to nobody is told of that only when what it has sent
    /// itself was read, so it is looked again before long.
    async fn room(&self) {
        let writable = async {
            if let Ok(mut ready) = self.0.writable().await {
                ready.clear_ready();
            }
            let _ = self.0.writable().await;
        };
        let _ = tokio::time::timeout(ROOM_PAUSE, writable).await;
    }

    /// Sends to a peer, as the process of this id sees its address, once there is room for it.
    pub async fn send(&self, bytes: &[u8], peer: &Peer, pid: i32) -> io::Result<()> {
        loop {
            let sent = match peer {
                Peer::Internet(at) => sendto(self.0.get_ref(), bytes, SendFlags::empty(), at),
                Peer::Path(path) => {
                    let at = AtPath::of(pid, path)?;
                    sendto(self.0.get_ref(), bytes, SendFlags::empty(), &SocketAddrUnix::new(at.address())?)
                }
                Peer::Abstract | Peer::Nobody => return Err(io::Error::other("it has no address that can be reached")),
            };
            match sent {
                Err(Errno::AGAIN | Errno::NOBUFS) => self.room().await,
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_datagram_comes_on_its_own_and_says_whom_it_is_from() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let here = Socket::new(bound_at(&at("here"), true).unwrap()).unwrap();
        let there = Socket::new(bound_at(&at("there"), true).unwrap()).unwrap();
        let pid = std::process::id().cast_signed();
        let long = vec![b'a'; 100_000];
        for bytes in [&b"one"[..], b"", &long] {
            there.send(bytes, &Peer::Path(at("here")), pid).await.unwrap();
            assert_eq!(here.receive().await.unwrap(), (bytes.to_vec(), Peer::Path(at("there"))));
        }
        let nobody = Socket::new(unbound(true).unwrap()).unwrap();
        nobody.send(b"1", &Peer::Path(at("here")), pid).await.unwrap();
        assert_eq!(here.receive().await.unwrap(), (b"1".to_vec(), Peer::Nobody));
    }
}
