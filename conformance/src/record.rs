//! What was observed in one session, on one clock.
//!
//! Observers append, cases wait for what they need to see, reports render. A record holds facts only: it
//! knows nothing of requirements, of dialects, or of what any of it means.
//!
//! It also notes when a case looked, and what it was answered. So a record of the past can be looked at by the same
//! case again: each look sees what was there to be seen then, and each question has the answer that it had.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::event::{Event, What};

/// Everything seen in one session, in the order in which the suite saw it.
#[derive(Debug)]
pub struct Record {
    kind: Kind,
    begun: Instant,
    kept_bytes: AtomicUsize,
    kept_bytes_max: usize,
    events: Mutex<Vec<Event>>,
    changed: Notify,
    ran_out: AtomicBool,
}

/// Whose looks a record is for.
#[derive(Debug)]
enum Kind {
    /// Of a session that goes on.
    Live,
    /// Of a session that is over: whoever looks sees all of it.
    Over,
    /// Of a session of another run, and how many of its events have been looked at.
    Past(Mutex<usize>),
}

impl Default for Record {
    fn default() -> Self {
        Record {
            kind: Kind::Live,
            begun: Instant::now(),
            kept_bytes: AtomicUsize::new(0),
            kept_bytes_max: usize::MAX,
            events: Mutex::default(),
            changed: Notify::new(),
            ran_out: AtomicBool::new(false),
        }
    }
}

impl Record {
    /// Of a session of which so much is kept that its subjects say.
    pub fn keeping(kept_bytes_max: usize) -> Self {
        Record { kept_bytes_max, ..Record::default() }
    }

    /// Of a session that is over.
    pub fn over(events: Vec<Event>) -> Self {
        Record { kind: Kind::Over, events: Mutex::new(events), ..Record::default() }
    }

    /// Of a session of another run, for the same case to look at.
    pub fn past(events: Vec<Event>) -> Self {
        Record { kind: Kind::Past(Mutex::new(0)), events: Mutex::new(events), ..Record::default() }
    }

    /// Nothing happens any more: it is a record of another run.
    pub fn is_past(&self) -> bool {
        matches!(self.kind, Kind::Past(_))
    }

    /// Appends what a subject said. `false` when no more is kept: then the observer stops listening, and whoever floods
    /// it has to wait.
    pub fn keep(&self, what: What, bytes: usize) -> bool {
        // What is said a byte at a time takes more than its bytes.
        let bytes = bytes + size_of::<Event>();
        let before = self.kept_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before > self.kept_bytes_max {
            return false;
        }
        self.push(what);
        if before + bytes > self.kept_bytes_max {
            self.push(What::Flooded);
        }
        before + bytes <= self.kept_bytes_max
    }

    /// More was said than is kept.
    pub fn is_flooded(&self) -> bool {
        self.kept_bytes.load(Ordering::Acquire) > self.kept_bytes_max
    }

    /// Appends an observation and wakes whoever waits.
    pub fn push(&self, what: What) {
        if matches!(self.kind, Kind::Live) {
            self.append(&mut self.lock(), what);
            self.changed.notify_waiters();
        }
    }

    /// The time is read under the lock, so that the order of events is the order of their times.
    fn append(&self, events: &mut Vec<Event>, what: What) {
        let at_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        events.push(Event { at_us, what });
    }

    /// Events are only ever appended whole, so that a case which panics while it looks leaves them as they were.
    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at everything seen so far.
    pub fn look<T>(&self, look: impl FnOnce(&[Event]) -> T) -> T {
        let mut events = self.lock();
        match &self.kind {
            Kind::Live => {
                let seen = look(&events);
                self.append(&mut events, What::Looked);
                seen
            }
            Kind::Over => look(&events),
            Kind::Past(looked) => {
                let at = next(&events, looked, "a look", |what| matches!(what, What::Looked));
                look(&events[..at])
            }
        }
    }

    /// A fact that no observer notes. `live` finds it out, and in a record of another run it is what it was then.
    pub fn answer<T: Serialize + DeserializeOwned>(&self, question: &str, live: impl FnOnce() -> T) -> T {
        match self.past_answer(question) {
            Some(answer) => answer,
            None => self.answered(question, live()),
        }
    }

    /// A fact that takes time to find out, likewise.
    pub async fn ask<T: Serialize + DeserializeOwned>(&self, question: &str, live: impl Future<Output = T>) -> T {
        match self.past_answer(question) {
            Some(answer) => answer,
            None => self.answered(question, live.await),
        }
    }

    fn past_answer<T: DeserializeOwned>(&self, question: &str) -> Option<T> {
        let Kind::Past(looked) = &self.kind else { return None };
        let events = self.lock();
        let is_asked = |what: &What| matches!(what, What::Answered { question: asked, .. } if asked == question);
        let at = next(&events, looked, question, is_asked);
        let What::Answered { answer, .. } = &events[at].what else { return None };
        Some(serde_json::from_value(answer.clone()).unwrap_or_else(|error| misfit(format!("`{question}`: {error}"))))
    }

    fn answered<T: Serialize>(&self, question: &str, answer: T) -> T {
        let noted = serde_json::to_value(&answer).expect("an answer has a JSON form");
        self.push(What::Answered { question: question.to_owned(), answer: noted });
        answer
    }

    /// Waits until `see` finds what it looks for; `None` when `deadline` passes first.
    pub async fn until<T>(&self, deadline: Instant, mut see: impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        let seen = match self.kind {
            Kind::Live => self.live_until(deadline, &mut see).await,
            Kind::Over | Kind::Past(_) => self.look(&mut see),
        };
        if seen.is_none() {
            self.run_out();
        }
        seen
    }

    async fn live_until<T>(&self, deadline: Instant, see: &mut impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the look, so that an event between the look and the wait is not missed.
            changed.as_mut().enable();
            let is_late = Instant::now() >= deadline;
            {
                let mut events = self.lock();
                let seen = see(&events);
                if seen.is_some() || is_late {
                    self.append(&mut events, What::Looked);
                    return seen;
                }
            }
            // After the deadline comes one more look.
            let _ = tokio::time::timeout_at(deadline.into(), changed).await;
        }
    }

    /// When it began: its events are so many microseconds later.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Notes that a wait came to its deadline.
    pub fn run_out(&self) {
        self.ran_out.store(true, Ordering::Release);
    }

    /// A wait came to its deadline: what follows from that depends on time.
    pub fn has_run_out(&self) -> bool {
        self.ran_out.load(Ordering::Acquire)
    }

    /// A copy of everything seen so far.
    pub fn events(&self) -> Vec<Event> {
        self.look(<[Event]>::to_vec)
    }

    /// Everything, for those who play no part in it.
    pub fn all(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// Has somebody read all of it, who is no case: that is no look.
    pub fn read<T>(&self, read: impl FnOnce(&[Event]) -> T) -> T {
        read(&self.lock())
    }
}

/// What unwinds from a case that takes another course than it took when the record was made: the two do not belong
/// together.
#[derive(Debug)]
pub struct Misfit(pub String);

/// Ends the case, and not with the words of a bug: nothing is wrong with it.
fn misfit(why: String) -> ! {
    std::panic::resume_unwind(Box::new(Misfit(why)))
}

/// The place of the next event that tells of a case: it must be of this kind.
fn next(events: &[Event], looked: &Mutex<usize>, asked: &str, is: impl Fn(&What) -> bool) -> usize {
    let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
    let is_of_a_case = |event: &Event| matches!(event.what, What::Looked | What::Answered { .. });
    let at = events[*looked..].iter().position(is_of_a_case).map(|at| *looked + at);
    let at = at.filter(|at| is(&events[*at].what));
    let at = at.unwrap_or_else(|| misfit(format!("there is no answer to `{asked}` here")));
    *looked = at + 1;
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_so_much_and_notes_that_there_was_more() {
        let record = Record::keeping(1000);
        let say = |bytes: usize| record.keep(What::Typed { bytes: vec![b'x'; bytes] }, bytes);
        assert!(say(600) && !record.is_flooded());
        assert!(!say(600) && record.is_flooded(), "what passes the limit is the last");
        assert!(!say(1));
        let kept = record.all();
        assert!(kept.len() == 3 && matches!(kept[2].what, What::Flooded), "{kept:?}");
    }

    /// Else the panic of one case would be that of whoever looks at its record afterwards.
    #[test]
    fn a_record_outlives_the_panic_of_whoever_looks_at_it() {
        let record = Record::default();
        record.push(What::InputClosed);
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| record.look(|_| panic!("on purpose"))));
        assert!(looked.is_err());
        assert_eq!(record.all().len(), 1);
        let past = Record::past(record.all());
        let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| past.answer("what nobody asked", || 1)));
        assert!(asked.is_err());
        assert_eq!(past.all().len(), 1);
    }
}
