//! Whoever wants this process to stop, on Windows: Ctrl-C. It does not know what stops.

use std::io;

/// The wishes that this process stop.
#[derive(Debug)]
pub struct Stops(());

impl Stops {
    /// Until they are forwarded, a Ctrl-C ends the process.
    pub fn watch() -> io::Result<Self> {
        Ok(Stops(()))
    }

    /// The same: there is no alarm here.
    pub fn watch_with_alarm() -> io::Result<Self> {
        Self::watch()
    }

    /// Calls `notify` for each, on a thread of its own.
    pub fn forward(self, notify: impl Fn() + Send + 'static) -> io::Result<()> {
        ctrlc::set_handler(notify).map_err(io::Error::other)
    }
}
