//! One process seen from outside: when it ended, how, and what the system says of it while it lives.
//!
//! The twins for Linux, macOS and Windows are the only files that know how a process that is not our child is
//! awaited. Nothing here knows which subject a process is.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::looking::Looking;

#[cfg(target_os = "linux")]
#[path = "process/linux.rs"]
mod system;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "process/kqueue.rs"]
mod system;
#[cfg(windows)]
#[path = "process/windows.rs"]
mod system;
#[cfg(unix)]
#[path = "process/unix.rs"]
mod unix;

#[cfg(windows)]
pub(crate) use system::ENDED_BY_US;
pub use system::{
    Watch, descriptors, descriptors_max, environment, facts, namespace, own_memory_kib, parent, processor_time,
    threads, waited,
};
#[cfg(unix)]
pub use system::{corpse, is_in_foreground, number, peer, reads, runs};
#[cfg(windows)]
pub use system::{is_living_child, program, reap, signal, system_session};
#[cfg(unix)]
pub use unix::{has_ended, is_living_child, reap, signal, system_session};

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
