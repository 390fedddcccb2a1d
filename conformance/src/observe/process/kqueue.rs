//! macOS: a kernel queue tells when a process ended. How a process that is not our child ended, and what
//! it handles, nobody tells.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Facts, ProcessorTime};
use crate::event::Status;
use crate::observe::readiness::register;

/// A process whose end is awaited.
#[derive(Debug)]
pub struct Watch {
    queue: AsyncFd<OwnedFd>,
}

/// The most memory that this process itself had in use, in KiB.
pub fn own_memory_kib() -> u64 {
    let bytes = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |used| used.max_rss());
    u64::try_from(bytes).unwrap_or(0) >> 10
}

/// How many threads a process has, which is not asked here: one at least.
pub fn threads(_pid: i32) -> u64 {
    1
}

/// How many descriptors a process may have open by now, which is not asked here.
pub fn descriptors_max(_pid: i32) -> Option<u64> {
    None
}

/// How many descriptors a process has open, which is not asked here.
pub fn descriptors(_pid: i32) -> u64 {
    0
}

impl Watch {
    /// Watches a process that is known to live at this moment.
    pub fn new(pid: i32) -> io::Result<Self> {
        let queue = Kqueue::new()?;
        let ident = usize::try_from(pid).map_err(io::Error::other)?;
        let end = KEvent::new(ident, EventFilter::EVFILT_PROC, EvFlags::EV_ADD, FilterFlag::NOTE_EXIT, 0, 0);
        queue.kevent(&[end], &mut [], None)?;
        // A kernel queue is itself a descriptor that becomes readable when it holds an event.
        Ok(Watch { queue: register(queue.as_fd().try_clone_to_owned()?, Interest::READABLE)? })
    }

    /// There are no pidfds here.
    pub fn of(_: OwnedFd) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// None is watched by a pidfd here.
    pub fn kill(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns once the process has ended. The event is left in the queue, so that every caller sees it.
    pub async fn ended(&self) -> io::Result<()> {
        self.queue.ready(Interest::READABLE).await.map(drop)
    }

    /// Nobody tells here when a process was reaped; its end is the nearest that can be awaited.
    pub async fn reaped(&self) -> io::Result<()> {
        self.ended().await
    }

    /// Nobody but the parent is told.
    pub fn status(&self) -> Option<Status> {
        None
    }
}

impl AsFd for Watch {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// There are no pidfds here.
pub fn number(_: &OwnedFd) -> Option<i32> {
    None
}

/// A process has one number here, which it can tell itself.
pub fn peer(_: &UnixStream) -> Option<i32> {
    None
}

/// This system does not tell.
pub fn runs(_: i32, _: &Path) -> Option<bool> {
    None
}

/// Nobody is told here what another process was given.
pub fn environment(_: i32) -> Option<Vec<u8>> {
    Some(Vec::new())
}

/// There are no namespaces here.
pub fn namespace(_: i32) -> Option<u64> {
    None
}

/// Nothing is said here of a process's signals and processors.
pub fn facts(_pid: i32) -> Option<Facts> {
    None
}

/// Nobody tells; whoever asks goes on at once.
pub(super) fn sleeps(_pid: i32) -> bool {
    true
}

/// It is a child of ours, whose end is there to be asked for, or was asked for.
pub(super) fn is_over(pid: i32) -> bool {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let Some(child) = Pid::from_raw(pid) else { return true };
    let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(child), looks), Ok(None))
}

/// Nobody tells.
pub(super) fn is_stopped(_pid: i32) -> bool {
    true
}

/// Nobody tells.
pub(super) fn is_pending(_pid: i32, _signal: i32) -> bool {
    true
}

/// Nobody tells.
pub fn is_in_foreground(_pid: i32) -> Option<bool> {
    None
}

/// This system does not tell.
pub fn corpse(_: i32) -> Option<Status> {
    None
}

/// This system does not tell.
pub fn parent(_: i32) -> Option<i32> {
    None
}

/// This system does not tell.
pub fn reads(_: i32) -> Option<u64> {
    None
}

/// This system does not tell.
pub fn processor_time(_: i32) -> Option<ProcessorTime> {
    None
}

/// This system does not tell.
pub fn waited(_: i32) -> Option<bool> {
    None
}
