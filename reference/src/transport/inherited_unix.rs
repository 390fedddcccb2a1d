//! How the ends of pipes reach a child on Unix, as descriptors: a server has its requests at 3 and its replies at 4, and any
//! other program is told the numbers.
//!
//! All that is unsafe about taking them over is in this file. It does not know what is sent over them.

#![expect(unsafe_code, reason = "a number becomes an owned descriptor here, on the word of whoever started us")]

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

/// Where a server finds its requests.
pub const REQUESTS_FD: RawFd = 3;

/// Where a server leaves its replies.
pub const REPLIES_FD: RawFd = 4;

/// One end of a pipe.
pub type End = OwnedFd;

/// The two ends that a server works with.
#[derive(Debug)]
pub struct Ends {
    /// Requests are read from here.
    pub requests: OwnedFd,
    /// Replies are written here.
    pub replies: OwnedFd,
}

/// Why there are no pipes to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPipes {
    fd: RawFd,
    found: &'static str,
}

impl fmt::Display for NoPipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a pipe to read requests from at descriptor {REQUESTS_FD} and one to write replies to at \
             descriptor {REPLIES_FD}, but descriptor {} is {}; start the server with: watchdog -sp <its absolute path>",
            self.fd, self.found
        )
    }
}

impl std::error::Error for NoPipes {}

/// What tells a server where its ends are: nothing, since they have fixed numbers.
pub fn arguments(_requests: usize, _replies: usize) -> Vec<OsString> {
    Vec::new()
}

/// Takes over the inherited ends. It can be done once in a process. On Unix the arguments say nothing about them.
pub fn take(_arguments: &[OsString]) -> Result<Ends, NoPipes> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    check(REQUESTS_FD, OFlag::O_RDONLY)?;
    check(REPLIES_FD, OFlag::O_WRONLY)?;
    assert!(!TAKEN.swap(true, Ordering::SeqCst), "the inherited ends are taken once");
    // SAFETY: both are open, as was just checked, and nobody else in this process owns them: they were inherited, std
    // uses 0 to 2 only, and the flag above lets no second owner come into being.
    let ends =
        unsafe { Ends { requests: OwnedFd::from_raw_fd(REQUESTS_FD), replies: OwnedFd::from_raw_fd(REPLIES_FD) } };
    for end in [&ends.requests, &ends.replies] {
        // A server that starts programs of its own must not hand its pipes on. This cannot fail on an open descriptor.
        let _ = fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
    Ok(ends)
}

/// Takes over the inherited end with this number, to read from it or, if `writes`, to write to it, and waiting for that. To be
/// done once for each number, before anything else is opened, which might then have the number of an end that is missing. The
/// error says what is wrong with it.
pub fn one(number: usize, writes: bool) -> Result<End, String> {
    let direction = if writes { OFlag::O_WRONLY } else { OFlag::O_RDONLY };
    let use_ = if writes { "write to" } else { "read from" };
    let told = |found: &str| format!("expected a pipe to {use_} at descriptor {number}, which is {found}");
    let fd = RawFd::try_from(number).map_err(|_| told("no descriptor"))?;
    check(fd, direction).map_err(|missing| told(missing.found))?;
    static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().expect("nobody panics with it");
    if taken.contains(&fd) {
        return Err(told("in use for the other direction"));
    }
    taken.push(fd);
    // SAFETY: it is open, as was just checked, and nobody else in this process owns it: it was inherited, std never closes 0 to
    // 2, which alone it uses, and the list above lets no second owner come into being.
    let end = unsafe { OwnedFd::from_raw_fd(fd) };
    waits(&end).map_err(|error| told(&error.to_string()))?;
    Ok(end)
}

/// Has whoever reads or writes wait, however it was left by whoever handed it on, and no child of ours inherit it.
fn waits(end: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL)?);
    fcntl(end, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// A descriptor that is open, a pipe or a socket, and open in the right direction.
fn check(fd: RawFd, direction: OFlag) -> Result<(), NoPipes> {
    let missing = |found| NoPipes { fd, found };
    // SAFETY: the number is only asked about; if nothing is open there, the call answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl(borrowed, FcntlArg::F_GETFL).map_err(|_| missing("not open"))?;
    let copy = borrowed.as_fd().try_clone_to_owned().map_err(|_| missing("not usable"))?;
    let kind = File::from(copy).metadata().map_err(|_| missing("not usable"))?.file_type();
    if !kind.is_fifo() && !kind.is_socket() {
        return Err(missing("not a pipe"));
    }
    let mode = OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE;
    if mode != direction && mode != OFlag::O_RDWR {
        return Err(missing("open in the wrong direction"));
    }
    Ok(())
}
