//! One process seen from outside: when it ended, how, and what the system says of it while it lives.
//!
//! The twins for Linux and macOS are the only files that know how a process that is not our child is
//! awaited. Nothing here knows which subject a process is.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};
use serde::{Deserialize, Serialize};

use super::looking::Looking;
use crate::event::Status;

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "process/kqueue.rs"]
mod system;

pub use system::{
    Watch, corpse, descriptors, descriptors_max, environment, facts, is_in_foreground, namespace, number, parent, peer,
    processor_time, reads, runs, threads, waited,
};

/// What the system says of a living process, where it says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The signals that it handles, as a mask: bit n-1 is signal n.
    pub handled: u64,
    /// The signals that it blocks, likewise; a program may await a blocked signal.
    pub blocked: u64,
    /// How many processors it may use.
    pub processors: usize,
    /// How much of its memory is in use.
    pub memory_bytes: u64,
}

impl Facts {
    /// The signal would not simply kill it.
    pub fn expects(&self, signal: i32) -> bool {
        (self.handled | self.blocked) & (1 << (signal - 1)) != 0
    }
}

/// What came of a wish to run, of all threads of a process, since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// How long it had a processor, with all that ended below it and were waited for.
    pub ran: Duration,
    /// How long it was ready to run and had none.
    pub waited: Duration,
}

/// Waits until every thread of a process sleeps or has ended, and says whether that came before `deadline`.
pub async fn asleep(pid: i32, deadline: Instant) -> bool {
    is_so(|| system::sleeps(pid), deadline).await
}

/// Whether a process has ended, be it a zombie still: its end may not be noted yet.
pub fn is_over(pid: i32) -> bool {
    system::is_over(pid)
}

/// Waits until a process that was sent SIGSTOP has stopped, and says whether that came before `deadline`.
pub async fn stopped(pid: i32, deadline: Instant) -> bool {
    is_so(|| system::is_stopped(pid), deadline).await
}

/// Waits until a process that stands still has been sent a signal, and says whether that came before `deadline`.
pub async fn pending(pid: i32, signal: i32, deadline: Instant) -> bool {
    is_so(|| system::is_pending(pid, signal), deadline).await
}

/// Nobody tells when a process goes to sleep, stops or is sent a signal, so this looks again and again, and lets everything else run in
/// between.
async fn is_so(look: impl Fn() -> bool, deadline: Instant) -> bool {
    let looking = Looking::begin();
    while !look() {
        if Instant::now() > deadline {
            return false;
        }
        looking.again().await;
    }
    true
}

/// Sends a signal; a process that is gone is not an error here, since its end is seen elsewhere.
pub fn signal(pid: i32, number: i32) -> io::Result<()> {
    let signal = Signal::try_from(number).map_err(io::Error::from)?;
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::Error::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Asks how a child of the suite ended, by whatever signal, without waiting. `None` while it lives, or when it is not a child.
pub fn reap(pid: i32) -> Option<Status> {
    let child = rustix::process::Pid::from_raw(pid)?;
    let (_, status) = waitpid(Some(child), WaitOptions::NOHANG).ok()??;
    Some(Status::from_raw(status.as_raw()))
}

/// Whether a child of the suite lives. One that does not is reaped.
pub fn is_living_child(pid: i32) -> bool {
    let child = rustix::process::Pid::from_raw(pid);
    child.is_some() && matches!(waitpid(child, WaitOptions::NOHANG), Ok(None))
}

/// Waits until a process has ended, and lets nothing else run meanwhile; says whether that came within this time.
pub fn has_ended(watch: &Watch, within: Duration) -> bool {
    let timeout = PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], timeout).is_ok_and(|ready| ready > 0)
}

/// The most memory that this process itself had in use.
pub fn own_memory_kib() -> u64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |used| u64::try_from(used.max_rss()).unwrap_or(0));
    // Only Linux counts in KiB.
    if cfg!(target_os = "linux") { used } else { used >> 10 }
}

/// The session of the operating system, as setsid makes one, that a process is in.
pub fn system_session(pid: i32) -> Option<i32> {
    Some(nix::unistd::getsid(Some(Pid::from_raw(pid))).ok()?.as_raw())
}

/// Every process, where the system lists them as files.
pub fn all() -> io::Result<Vec<i32>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let numbers = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

/// A process, and after it all that descend from it.
pub fn descendants(of: i32) -> Vec<i32> {
    let with_parent = |pid| Some((pid, parent(pid)?));
    let parents: Vec<_> = all().unwrap_or_default().into_iter().filter_map(with_parent).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(&of) = found.get(at) {
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}
