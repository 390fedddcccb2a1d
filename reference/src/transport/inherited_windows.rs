//! How the ends of the pipes reach a server on Windows: as inherited handles whose values stand in two arguments that
//! the watchdog appends, `pipe_in=N` and `pipe_out=N`. The environment is to arrive unchanged, and numbers cannot be
//! chosen here as descriptors can on Unix.
//!
//! All that is unsafe about taking them over is in this file. It does not know what is sent over them.

#![expect(unsafe_code, reason = "a number becomes an owned handle here, on the word of whoever started us")]

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Win32::Storage::FileSystem::{FILE_TYPE_PIPE, GetFileType};

/// The argument that says where a server finds its requests.
const REQUESTS_KEY: &str = "pipe_in";

/// The argument that says where a server leaves its replies.
const REPLIES_KEY: &str = "pipe_out";

/// One end of a pipe.
pub type End = OwnedHandle;

/// The two ends that a server works with.
#[derive(Debug)]
pub struct Ends {
    /// Requests are read from here.
    pub requests: OwnedHandle,
    /// Replies are written here.
    pub replies: OwnedHandle,
}

/// Why there are no pipes to work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPipes {
    key: &'static str,
    found: &'static str,
}

impl fmt::Display for NoPipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected pipes to read requests from and to write replies to, as {REQUESTS_KEY}=N and {REPLIES_KEY}=N, \
             but {} is {}; start the server with: watchdog -sp <its absolute path>",
            self.key, self.found
        )
    }
}

impl std::error::Error for NoPipes {}

/// What tells a server where its ends are.
pub fn arguments(requests: usize, replies: usize) -> Vec<OsString> {
    vec![format!("{REQUESTS_KEY}={requests}").into(), format!("{REPLIES_KEY}={replies}").into()]
}

/// Takes over the inherited ends that the arguments name. It can be done once in a process.
pub fn take(arguments: &[OsString]) -> Result<Ends, NoPipes> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let requests = value(arguments, REQUESTS_KEY)?;
    let replies = value(arguments, REPLIES_KEY)?;
    if requests == replies {
        return Err(NoPipes { key: REPLIES_KEY, found: "the same handle" });
    }
    assert!(!TAKEN.swap(true, Ordering::SeqCst), "the inherited ends are taken once");
    // SAFETY: both are open pipes, as was just checked, and nobody else in this process owns them: they were inherited,
    // std uses the standard handles only, and the flag above lets no second owner come into being.
    unsafe {
        Ok(Ends { requests: OwnedHandle::from_raw_handle(requests), replies: OwnedHandle::from_raw_handle(replies) })
    }
}

/// Takes over the standard input and output as the ends of a server, once. The error says what is wrong with them.
pub fn standard() -> Result<Ends, String> {
    let [requests, replies] = [io::stdin().as_raw_handle(), io::stdout().as_raw_handle()];
    Ok(Ends { requests: one(requests as usize, false)?, replies: one(replies as usize, true)? })
}

/// There are no such sockets here.
pub fn socket() -> Result<Ends, String> {
    Err("there are no local sockets on this system that one process hands to another".into())
}

/// Takes over the inherited end with this value, to read from it or, if `writes`, to write to it. To be done once for each
/// value. The error says what is wrong with it.
pub fn one(value: usize, writes: bool) -> Result<End, String> {
    let use_ = if writes { "write to" } else { "read from" };
    let told = |found: &str| format!("expected a pipe to {use_} at handle {value}, which is {found}");
    let handle = value as RawHandle;
    // SAFETY: the handle is only asked about; if it is not open, the call answers that its type is unknown.
    if unsafe { GetFileType(handle) } != FILE_TYPE_PIPE {
        return Err(told("not a pipe"));
    }
    static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().expect("nobody panics with it");
    if taken.contains(&value) {
        return Err(told("in use for the other direction"));
    }
    taken.push(value);
    // SAFETY: it is an open pipe, as was just checked, and nobody else in this process owns it: it was inherited, and the list
    // above lets no second owner come into being.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// The last value counts: the watchdog appends its own.
fn value(arguments: &[OsString], key: &'static str) -> Result<RawHandle, NoPipes> {
    let missing = |found| NoPipes { key, found };
    let mut values = arguments.iter().filter_map(|argument| argument.to_str()?.strip_prefix(key)?.strip_prefix('='));
    let value = values.next_back().ok_or(missing("missing"))?;
    let handle = value.parse::<usize>().map_err(|_| missing("no number"))? as RawHandle;
    // SAFETY: the handle is only asked about; if it is not open, the call answers that its type is unknown.
    match unsafe { GetFileType(handle) } {
        FILE_TYPE_PIPE => Ok(handle),
        _ => Err(missing("not a pipe")),
    }
}
