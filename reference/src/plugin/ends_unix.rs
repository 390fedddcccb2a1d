//! The two ends of a plugin connection on Unix, as tokio reads and writes them. Any pipe or socket will do.

use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::{Receiver, Sender};

use super::driver::Incoming;
use crate::transport::{inherited, pipe};

/// What a side reads, and what it writes to.
#[derive(Debug)]
pub struct Ends {
    pub(super) incoming: Receiver,
    pub(super) outgoing: Sender,
}

impl Ends {
    /// Those that this process inherited as its standard input and output, which are used for nothing else from here on. The
    /// error says what is wrong with them.
    pub fn standard() -> Result<Self, String> {
        Self::inherited(0, 1)
    }

    /// Those that this process inherited at two numbers, reading and writing. To be taken before anything else is opened.
    pub fn inherited(incoming: usize, outgoing: usize) -> Result<Self, String> {
        let (reads, writes) = (inherited::one(incoming, false)?, inherited::one(outgoing, true)?);
        Self::of(reads, writes).map_err(|error| format!("cannot use {incoming} and {outgoing}: {error}"))
    }

    /// Those of a child. Within a runtime of tokio.
    pub(super) fn of(incoming: OwnedFd, outgoing: OwnedFd) -> std::io::Result<Self> {
        pipe::set_non_blocking(&incoming)?;
        pipe::set_non_blocking(&outgoing)?;
        // They may be sockets as well, with which the checked conversion would not be content.
        Ok(Ends {
            incoming: Receiver::from_owned_fd_unchecked(incoming)?,
            outgoing: Sender::from_owned_fd_unchecked(outgoing)?,
        })
    }
}

impl Incoming for Receiver {
    /// Past the runtime, which would go to sleep for it. It hears of what is left of it nevertheless.
    fn read_soon(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let read = pipe::soon(|| match nix::unistd::read(&*self, bytes) {
            Err(nix::errno::Errno::EAGAIN) => None,
            read => Some(read),
        });
        // Ends and errors are as well found by the usual way.
        read?.ok().filter(|read| *read > 0)
    }
}
