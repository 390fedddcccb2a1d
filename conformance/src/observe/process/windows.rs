//! Windows: a handle tells when a process ended, and how. There are no signals but the end, and little else is told of a process that
//! is somebody else's child.

#![expect(
    unsafe_code,
    reason = "processes that are not our children are opened, awaited and ended by the system's own calls only"
)]

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, FILETIME, WAIT_OBJECT_0};
use windows_sys::Win32::System::ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{
    GetCurrentProcess, GetExitCodeProcess, GetProcessTimes, INFINITE, OpenProcess, PROCESS_ACCESS_RIGHTS,
    PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, QueryFullProcessImageNameW,
    TerminateProcess, WaitForSingleObject,
};

use super::{Facts, ProcessorTime};
use crate::event::Status;
use crate::signal::Signal;

/// The exit status of a process that the suite has ended: that of a program which Ctrl-C ends.
pub(crate) const ENDED_BY_US: u32 = 0xC000_013A;

/// The longest path of a program that is told.
const PATH_UNITS_MAX: usize = 1024;

/// A process whose end is awaited.
#[derive(Debug)]
pub struct Watch {
    process: Arc<OwnedHandle>,
    is_over: watch::Receiver<bool>,
}

impl Watch {
    /// Watches a process that is known to live at this moment.
    pub fn new(pid: i32) -> io::Result<Self> {
        Self::of(open(pid, PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION)?)
    }

    /// Watches a process by its handle.
    pub(crate) fn of(process: OwnedHandle) -> io::Result<Self> {
        let process = Arc::new(process);
        let (over, is_over) = watch::channel(false);
        let waited_for = process.clone();
        // It is there as long as the process, which nobody outlives.
        std::thread::Builder::new().spawn(move || {
            has_ended_within(&waited_for, INFINITE);
            over.send_replace(true);
        })?;
        Ok(Watch { process, is_over })
    }

    /// Returns once the process has ended.
    pub async fn ended(&self) -> io::Result<()> {
        self.is_over.clone().wait_for(|is_over| *is_over).await.map(drop).map_err(io::Error::other)
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<Status> {
        status(&self.process)
    }
}

fn open(pid: i32, rights: PROCESS_ACCESS_RIGHTS) -> io::Result<OwnedHandle> {
    // SAFETY: nothing but numbers is passed.
    let process = unsafe { OpenProcess(rights, 0, pid.cast_unsigned()) };
    if process.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else knows of it.
    Ok(unsafe { OwnedHandle::from_raw_handle(process) })
}

fn has_ended_within(process: &OwnedHandle, milliseconds: u32) -> bool {
    // SAFETY: the handle is open.
    unsafe { WaitForSingleObject(process.as_raw_handle(), milliseconds) == WAIT_OBJECT_0 }
}

fn status(process: &OwnedHandle) -> Option<Status> {
    let mut code = 0;
    // SAFETY: the handle is open, and the number is a local.
    let asked = unsafe { GetExitCodeProcess(process.as_raw_handle(), &raw mut code) };
    (has_ended_within(process, 0) && asked != 0).then(|| Status::Exited(code.cast_signed()))
}

/// Ends a process at SIGKILL; nothing else can be sent here. A process that is gone is not an error, since its end is seen elsewhere.
pub fn signal(pid: i32, number: i32) -> io::Result<()> {
    if number != Signal::SIGKILL as i32 {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "there are no signals on this system"));
    }
    let ended = open(pid, PROCESS_TERMINATE | PROCESS_SYNCHRONIZE).and_then(|process| {
        // SAFETY: the handle is open.
        match unsafe { TerminateProcess(process.as_raw_handle(), ENDED_BY_US) } {
            0 if !has_ended_within(&process, 0) => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    });
    match ended {
        Err(error) if error.raw_os_error() == Some(ERROR_INVALID_PARAMETER.cast_signed()) => Ok(()),
        ended => ended,
    }
}

/// How a process ended, if it has and somebody still has a handle of it.
pub fn reap(pid: i32) -> Option<Status> {
    status(&open(pid, PROCESS_SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION).ok()?)
}

/// Whether a process lives.
pub fn is_living_child(pid: i32) -> bool {
    open(pid, PROCESS_SYNCHRONIZE).is_ok_and(|process| !has_ended_within(&process, 0))
}

/// What a process runs, if it lives.
pub fn program(pid: i32) -> Option<OsString> {
    let process = open(pid, PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE).ok()?;
    let mut path = [0; PATH_UNITS_MAX];
    let mut length = PATH_UNITS_MAX as u32;
    // SAFETY: the handle is open, and the buffer has the size that is told.
    let asked = unsafe { QueryFullProcessImageNameW(process.as_raw_handle(), 0, path.as_mut_ptr(), &raw mut length) };
    let lives = !has_ended_within(&process, 0);
    (asked != 0 && lives).then(|| OsString::from_wide(&path[..length as usize]))
}

/// The same of any process.
pub(super) fn is_over(pid: i32) -> bool {
    !is_living_child(pid)
}

/// The most memory that this process itself had in use.
pub fn own_memory_kib() -> u64 {
    let mut counters = PROCESS_MEMORY_COUNTERS::default();
    let size = size_of_val(&counters) as u32;
    // SAFETY: the handle of this process needs no owner, and the structure has the size that is told.
    let asked = unsafe { GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) };
    if asked == 0 { 0 } else { counters.PeakWorkingSetSize as u64 >> 10 }
}

/// How long a process had a processor. How long it waited for one is not told.
pub fn processor_time(pid: i32) -> Option<ProcessorTime> {
    let process = open(pid, PROCESS_QUERY_LIMITED_INFORMATION).ok()?;
    let [mut begun, mut over, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: the handle is open, and all four are locals.
    let asked = unsafe {
        GetProcessTimes(process.as_raw_handle(), &raw mut begun, &raw mut over, &raw mut kernel, &raw mut user)
    };
    let time = |time: FILETIME| {
        let tenths_us = (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime);
        Duration::from_nanos(tenths_us * 100)
    };
    (asked != 0).then(|| ProcessorTime { ran: time(kernel) + time(user), waited: Duration::ZERO })
}

/// There are no sessions of that kind.
pub fn system_session(_: i32) -> Option<i32> {
    None
}

/// How many threads a process has, which is not asked here: one at least.
pub fn threads(_: i32) -> u64 {
    1
}

/// How many descriptors a process may have open by now: there is no such bound.
pub fn descriptors_max(_: i32) -> Option<u64> {
    None
}

/// How many descriptors a process has open, which is not asked here.
pub fn descriptors(_: i32) -> u64 {
    0
}

/// Nobody is told here what another process was given.
pub fn environment(_: i32) -> Option<Vec<u8>> {
    Some(Vec::new())
}

/// There are no namespaces here.
pub fn namespace(_: i32) -> Option<u64> {
    None
}

/// Nothing is said here of a process's signals and processors.
pub fn facts(_: i32) -> Option<Facts> {
    None
}

/// Nobody tells; whoever asks goes on at once.
pub(super) fn sleeps(_: i32) -> bool {
    true
}

/// Nobody stops here.
pub(super) fn is_stopped(_: i32) -> bool {
    true
}

/// Nothing is sent here.
pub(super) fn is_pending(_: i32, _: i32) -> bool {
    true
}

/// This system does not tell.
pub fn parent(_: i32) -> Option<i32> {
    None
}

/// This system does not tell.
pub fn waited(_: i32) -> Option<bool> {
    None
}
