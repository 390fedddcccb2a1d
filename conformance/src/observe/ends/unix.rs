//! Ends on Unix: descriptors that are registered with the runtime.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Input, Ours};
use crate::observe::looking::Looking;
use crate::observe::readiness::register;
use crate::observe::unread::unread;

/// An end of a pipe, of a terminal or of a stream.
pub type End = OwnedFd;

/// A pipe, its reading end first. Both ends are alike, whoever has them.
pub fn pipe(_: Ours) -> io::Result<(End, End)> {
    let (reader, writer) = os_pipe::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// The number that a subject is told of an end that it is to have under this one.
pub fn told(_: &End, number: i32) -> i32 {
    number
}

/// Said of a terminal that has no other side any more.
pub(super) fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// An end that does not block.
#[derive(Debug)]
pub(super) struct Open(AsyncFd<OwnedFd>);

impl Open {
    /// Takes over an end that is read from.
    pub(super) fn to_read(end: End) -> io::Result<Self> {
        unblock(&end)?;
        Ok(Open(register(end, Interest::READABLE)?))
    }

    /// Takes over an end that is written to.
    pub(super) fn to_write(end: End) -> io::Result<Self> {
        unblock(&end)?;
        Ok(Open(register(end, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// Reads what comes next, nothing at its end. A terminal whose other side is gone says EIO.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut *buffer)?)).await
    }

    /// Writes what is taken next, once anything is.
    pub(super) async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await
    }

    /// Writes what is taken at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self, bytes)?)
    }

    /// Waits until what was written has been read to its last byte.
    pub(super) async fn all_read(&self, network_of: i32) -> io::Result<()> {
        let looking = Looking::begin();
        while self.unread(network_of)? > 0 {
            // Nobody tells when a pipe has been emptied; everything else runs in between.
            looking.again().await;
        }
        Ok(())
    }

    /// Whether, and for a pipe how much, of what was written has not been read.
    pub(super) fn unread(&self, network_of: i32) -> io::Result<u64> {
        unread(self, network_of)
    }

    /// How many bytes there are to be read.
    pub(super) fn waiting(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(self)?)
    }

    /// Nobody has the other end any more.
    pub(super) fn is_hung_up(&self) -> bool {
        let mut look = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        let looked = poll(&mut look, PollTimeout::ZERO);
        looked.is_ok() && look[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP))
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

/// Fills a pipe, from which nobody reads, to its last byte, and says how much that is.
pub fn stuff(_: &End, writer: &End) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    rustix::pipe::fcntl_setpipe_size(writer, 4096)?;
    let flags = fcntl(writer, FcntlArg::F_GETFL)?;
    unblock(writer)?;
    let mut all = 0;
    for size in [4096, 1] {
        while let Ok(written) = rustix::io::write(writer, &vec![0; size]) {
            all += written;
        }
    }
    // What the subject shares with us is as it was.
    fcntl(writer, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags)))?;
    Ok(all)
}

/// Makes reads and writes of a descriptor return at once.
pub fn unblock(descriptor: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
