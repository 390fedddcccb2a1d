//! Signals by name. Where there are none, those have one that cases speak of.

#[cfg(not(unix))]
use std::fmt;

#[cfg(unix)]
pub use nix::sys::signal::Signal;

/// A signal, on a system that has none: nobody can be sent one but the last, which ends whoever it is sent to.
#[cfg(not(unix))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names say it")]
#[repr(i32)]
pub enum Signal {
    SIGHUP = 1,
    SIGINT = 2,
    SIGALRM = 14,
    SIGTERM = 15,
    SIGKILL = 9,
}

#[cfg(not(unix))]
impl Signal {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Signal::SIGHUP => "SIGHUP",
            Signal::SIGINT => "SIGINT",
            Signal::SIGALRM => "SIGALRM",
            Signal::SIGTERM => "SIGTERM",
            Signal::SIGKILL => "SIGKILL",
        }
    }
}

#[cfg(not(unix))]
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `SIGTERM` for 15, and so on; `signal N` for a number without a name here.
pub fn name(signal: i32) -> String {
    #[cfg(unix)]
    if let Ok(known) = Signal::try_from(signal) {
        return known.as_str().to_owned();
    }
    format!("signal {signal}")
}
