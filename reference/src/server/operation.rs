//! What `setproc` does to this process: how many processors its threads may run on.
//!
//! Linux lets a process choose its processors; elsewhere the number bounds the worker threads only. What `setmeml`
//! sets is a number that the machine keeps and the HTTP client obeys, so there is nothing to do for it here.

use std::num::NonZero;
use std::thread;

/// The processors that this process may use, as they were when it started.
#[derive(Debug)]
pub struct Processors {
    #[cfg(target_os = "linux")]
    allowed: Vec<usize>,
    available: usize,
}

impl Processors {
    /// Looks at what the system lets this process use.
    pub fn new() -> Self {
        let available = thread::available_parallelism().map_or(1, NonZero::get);
        #[cfg(target_os = "linux")]
        {
            let allowed = linux::allowed();
            let available = if allowed.is_empty() { available } else { allowed.len() };
            Self { allowed, available }
        }
        #[cfg(not(target_os = "linux"))]
        Self { available }
    }

    /// How many there are.
    pub fn available(&self) -> usize {
        self.available
    }

    /// Lets every thread of this process run on the first `count` of them, and says how many those are.
    pub fn restrict(&self, count: usize) -> Result<usize, String> {
        let count = count.clamp(1, self.available);
        #[cfg(target_os = "linux")]
        if !self.allowed.is_empty() {
            linux::run_on(&self.allowed[..count])
                .map_err(|error| format!("the system refused to run the server on {count} processors: {error}"))?;
        }
        Ok(count)
    }
}

impl Default for Processors {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, io};

    use nix::errno::Errno;
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;

    /// The processors of this thread; empty if the system has more of them than the call can name.
    pub(super) fn allowed() -> Vec<usize> {
        let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
        (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).collect()
    }

    /// Affinity belongs to a thread, and a new thread starts with that of its maker: so every thread that there is.
    pub(super) fn run_on(processors: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for &cpu in processors {
            set.set(cpu)?;
        }
        sched_setaffinity(Pid::from_raw(0), &set)?;
        for task in fs::read_dir("/proc/self/task")? {
            let Some(id) = task?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            match sched_setaffinity(Pid::from_raw(id), &set) {
                // A thread that has just ended needs no processor.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}
