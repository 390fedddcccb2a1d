//! Starts of programs and closed pipes, kept apart: a process that is to become a program holds copies of all our
//! descriptors until it is that program, so the reader of a pipe that we close meanwhile learns of its end only later.

use std::io;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use crate::subject::MACHINE_PATIENCE;

static FORKS: RwLock<()> = RwLock::new(());

/// Starts a program, and returns when it runs.
pub(crate) fn starting<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let _under_way = FORKS.read().unwrap_or_else(PoisonError::into_inner);
    let (mut end, copied) = os_pipe::pipe()?;
    let begun = Instant::now();
    let started = loop {
        match start() {
            // We wrote it, and what somebody else here is starting holds it open until it is a program itself.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && begun.elapsed() < MACHINE_PATIENCE => {
                std::thread::yield_now();
            }
            started => break started,
        }
    };
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_program_that_is_still_open_for_writing_is_started_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::copy("/bin/true", &program).unwrap();
        let mut open = Some(File::options().append(true).open(&program).unwrap());
        let mut attempts = 0;
        let started = starting(|| {
            attempts += 1;
            let started = Command::new(&program).spawn();
            drop(open.take());
            started
        });
        assert!(started.unwrap().wait().unwrap().success());
        assert!(attempts > 1, "it was busy at first");
    }
}
