//! Two one-way pipes, or a socket, as one connection: everything that is there is read at once, everything that is due is
//! written at once, and neither ever blocks the other.
//!
//! It knows descriptors and end symbols, not messages. Waiting is left to whoever owns the event loop, with
//! [`wait_for`], apart from the short look of [`soon`].

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};
use socket2::SockRef;

use crate::codec::delimited::Delimited;

/// What pipes are enlarged to where the system lets us; larger would soon use up a user's allowance for all pipes.
const PIPE_BYTES: i32 = 256 * 1024;

/// How long to look for an answer that is due at once before going to sleep. Waking up costs about as much.
const SOON: Duration = Duration::from_micros(30);

/// An outgoing buffer that grew past this is given back once it is empty.
const OUTGOING_BYTES_KEPT: usize = 1024 * 1024;

/// Both directions to the process at the other end.
#[derive(Debug)]
pub struct Connection {
    incoming: OwnedFd,
    outgoing: Option<OwnedFd>,
    /// What has arrived, cut into pieces.
    pub inbox: Delimited,
    outbox: Vec<u8>,
    // Invariant: sent <= outbox.len(); the bytes before it have gone.
    sent: usize,
}

/// What a look at the incoming side brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes, which now lie in the inbox.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The other end was closed; nothing will come any more.
    End,
    /// The other end was closed, and what was on the way to it is lost.
    Reset,
}

impl Connection {
    /// A connection over the two descriptors, both of which it makes non-blocking.
    pub fn new(incoming: OwnedFd, outgoing: OwnedFd, inbox: Delimited) -> io::Result<Self> {
        set_non_blocking(&incoming)?;
        set_non_blocking(&outgoing)?;
        Ok(Self { incoming, outgoing: Some(outgoing), inbox, outbox: Vec::new(), sent: 0 })
    }

    /// Asks for larger pipes, which saves waking up; a refusal changes nothing that can be seen.
    pub fn enlarge(&self) {
        #[cfg(target_os = "linux")]
        for fd in [Some(self.incoming()), self.outgoing()].into_iter().flatten() {
            let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = PIPE_BYTES;
    }

    /// Reads once, without waiting.
    pub fn receive(&mut self) -> io::Result<Received> {
        loop {
            return match read(&self.incoming, self.inbox.space()) {
                Ok(0) => Ok(Received::End),
                Ok(bytes) => {
                    self.inbox.filled(bytes);
                    Ok(Received::Bytes)
                }
                Err(Errno::EAGAIN) => Ok(Received::Nothing),
                Err(Errno::EINTR) => continue,
                Err(Errno::ECONNRESET) => Ok(Received::Reset),
                Err(errno) => Err(errno.into()),
            };
        }
    }

    /// Receives what is due at once.
    pub fn receive_soon(&mut self) -> io::Result<Received> {
        let received = soon(|| match self.receive() {
            Ok(Received::Nothing) => None,
            received => Some(received),
        });
        received.unwrap_or(Ok(Received::Nothing))
    }

    /// Where to put bytes that are to be sent; they go with the next [`Connection::send`].
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// How many bytes are waiting to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Sends as much as goes without waiting. `BrokenPipe` says that nobody reads at the other end any more.
    pub fn send(&mut self) -> io::Result<()> {
        let Some(outgoing) = &self.outgoing else {
            self.forget_outbox();
            return Ok(());
        };
        while self.sent < self.outbox.len() {
            match write(outgoing, &self.outbox[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    self.forget_outbox();
                    // A socket says it in another word the first time.
                    return Err(if errno == Errno::ECONNRESET { Errno::EPIPE.into() } else { errno.into() });
                }
            }
        }
        self.forget_outbox();
        Ok(())
    }

    fn forget_outbox(&mut self) {
        self.sent = 0;
        self.outbox.clear();
        if self.outbox.capacity() > OUTGOING_BYTES_KEPT {
            self.outbox = Vec::new();
        }
    }

    /// Closes the outgoing side of a socket for good, in order. While something is `unread` that came, what was sent would be lost
    /// with the connection, so it is read and dropped until the other side closes too, up to the deadline.
    pub fn leave(&mut self, unread: bool, deadline: Instant) {
        let is_socket = self.outgoing.as_ref().is_some_and(|fd| SockRef::from(fd).shutdown(Shutdown::Write).is_ok());
        while is_socket && unread && Instant::now() < deadline {
            match self.receive() {
                Ok(Received::Bytes) => self.inbox = Delimited::new(0, usize::MAX),
                Ok(Received::Nothing) => {
                    let mut fds = [PollFd::new(self.incoming.as_fd(), PollFlags::POLLIN)];
                    if wait_for(&mut fds, Some(deadline)).is_err() {
                        return;
                    }
                }
                Ok(Received::End | Received::Reset) | Err(_) => return,
            }
        }
    }

    /// Closes the outgoing side; the other end reads what was sent and then the end.
    pub fn close_outgoing(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            // A socket stays open for what comes in, and a pipe knows no such thing.
            let _ = SockRef::from(&outgoing).shutdown(Shutdown::Write);
        }
        self.forget_outbox();
    }

    /// The side to wait on for reading.
    pub fn incoming(&self) -> BorrowedFd<'_> {
        self.incoming.as_fd()
    }

    /// The side to wait on for writing, while it is open.
    pub fn outgoing(&self) -> Option<BorrowedFd<'_>> {
        self.outgoing.as_ref().map(AsFd::as_fd)
    }
}

/// From here on nobody who has this end waits for it.
pub fn set_non_blocking(end: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL)?);
    fcntl(end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Looks again and again for a few microseconds, and lets the other process run in between. On one processor that is all it
/// takes to get an answer that is due at once; elsewhere it saves most of the cost of waking up.
pub fn soon<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut until = None;
    loop {
        std::thread::yield_now();
        // Mostly the first look finds it, without a look at the clock.
        if let Some(found) = look() {
            return Some(found);
        }
        let now = Instant::now();
        if now >= *until.get_or_insert(now + SOON) {
            return None;
        }
    }
}

/// Waits until one of these is ready or the deadline has come; false when a signal came first, which leaves unsaid
/// what is ready.
pub fn wait_for(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<bool> {
    // Rounded up, so that the deadline has come when the wait is over.
    let millis = |deadline: Instant| deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    let timeout = deadline.map_or(PollTimeout::NONE, |d| PollTimeout::try_from(millis(d)).unwrap_or(PollTimeout::MAX));
    match poll(fds, timeout) {
        Ok(_) => Ok(true),
        Err(Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::delimited::Piece;

    fn pair() -> (Connection, Connection) {
        let connection = |reader: os_pipe::PipeReader, writer: os_pipe::PipeWriter| {
            Connection::new(reader.into(), writer.into(), Delimited::new(b'#', usize::MAX)).expect("connection")
        };
        let (here_in, there_out) = os_pipe::pipe().expect("pipe");
        let (there_in, here_out) = os_pipe::pipe().expect("pipe");
        (connection(here_in, here_out), connection(there_in, there_out))
    }

    #[test]
    fn large_messages_pass_each_other_in_small_steps() {
        let (mut here, mut there) = pair();
        let large = vec![b'x'; 3_000_000];
        for side in [&mut here, &mut there] {
            side.outbox().extend_from_slice(&large);
            side.outbox().push(b'#');
        }
        let mut arrived = 0;
        while arrived < 2 {
            for side in [&mut here, &mut there] {
                side.send().expect("send");
                side.receive().expect("receive");
                if let Ok(piece) = side.inbox.next_piece() {
                    assert_eq!(piece, Piece::Whole(&large));
                    arrived += 1;
                }
            }
        }
        assert_eq!((here.unsent_bytes(), there.unsent_bytes()), (0, 0));
        assert!(here.outbox.capacity() <= OUTGOING_BYTES_KEPT);
    }

    #[test]
    fn the_other_end_is_seen_to_close() {
        let (mut here, mut there) = pair();
        assert_eq!(here.receive().expect("receive"), Received::Nothing);
        there.close_outgoing();
        assert_eq!(here.receive().expect("receive"), Received::End);
        drop(there);
        here.outbox().push(b'#');
        let error = here.send().expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(here.unsent_bytes(), 0);
    }
}
