//! How long the processes of a session had to wait for a processor, in any stretch of time: what did not come in that long may
//! not have come for that.
//!
//! The system tells how long one has waited in all, and nobody how long since when; so it is looked at now and then. What is
//! excused by it is decided elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was seen of it, in stretches of a length.
#[derive(Debug)]
pub struct Starvation {
    stretch: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// How long each process has waited. Who is gone waits no more, and has waited all the same.
    of_each: HashMap<i32, Duration>,
    /// What that came to in all, when it was looked at: all within a stretch, and one before it.
    looks: VecDeque<(Instant, Duration)>,
    worst: Duration,
}

impl Starvation {
    /// Nobody has waited yet.
    pub fn in_stretches_of(stretch: Duration) -> Self {
        let looks = VecDeque::from([(Instant::now(), Duration::ZERO)]);
        Starvation { stretch, seen: Mutex::new(Seen { of_each: HashMap::new(), looks, worst: Duration::ZERO }) }
    }

    /// So long these processes have waited in all by now. Whoever waits for another waits as long as that one for a processor,
    /// and then for his own: so it adds up.
    pub fn look(&self, at: Instant, waited: impl IntoIterator<Item = (i32, Duration)>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.of_each.extend(waited);
        let all = seen.of_each.values().sum();
        seen.looks.push_back((at, all));
        while seen.looks.get(1).is_some_and(|(second, _)| at.duration_since(*second) >= self.stretch) {
            seen.looks.pop_front();
        }
        let (_, before) = seen.looks[0];
        seen.worst = seen.worst.max(all.saturating_sub(before));
    }

    /// How long they waited, in the stretch in which that was longest.
    pub fn worst(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_one_waited_after_the_other_adds_up() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        starvation.look(begun + 3 * SECOND, [(1, 2 * SECOND)]);
        starvation.look(begun + 6 * SECOND, [(1, 2 * SECOND), (2, 3 * SECOND)]);
        assert_eq!(starvation.worst(), 5 * SECOND);
    }

    #[test]
    fn what_was_waited_now_and_then_counts_in_each_stretch_alone() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        for n in 1..100 {
            starvation.look(begun + n * SECOND, [(1, n * SECOND / 10)]);
        }
        assert_eq!(starvation.worst(), SECOND);
    }

    #[test]
    fn who_is_gone_has_waited_all_the_same() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        starvation.look(begun + SECOND, [(1, SECOND)]);
        starvation.look(begun + 2 * SECOND, [(2, SECOND)]);
        assert_eq!(starvation.worst(), 2 * SECOND);
    }
}
