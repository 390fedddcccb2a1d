//! Starts, signals and reaps a child with two pipes on Unix.
//!
//! `posix_spawn` does it: it costs the same however large the parent is, and reports a program that cannot be
//! executed without a pipe of its own, which descriptors 3 and 4 could overwrite. The child gets the environment as it
//! is, default dispositions, an empty signal mask, a process group of its own (so that Ctrl-C reaches the parent only,
//! which then ends the child in order), the pipes at 3 and 4 with `/dev/null` as its input, or else as its standard input and
//! output, and nothing else.
//! (Signals 32 and 33 are glibc's own: it leaves them ignored in whatever it spawns.)

#![expect(unsafe_code, reason = "descriptors that were inherited have no owner, and `environ` is a C variable")]

use std::ffi::{CStr, CString, OsString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::Pid;

use crate::ending::Ending;
use crate::transport::inherited::{REPLIES_FD, REQUESTS_FD};
use crate::transport::tcp;

/// Our copies of the child's ends are kept above the numbers at which the child gets them, so that putting one into
/// its place can never overwrite the other.
const SAFE_FD: RawFd = 10;

/// A child that was started, until it is reaped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    ended: bool,
}

/// Our ends of the pipes to a child.
#[derive(Debug)]
pub struct Ends {
    /// What the child reads goes in here.
    pub to_child: OwnedFd,
    /// What the child writes comes out here.
    pub from_child: OwnedFd,
}

impl Process {
    /// Starts the program. The child's ends of the pipes are closed here again, so each end has one holder. Where the
    /// child finds them, reading and writing, is told by the arguments that `tell` makes of it.
    pub fn start(
        program: &Path,
        arguments: &[OsString],
        tell: impl FnOnce(usize, usize) -> Vec<OsString>,
    ) -> io::Result<(Self, Ends)> {
        let told = tell(REQUESTS_FD as usize, REPLIES_FD as usize);
        Self::start_over_pipes(program, arguments.iter().chain(&told), [REQUESTS_FD, REPLIES_FD])
    }

    /// Starts the program with the pipes as its standard input and output.
    pub fn start_on_standard(program: &Path, arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        Self::start_over_pipes(program, arguments.iter(), [0, 1])
    }

    /// Starts the program with one local socket for both directions, where it would have what it reads.
    pub fn start_on_socket(program: &Path, arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        let (theirs, ours) = UnixStream::pair()?;
        Self::start_over_stream(program, arguments, &theirs.into(), ours.into())
    }

    /// Starts the program with one end of a connection over the loopback for both directions, likewise.
    pub fn start_on_connection(program: &Path, arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        let (theirs, ours) = tcp::pair()?;
        Self::start_over_stream(program, arguments, &theirs.into(), ours.into())
    }

    fn start_over_stream(
        program: &Path,
        arguments: &[OsString],
        theirs: &OwnedFd,
        ours: OwnedFd,
    ) -> io::Result<(Self, Ends)> {
        let numbers = [REQUESTS_FD, REQUESTS_FD];
        let process = Self::start_with(program, arguments.iter(), numbers, [theirs.as_fd(), theirs.as_fd()])?;
        Ok((process, Ends { to_child: ours.try_clone()?, from_child: ours }))
    }

    fn start_over_pipes<'a>(
        program: &Path,
        arguments: impl Iterator<Item = &'a OsString>,
        numbers: [RawFd; 2],
    ) -> io::Result<(Self, Ends)> {
        let (child_requests, requests) = os_pipe::pipe()?;
        let (replies, child_replies) = os_pipe::pipe()?;
        let theirs = [child_requests.as_fd(), child_replies.as_fd()];
        let process = Self::start_with(program, arguments, numbers, theirs)?;
        Ok((process, Ends { to_child: requests.into(), from_child: replies.into() }))
    }

    /// Starts the program, which reads and writes at these numbers, with these ends.
    fn start_with<'a>(
        program: &Path,
        arguments: impl Iterator<Item = &'a OsString>,
        [reads, writes]: [RawFd; 2],
        [child_requests, child_replies]: [BorrowedFd<'_>; 2],
    ) -> io::Result<Self> {
        close_on_exec_all();
        heed_children();
        let child_requests = above_safe_fd(child_requests)?;
        let child_replies = above_safe_fd(child_replies)?;

        let mut files = PosixSpawnFileActions::init()?;
        files.add_open(0, "/dev/null", OFlag::O_RDONLY, Mode::empty())?;
        files.add_dup2(child_requests.as_raw_fd(), reads)?;
        files.add_dup2(child_replies.as_raw_fd(), writes)?;

        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETPGROUP,
        )?;
        let mut dispositions = SigSet::all();
        dispositions.remove(Signal::SIGKILL);
        dispositions.remove(Signal::SIGSTOP);
        attributes.set_sigdefault(&dispositions)?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_pgroup(Pid::from_raw(0))?;

        let path = CString::new(program.as_os_str().as_bytes())?;
        let mut argv = vec![path.clone()];
        for argument in arguments {
            argv.push(CString::new(argument.as_bytes())?);
        }
        let pid = posix_spawn(path.as_c_str(), &files, &attributes, &argv, &environment())?;
        Ok(Self { pid, ended: false })
    }

    /// Asks a server to end: SIGALRM.
    pub fn alarm(&self) {
        self.signal(Signal::SIGALRM);
    }

    /// Asks any other child to end: SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends the child: SIGKILL.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Sends the child a signal; one that has ended is sent none.
    pub fn signal(&self, signal: Signal) {
        // Until it is reaped the number is ours, even if the process is dead already; then there is nothing to do.
        if !self.ended {
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits for the child's end on a thread of its own, without reaping it, and then calls `notify`.
    pub fn watch(&self, notify: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let pid = libc::id_t::try_from(self.pid.as_raw()).expect("the number of a process is positive");
        let waiting = move || {
            // SAFETY: the call writes to this local alone, for which all zeros is a valid value.
            while unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
            } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            notify();
        };
        std::thread::Builder::new().spawn(waiting).map(drop)
    }

    /// How the child ended, if it has; it is reaped then.
    pub fn try_wait(&mut self) -> io::Result<Option<Ending>> {
        if self.ended {
            return Ok(None);
        }
        let Some(status) = reaped(self.pid, libc::WNOHANG)? else { return Ok(None) };
        let ending = match status.signal() {
            Some(signal) => Ending::Signaled(signal, Signal::try_from(signal).map_or("real-time", Signal::as_str)),
            None => Ending::Exited(status.code().unwrap_or_default()),
        };
        self.ended = true;
        Ok(Some(ending))
    }
}

impl Drop for Process {
    /// Whatever goes wrong here, the child does not stay behind.
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            let _ = reaped(self.pid, 0);
        }
    }
}

/// How a child has ended, if it has. Not by nix, which takes an end by a real-time signal for an error, when the child is gone.
fn reaped(child: Pid, options: libc::c_int) -> io::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: the call writes to this local alone.
    let pid = unsafe { libc::waitpid(child.as_raw(), &raw mut status, options) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((pid > 0).then(|| ExitStatus::from_raw(status)))
}

/// Of a process that ignores SIGCHLD, as it may have been started to do, the system reaps the children, and nobody would know how
/// they ended.
fn heed_children() {
    // SAFETY: the first call writes to this local alone, for which all zeros is a valid value; the other one changes a disposition
    // that had no handler.
    unsafe {
        let mut now: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Marks every descriptor from 3 on to be closed in the child, those that we inherited ourselves too.
fn close_on_exec_all() {
    let open = std::fs::read_dir("/dev/fd").map(|entries| {
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect::<Vec<RawFd>>()
    });
    // Without that folder the numbers are tried one by one, as far as any program goes that opened them before us.
    for fd in open.unwrap_or_else(|_| (0..1024).collect()) {
        if fd > 2 {
            // SAFETY: nothing but the flag of the number is changed; if nothing is open there, the call answers EBADF.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }
}

/// A copy of the descriptor with a number that is out of the way.
fn above_safe_fd(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(SAFE_FD))?;
    // SAFETY: the call has just made this descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// The environment, byte for byte, with entries that are no assignments and in their order: std would drop some.
fn environment() -> Vec<&'static CStr> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or an array of C strings that ends with a null; this process never changes it, and it
    // has no thread that could when a child is started.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry));
            entry = entry.add(1);
        }
    }
    entries
}
