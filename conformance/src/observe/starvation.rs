//! How long the processes of a session had to wait for a processor, in any stretch of time: what did not come in that long may
//! not have come for that.
//!
//! Whoever waits for another waits as long as that one for a processor, and then for his own: so what a process waited and what those
//! waited that it started adds up, and what others waited beside them does not. The system tells how long one has waited in all,
//! and nobody how long since when; so it is looked at now and then. What is excused by it is decided elsewhere.

use std::collections::{HashMap, VecDeque};
use std::iter::successors;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was seen of it, in stretches of a length.
#[derive(Debug)]
pub struct Starvation {
    stretch: Duration,
    seen: Mutex<Seen>,
}

/// One process, when it was looked at.
#[derive(Debug, Clone, Copy)]
pub struct Looked {
    /// Its process id.
    pub pid: i32,
    /// Who started it, or has taken it over.
    pub parent: Option<i32>,
    /// How long it has waited in all.
    pub waited: Duration,
}

/// How long each process has waited. Who is gone waits no more, and has waited all the same.
type Waited = HashMap<i32, Duration>;

#[derive(Debug)]
struct Seen {
    /// Who started each, as far as it was seen before that one was gone.
    parents: HashMap<i32, i32>,
    waited: Waited,
    /// What it was at each look: all within a stretch, and one before it.
    looks: VecDeque<(Instant, Waited)>,
    worst: Duration,
}

/// Nobody descends from more. A number that two had one after the other might make a ring.
const GENERATIONS_MAX: usize = 64;

impl Starvation {
    /// Nobody has waited yet.
    pub fn in_stretches_of(stretch: Duration) -> Self {
        let looks = VecDeque::from([(Instant::now(), Waited::new())]);
        let (parents, waited, worst) = (HashMap::new(), Waited::new(), Duration::ZERO);
        Starvation { stretch, seen: Mutex::new(Seen { parents, waited, looks, worst }) }
    }

    /// Notes how long these processes have waited by now. The ends of the session wait for each other, whoever started them.
    pub fn look(&self, at: Instant, ends: &[i32], all: impl IntoIterator<Item = Looked>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for Looked { pid, parent, waited } in all {
            if let Some(parent) = parent {
                seen.parents.entry(pid).or_insert(parent);
            }
            seen.waited.insert(pid, waited);
        }
        let waited = seen.waited.clone();
        seen.looks.push_back((at, waited));
        while seen.looks.get(1).is_some_and(|(second, _)| at.duration_since(*second) >= self.stretch) {
            seen.looks.pop_front();
        }
        let most = seen.most(ends);
        seen.worst = seen.worst.max(most);
    }

    /// How long it was waited, in the stretch in which that was longest.
    pub fn worst(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).worst
    }
}

impl Seen {
    /// The most that was waited in the last stretch, one after the other.
    fn most(&self, ends: &[i32]) -> Duration {
        let before = |pid: i32| self.looks[0].1.get(&pid).copied().unwrap_or_default();
        let since = |pid: i32| self.waited.get(&pid).map(|waited| waited.saturating_sub(before(pid)));
        let line = |pid: &i32| {
            let ancestors = successors(Some(*pid), |pid| self.parents.get(pid).copied()).take(GENERATIONS_MAX);
            ancestors.filter_map(since).sum::<Duration>()
        };
        let longest = self.waited.keys().map(line).max().unwrap_or_default();
        longest.max(ends.iter().filter_map(|pid| since(*pid)).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waited(pid: i32, parent: i32, waited: Duration) -> Looked {
        Looked { pid, parent: Some(parent), waited }
    }

    #[test]
    fn what_one_waited_after_the_other_adds_up() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        starvation.look(begun + 3 * SECOND, &[], [waited(7, 1, 2 * SECOND)]);
        starvation.look(begun + 6 * SECOND, &[], [waited(7, 1, 2 * SECOND), waited(8, 7, 3 * SECOND)]);
        assert_eq!(starvation.worst(), 5 * SECOND);
        // Whoever started them: an orphan has another parent.
        starvation.look(begun + 7 * SECOND, &[7, 9], [waited(9, 1, 4 * SECOND)]);
        assert_eq!(starvation.worst(), 6 * SECOND);
    }

    #[test]
    fn what_many_waited_beside_each_other_does_not() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let all = (10..99).map(|pid| waited(pid, 1, SECOND));
        starvation.look(Instant::now() + SECOND, &[], all);
        assert_eq!(starvation.worst(), SECOND);
    }

    #[test]
    fn what_was_waited_now_and_then_counts_in_each_stretch_alone() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        for n in 1..100 {
            starvation.look(begun + n * SECOND, &[], [waited(7, 1, n * SECOND / 10)]);
        }
        assert_eq!(starvation.worst(), SECOND);
    }

    #[test]
    fn who_is_gone_has_waited_all_the_same() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        let begun = Instant::now();
        starvation.look(begun + SECOND, &[], [waited(7, 1, SECOND)]);
        starvation.look(begun + 2 * SECOND, &[], [waited(8, 7, SECOND)]);
        assert_eq!(starvation.worst(), 2 * SECOND);
    }

    #[test]
    fn who_descends_from_himself_does_so_for_a_while_alone() {
        let starvation = Starvation::in_stretches_of(10 * SECOND);
        starvation.look(Instant::now() + SECOND, &[], [waited(7, 8, SECOND), waited(8, 7, SECOND)]);
        assert_eq!(starvation.worst(), SECOND * GENERATIONS_MAX as u32);
    }
}
