//! How the ends of pipes reach a child on Unix, as descriptors: a server has its requests at 3 and its replies at 4, and any
//! other program is told the numbers.
//!
//! All that is unsafe about taking them over is in this file. It does not know what is sent over them.

#![expect(unsafe_code, reason = "a number becomes an owned descriptor here, on the word of whoever started us")]

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::Mutex;

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

/// Takes over the inherited ends of a server. It can be done once in a process. On Unix the arguments say nothing about them.
pub fn take(_arguments: &[OsString]) -> Result<Ends, NoPipes> {
    Ok(Ends { requests: owned(REQUESTS_FD, OFlag::O_RDONLY)?, replies: owned(REPLIES_FD, OFlag::O_WRONLY)? })
}

/// Takes over the standard input and output as the ends of a server, once. The error says what is wrong with them.
pub fn standard() -> Result<Ends, String> {
    Ok(Ends { requests: one(0, false)?, replies: one(1, true)? })
}

/// Takes over the one socket, for both directions, that is where the requests would be, once. The error says what is wrong with it.
pub fn socket() -> Result<Ends, String> {
    let both = one(REQUESTS_FD as usize, false)?;
    let told = |error| format!("expected a socket at descriptor {REQUESTS_FD}, which cannot be used: {error}");
    Ok(Ends { replies: both.try_clone().map_err(told)?, requests: both })
}

/// Takes over the inherited end with this number, to read from it or, if `writes`, to write to it, and waiting for that
/// however it was left by whoever handed it on. To be done once for each number, before anything else is opened, which might
/// then have the number of an end that is missing. The error says what is wrong with it.
pub fn one(number: usize, writes: bool) -> Result<End, String> {
    let (direction, used) = if writes { (OFlag::O_WRONLY, "write to") } else { (OFlag::O_RDONLY, "read from") };
    let told = |found: &str| format!("expected a pipe to {used} at descriptor {number}, which is {found}");
    let fd = RawFd::try_from(number).map_err(|_| told("no descriptor"))?;
    let end = owned(fd, direction).map_err(|missing| told(missing.found))?;
    let waits = fcntl(&end, FcntlArg::F_GETFL)
        .and_then(|flags| fcntl(&end, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK)));
    waits.map_err(|errno| told(errno.desc()))?;
    Ok(end)
}

/// An inherited descriptor, which has no other owner.
fn owned(fd: RawFd, direction: OFlag) -> Result<OwnedFd, NoPipes> {
    static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());
    check(fd, direction)?;
    let mut taken = TAKEN.lock().expect("nobody panics with it");
    if taken.contains(&fd) {
        return Err(NoPipes { fd, found: "in use already" });
    }
    taken.push(fd);
    // SAFETY: it is open, as was just checked, and nobody else in this process owns it: it was inherited, std never closes 0 to
    // 2, which alone it uses, and the list above lets no second owner come into being.
    let end = unsafe { OwnedFd::from_raw_fd(fd) };
    // Whoever starts programs of its own must not hand its pipes on. This cannot fail on an open descriptor.
    let _ = fcntl(&end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    Ok(end)
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
