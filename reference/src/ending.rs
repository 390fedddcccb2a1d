//! How a child ended, in the words of whoever waited for it.

use std::fmt;

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// It was killed by the signal with this number and name.
    Signaled(i32, &'static str),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(status) => write!(f, "exit status {status}"),
            Ending::Signaled(number, name) => write!(f, "killed by signal {number} ({name})"),
        }
    }
}
