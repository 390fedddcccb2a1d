//! Starts of programs and closed pipes, kept apart: a process that is to become a program holds copies of all our
//! descriptors until it is that program, so the reader of a pipe that we close meanwhile learns of its end only later.

use std::io;
use std::sync::{PoisonError, RwLock};

static FORKS: RwLock<()> = RwLock::new(());

/// Starts a program, and returns when it runs.
pub(crate) fn starting<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _under_way = FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let (mut end, copied) = os_pipe::pipe()?;
    let started = start();
    drop(copied);
    // No program inherits this pipe: it ends when the last copy of this process has become one.
    io::copy(&mut end, &mut io::sink())?;
    started
}

/// Closes an end of a pipe while no program is being started: whoever reads from it finds its end from here on.
pub(crate) fn close<T>(end: T) {
    let _none_under_way = FORKS.write().unwrap_or_else(PoisonError::into_inner);
    drop(end);
}
