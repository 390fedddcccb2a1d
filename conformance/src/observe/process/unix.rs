//! What every Unix says of a process, and of our own children, in the same words.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{WaitOptions, waitpid};

use super::Watch;
use crate::event::Status;

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

/// The session of the operating system, as setsid makes one, that a process is in.
pub fn system_session(pid: i32) -> Option<i32> {
    Some(nix::unistd::getsid(Some(Pid::from_raw(pid))).ok()?.as_raw())
}
