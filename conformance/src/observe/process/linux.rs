//! Linux: a pidfd tells when a process ended and when it was reaped, and since 6.15 also how; /proc tells
//! the rest.

#![expect(unsafe_code, reason = "PIDFD_GET_INFO has no safe call")]

use std::ffi::OsString;
use std::fs::DirEntry;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::{Facts, ProcessorTime};
use crate::event::Status;
use crate::observe::readiness::register;

/// A process whose end is awaited.
#[derive(Debug)]
pub struct Watch {
    pidfd: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches a process that is known to live (or to be unreaped) at this moment.
    pub fn new(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::other(format!("{pid} is no process id")))?;
        let pidfd = register(pidfd_open(pid, PidfdFlags::empty())?, Interest::READABLE)?;
        Ok(Watch { pidfd })
    }

    /// Watches the process of a pidfd.
    pub fn of(pidfd: OwnedFd) -> io::Result<Self> {
        Ok(Watch { pidfd: register(pidfd, Interest::READABLE)? })
    }

    /// Kills the process; one that has ended is not an error.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns once the process has ended, reaped or not.
    pub async fn ended(&self) -> io::Result<()> {
        self.pidfd.ready(Interest::READABLE).await.map(drop)
    }

    /// Returns once its parent has asked how it ended.
    pub async fn reaped(&self) -> io::Result<()> {
        loop {
            let mut guard = self.pidfd.ready(Interest::READABLE).await?;
            if guard.ready().is_read_closed() || self.status().is_some() {
                return Ok(());
            }
            guard.clear_ready_matching(Ready::READABLE);
        }
    }

    /// How it ended, where the kernel tells one who is not its parent: after it was reaped.
    pub fn status(&self) -> Option<Status> {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the kernel writes at most the size that the request's number states, which is this struct's.
        let done = unsafe { libc::ioctl(self.pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
        (done == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| Status::from_raw(info.exit_code))
    }
}

impl AsFd for Watch {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xff, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::Ioctl = (3 << 30 | (size_of::<PidfdInfo>() as u64) << 16 | 0xff << 8 | 11) as libc::Ioctl;

/// The kernel's `struct pidfd_info` in its first published size.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 3],
    credentials: [u32; 8],
    exit_code: i32,
}

const _: () = assert!(size_of::<PidfdInfo>() == 64, "PIDFD_INFO_SIZE_VER0");

/// The number that the process of a pidfd has here; it may have others elsewhere.
pub fn number(pidfd: &OwnedFd) -> Option<i32> {
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()).filter(|pid| *pid > 0)
}

/// The number that whoever connected a socket has here.
pub fn peer(socket: &UnixStream) -> Option<i32> {
    Some(rustix::net::sockopt::socket_peercred(socket).ok()?.pid.as_raw_nonzero().get())
}

/// Whether a process runs this program, wherever that stands for it. `None` below an emulator: to the kernel everybody there
/// runs the emulator.
pub fn runs(pid: i32, program: &Path) -> Option<bool> {
    let file = |path: &Path| std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
    let run_by = |pid: i32| file(Path::new(&format!("/proc/{pid}/exe")));
    // Of a program that was built anew meanwhile there is no file, which says nothing.
    let own = std::env::current_exe().ok().and_then(|path| file(&path));
    let is_emulated = own.is_some() && own != run_by(std::process::id().cast_signed());
    (!is_emulated).then(|| run_by(pid).is_some_and(|its| Some(its) == file(program)))
}

/// What the process was given as its environment, entries ended by NUL: none of one that has ended or is another user's.
/// `None` while one program of it is gone and the next has nothing yet.
pub fn environment(pid: i32) -> Option<Vec<u8>> {
    loop {
        let Ok(bytes) = std::fs::read(format!("/proc/{pid}/environ")) else { return Some(Vec::new()) };
        let about = if bytes.is_empty() { stat(pid) } else { None };
        let Some(about) = about.filter(|about| !matches!(about[0].as_str(), "Z" | "X")) else { return Some(bytes) };
        // Where its code begins, and where this begins and ends, in the memory of the same program: nowhere as long as there
        // is none, and both at one place while it is laid out. The code is entered after it.
        match (about.get(23)?.as_str(), about.get(47)?.as_str(), about.get(48)?.as_str()) {
            ("0", ..) | (.., "0") => return None,
            (_, begin, end) if begin == end => return Some(bytes),
            // It was there a moment later.
            _ => {}
        }
    }
}

/// The inode of a process's namespace of processes.
pub fn namespace(pid: i32) -> Option<u64> {
    Some(std::fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino())
}

/// What /proc says of a process; `None` when it is gone.
pub fn facts(pid: i32) -> Option<Facts> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mask = |name| field(name).and_then(|v| u64::from_str_radix(v, 16).ok()).unwrap_or(0);
    Some(Facts {
        handled: mask("SigCgt"),
        blocked: mask("SigBlk"),
        processors: field("Cpus_allowed").map_or(0, count_bits),
        memory_bytes: field("VmRSS").and_then(|v| v.split(' ').next()?.parse().ok()).map_or(0, |kib: u64| kib << 10),
    })
}

/// How often the process has called the system to read, where /proc may be asked.
pub fn reads(pid: i32) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines().find_map(|line| line.strip_prefix("syscr: ")?.parse().ok())
}

/// How many threads a process has.
pub fn threads(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |threads| threads.count() as u64)
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |descriptors| descriptors.count() as u64)
}

/// How many descriptors a process may have open by now; nothing if any number.
pub fn descriptors_max(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

/// How the processors have treated a process, and whoever it reaped, where the kernel counts that; of its threads the
/// longest wait counts.
pub fn processor_time(pid: i32) -> Option<ProcessorTime> {
    let of_thread = |thread: DirEntry| {
        let counted = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let mut nanoseconds = counted.split_whitespace().map(|word| word.parse().map(Duration::from_nanos));
        Some(ProcessorTime { ran: nanoseconds.next()?.ok()?, waited: nanoseconds.next()?.ok()? })
    };
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().filter_map(of_thread);
    // One thread may have waited for another.
    let own = threads.reduce(|all, one| ProcessorTime { ran: all.ran + one.ran, waited: all.waited + one.waited })?;
    // Of those that it reaped, in the system and outside of it, after its own.
    let ticks: u64 = stat(pid)?.get(13..15)?.iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    let of_children = Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
    Some(ProcessorTime { ran: own.ran + of_children, ..own })
}

/// The most memory that this process itself had in use, in KiB, since it became this program: what `getrusage` says counts whoever
/// started it, whose memory it had before that.
pub fn own_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    most.unwrap_or_default()
}

/// Whether a process that ended, and was not reaped yet, had waited for a child of its own: what page faults such children
/// had is counted as its own then, and no program runs without any.
pub fn waited(pid: i32) -> Option<bool> {
    // After the parent come group, session, terminal, its group, flags, and faults of its own.
    Some(stat(pid)?.get(8)? != "0")
}

/// How a process ended that nobody has asked about yet, where /proc may be asked.
pub fn corpse(pid: i32) -> Option<Status> {
    let stat = stat(pid)?;
    // The raw status is the last of all.
    let raw = stat.last().filter(|_| stat.first().is_some_and(|state| state == "Z"))?;
    raw.parse().ok().map(Status::from_raw)
}

/// The process that would be told how this one ended.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// Whether what is typed to stop or to end the programs of a terminal reaches this process too.
pub fn is_in_foreground(pid: i32) -> Option<bool> {
    let stat = stat(pid)?;
    // Its group, and after its session and terminal the group that the terminal has in the foreground.
    Some(stat.get(2)? == stat.get(5)?)
}

/// What /proc says of a process in one line, from its state on: its name in brackets, before that, may hold anything.
fn stat(pid: i32) -> Option<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(line.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

/// Every thread of the process sleeps, or has ended.
pub(super) fn sleeps(pid: i32) -> bool {
    all_are(pid, "S") || is_over(pid)
}

/// It is a zombie, or not there.
pub(super) fn is_over(pid: i32) -> bool {
    stat(pid).is_none_or(|stat| stat.first().is_some_and(|state| state == "Z"))
}

/// Every thread of the process was stopped by a signal.
pub(super) fn is_stopped(pid: i32) -> bool {
    all_are(pid, "T")
}

/// The signal was sent to the process, which has not taken it yet.
pub(super) fn is_pending(pid: i32, signal: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let of_all = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    of_all.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Every thread is in this state at the same time: threads are looked at one after another, and two that wake each other
/// in turn are each found asleep, so that none may have had its turn when all are looked at again.
fn all_are(pid: i32, state: &str) -> bool {
    turns(pid, state).is_some_and(|first| turns(pid, state) == Some(first))
}

/// How often each thread gave way so far, if all of them are in this state.
fn turns(pid: i32, state: &str) -> Option<Vec<(OsString, String)>> {
    let of_thread = |thread: DirEntry| {
        let status = std::fs::read_to_string(thread.path().join("status")).ok()?;
        let (_, from_state) = status.split_once("\nState:\t")?;
        let (_, turns) =
            from_state.starts_with(state).then_some(from_state)?.split_once("\nvoluntary_ctxt_switches:")?;
        Some((thread.file_name(), turns.to_owned()))
    };
    std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().map(of_thread).collect()
}

/// The number of ones in a list of hexadecimal words.
fn count_bits(words: &str) -> usize {
    words.chars().filter_map(|c| c.to_digit(16)).map(|d| d.count_ones() as usize).sum()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_a_process_that_stands_still_was_sent_is_pending() {
        let mut child = Command::new("sh").args(["-c", "kill -STOP $$; :"]).spawn().unwrap();
        let pid = child.id().cast_signed();
        while !is_stopped(pid) {
            std::thread::yield_now();
        }
        assert!(!is_pending(pid, libc::SIGUSR1));
        super::super::signal(pid, libc::SIGUSR1).unwrap();
        assert!(is_pending(pid, libc::SIGUSR1) && !is_pending(pid, libc::SIGALRM));
        // It shares its group with its parent.
        assert_eq!(is_in_foreground(pid), is_in_foreground(std::process::id().cast_signed()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_pending(pid, libc::SIGUSR1) && sleeps(pid), "nobody is there");
    }

    #[test]
    fn who_has_no_processor_waits_for_one_and_who_sleeps_does_not() {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let mut children = [busy(), busy(), Command::new("sleep").arg("1000").spawn().unwrap()];
        let all = rustix::thread::sched_getaffinity(None).unwrap();
        let mut first = rustix::thread::CpuSet::new();
        first.set((0..rustix::thread::CpuSet::MAX_CPU).find(|n| all.is_set(*n)).unwrap());
        let pids = children.each_ref().map(|child| child.id().cast_signed());
        for pid in &pids[..2] {
            rustix::thread::sched_setaffinity(Pid::from_raw(*pid), &first).unwrap();
        }
        let time = |pid| processor_time(pid).unwrap();
        let waited = Duration::from_millis(50);
        while pids[..2].iter().any(|pid| time(*pid).waited < waited || time(*pid).ran < waited) {
            std::thread::yield_now();
        }
        assert!(time(pids[2]).ran < waited);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(processor_time(pids[0]), None, "nobody is there");
    }

    /// Whoever looks for what is left of a session must not miss a process because it is just about to become another one.
    #[test]
    fn an_environment_is_never_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let again = folder.path().join("again");
        std::fs::write(&again, "#!/bin/sh\nexec /bin/sh \"$0\"\n").unwrap();
        let mut child = Command::new("/bin/sh").arg(&again).env_clear().env("MARK", "1").spawn().unwrap();
        let pid = child.id().cast_signed();
        let marked = |bytes: &Vec<u8>| bytes.split(|b| *b == 0).any(|entry| entry == b"MARK=1");
        // It has its parent's still when that one goes on.
        while !environment(pid).is_some_and(|bytes| marked(&bytes)) {}
        let mut between = 0;
        while between < 100 {
            match environment(pid) {
                None => between += 1,
                Some(bytes) => assert!(marked(&bytes), "{bytes:?} after {between}"),
            }
        }
        child.kill().unwrap();
        while corpse(pid).is_none() {}
        assert_eq!(environment(pid), Some(Vec::new()), "it has ended");
        child.wait().unwrap();
        assert_eq!(environment(pid), Some(Vec::new()), "it is gone");
        let mut child = Command::new("/bin/sleep").arg("1000").env_clear().spawn().unwrap();
        let pid = child.id().cast_signed();
        // It was given none, which is not nothing.
        while environment(pid) != Some(Vec::new()) {}
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// In the line that the system has of a process, the name stands in brackets, unchanged.
    #[test]
    fn a_name_may_hold_what_ends_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("a) S 1 (b");
        std::os::unix::fs::symlink("/bin/sleep", &odd).unwrap();
        let mut child = Command::new(&odd).arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        // It has its parent's name still when that one goes on.
        while name() != "a) S 1 (b\n" {
            std::thread::yield_now();
        }
        assert_eq!(parent(pid), Some(std::process::id().cast_signed()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn a_corpse_tells_how_it_ended_until_somebody_asks() {
        for (script, ended) in [("exit 3", Status::Exited(3)), ("kill -SEGV $$", Status::Killed(libc::SIGSEGV))] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let pid = child.id().cast_signed();
            Watch::new(pid).unwrap().ended().await.unwrap();
            assert_eq!(corpse(pid), Some(ended));
            assert_eq!(parent(pid), Some(std::process::id().cast_signed()));
            child.wait().unwrap();
            assert_eq!(corpse(pid), None);
        }
        assert_eq!(corpse(std::process::id().cast_signed()), None, "it lives");
    }
}
