//! What was observed in one session, on one clock.
//!
//! Observers append, cases wait for what they need to see, reports render. A record holds facts only: it
//! knows nothing of requirements, of dialects, or of what any of it means.
//!
//! It also notes when a case looked, and what it was answered. So a record of the past can be looked at by the same
//! case again: each look sees what was there to be seen then, and each question has the answer that it had.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

/// Everything seen in one session, in the order in which the suite saw it.
#[derive(Debug)]
pub struct Record {
    kind: Kind,
    begun: Instant,
    kept_bytes: AtomicUsize,
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

/// One observation and its time in microseconds since the session began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the session began.
    pub at_us: u64,
    /// What was seen.
    #[serde(flatten)]
    pub what: What,
}

/// One observation. Bytes are kept as they came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum What {
    /// The suite wrote to the watchdog's terminal or standard input.
    Typed {
        /// What was written.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// The suite closed the watchdog's standard input.
    InputClosed,
    /// A subject wrote to its terminal, standard output or standard error.
    Shown {
        /// Where it was written.
        stream: Stream,
        /// What was written.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// Nobody can write to this stream any more.
    ShownAll {
        /// Which.
        stream: Stream,
    },
    /// A subject was started.
    Started {
        /// Who.
        who: Who,
        /// Its process id.
        pid: i32,
    },
    /// A server's program could not be executed.
    NotExecuted {
        /// Who.
        who: Who,
        /// The system's reason.
        error: String,
    },
    /// More was said than is kept: from here on the subjects are no longer listened to.
    Flooded,
    /// The suite begins to end what still runs: what ends from here on did not end by itself.
    Finishing,
    /// The suite could not put its tap into the pipes: whatever follows is its own fault.
    TapFailed {
        /// Why.
        error: String,
    },
    /// Bytes passed through a pipe between the two subjects.
    Passed {
        /// Towards whom.
        to: Who,
        /// The server's descriptor that they passed through.
        fd: i32,
        /// The bytes.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// One direction of a pipe came to its end.
    Closed {
        /// Who can read nothing more.
        to: Who,
        /// The server's descriptor.
        fd: i32,
    },
    /// The target got a request.
    Requested(Request),
    /// The suite sent a signal.
    Signalled {
        /// To whom.
        who: Who,
        /// Its number.
        signal: i32,
    },
    /// When a subject ended it had asked, or had not, how a child of its own had.
    Waited {
        /// Who.
        who: Who,
        /// It had, for one at least.
        for_any: bool,
    },
    /// Its parent asked how a subject ended; only then may others learn it.
    Reaped {
        /// Who.
        who: Who,
        /// How it ended, where that can be seen.
        status: Option<Status>,
    },
    /// A case looked at all that stands before, or came to the end of a wait for it.
    Looked,
    /// A case asked something that no other event tells, and got this answer.
    Answered {
        /// What was asked.
        question: String,
        /// The answer.
        answer: serde_json::Value,
    },
    /// A subject ended.
    Ended {
        /// Who.
        who: Who,
        /// How, where that can be seen.
        status: Option<Status>,
    },
}

/// Where a subject's words came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The pseudo terminal.
    Terminal,
    /// Standard output, a pipe.
    Stdout,
    /// Standard error, a pipe.
    Stderr,
}

/// One of the two subjects. A watchdog may start its server more than once: they are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The parent.
    Watchdog,
    /// The child with this number.
    Server(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Watchdog => write!(f, "watchdog"),
            Who::Server(0) => write!(f, "server"),
            Who::Server(n) => write!(f, "server {}", n + 1),
        }
    }
}

/// A request as it reached the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body's bytes.
    #[serde(with = "crate::escape::as_text")]
    pub body: Vec<u8>,
    /// The status it was answered with.
    pub answered: u16,
}

/// How a process ended: what `wait` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Status {
    /// From the raw value that `wait` stores.
    pub fn from_raw(raw: i32) -> Self {
        if raw & 0x7f == 0 { Status::Exited((raw >> 8) & 0xff) } else { Status::Killed(raw & 0x7f) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(status) => write!(f, "exit status {status}"),
            Status::Killed(signal) => write!(f, "killed by {}", signal_name(*signal)),
        }
    }
}

/// `SIGTERM` for 15, and so on; `signal N` for a number without a name here.
pub fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

impl Default for Record {
    fn default() -> Self {
        Record {
            kind: Kind::Live,
            begun: Instant::now(),
            kept_bytes: AtomicUsize::new(0),
            events: Mutex::default(),
            changed: Notify::new(),
            ran_out: AtomicBool::new(false),
        }
    }
}

/// How much of what subjects say is kept in one record. No case needs more than a part of it.
const KEPT_BYTES_MAX: usize = 4 << 20;

impl Record {
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
        let before = self.kept_bytes.fetch_add(bytes, Ordering::AcqRel);
        if before > KEPT_BYTES_MAX {
            return false;
        }
        self.push(what);
        if before + bytes > KEPT_BYTES_MAX {
            self.push(What::Flooded);
        }
        before + bytes <= KEPT_BYTES_MAX
    }

    /// More was said than is kept.
    pub fn is_flooded(&self) -> bool {
        self.kept_bytes.load(Ordering::Acquire) > KEPT_BYTES_MAX
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
        Some(serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{question}: {error}")))
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
}

/// The place of the next event that tells of a case: it must be of this kind.
///
/// # Panics
/// When the case takes another course than it took when the record was made: then the two do not belong together.
fn next(events: &[Event], looked: &Mutex<usize>, asked: &str, is: impl Fn(&What) -> bool) -> usize {
    let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
    let is_of_a_case = |event: &Event| matches!(event.what, What::Looked | What::Answered { .. });
    let at = events[*looked..].iter().position(is_of_a_case).map(|at| *looked + at);
    let at = at.filter(|at| is(&events[*at].what));
    let at = at.unwrap_or_else(|| panic!("what was recorded took another course: it has no answer to `{asked}` here"));
    *looked = at + 1;
    at
}

/// All bytes that went `to` one side through the pipe that the server knows as `fd`.
pub fn passed(events: &[Event], to: Who, fd: i32) -> Vec<u8> {
    let mut all = Vec::new();
    for event in events {
        if let What::Passed { to: t, fd: f, bytes } = &event.what
            && *t == to
            && *f == fd
        {
            all.extend_from_slice(bytes);
        }
    }
    all
}

/// All that the subjects showed, in one stream or in all of them.
pub fn shown(events: &[Event], only: Option<Stream>) -> Vec<u8> {
    let mut all = Vec::new();
    for event in events {
        if let What::Shown { stream, bytes } = &event.what
            && only.is_none_or(|o| o == *stream)
        {
            all.extend_from_slice(bytes);
        }
    }
    all
}

/// The requests that reached the target, in order.
pub fn requests(events: &[Event]) -> Vec<&Request> {
    events
        .iter()
        .filter_map(|e| match &e.what {
            What::Requested(request) => Some(request),
            _ => None,
        })
        .collect()
}

/// How `who` ended, when it has, and not because the suite ended it.
pub fn ended(events: &[Event], who: Who) -> Option<Option<Status>> {
    let by_itself = events.iter().take_while(|e| !matches!(e.what, What::Finishing));
    by_itself.into_iter().find_map(|e| match &e.what {
        What::Ended { who: w, status } if *w == who => Some(*status),
        _ => None,
    })
}

/// Whether nobody is left who could do anything: every subject that was started has ended, and every stream with them.
pub fn all_over(events: &[Event]) -> bool {
    let (mut started, mut ended, mut streams, mut closed) = (0, 0, Vec::new(), 0);
    for event in events {
        match &event.what {
            What::Started { .. } => started += 1,
            What::Ended { .. } => ended += 1,
            What::Shown { stream, .. } if !streams.contains(stream) => streams.push(*stream),
            What::ShownAll { stream } => {
                closed += 1;
                if !streams.contains(stream) {
                    streams.push(*stream);
                }
            }
            _ => {}
        }
    }
    started > 0 && started == ended && closed > 0 && streams.len() == closed
}

/// The process ids of the servers that were started, in order.
pub fn servers(events: &[Event]) -> Vec<i32> {
    events
        .iter()
        .filter_map(|e| match e.what {
            What::Started { who: Who::Server(_), pid } => Some(pid),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
