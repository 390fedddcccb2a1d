//! The terminal in which a watchdog is driven.
//!
//! rexpect opens the pseudo terminal and starts the stand-in in it. How it is read and written is in `ends`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::sys::wait::WaitStatus;
use rexpect::process::PtyProcess;

/// The suite's side of a pseudo terminal, and the process that was started in it.
pub struct Terminal {
    /// Its master is closed, which hangs the terminal up, when this is dropped.
    process: PtyProcess,
}

impl Terminal {
    /// Opens a terminal and starts a program in it, which must be known to exist.
    pub fn start(program: Command) -> io::Result<Self> {
        let me = std::process::id();
        let process = PtyProcess::new(program);
        if std::process::id() != me {
            // The copy of the suite that was to become the program, and could not.
            std::process::abort();
        }
        Ok(Terminal { process: process.map_err(io::Error::other)? })
    }

    /// Whether the process that was started in it lives.
    pub fn has_its_program(&self) -> bool {
        self.process.status() == Some(WaitStatus::StillAlive)
    }

    /// The master, for reading and writing.
    pub fn master(&self) -> io::Result<OwnedFd> {
        let master = OwnedFd::from(self.process.get_file_handle().map_err(io::Error::other)?);
        fcntl(&master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(master)
    }
}

impl Drop for Terminal {
    /// A program that still runs ends here and now. rexpect would ask it to, again and again, until it does.
    fn drop(&mut self) {
        if self.has_its_program() {
            let _ = self.process.signal(Signal::SIGKILL);
            let _ = self.process.wait();
        }
    }
}

/// Sets a terminal so that nothing is echoed and output is passed on as it is written, `\n` as `\n`. Only once the
/// program in it has been started: rexpect sets it too, in between.
pub fn set_plain(master: &impl AsFd) -> io::Result<()> {
    let mut settings = tcgetattr(master)?;
    settings.output_flags.remove(OutputFlags::OPOST);
    settings.local_flags.remove(LocalFlags::ECHO);
    Ok(tcsetattr(master, SetArg::TCSANOW, &settings)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn a_program_that_ignores_every_signal_it_can_ends_with_its_terminal() {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "trap '' HUP INT TERM; echo deaf; while :; do read -r line; done"]);
        let terminal = Terminal::start(program).unwrap();
        let mut line = String::new();
        BufReader::new(std::fs::File::from(terminal.master().unwrap())).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "deaf");
        let (over, is_over) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(terminal);
            over.send(()).unwrap();
        });
        is_over.recv_timeout(std::time::Duration::from_secs(60)).expect("it ends");
    }
}
