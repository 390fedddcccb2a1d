//! A socket for datagrams, whichever kind its address is of.
//!
//! It knows who a datagram is from, and nothing of what is in it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
#[cfg(unix)]
use std::path::PathBuf;
use std::time::Duration;

#[cfg(unix)]
use socket2::SockRef;

/// More than any datagram holds.
pub const DATAGRAM_BYTES_MAX: usize = 256 * 1024;

/// A socket for datagrams.
#[derive(Debug)]
pub enum Datagrams {
    /// Over the internet's protocol.
    Udp(UdpSocket),
    /// Within this machine; and whom it sends to, if that is always the same. It is not connected there: then it would hear
    /// nobody but that one socket.
    #[cfg(unix)]
    Unix(UnixDatagram, Option<PathBuf>),
}

/// Whom a datagram is from, where that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// At this address.
    Udp(SocketAddr),
    /// At this path; an abstract name begins with a zero byte.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Udp(at) => write!(f, "udp:{at}"),
            #[cfg(unix)]
            Peer::Unix(path) => write!(f, "unix-dgram:{}", path.as_os_str().as_bytes().escape_ascii()),
        }
    }
}

impl Datagrams {
    /// Waits for a datagram, and says how long it is and whom it is from. Who has no address of its own cannot be answered.
    pub fn receive(&self, bytes: &mut [u8]) -> io::Result<(usize, Option<Peer>)> {
        loop {
            let received = match self {
                Datagrams::Udp(socket) => socket.recv_from(bytes).map(|(count, from)| (count, Some(Peer::Udp(from)))),
                #[cfg(unix)]
                Datagrams::Unix(socket, _) => socket.recv_from(bytes).map(|(count, from)| (count, unix_peer(&from))),
            };
            match received {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => return received,
            }
        }
    }

    /// Sends to whom it always sends to.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Datagrams::Udp(socket) => socket.send(bytes),
            #[cfg(unix)]
            Datagrams::Unix(socket, Some(to)) => socket.send_to(bytes, to),
            #[cfg(unix)]
            Datagrams::Unix(_, None) => return Err(ErrorKind::NotConnected.into()),
        }
        .map(drop)
    }

    /// Sends to a peer, and waits for nobody: for whom there is no room, it is lost.
    pub fn send_to(&self, bytes: &[u8], peer: &Peer) -> io::Result<()> {
        match (self, peer) {
            (Datagrams::Udp(socket), Peer::Udp(at)) => socket.send_to(bytes, at).map(drop),
            #[cfg(unix)]
            (Datagrams::Unix(socket, _), Peer::Unix(path)) => {
                let at = socket2::SockAddr::unix(path)?;
                let send = |socket: &UnixDatagram| {
                    SockRef::from(socket).send_to_with_flags(bytes, &at, nix::libc::MSG_DONTWAIT).map(drop)
                };
                match send(socket) {
                    // What others have not read is held against the socket that sent it, so there may be no room in it for
                    // one who reads. Another one has room, for whoever hears others than this.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => send(&UnixDatagram::unbound()?),
                    sent => sent,
                }
            }
            #[cfg(unix)]
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    /// Bounds how long sending waits for room.
    pub fn set_room_wait(&self, wait: Duration) -> io::Result<()> {
        match self {
            Datagrams::Udp(socket) => socket.set_write_timeout(Some(wait)),
            #[cfg(unix)]
            Datagrams::Unix(socket, _) => socket.set_write_timeout(Some(wait)),
        }
    }

    /// The same socket once more.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Datagrams::Udp(socket) => Datagrams::Udp(socket.try_clone()?),
            #[cfg(unix)]
            Datagrams::Unix(socket, to) => Datagrams::Unix(socket.try_clone()?, to.clone()),
        })
    }
}

#[cfg(unix)]
fn unix_peer(from: &std::os::unix::net::SocketAddr) -> Option<Peer> {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(from) {
        let path = [b"\0", name].concat();
        return Some(Peer::Unix(std::ffi::OsStr::from_bytes(&path).into()));
    }
    from.as_pathname().map(|path| Peer::Unix(path.to_owned()))
}

/// Whether a datagram was refused because it is longer than they can be.
pub fn is_too_long(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(nix::libc::EMSGSIZE);
    #[cfg(windows)]
    // WSAEMSGSIZE.
    return error.raw_os_error() == Some(10040);
}

/// Whether a datagram that was not sent is as good as lost on the way: there was no room for it.
pub fn is_lost(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(nix::libc::ENOBUFS) {
        return true;
    }
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp() -> (Datagrams, Peer) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        (Datagrams::Udp(socket), Peer::Udp(at))
    }

    #[test]
    fn who_sent_it_can_be_answered() {
        let ((here, here_at), (there, there_at)) = (udp(), udp());
        here.send_to(b"one", &there_at).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(there.receive(&mut bytes).unwrap(), (3, Some(here_at)));
        assert_eq!(&bytes[..3], b"one");
    }

    #[test]
    fn one_that_is_too_long_is_refused_and_not_lost() {
        let ((here, _), (_, there_at)) = (udp(), udp());
        let error = here.send_to(&vec![0; 65_508], &there_at).unwrap_err();
        assert!(is_too_long(&error) && !is_lost(&error), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_peer_with_an_abstract_name_can_be_answered_and_one_without_any_cannot() {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("socket");
        let server = Datagrams::Unix(UnixDatagram::bind(&at).unwrap(), None);
        let name = SocketAddr::from_abstract_name(format!("reference-{}", std::process::id())).unwrap();
        let client = UnixDatagram::bind_addr(&name).unwrap();
        client.send_to(b"1", &at).unwrap();
        let mut bytes = [0; 8];
        let peer = server.receive(&mut bytes).unwrap().1.unwrap();
        server.send_to(b"2", &peer).unwrap();
        assert_eq!(client.recv(&mut bytes).unwrap(), 1);
        UnixDatagram::unbound().unwrap().send_to(b"1", &at).unwrap();
        assert_eq!(server.receive(&mut bytes).unwrap(), (1, None));
    }

    /// As on Linux, where a socket pays for what it has sent until that is read.
    #[cfg(target_os = "linux")]
    #[test]
    fn who_does_not_read_takes_no_room_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let [idle, busy] = ["idle", "busy"].map(|name| folder.path().join(name));
        let (_idle, reader) = (UnixDatagram::bind(&idle).unwrap(), UnixDatagram::bind(&busy).unwrap());
        let server = Datagrams::Unix(UnixDatagram::unbound().unwrap(), None);
        let (idle, busy) = (Peer::Unix(idle), Peer::Unix(busy));
        while server.send_to(&[0; 60_000], &idle).is_ok() {}
        server.send_to(b"1", &busy).unwrap();
        assert_eq!(reader.recv(&mut [0; 8]).unwrap(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("socket");
        let _never_reads = UnixDatagram::bind(&at).unwrap();
        let server = Datagrams::Unix(UnixDatagram::unbound().unwrap(), None);
        let peer = Peer::Unix(at);
        let error = (0..).find_map(|_| server.send_to(b"1", &peer).err()).unwrap();
        assert!(is_lost(&error), "{error}");
    }
}
