//! The threads on which HTTP requests wait for their peers, so that the messages never do.
//!
//! A thread is started when a request needs one and none is idle, and is kept for the next. How many requests may be
//! under way at once is decided by the machine; this file knows nothing of messages.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use super::machine::{Ticket, WORKERS_MAX};
use crate::codec::op_frame::Reply;

/// A request to make: it runs on a worker thread.
pub type Job = Box<dyn FnOnce() -> Reply + Send>;

/// The worker threads.
pub struct Workers {
    shared: Arc<Shared>,
}

/// The threads beyond the first of each connection, in this process.
static FURTHER: AtomicUsize = AtomicUsize::new(0);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Tells whoever waits for results that there is one.
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Ticket, Job)>,
    done: Vec<(Ticket, Reply)>,
    // Invariant: idle <= threads.
    threads: usize,
    idle: usize,
    threads_max: usize,
}

impl Workers {
    /// No threads yet. Whenever a result is there, `wake` is called, on a worker thread.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let state = Mutex::new(State::default());
        Self { shared: Arc::new(Shared { state, work: Condvar::new(), wake: Box::new(wake) }) }
    }

    /// Has `job` done by one of at most `threads_max` threads.
    pub fn start(&self, ticket: Ticket, job: Job, threads_max: usize) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.threads_max = threads_max;
        if state.idle <= state.jobs.len() && state.threads < threads_max && (state.threads == 0 || may_go_further()) {
            let shared = Arc::clone(&self.shared);
            match thread::Builder::new().name("worker".into()).spawn(move || shared.work()) {
                Ok(_) => state.threads += 1,
                // With other threads at work the job only waits longer.
                Err(error) if state.threads == 0 => return Err(error),
                Err(_) => drop(FURTHER.fetch_sub(1, Ordering::SeqCst)),
            }
        }
        state.jobs.push_back((ticket, job));
        drop(state);
        self.shared.work.notify_one();
        Ok(())
    }

    /// The results so far.
    pub fn take_done(&self) -> Vec<(Ticket, Reply)> {
        std::mem::take(&mut self.shared.lock().done)
    }

    /// Lets go of idle threads, until there are at most this many.
    pub fn shrink_to(&self, threads_max: usize) {
        self.shared.lock().threads_max = threads_max;
        self.shared.work.notify_all();
    }
}

impl Drop for Workers {
    /// Whoever is at work finds nobody who waits for the result.
    fn drop(&mut self) {
        self.shared.lock().jobs.clear();
        self.shrink_to(0);
    }
}

/// Whether a connection that has a thread may have another. Each has one, however many there are; what they have beyond that is
/// bounded for all of them together.
fn may_go_further() -> bool {
    let more = |further| (further < WORKERS_MAX).then_some(further + 1);
    FURTHER.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Jobs run outside the lock and their panics are caught, so the state is whole even then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if state.threads > state.threads_max {
                state.threads -= 1;
                if state.threads > 0 {
                    FURTHER.fetch_sub(1, Ordering::SeqCst);
                }
                // This thread may have been the one that was told of a job.
                self.work.notify_one();
                return;
            }
            let Some((ticket, job)) = state.jobs.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            let failed = |_| Reply::Error("the request failed inside the server".into());
            let reply = catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(failed);
            self.lock().done.push((ticket, reply));
            // Without the lock: whoever is woken may be about to take it, and not yet ready to be woken.
            (self.wake)();
            state = self.lock();
        }
    }
}
