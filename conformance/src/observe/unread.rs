//! How much of what was written has not been read: the one question that the system answers only through an ioctl which
//! no safe call wraps for sockets.

#![expect(unsafe_code, reason = "an ioctl that fills in a number")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::{SocketAddrAny, getpeername, getsockname};

use super::channel::unread_at;

/// How many bytes of what was written to a pipe have not been read, and whether any of what was written to a socket has
/// not been read (with the system's overhead, so only 0 is exact). What a connection of the network has taken over is at its
/// other end, and seen there: in the network of this process.
pub fn unread(end: &impl AsFd, network_of: i32) -> io::Result<u64> {
    let mode = rustix::fs::fstat(end)?.st_mode;
    match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::Fifo => Ok(rustix::io::ioctl_fionread(end)?),
        rustix::fs::FileType::Socket => {
            if let Some((near, far)) = ports(end) {
                return Ok(unread_at(network_of, far, near).unwrap_or_default());
            }
            let mut bytes: libc::c_int = 0;
            // SAFETY: the descriptor is borrowed and so open, and this request stores one int where it is told to.
            match unsafe { libc::ioctl(end.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } {
                0 => Ok(u64::try_from(bytes).unwrap_or(0)),
                _ => Err(io::Error::last_os_error()),
            }
        }
        _ => Ok(0),
    }
}

/// The near and the far port of a connection of the network.
fn ports(end: &impl AsFd) -> Option<(u16, u16)> {
    let port = |address: SocketAddrAny| SocketAddr::try_from(address).ok().map(|address| address.port());
    Some((port(getsockname(end).ok()?)?, port(getpeername(end).ok()??)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::sockets::pair_like;
    use crate::subject::handover::Kind;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn here_unread(end: &impl AsFd) -> u64 {
        unread(end, std::process::id().cast_signed()).unwrap()
    }

    #[test]
    fn what_was_written_is_unread_until_all_of_it_was_read() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = os_pipe::pipe().unwrap();
        here.write_all(b"abc").unwrap();
        writer.write_all(b"abc").unwrap();
        let mut two = [0; 2];
        there.read_exact(&mut two).unwrap();
        reader.read_exact(&mut two).unwrap();
        assert!(here_unread(&here) > 0);
        assert_eq!(here_unread(&writer), 1);
        there.read_exact(&mut two[..1]).unwrap();
        reader.read_exact(&mut two[..1]).unwrap();
        assert_eq!((here_unread(&here), here_unread(&writer)), (0, 0));
    }

    /// What has arrived is not what was read.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_written_over_the_network_is_unread_as_long_as_it_waits_there() {
        let (here, there) = pair_like(Kind::Connection).unwrap();
        let (mut here, mut there) = (File::from(here), File::from(there));
        there.write_all(b"the other direction counts for nothing").unwrap();
        here.write_all(b"abc").unwrap();
        there.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(here_unread(&here), 1);
        there.read_exact(&mut [0]).unwrap();
        assert_eq!(here_unread(&here), 0);
    }
}
