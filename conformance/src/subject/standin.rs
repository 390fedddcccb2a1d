//! The stand-in: a program that is started where another should be, and then becomes it.
//!
//! It is both the starter of every subject and the tap in the place of the server. It runs without Rust's
//! own start-up (which would set SIGPIPE to ignored and open closed descriptors 0 to 2), in one thread, and
//! leaves arguments, environment, process id and parent as they are. It knows nothing of what it starts.

#![expect(
    unsafe_code,
    reason = "execve with the very pointers that were given, and signal dispositions, have no safe call"
)]

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{AddressFamily, SocketType};

use super::cgroup::MYSELF;
#[cfg(target_os = "linux")]
use super::confine;
use super::handover::{self, Become, Begun, DESCRIPTORS_MAX, Descriptor, Hello, Kind, Order, SOCKET};
use super::peers;
use super::place::STARTER;
use crate::descriptors;

/// Exit status when the stand-in could not do its work; the reason goes to standard error.
pub(super) const BROKEN: c_int = 127;

/// Where a process finds its own open descriptors. A small container may lack the usual link to that.
const DESCRIPTORS: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// The lowest number that the socket to the suite takes.
const SUITE_FD_MIN: RawFd = 100;

/// The whole program: connect, say what was given, do as told.
///
/// # Safety
/// `argv` must be what `main` was given: a null-terminated array of C strings.
pub unsafe fn main(argv: *const *const c_char) -> c_int {
    // SAFETY: the caller hands on main's own argument, and `environ` is the process's own, in one thread.
    let (argv, env) = unsafe { (strings(argv), strings(environ)) };
    match attend(argv, env) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("conformance stand-in: {error}");
            BROKEN
        }
    }
}

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// Copies a null-terminated array of C strings.
unsafe fn strings(mut array: *const *const c_char) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // SAFETY: the array ends with a null pointer, and each entry before it is a C string.
    unsafe {
        while !array.is_null() && !(*array).is_null() {
            all.push(CStr::from_ptr(*array).to_bytes().to_vec());
            array = array.add(1);
        }
    }
    all
}

fn attend(argv: Vec<Vec<u8>>, env: Vec<Vec<u8>>) -> io::Result<c_int> {
    let me = std::env::current_exe()?;
    let name = me.file_name().unwrap_or_default();
    // The starter is ours to call; what stands in the server's place is called by another, with that one's arguments.
    let folder = match argv.get(1) {
        Some(folder) if name == STARTER => Path::new(OsStr::from_bytes(folder)),
        _ => me.parent().unwrap_or(Path::new("/")),
    };
    let descriptors = open_descriptors()?;
    // High up, so that it is in the way of no number that a server expects.
    let suite = UnixStream::from(above(UnixStream::connect(folder.join(SOCKET))?.into(), SUITE_FD_MIN)?);
    let hello = Hello {
        name: name.to_string_lossy().into_owned(),
        pid: std::process::id().cast_signed(),
        argv,
        env,
        descriptors,
    };
    let handed: Vec<RawFd> = hello.descriptors.iter().filter(|d| d.handed).map(|d| d.number).collect();
    // SAFETY: these numbers were found open a moment ago, and nothing else runs that could close them.
    let borrowed: Vec<_> = handed.iter().map(|&n| unsafe { BorrowedFd::borrow_raw(n) }).collect();
    handover::send(&suite, &hello, &borrowed)?;
    loop {
        match handover::receive::<Order>(&suite)? {
            None => return Ok(0),
            Some((Order::Exit(status), _)) => return Ok(status),
            Some((Order::Raise(signal), _)) => raise(signal),
            Some((Order::Hold { close, ignore }, _)) => {
                // SAFETY: closing numbers and setting dispositions of this one-threaded process, no pointers.
                unsafe {
                    ignore.iter().for_each(|&s| _ = libc::signal(s, libc::SIG_IGN));
                    close.iter().for_each(|&n| _ = libc::close(n));
                }
                handover::send(&suite, &0, &[])?;
            }
            #[cfg(target_os = "linux")]
            Some((Order::Become(program), placed)) if program.confine.is_some() => {
                let socket = suite.as_raw_fd();
                return confine::run(&program, placed, suite, |program, placed| execute(program, placed, socket));
            }
            Some((Order::Become(program), placed)) => {
                let error = execute(&program, placed, suite.as_raw_fd());
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                handover::send(&suite, &Begun::NotExecuted(errno), &[])?;
                return Ok(BROKEN);
            }
            Some((Order::Enter, lists)) => {
                let entered = lists.iter().try_for_each(|list| rustix::io::write(list, MYSELF.as_bytes()).map(drop));
                handover::send(&suite, &errno_of(&entered.map_err(io::Error::from)), &[])?;
            }
            #[cfg(target_os = "linux")]
            Some((Order::Separate, _)) => handover::send(&suite, &errno_of(&confine::separate()), &[])?,
            #[cfg(target_os = "linux")]
            Some((Order::Bind { datagrams }, _)) => {
                let bound = super::sandbox::bind_loopback(datagrams);
                let socket: Vec<_> = bound.iter().map(std::os::fd::AsFd::as_fd).collect();
                handover::send(&suite, &errno_of(&bound), &socket)?;
            }
            Some((order, _)) => return Err(io::Error::other(format!("{order:?} is nothing that can be done here"))),
        }
    }
}

/// The error number of what failed, or 0.
fn errno_of<T>(done: &io::Result<T>) -> i32 {
    done.as_ref().err().map_or(0, |error| error.raw_os_error().unwrap_or(libc::EIO))
}

/// Every open descriptor, each marked as handed when it is a pipe or a stream that can be taken over.
fn open_descriptors() -> io::Result<Vec<Descriptor>> {
    let listed = std::fs::read_dir(DESCRIPTORS)
        .map_err(|error| io::Error::new(error.kind(), format!("{DESCRIPTORS}, its open descriptors: {error}")))?;
    let mut numbers: Vec<RawFd> = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    let mut handed = 0;
    let mut found: Vec<_> = numbers
        .into_iter()
        .filter_map(|number| {
            let mut descriptor = describe(number)?;
            descriptor.handed &= handed < DESCRIPTORS_MAX;
            handed += usize::from(descriptor.handed);
            Some(descriptor)
        })
        .collect();
    let mut streams: Vec<_> = found.iter_mut().filter(|one| one.handed && one.kind != Kind::Pipe).collect();
    // One alone has its other end elsewhere.
    if streams.len() > 1 {
        // SAFETY: these numbers were found open a moment ago, and nothing else runs that could close them.
        let borrowed = streams.iter().map(|one| (unsafe { BorrowedFd::borrow_raw(one.number) }, one.identity.1));
        let peers = peers::of(&borrowed.collect::<Vec<_>>());
        streams.iter_mut().zip(peers).for_each(|(one, peer)| one.peer = peer);
    }
    Ok(found)
}

/// `None` when the number is not open (the folder's own descriptor is closed by now).
fn describe(number: RawFd) -> Option<Descriptor> {
    // SAFETY: fstat and fcntl only read through the pointer to a local of the right type.
    let (stat, flags) = unsafe {
        let mut stat = std::mem::zeroed::<libc::stat>();
        if libc::fstat(number, &raw mut stat) != 0 {
            return None;
        }
        (stat, libc::fcntl(number, libc::F_GETFL))
    };
    let (kind, handed) = match stat.st_mode & libc::S_IFMT {
        libc::S_IFIFO => (Kind::Pipe, true),
        libc::S_IFSOCK => stream(number).map_or((Kind::Socket, false), |kind| (kind, true)),
        libc::S_IFCHR => (Kind::Device, false),
        _ => (Kind::Other, false),
    };
    let access = flags & libc::O_ACCMODE;
    Some(Descriptor {
        number,
        kind,
        readable: access != libc::O_WRONLY,
        writable: access != libc::O_RDONLY,
        nonblocking: flags & libc::O_NONBLOCK != 0,
        identity: super::identity(&stat),
        handed,
        peer: None,
    })
}

/// What a connected stream is: a local one, which some languages give for a pipe, or one over the network.
fn stream(number: RawFd) -> Option<Kind> {
    // SAFETY: the number is open, and getpeername and getsockopt write into locals of the stated size.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    let peer = rustix::net::getpeername(socket).ok()?;
    if rustix::net::sockopt::socket_type(socket) != Ok(SocketType::STREAM) {
        return None;
    }
    match peer.map(|peer| peer.address_family()) {
        None | Some(AddressFamily::UNIX) => Some(Kind::Socket),
        Some(AddressFamily::INET | AddressFamily::INET6) => Some(Kind::Connection),
        Some(_) => None,
    }
}

/// Replaces this process; returns only when that failed.
fn execute(program: &Become, placed: Vec<OwnedFd>, suite: RawFd) -> io::Error {
    let prepared = (|| {
        let path = CString::new(program.path.clone())?;
        let argv = program.argv.iter().map(|a| CString::new(a.clone())).collect::<Result<Vec<_>, _>>()?;
        let env = program.env.iter().map(|e| CString::new(e.clone())).collect::<Result<Vec<_>, _>>()?;
        if let Some(folder) = &program.folder {
            std::env::set_current_dir(OsStr::from_bytes(folder))?;
        }
        if program.new_session {
            rustix::process::setsid()?;
        }
        place(&program.place, placed, program.clean, suite)?;
        io::Result::Ok((path, argv, env))
    })();
    let (path, argv, env) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let pointers =
        |all: &[CString]| -> Vec<*const c_char> { all.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect() };
    let (argv, env) = (pointers(&argv), pointers(&env));
    if program.clean {
        default_signals();
        // Who is confined has limits of its own.
        if program.confine.is_none() {
            descriptors::set(program.descriptors);
        }
    }
    program.deaf_to.iter().for_each(|signal| ignore_and_block(*signal));
    // SAFETY: path, and both null-terminated arrays of C strings, live until the call returns, if it does.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Moves a descriptor to a number that is at least `least`, closed on exec.
fn above(descriptor: OwnedFd, least: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl makes a new descriptor, or says that it could not.
    let moved = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    if moved < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

/// Puts the descriptors under their numbers. The socket to the suite, closed on exec, must not be in the way.
fn place(numbers: &[i32], placed: Vec<OwnedFd>, clean: bool, suite: RawFd) -> io::Result<()> {
    let free = numbers.iter().max().map_or(3, |max| max + 1).max(3);
    // First out of the way of every number that is to be taken, then into place.
    let safe = placed.into_iter().map(|d| above(d, free)).collect::<io::Result<Vec<_>>>()?;
    if numbers.contains(&suite) {
        return Err(io::Error::other(format!("descriptor {suite} is wanted and in use by the stand-in itself")));
    }
    for (descriptor, &number) in safe.iter().zip(numbers) {
        // SAFETY: dup2 onto a number that only this process's own orders speak of.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if clean {
        for descriptor in open_descriptors()? {
            if descriptor.number > 2 && descriptor.number != suite && !numbers.contains(&descriptor.number) {
                // SAFETY: marking a number to be closed on exec; nothing of this process depends on it later.
                unsafe { libc::fcntl(descriptor.number, libc::F_SETFD, libc::FD_CLOEXEC) };
            }
        }
    }
    Ok(())
}

/// Every signal to its default action, none blocked: both survive exec.
fn default_signals() {
    // SAFETY: dispositions of a one-threaded process, and a mask that is written before it is read.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        // The C library keeps these for itself and refuses them, but hands on whether they are ignored.
        #[cfg(target_os = "linux")]
        for signal in [32, 33] {
            // All zeroes is the default action, and longer than the kernel's structure on any processor.
            let action = [0_u64; 8];
            libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), std::ptr::null_mut::<u64>(), 8);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// What a program is started with when whoever starts it does not hear the signal either.
fn ignore_and_block(signal: i32) {
    // SAFETY: a disposition of a one-threaded process, and a mask that is written before it is read.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
        let mut mask = std::mem::zeroed();
        libc::sigemptyset(&raw mut mask);
        libc::sigaddset(&raw mut mask, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const mask, std::ptr::null_mut());
    }
}

fn raise(signal: i32) -> ! {
    default_signals();
    // SAFETY: no pointers; if the signal's default action is not to end, the exit below is the end.
    unsafe {
        libc::raise(signal);
        libc::_exit(BROKEN)
    }
}
