//! Standard input, output and error, none of which may hold up the watchdog.
//!
//! They are shared with whoever started us, so they are never made non-blocking, which would outlive this process.
//! Instead a read or a small write is done only once the system says that it will not block. It does not know what
//! the text means.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{read, write};

use crate::codec::delimited::Delimited;

/// A pipe that is ready takes this much without blocking.
const WRITE_BYTES: usize = 4096;

/// While more than this waits to be printed, no further command is read.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Where a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// The three standard streams.
#[derive(Debug)]
pub struct Console {
    stdin: io::Stdin,
    stdout: io::Stdout,
    stderr: io::Stderr,
    /// Both streams in one queue, so that a terminal shows all in the order in which it happened.
    waiting: VecDeque<(Stream, Vec<u8>)>,
    // Invariant: written <= the length of the first text that waits.
    written: usize,
    waiting_bytes: usize,
}

impl Console {
    /// The streams of this process.
    pub fn new() -> Self {
        Self {
            stdin: io::stdin(),
            stdout: io::stdout(),
            stderr: io::stderr(),
            waiting: VecDeque::new(),
            written: 0,
            waiting_bytes: 0,
        }
    }

    /// Whether a person sits there: a prompt makes sense only then.
    pub fn is_interactive(&self) -> bool {
        self.stdin.is_terminal() && self.stdout.is_terminal()
    }

    /// Queues a text.
    pub fn put(&mut self, stream: Stream, text: String) {
        self.waiting_bytes += text.len();
        match self.waiting.back_mut() {
            Some((last, bytes)) if *last == stream => bytes.extend_from_slice(text.as_bytes()),
            _ => self.waiting.push_back((stream, text.into_bytes())),
        }
    }

    /// Whether so much waits that no more should be caused.
    pub fn is_full(&self) -> bool {
        self.waiting_bytes > WAITING_BYTES_MAX
    }

    /// The stream that the next text waits for.
    pub fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        self.waiting.front().map(|(stream, _)| self.stream(*stream))
    }

    fn stream(&self, stream: Stream) -> BorrowedFd<'_> {
        match stream {
            Stream::Output => self.stdout.as_fd(),
            Stream::Error => self.stderr.as_fd(),
        }
    }

    /// Prints as much as goes without blocking. After a failure of standard output, texts for it are dropped.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((stream, text)) = self.waiting.front() {
            let stream = *stream;
            let rest = &text[self.written..];
            let result = match is_ready(self.stream(stream), PollFlags::POLLOUT) {
                false => return Ok(()),
                true => write(self.stream(stream), &rest[..rest.len().min(WRITE_BYTES)]),
            };
            match result {
                Ok(bytes) => {
                    self.written += bytes;
                    self.waiting_bytes -= bytes;
                    if bytes == rest.len() {
                        self.waiting.pop_front();
                        self.written = 0;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => {
                    self.drop_all(stream);
                    if stream == Stream::Output {
                        return Err(errno.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn drop_all(&mut self, stream: Stream) {
        self.waiting.retain(|(other, _)| *other != stream);
        self.written = 0;
        self.waiting_bytes = self.waiting.iter().map(|(_, text)| text.len()).sum();
    }

    /// Standard input, to wait for.
    pub fn input(&self) -> BorrowedFd<'_> {
        self.stdin.as_fd()
    }

    /// Reads what is there, once; false at the end. To be called when the input is ready.
    pub fn read(&self, lines: &mut Delimited) -> bool {
        match read(&self.stdin, lines.space()) {
            Ok(0) => false,
            Ok(bytes) => {
                lines.filled(bytes);
                true
            }
            Err(Errno::EINTR | Errno::EAGAIN) => true,
            // A terminal that hung up, for one.
            Err(_) => false,
        }
    }

    /// Reads all that is there already, up to about `bytes_max`, for it to be counted.
    pub fn read_rest(&self, lines: &mut Delimited, bytes_max: usize) {
        while lines.unfinished().len() < bytes_max
            && is_ready(self.stdin.as_fd(), PollFlags::POLLIN)
            && self.read(lines)
        {}
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the next call will not block; one that would fail does not block either.
fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
