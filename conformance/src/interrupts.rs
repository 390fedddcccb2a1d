//! Ctrl-C and SIGTERM, or Ctrl-Break, to the suite. What the first one brings about is not known here.

use std::thread::JoinHandle;

#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{ctrl_break, ctrl_c};
use tokio::sync::oneshot;

use crate::verdict::Answer;

/// Watches for Ctrl-C and SIGTERM until it is dropped. Whoever is in more of a hurry than with the first one ends the suite with the
/// second, whatever it is doing: so this is a thread of its own.
pub struct Interrupts(Option<(oneshot::Sender<()>, JoinHandle<()>)>);

impl Interrupts {
    /// Begins, and tells of the first one.
    pub fn watch() -> (Self, oneshot::Receiver<()>) {
        let (first, is_first) = oneshot::channel();
        let (over, is_over) = oneshot::channel();
        let thread = std::thread::spawn(|| heed(first, is_over));
        (Interrupts(Some((over, thread))), is_first)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let Some((over, thread)) = self.0.take() else { return };
        drop(over);
        let _ = thread.join();
    }
}

fn heed(first: oneshot::Sender<()>, over: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        #[cfg(unix)]
        let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        #[cfg(windows)]
        let signals = (ctrl_c(), ctrl_break());
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else { return };
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        let twice = async {
            next().await;
            // A run that is over meanwhile needs no telling.
            let _ = first.send(());
            next().await;
        };
        tokio::select! {
            () = twice => std::process::exit(Answer::Interrupted as i32),
            _ = over => {}
        }
    });
}
