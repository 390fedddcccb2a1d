//! Makes a process of a program: with these handles and no others, and in its job before its first instruction.
//!
//! What the program is for is not known here.

#![expect(
    unsafe_code,
    reason = "std's own call neither names the handles that are handed on nor puts a process into a job"
)]

use std::ffi::{OsStr, OsString, c_void};
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsHandle, AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{HANDLE_FLAG_INHERIT, SetHandleInformation};
use windows_sys::Win32::System::Threading::{
    CREATE_NEW_PROCESS_GROUP, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessW, DETACHED_PROCESS,
    DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, InitializeProcThreadAttributeList,
    PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROCESS_INFORMATION, ResumeThread, STARTF_USESTDHANDLES, STARTUPINFOEXW,
    TerminateProcess, UpdateProcThreadAttribute,
};

use super::job::{Group, done};
use crate::observe::ends::End;
use crate::observe::process::ENDED_BY_US;

/// What a process is made of.
pub(super) struct Creation<'a> {
    /// The program's absolute path.
    pub(super) program: &'a Path,
    /// Its arguments, without the name.
    pub(super) args: &'a [OsString],
    /// Its environment, entry by entry.
    pub(super) env: &'a [OsString],
    /// The folder that it begins in.
    pub(super) folder: &'a Path,
    /// Standard input, output and error.
    pub(super) standard: [&'a End; 3],
    /// Whatever else it inherits, each under its own value.
    pub(super) others: Vec<&'a End>,
    /// The job that it is in.
    pub(super) job: Option<&'a Group>,
}

/// Makes it, and lets it run. Its number is only its own as long as the handle is there.
pub(super) fn create(of: &Creation<'_>) -> io::Result<(OwnedHandle, i32)> {
    let program = wide(of.program.as_os_str());
    let mut command_line = command_line(of.program.as_os_str(), of.args)?;
    let mut env: Vec<u16> = of.env.iter().flat_map(|entry| wide(entry)).collect();
    env.push(0);
    let folder = wide(of.folder.as_os_str());
    let mut handles: Vec<RawHandle> = of.standard.iter().chain(&of.others).map(|end| end.as_raw_handle()).collect();
    handles.sort_unstable();
    handles.dedup();
    let _inheritable = Inheritable::make(handles.clone())?;
    let mut list = AttributeList::of_one()?;
    list.hand_on(&mut handles)?;
    let mut startup = STARTUPINFOEXW::default();
    startup.StartupInfo.cb = size_of::<STARTUPINFOEXW>() as u32;
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    [startup.StartupInfo.hStdInput, startup.StartupInfo.hStdOutput, startup.StartupInfo.hStdError] =
        of.standard.map(AsRawHandle::as_raw_handle);
    startup.lpAttributeList = list.0.as_mut_ptr().cast();
    let flags = CREATE_SUSPENDED
        | CREATE_UNICODE_ENVIRONMENT
        | DETACHED_PROCESS
        | CREATE_NEW_PROCESS_GROUP
        | EXTENDED_STARTUPINFO_PRESENT;
    let mut made = PROCESS_INFORMATION::default();
    // SAFETY: all texts end with a zero, the environment with two, and the command line may be written to; the structure is the longer
    // one that its size and a flag speak of; and all of them live until the call returns.
    let is_made = unsafe {
        CreateProcessW(
            program.as_ptr(),
            command_line.as_mut_ptr(),
            null(),
            null(),
            1,
            flags,
            env.as_ptr().cast(),
            folder.as_ptr(),
            (&raw const startup).cast(),
            &raw mut made,
        )
    };
    done(is_made)?;
    // SAFETY: both were just made for us, and nobody else knows of them.
    let (process, thread) =
        unsafe { (OwnedHandle::from_raw_handle(made.hProcess), OwnedHandle::from_raw_handle(made.hThread)) };
    let begun = of.job.map_or(Ok(()), |job| job.add(process.as_handle())).and_then(|()| {
        // SAFETY: the thread is open.
        if unsafe { ResumeThread(thread.as_raw_handle()) } == u32::MAX {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    });
    if begun.is_err() {
        // SAFETY: the process is open. It has not run.
        unsafe { TerminateProcess(process.as_raw_handle(), ENDED_BY_US) };
    }
    begun.map(|()| (process, made.dwProcessId.cast_signed()))
}

/// Handles that can be inherited until this is dropped.
struct Inheritable(Vec<RawHandle>);

impl Inheritable {
    fn make(handles: Vec<RawHandle>) -> io::Result<Self> {
        let made = Inheritable(handles);
        made.0.iter().try_for_each(|handle| set(*handle, HANDLE_FLAG_INHERIT))?;
        Ok(made)
    }
}

impl Drop for Inheritable {
    fn drop(&mut self) {
        self.0.iter().for_each(|handle| _ = set(*handle, 0));
    }
}

fn set(handle: RawHandle, flag: u32) -> io::Result<()> {
    // SAFETY: whoever calls has borrowed the handle, so it is open; nothing but a flag of it is changed.
    done(unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, flag) })
}

/// The list of what a process is made with beyond the usual.
struct AttributeList(Vec<usize>);

impl AttributeList {
    /// For one entry.
    fn of_one() -> io::Result<Self> {
        let mut bytes = 0;
        // SAFETY: asked with null it only says how many bytes it takes, and that this is an error.
        unsafe { InitializeProcThreadAttributeList(null_mut(), 1, 0, &raw mut bytes) };
        let mut list = vec![0_usize; bytes.div_ceil(size_of::<usize>())];
        // SAFETY: the buffer has the size that was asked for, and is aligned as a pointer is.
        done(unsafe { InitializeProcThreadAttributeList(list.as_mut_ptr().cast(), 1, 0, &raw mut bytes) })?;
        Ok(AttributeList(list))
    }

    /// The handles that are handed on, and no others. They have to live as long as the list.
    fn hand_on(&mut self, handles: &mut [RawHandle]) -> io::Result<()> {
        let (list, what) = (self.0.as_mut_ptr().cast(), PROC_THREAD_ATTRIBUTE_HANDLE_LIST as usize);
        let (first, bytes) = (handles.as_mut_ptr().cast::<c_void>(), size_of_val(handles));
        // SAFETY: the list was made for one entry, and the caller keeps the handles where they are.
        done(unsafe { UpdateProcThreadAttribute(list, 0, what, first, bytes, null_mut(), null()) })
    }
}

impl Drop for AttributeList {
    fn drop(&mut self) {
        // SAFETY: it was made, and is not used any more.
        unsafe { DeleteProcThreadAttributeList(self.0.as_mut_ptr().cast()) };
    }
}

/// With a zero at its end.
fn wide(text: &OsStr) -> Vec<u16> {
    text.encode_wide().chain([0]).collect()
}

/// The one text in which a program finds its name and arguments, quoted as programs expect who parse it as C does. The error names an
/// argument that holds a zero, which would cut it off.
fn command_line(program: &OsStr, args: &[OsString]) -> io::Result<Vec<u16>> {
    let mut line = Vec::new();
    for arg in std::iter::once(program).chain(args.iter().map(OsString::as_os_str)) {
        if arg.encode_wide().any(|unit| unit == 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{arg:?}: an argument holds no zero")));
        }
        if !line.is_empty() {
            line.push(u16::from(b' '));
        }
        quote(arg, &mut line);
    }
    line.push(0);
    Ok(line)
}

/// Backslashes count as such but before a quotation mark, where each of them, and the mark, has another one before it.
fn quote(arg: &OsStr, line: &mut Vec<u16>) {
    let [quotation, backslash] = [b'"', b'\\'].map(u16::from);
    line.push(quotation);
    let mut backslashes = 0;
    for unit in arg.encode_wide().map(Some).chain([None]) {
        match unit {
            Some(unit) if unit == backslash => backslashes += 1,
            unit => {
                let is_before_mark = unit.is_none_or(|unit| unit == quotation);
                line.extend(std::iter::repeat_n(backslash, if is_before_mark { 2 * backslashes } else { backslashes }));
                backslashes = 0;
                if unit == Some(quotation) {
                    line.push(backslash);
                }
                line.extend(unit);
            }
        }
    }
    line.push(quotation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_so_that_c_finds_them_again() {
        let line = |args: &[&str]| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            let line = command_line(OsStr::new("p"), &args).unwrap();
            String::from_utf16(&line[..line.len() - 1]).unwrap()
        };
        assert_eq!(line(&["a b", ""]), r#""p" "a b" """#);
        assert_eq!(line(&[r#"{"arg": 1}"#]), r#""p" "{\"arg\": 1}""#);
        assert_eq!(line(&[r"c:\d\", r#"\""#]), r#""p" "c:\d\\" "\\\"""#);
        assert!(command_line(OsStr::new("p"), &[OsString::from("a\0b")]).is_err());
    }
}
