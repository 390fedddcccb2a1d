//! What a supervisor has to do with its child beside starting, killing and reaping it, on Windows.

use std::io;

use crate::process::Process;

/// Nothing: the closed control pipe is all that there is here to ask with.
pub(super) fn terminate(_child: &Process) {}

/// Calls `notify` when the child has ended, on a thread of its own.
pub(super) fn watch(child: &Process, notify: impl Fn() + Send + 'static) -> io::Result<()> {
    child.watch(notify)
}
