//! Ends on Windows: handles of named pipes. Ours can be waited for beside all else; a subject's is one of the usual kind, at which
//! whoever reads or writes waits.

#![expect(unsafe_code, reason = "a pipe of which each end is of another kind is made by the system's own call only")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, IntoRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::windows::named_pipe::NamedPipeServer;
use windows_sys::Win32::Foundation::{ERROR_PIPE_NOT_CONNECTED, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND,
};
use windows_sys::Win32::System::Pipes::{CreateNamedPipeW, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PeekNamedPipe};

use super::Ours;

/// An end of a pipe.
pub type End = OwnedHandle;

/// How much a pipe holds: as on Linux.
const PIPE_BYTES: u32 = 64 << 10;

/// A pipe, its reading end first.
pub fn pipe(ours: Ours) -> io::Result<(End, End)> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = format!(r"\\.\pipe\conformance-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let ended: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let access = match ours {
        Ours::Reader => PIPE_ACCESS_INBOUND,
        Ours::Writer => PIPE_ACCESS_OUTBOUND,
    };
    let (access, mode) =
        (access | FILE_FLAG_FIRST_PIPE_INSTANCE | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS);
    // SAFETY: the name ends with a zero and lives until the call returns, and null is allowed for the attributes.
    let made = unsafe { CreateNamedPipeW(ended.as_ptr(), access, mode, 1, PIPE_BYTES, PIPE_BYTES, 0, null()) };
    if made == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and nobody else knows of it.
    let made = unsafe { OwnedHandle::from_raw_handle(made) };
    let mut other = OpenOptions::new();
    // It is the pipe's one instance, so whoever else came first would be seen by the error here.
    let other = match ours {
        Ours::Reader => other.write(true),
        Ours::Writer => other.read(true),
    };
    let other = OwnedHandle::from(other.open(name)?);
    Ok(match ours {
        Ours::Reader => (made, other),
        Ours::Writer => (other, made),
    })
}

/// The number that a subject is told of an end that records call by this one: nobody chooses under which number a handle is
/// inherited, and it is the one that it has here.
pub fn told(end: &End, _: i32) -> i32 {
    end.as_raw_handle() as i32
}

/// Said of a pipe that has no other side any more.
pub(super) fn is_hang_up(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_PIPE_NOT_CONNECTED.cast_signed())
}

/// An end that does not block.
#[derive(Debug)]
pub(super) struct Open(NamedPipeServer);

impl Open {
    /// Takes over an end that is read from, which has to be ours.
    pub(super) fn to_read(end: End) -> io::Result<Self> {
        // SAFETY: the handle is open, its owner gives it up here, and `pipe` made it to be waited for.
        unsafe { NamedPipeServer::from_raw_handle(end.into_raw_handle()) }.map(Open)
    }

    /// The same for one that is written to.
    pub(super) fn to_write(end: End) -> io::Result<Self> {
        Self::to_read(end)
    }

    /// Reads what comes next, nothing at its end.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if super::is_gone(&error) => return Ok(0),
                read => return read,
            }
        }
    }

    /// Writes what is taken next, once anything is. The last of it may be with the system still, on its way into the pipe.
    pub(super) async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.0.writable().await?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    /// Writes what is taken at once.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    /// Waits until what was written has been read to its last byte.
    pub(super) async fn all_read(&self, _: i32) -> io::Result<()> {
        let same = File::from(self.0.as_handle().try_clone_to_owned()?);
        // Of a pipe the system calls that flushed. It waits until the other end is closed, at the latest.
        tokio::task::spawn_blocking(move || same.sync_all()).await.map_err(io::Error::other)?
    }

    /// Nobody has the other end any more.
    pub(super) fn is_hung_up(&self) -> bool {
        waiting(&self.0).is_err()
    }
}

/// How many bytes there are to be read.
fn waiting(end: &impl AsHandle) -> io::Result<u32> {
    let mut bytes = 0;
    let end = end.as_handle().as_raw_handle();
    // SAFETY: the handle is borrowed and so open, the number is a local, and null is allowed for all else.
    match unsafe { PeekNamedPipe(end, null_mut(), 0, null_mut(), &raw mut bytes, null_mut()) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(bytes),
    }
}

/// Fills a pipe, from which nobody reads, so that nothing more goes into it before all of that is read, and says how much it is.
pub fn stuff(reader: &End, writer: &End) -> io::Result<usize> {
    let mut same = File::from(writer.try_clone()?);
    let bytes = 2 * PIPE_BYTES as usize;
    // More than it holds, so this waits until it is read, or nobody is left who could.
    std::thread::spawn(move || same.write_all(&vec![0; bytes]));
    while waiting(reader)? == 0 {
        std::thread::yield_now();
    }
    Ok(bytes)
}
