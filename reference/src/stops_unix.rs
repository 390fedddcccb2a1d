//! Whoever wants this process to stop, on Unix: SIGINT, SIGTERM, or the terminal is gone. It does not know what stops.

use std::io;

use nix::sys::signal::Signal;

use crate::signals::Signals;

/// The wishes that this process stop, from the moment that this is made.
#[derive(Debug)]
pub struct Stops(Signals);

impl Stops {
    /// From here on these signals end nothing by themselves.
    pub fn watch() -> io::Result<Self> {
        Signals::watch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]).map(Stops)
    }

    /// The same, and SIGALRM.
    pub fn watch_with_alarm() -> io::Result<Self> {
        Signals::watch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGALRM]).map(Stops)
    }

    /// Calls `notify` for each, on a thread of its own.
    pub fn forward(self, notify: impl Fn() + Send + 'static) -> io::Result<()> {
        self.0.forward(move |_| notify())
    }
}
