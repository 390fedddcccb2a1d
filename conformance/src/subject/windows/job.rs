//! A session's processes as a job object, which nobody leaves: it says who belongs to a session, and ends all of them at once, when it
//! is closed too. That is what a control group is elsewhere, so it goes by the same name.

#![expect(unsafe_code, reason = "there is no safe call for a job object")]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};

use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation,
    QueryInformationJobObject, SetInformationJobObject, TerminateJobObject,
};

use crate::observe::process::{self, ENDED_BY_US};

/// What sessions get theirs of.
#[derive(Debug)]
pub(super) struct Groups;

/// The job of a session.
#[derive(Debug)]
pub(super) struct Group(OwnedHandle);

impl Groups {
    /// A job for a session.
    pub(super) fn session(&self) -> io::Result<Group> {
        // SAFETY: null is allowed for attributes and name.
        let job = unsafe { CreateJobObjectW(null(), null()) };
        if job.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, and nobody else knows of it.
        let job = Group(unsafe { OwnedHandle::from_raw_handle(job) });
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
        let size = size_of_val(&limits) as u32;
        // SAFETY: the job is open, and the structure is the one that is named, of the size that is told.
        done(unsafe {
            SetInformationJobObject(
                job.0.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size,
            )
        })?;
        Ok(job)
    }
}

impl Group {
    /// Puts a process into it.
    pub(super) fn add(&self, process: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: both handles are open.
        done(unsafe { AssignProcessToJobObject(self.0.as_raw_handle(), process.as_raw_handle()) })
    }

    /// The processes that are in it.
    pub(super) fn processes(&self) -> io::Result<Vec<i32>> {
        // Two numbers of four bytes each stand before the list, how many there are and how many are listed.
        for listed in (0..).map(|doubled| 64_usize << doubled) {
            let mut list = vec![0_usize; 1 + listed];
            let size = size_of_val(list.as_slice()) as u32;
            // SAFETY: the job is open, the buffer is aligned for the list of numbers as long as a pointer, and has the size that is told.
            let asked = unsafe {
                QueryInformationJobObject(
                    self.0.as_raw_handle(),
                    JobObjectBasicProcessIdList,
                    list.as_mut_ptr().cast(),
                    size,
                    null_mut(),
                )
            };
            let [assigned, found] = [list[0] as u32 as usize, list[0] >> 32];
            match done(asked) {
                Err(error) if error.raw_os_error() != Some(MORE_DATA) => return Err(error),
                Ok(()) if found >= assigned || found < listed => {
                    // One whose end was not noted by everybody may be listed still.
                    let pids = list[1..=found].iter().map(|pid| *pid as i32);
                    return Ok(pids.filter(|pid| process::is_living_child(*pid)).collect());
                }
                _ => {}
            }
        }
        unreachable!("there are fewer processes than numbers")
    }

    /// Whether nobody is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.processes().is_ok_and(|found| found.is_empty())
    }

    /// Ends all of them.
    pub(super) fn kill(&self) -> io::Result<()> {
        // SAFETY: the job is open.
        done(unsafe { TerminateJobObject(self.0.as_raw_handle(), ENDED_BY_US) })
    }
}

/// The list is longer.
const MORE_DATA: i32 = windows_sys::Win32::Foundation::ERROR_MORE_DATA.cast_signed();

/// What came of a call that answers 0 where it failed.
pub(super) fn done(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
