//! Waiting until a descriptor can be read or written: the one place that registers one with the runtime.

#![expect(unsafe_code, reason = "the runtime cannot know by the type alone that a descriptor stays open and the same")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor, which must not block in what is done to it, for as long as the returned value lives.
pub fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is the same open descriptor from its making to its drop, and AsyncFd takes it over.
    unsafe { AsyncFd::register_with_interest(descriptor, interest) }.map_err(io::Error::from)
}
