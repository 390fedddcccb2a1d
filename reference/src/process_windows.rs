//! Starts, ends and reaps a child with two pipes on Windows.
//!
//! The child's ends of the pipes are inherited handles whose values its arguments tell. There are no signals here:
//! closing the pipe is the order to stop, so [`Process::alarm`] does nothing. The child is in a
//! process group of its own, so that Ctrl-C reaches the parent only, which then ends the child in order.

#![expect(
    unsafe_code,
    reason = "that a handle can be inherited, and waiting for a process, are said to the system only"
)]

use std::ffi::OsString;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, INFINITE, WaitForSingleObject};

use crate::ending::Ending;

/// A child that was started, until it is reaped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: bool,
}

/// Our ends of the pipes to a child.
#[derive(Debug)]
pub struct Ends {
    /// What the child reads goes in here.
    pub to_child: OwnedHandle,
    /// What the child writes comes out here.
    pub from_child: OwnedHandle,
}

impl Process {
    /// Starts the program. The child's ends of the pipes are closed here again, so each end has one holder. Where the
    /// child finds them, reading and writing, is told by the arguments that `tell` makes of it.
    pub fn start(
        program: &Path,
        arguments: &[OsString],
        tell: impl FnOnce(usize, usize) -> Vec<OsString>,
    ) -> io::Result<(Self, Ends)> {
        let (child_requests, requests) = os_pipe::pipe()?;
        let (replies, child_replies) = os_pipe::pipe()?;
        let mut command = Command::new(program);
        command.args(arguments).args(tell(inheritable(&child_requests)?, inheritable(&child_replies)?));
        let process = Self::spawn(command.stdin(Stdio::null()))?;
        Ok((process, Ends { to_child: requests.into(), from_child: replies.into() }))
    }

    /// Starts the program with the pipes as its standard input and output.
    pub fn start_on_standard(program: &Path, arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        let (child_requests, requests) = os_pipe::pipe()?;
        let (replies, child_replies) = os_pipe::pipe()?;
        let mut command = Command::new(program);
        let process = Self::spawn(command.args(arguments).stdin(child_requests).stdout(child_replies))?;
        Ok((process, Ends { to_child: requests.into(), from_child: replies.into() }))
    }

    /// There are no pairs of local sockets here.
    pub fn start_on_socket(_program: &Path, _arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        Err(io::Error::other("there are no pairs of local sockets on this system; use -over pipes or -over stdio"))
    }

    /// A child would have to be told of a socket in words of the system's own, which nobody does here.
    pub fn start_on_connection(_program: &Path, _arguments: &[OsString]) -> io::Result<(Self, Ends)> {
        Err(io::Error::other("sockets are not handed to a child on this system; use -over pipes or -over stdio"))
    }

    fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self { child: command.creation_flags(CREATE_NEW_PROCESS_GROUP).spawn()?, ended: false })
    }

    /// Nothing: see above.
    pub fn alarm(&self) {}

    /// Nothing: the closed pipe is all that there is here to ask with.
    pub fn terminate(&self) {}

    /// Ends the child.
    pub fn kill(&mut self) {
        // A child that is dead already needs no more.
        let _ = self.child.kill();
    }

    /// Waits for the child's end on a thread of its own, without reaping it, and then calls `notify`.
    pub fn watch(&self, notify: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let handle = self.child.as_handle().try_clone_to_owned()?;
        let waiting = move || {
            // SAFETY: the handle is open for as long as this thread owns it.
            unsafe { WaitForSingleObject(handle.as_raw_handle(), INFINITE) };
            notify();
        };
        std::thread::Builder::new().spawn(waiting).map(drop)
    }

    /// How the child ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<Ending>> {
        if self.ended {
            return Ok(None);
        }
        let status = self.child.try_wait()?;
        self.ended = status.is_some();
        Ok(status.map(|status| Ending::Exited(status.code().unwrap_or(-1))))
    }
}

impl Drop for Process {
    /// Whatever goes wrong here, the child does not stay behind.
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
            let _ = self.child.wait();
        }
    }
}

/// Lets the child inherit the handle, and says its value.
fn inheritable(end: &impl AsRawHandle) -> io::Result<usize> {
    let handle = end.as_raw_handle();
    // SAFETY: the handle is open, since it is borrowed; nothing but a flag of it is changed.
    match unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(handle as usize),
    }
}
