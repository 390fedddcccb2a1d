//! The terminal in which a watchdog is driven, and the plain pipes that may stand in its place.
//!
//! rexpect opens the pseudo terminal and starts the stand-in in it. Reading is ours: by events, so that a
//! line is seen when it is there, and in bytes. What is read goes to the record; nothing is interpreted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr};
use nix::sys::wait::WaitStatus;
use rexpect::process::PtyProcess;
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use super::looking::Looking;
use super::process;
use super::readiness::register;
use super::unread::unread;
use crate::event::{Stream, What, Who};
use crate::forks;
use crate::record::Record;

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

/// One end of a pipe or terminal that is written to as far as it takes.
#[derive(Debug)]
pub struct Input {
    end: AsyncFd<OwnedFd>,
    /// The other end, if this is a connection of the network, is in that of this process.
    network_of: i32,
}

impl Input {
    /// Takes the end over; it no longer blocks. If it is a connection of the network, the suite made both ends.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        Self::toward(std::process::id().cast_signed(), end)
    }

    /// The same for one whose other end this process has.
    pub fn toward(process: i32, end: OwnedFd) -> io::Result<Self> {
        unblock(&end)?;
        Ok(Input { end: register(end, Interest::READABLE | Interest::WRITABLE)?, network_of: process })
    }

    /// Writes all of it.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write_some(bytes).await?..];
        }
        Ok(())
    }

    /// Writes what is taken next, once anything is, and says how much that was.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        self.end.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, bytes)?)).await
    }

    /// Writes as long as anything is taken, and says how much was. Full is what takes nothing while its reader, the process
    /// of this id, sleeps: a reader may wait for its turn, and so may we. It gives up on one that never sleeps.
    pub async fn fill(&self, bytes: &[u8], reader: i32, patience: Duration) -> usize {
        let (begun, pause) = (Instant::now(), patience / 20);
        let mut taken = 0;
        while taken < bytes.len() {
            match tokio::time::timeout(pause, self.write_some(&bytes[taken..])).await {
                Ok(Ok(more)) => taken += more,
                Ok(Err(_)) => break,
                Err(_) => {
                    let sleeps = process::asleep(reader, Instant::now() + pause).await;
                    match rustix::io::write(self, &bytes[taken..]) {
                        Ok(more) => taken += more,
                        Err(Errno::AGAIN) if !sleeps && begun.elapsed() < patience => {}
                        Err(_) => break,
                    }
                }
            }
        }
        taken
    }

    /// Writes parts so that each is read apart: a part is written when the one before has been read to its last byte,
    /// however many reads that took. (Packet pipes would do it too, and lose what a short read leaves of a packet.)
    pub async fn write_apart<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        for part in parts {
            self.write_all(part).await?;
            let looking = Looking::begin();
            while self.unread()? > 0 {
                // Nobody tells when a pipe has been emptied; everything else runs in between.
                looking.again().await;
            }
        }
        Ok(())
    }

    /// Whether, and for a pipe how much, of what was written has not been read.
    pub fn unread(&self) -> io::Result<u64> {
        unread(self, self.network_of)
    }
}

impl AsFd for Input {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.get_ref().as_fd()
    }
}

/// What notes all that comes out of an end.
#[derive(Debug)]
pub struct Reader {
    /// It is over when the end is closed on the other side.
    pub reading: JoinHandle<()>,
    /// It stays open when the reading is over, or aborted.
    pub end: Arc<AsyncFd<OwnedFd>>,
}

impl Reader {
    /// Notes what comes as `said` has it, and then that it is over.
    fn start(
        record: Arc<Record>,
        end: OwnedFd,
        said: impl Fn(Vec<u8>) -> What + Send + 'static,
        over: What,
    ) -> io::Result<Self> {
        unblock(&end)?;
        let end = Arc::new(register(end, Interest::READABLE)?);
        Ok(Reader { reading: tokio::spawn(read(record, end.clone(), said, over)), end })
    }

    /// Reads again what passes, after the reading was aborted.
    pub fn resume(&mut self, record: Arc<Record>, to: Who, fd: i32) {
        let said = move |bytes| What::Passed { to, fd, bytes };
        self.reading = tokio::spawn(read(record, self.end.clone(), said, What::Closed { to, fd }));
    }

    /// Closes the end: whoever writes to it from now on finds it broken.
    pub async fn close(self) {
        self.reading.abort();
        // It holds the end as well, until it is gone.
        let _ = self.reading.await;
        forks::close(self.end);
    }
}

async fn read(record: Arc<Record>, end: Arc<AsyncFd<OwnedFd>>, said: impl Fn(Vec<u8>) -> What + Send, over: What) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = end.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer)?)).await {
        if !record.keep(said(buffer[..n].to_vec()), n) {
            std::future::pending::<()>().await;
        }
    }
    record.push(over);
}

/// Reads an end until it is closed, and notes what comes. A terminal whose other side is gone says EIO.
pub fn read_into(record: Arc<Record>, end: OwnedFd, stream: Stream) -> io::Result<Reader> {
    Reader::start(record, end, move |bytes| What::Shown { stream, bytes }, What::ShownAll { stream })
}

/// Reads an end of a pipe towards a subject until it is closed, and notes what passes.
pub fn read_passing(record: Arc<Record>, end: OwnedFd, to: Who, fd: i32) -> io::Result<Reader> {
    Reader::start(record, end, move |bytes| What::Passed { to, fd, bytes }, What::Closed { to, fd })
}

/// Makes reads and writes of a descriptor return at once.
pub fn unblock(descriptor: &impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
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
