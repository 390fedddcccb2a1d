//! How late this machine wakes whoever is due: what a deadline is worth on it.
//!
//! A task of the suite's own event loop asks to be woken again and again and keeps how late it was, so that a machine
//! that stood still, or a suite that was busy, is not mistaken for a subject that did nothing. Who is excused by that
//! is decided elsewhere.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How often it asks to be woken.
const PERIOD: Duration = Duration::from_millis(20);

/// Less than this is a machine at work.
const KEPT_MIN: Duration = Duration::from_millis(5);

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Lateness {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    watching: JoinHandle<()>,
}

impl Lateness {
    /// Begins to watch, on the runtime that it is called from.
    pub fn watch() -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let kept = late.clone();
        let watching = tokio::spawn(async move {
            loop {
                let due = Instant::now() + PERIOD;
                let _ = tokio::time::timeout_at(due.into(), std::future::pending::<()>()).await;
                let by = due.elapsed();
                if by >= KEPT_MIN {
                    kept.lock().expect("nobody panics with it").push((Instant::now(), by));
                }
            }
        });
        Lateness { late, watching }
    }

    /// The worst since then.
    pub fn worst_since(&self, begun: Instant) -> Duration {
        let late = self.late.lock().expect("nobody panics with it");
        let since = late.iter().rev().take_while(|(at, _)| *at >= begun);
        since.map(|(_, by)| *by).max().unwrap_or_default()
    }
}

impl Drop for Lateness {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_event_loop_that_stood_still_was_late() {
        let begun = Instant::now();
        let lateness = Lateness::watch();
        tokio::task::yield_now().await;
        let still = Duration::from_millis(200);
        while begun.elapsed() < still {}
        // Its turn comes before another second has passed, however loaded the machine is.
        let seen = || lateness.worst_since(begun) >= still - 2 * PERIOD;
        while !seen() && begun.elapsed() < Duration::from_secs(60) {
            tokio::task::yield_now().await;
        }
        assert!(seen(), "{:?}", lateness.worst_since(begun));
        assert!(lateness.worst_since(Instant::now()) < still);
    }
}
