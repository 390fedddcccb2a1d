//! Whose turn it is: so many cases at a time beside each other, or one alone. What a case does, it does not know.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphorePermit};

/// The turns of a run's cases.
#[derive(Debug)]
pub struct Turns {
    slots: Semaphore,
    machine: RwLock<()>,
}

/// A case's turn, until it is dropped.
#[derive(Debug)]
pub(crate) enum Turn<'a> {
    /// Beside others, as one of so many, unless it has stepped aside.
    Among(Option<SemaphorePermit<'a>>, #[expect(dead_code, reason = "held")] RwLockReadGuard<'a, ()>),
    /// With the machine for itself.
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'a, ()>),
}

impl Turns {
    /// For so many cases at a time.
    pub fn new(slots: usize) -> Self {
        Turns { slots: Semaphore::new(slots), machine: RwLock::default() }
    }

    /// A turn beside others.
    pub(crate) async fn among(&self) -> Turn<'_> {
        let slot = self.slots.acquire().await.expect("the semaphore is never closed");
        // Whoever asks to be alone waits for those that are at it, and these for him.
        Turn::Among(Some(slot), self.machine.read().await)
    }

    /// A turn while nobody else has one.
    pub(crate) async fn alone(&self) -> Turn<'_> {
        Turn::Alone(self.machine.write().await)
    }
}

impl Turn<'_> {
    /// Lets another case in beside this one.
    pub(crate) fn step_aside(&mut self) {
        if let Turn::Among(slot, _) = self {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What comes at once.
    fn polled<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn so_many_have_a_turn_and_one_that_is_alone_waits_for_all_of_them() {
        let turns = Turns::new(2);
        let (Poll::Ready(mut first), Poll::Ready(second)) = (polled(turns.among()), polled(turns.among())) else {
            panic!("two have their turn at once");
        };
        assert!(polled(turns.among()).is_pending());
        first.step_aside();
        let third = polled(turns.among());
        assert!(third.is_ready());
        assert!(polled(turns.alone()).is_pending());
        drop((second, third));
        assert!(polled(turns.alone()).is_pending(), "who has stepped aside still has a turn");
        drop(first);
        let alone = polled(turns.alone());
        assert!(alone.is_ready() && polled(turns.among()).is_pending());
        drop(alone);
        assert!(polled(turns.among()).is_ready());
    }
}
