//! What a supervisor has to do with its child beside starting, killing and reaping it, on Unix.

use std::io;

use nix::sys::signal::Signal;

use crate::process::Process;
use crate::signals::Signals;

/// Asks the child to end: SIGTERM.
pub(super) fn terminate(child: &Process) {
    child.signal(Signal::SIGTERM);
}

/// Calls `notify` whenever the child may have ended, on a thread of its own: now, and with each SIGCHLD.
pub(super) fn watch(_child: &Process, notify: impl Fn() + Send + 'static) -> io::Result<()> {
    let signals = Signals::watch(&[Signal::SIGCHLD])?;
    // Before there was anybody to hear of it, it may have ended already.
    notify();
    signals.forward(move |_| notify())
}
