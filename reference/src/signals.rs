//! Signals as something an event loop can wait for: a flag for each, and one descriptor that becomes readable when
//! any of them has come. It does not know what a signal means to whoever waits.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::{flag, low_level};

/// The signals that a process waits for.
#[derive(Debug)]
pub struct Signals {
    flags: Vec<(Signal, Arc<AtomicBool>)>,
    wake: UnixStream,
}

impl Signals {
    /// From here on `signals` end nothing by themselves; they are seen here. Every signal is unblocked, because a mask
    /// that was inherited would keep them away.
    pub fn watch(signals: &[Signal]) -> io::Result<Self> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let mut flags = Vec::new();
        for &signal in signals {
            let flag = Arc::new(AtomicBool::new(false));
            // The flag first: whoever is woken must find it set.
            flag::register(signal as i32, Arc::clone(&flag))?;
            low_level::pipe::register(signal as i32, waker.try_clone()?)?;
            flags.push((signal, flag));
        }
        SigSet::empty().thread_set_mask()?;
        Ok(Self { flags, wake })
    }

    /// One signal that comes from within this process, whenever it is raised.
    pub fn raised(signal: Signal) -> io::Result<(Self, Raise)> {
        let (wake, waker) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let flag = Arc::new(AtomicBool::new(false));
        Ok((Self { flags: vec![(signal, flag.clone())], wake }, Raise { flag, waker }))
    }

    /// A signal that has come and was not taken yet. Costs no system call.
    pub fn take(&self) -> Option<Signal> {
        let came = self.flags.iter().find(|(_, flag)| flag.load(Ordering::Relaxed))?;
        came.1.store(false, Ordering::SeqCst);
        Some(came.0)
    }

    /// Calls `each` for every signal that comes, on a thread of its own.
    pub fn forward(mut self, each: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
        let waiting = move || {
            loop {
                while let Some(signal) = self.take() {
                    each(signal);
                }
                match poll(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
                    Ok(_) => self.quiet(),
                    Err(Errno::EINTR) => {}
                    // It cannot be waited for, so there is nothing to hear any more.
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new().spawn(waiting).map(drop)
    }

    /// Quiets the descriptor, after it has said that a signal came.
    pub fn quiet(&mut self) {
        let mut bytes = [0; 64];
        while self.wake.read(&mut bytes).is_ok_and(|count| count == bytes.len()) {}
    }
}

/// Raises a signal for whoever waits for it.
#[derive(Debug)]
pub struct Raise {
    flag: Arc<AtomicBool>,
    waker: UnixStream,
}

impl Raise {
    /// Raises it once.
    pub fn raise(&self) {
        self.flag.store(true, Ordering::SeqCst);
        // If the byte finds no room, enough of them are there already; if nobody is there, nobody waits.
        let _ = (&self.waker).write(&[0]);
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_wakes_and_is_taken_once() {
        let mut signals = Signals::watch(&[Signal::SIGUSR1, Signal::SIGUSR2]).expect("signals");
        assert_eq!(signals.take(), None);
        low_level::raise(Signal::SIGUSR2 as i32).expect("raise");
        poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).expect("poll");
        signals.quiet();
        assert_eq!(signals.take(), Some(Signal::SIGUSR2));
        assert_eq!(signals.take(), None);
        let idle = poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
        assert_eq!(idle, Ok(0));
    }
}
