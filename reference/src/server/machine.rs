//! What a server does about what happens to it: state and event in, actions out.
//!
//! No clock, no descriptor, no thread: time is an argument, and [`Machine::deadline`] says when to call again. The
//! one rule that everything here serves is that each message gets one reply, in the order of the messages, however
//! long one of them takes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{HttpRequest, Op, RESPONSE_BODY_BYTES_MAX, Reply, Request};

/// The memory limit until `setmeml` sets another.
pub const MEMORY_LIMIT_BYTES_DEFAULT: i64 = 64 * 1024 * 1024;

/// More worker threads than this are never started, whatever number is asked for.
pub const WORKERS_MAX: usize = 512;

/// While this much is waiting to be worked on or to be sent, no further message is read.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a message costs besides the bytes of its body, so that the backlog also bounds their number.
const MESSAGE_BYTES: usize = 256;

/// The state of a server.
#[derive(Debug)]
pub struct Machine {
    phase: Phase,
    grace: Duration,
    processors_available: usize,
    memory_limit_bytes: i64,
    workers_max: usize,
    working: usize,
    /// Requests that wait for a worker.
    waiting: VecDeque<(Ticket, Box<HttpRequest>, BodyLimit)>,
    /// The replies that are owed, oldest first. Invariant: the first one is not ready, else it would have been sent.
    owed: VecDeque<Owed>,
    /// The ticket of the first of them.
    first: u64,
    backlog_bytes: usize,
}

/// Names one message until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Debug)]
struct Owed {
    op: Op,
    reply: Option<Reply>,
    bytes: usize,
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Reads messages and answers them.
    Serving,
    /// The requests have ended; what was received is finished, however long that takes.
    Finishing,
    /// Was told to stop; what is under way has until then.
    Stopping { until: Instant },
    /// Everything is answered; what remains is to get the replies out.
    Flushing { until: Option<Instant> },
    /// Nothing is left to do.
    Ended,
}

/// What happens to a server.
#[derive(Debug)]
pub enum Event {
    /// A message came and was understood.
    Message(Request),
    /// A message came that cannot be understood.
    Refused(Op, Malformed),
    /// No more messages will come.
    RequestsEnded,
    /// Nobody reads the replies any more.
    NobodyReads,
    /// SIGALRM: stop.
    Alarm,
    /// An operation is done.
    Done(Ticket, Reply),
    /// Every reply so far has been sent.
    Flushed,
    /// The deadline may have come.
    Clock,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this reply.
    Reply(Op, Reply),
    /// Work on this many processors, and tell how it went with [`Event::Done`].
    SetProcessors {
        /// Whose request it is.
        ticket: Ticket,
        /// The number of processors.
        count: usize,
        /// Worker threads beyond this number end as soon as they are idle.
        workers_max: usize,
    },
    /// Make this request on a worker thread, and tell how it went with [`Event::Done`].
    Fetch {
        /// Whose request it is.
        ticket: Ticket,
        /// The request.
        request: Box<HttpRequest>,
        /// A larger response body is refused.
        body_limit: BodyLimit,
        /// No more worker threads than this.
        workers_max: usize,
    },
    /// End the process, in order.
    End,
}

/// The largest body that may be buffered, and which limit that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// The limit that `setmeml` sets.
    pub memory_limit_bytes: i64,
}

impl BodyLimit {
    /// How many bytes a body may have.
    pub fn bytes(self) -> usize {
        usize::try_from(self.memory_limit_bytes).unwrap_or(usize::MAX).min(RESPONSE_BODY_BYTES_MAX)
    }

    /// The sentence for a body that is larger.
    pub fn refusal(self, which: &str) -> String {
        let bytes = self.bytes();
        if usize::try_from(self.memory_limit_bytes) == Ok(bytes) {
            format!("{which} body is larger than the memory limit of {bytes} bytes; setmeml sets another limit")
        } else {
            format!("{which} body is larger than the {bytes} bytes that one message can carry")
        }
    }
}

impl Machine {
    /// A server on a machine that lets it use this many processors, and that gives requests `grace` when it is stopped.
    pub fn new(processors_available: usize, grace: Duration) -> Self {
        Self {
            phase: Phase::Serving,
            grace,
            processors_available,
            memory_limit_bytes: MEMORY_LIMIT_BYTES_DEFAULT,
            workers_max: processors_available.clamp(1, WORKERS_MAX),
            working: 0,
            waiting: VecDeque::new(),
            owed: VecDeque::new(),
            first: 0,
            backlog_bytes: 0,
        }
    }

    /// Whether the next message may be read, while `unsent_bytes` of replies have not been sent yet.
    pub fn wants_messages(&self, unsent_bytes: usize) -> bool {
        self.phase == Phase::Serving && self.backlog_bytes + unsent_bytes < BACKLOG_BYTES_MAX
    }

    /// When to come back with [`Event::Clock`], if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Stopping { until } => Some(until),
            Phase::Flushing { until } => until,
            Phase::Serving | Phase::Finishing | Phase::Ended => None,
        }
    }

    /// Takes in what happened, and appends what is to be done about it.
    pub fn handle(&mut self, event: Event, now: Instant, actions: &mut VecDeque<Action>) {
        match (self.phase, event) {
            (Phase::Ended, _) => {}
            (Phase::Serving, Event::Message(request)) => self.message(request, actions),
            (Phase::Serving, Event::Refused(op, why)) => self.answer(op, Reply::Error(why.to_string()), actions),
            (Phase::Serving, Event::RequestsEnded) => self.enter(Phase::Finishing, actions),
            // Reading has stopped; what still comes was not received in time.
            (_, Event::Message(_) | Event::Refused(..) | Event::RequestsEnded) => {}

            (_, Event::Done(ticket, reply)) => self.done(ticket, reply, actions),

            (_, Event::NobodyReads) => self.enter(Phase::Ended, actions),
            (Phase::Serving | Phase::Finishing, Event::Alarm) => {
                self.enter(Phase::Stopping { until: now + self.grace }, actions);
            }
            // The replies to the last requests may have no reader; an alarm bounds that wait too.
            (Phase::Flushing { until: None }, Event::Alarm) => {
                self.phase = self.last_flush(now);
            }
            // Who repeats it is impatient: the grace is over, and what was not done is answered so.
            (Phase::Stopping { .. }, Event::Alarm) => {
                self.give_up(actions);
                self.enter(self.last_flush(now), actions);
            }
            (Phase::Flushing { until: Some(_) }, Event::Alarm) => self.enter(Phase::Ended, actions),

            (Phase::Flushing { .. }, Event::Flushed) => self.enter(Phase::Ended, actions),
            (_, Event::Flushed) => {}

            (Phase::Stopping { until }, Event::Clock) if until <= now => {
                self.give_up(actions);
                self.enter(self.last_flush(now), actions);
            }
            (Phase::Flushing { until: Some(until) }, Event::Clock) if until <= now => {
                self.enter(Phase::Ended, actions);
            }
            (_, Event::Clock) => {}
        }
    }

    /// What is ready has this long to get out, and no longer.
    fn last_flush(&self, now: Instant) -> Phase {
        Phase::Flushing { until: Some(now + self.grace / 2) }
    }

    fn enter(&mut self, phase: Phase, actions: &mut VecDeque<Action>) {
        self.phase = match phase {
            Phase::Finishing if self.owed.is_empty() => Phase::Flushing { until: None },
            Phase::Stopping { until } if self.owed.is_empty() => Phase::Flushing { until: Some(until) },
            other => other,
        };
        if self.phase == Phase::Ended {
            actions.push_back(Action::End);
        }
    }

    fn message(&mut self, request: Request, actions: &mut VecDeque<Action>) {
        match request {
            Request::MemoryLimit { bytes } => {
                self.memory_limit_bytes = bytes;
                self.answer(Op::MEMORY_LIMIT, Reply::Value(bytes), actions);
            }
            Request::Processors { count } => {
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                self.workers_max = count.min(WORKERS_MAX);
                let ticket = self.owe(Op::PROCESSORS, 0);
                let count = count.min(self.processors_available);
                actions.push_back(Action::SetProcessors { ticket, count, workers_max: self.workers_max });
                self.start_waiting(actions);
            }
            Request::Http(request) => self.http(request, actions),
        }
    }

    fn http(&mut self, request: Box<HttpRequest>, actions: &mut VecDeque<Action>) {
        let limit = BodyLimit { memory_limit_bytes: self.memory_limit_bytes };
        let body_bytes = request.body.as_ref().map_or(0, Vec::len);
        if body_bytes > limit.bytes() {
            return self.answer(Op::HTTP, Reply::Error(limit.refusal("request")), actions);
        }
        let ticket = self.owe(Op::HTTP, body_bytes + request.url.len());
        self.waiting.push_back((ticket, request, limit));
        self.start_waiting(actions);
    }

    fn start_waiting(&mut self, actions: &mut VecDeque<Action>) {
        while self.working < self.workers_max {
            let Some((ticket, request, body_limit)) = self.waiting.pop_front() else { return };
            self.working += 1;
            actions.push_back(Action::Fetch { ticket, request, body_limit, workers_max: self.workers_max });
        }
    }

    fn done(&mut self, ticket: Ticket, reply: Reply, actions: &mut VecDeque<Action>) {
        // A request that was given up has been answered already.
        if let Some(owed) = ticket.0.checked_sub(self.first).and_then(|index| self.owed.get_mut(index as usize)) {
            let bytes = MESSAGE_BYTES + body_bytes(&reply);
            self.backlog_bytes = self.backlog_bytes - owed.bytes + bytes;
            owed.bytes = bytes;
            if owed.op == Op::HTTP {
                self.working -= 1;
            }
            owed.reply = Some(reply);
        }
        self.start_waiting(actions);
        self.send_ready(actions);
    }

    /// Answers at once, unless earlier messages are still owed theirs.
    fn answer(&mut self, op: Op, reply: Reply, actions: &mut VecDeque<Action>) {
        if self.owed.is_empty() {
            self.first += 1;
            return actions.push_back(Action::Reply(op, reply));
        }
        self.owe(op, body_bytes(&reply));
        if let Some(owed) = self.owed.back_mut() {
            owed.reply = Some(reply);
        }
    }

    fn owe(&mut self, op: Op, bytes: usize) -> Ticket {
        let bytes = bytes + MESSAGE_BYTES;
        self.backlog_bytes += bytes;
        let ticket = Ticket(self.first + self.owed.len() as u64);
        self.owed.push_back(Owed { op, reply: None, bytes });
        ticket
    }

    fn send_ready(&mut self, actions: &mut VecDeque<Action>) {
        while let Some(Owed { reply: Some(_), .. }) = self.owed.front() {
            let Some(Owed { op, reply: Some(reply), bytes }) = self.owed.pop_front() else { return };
            self.first += 1;
            self.backlog_bytes -= bytes;
            actions.push_back(Action::Reply(op, reply));
        }
        if matches!(self.phase, Phase::Finishing | Phase::Stopping { .. }) {
            self.enter(self.phase, actions);
        }
    }

    /// Answers what is still under way, so that no message stays without a reply.
    fn give_up(&mut self, actions: &mut VecDeque<Action>) {
        self.waiting.clear();
        for owed in &mut self.owed {
            let stopped = || Reply::Error("the server was told to stop before this was done".into());
            owed.reply.get_or_insert_with(stopped);
        }
        self.send_ready(actions);
    }
}

fn body_bytes(reply: &Reply) -> usize {
    match reply {
        Reply::Value(_) => 0,
        Reply::Http(response) => response.body.len(),
        Reply::Error(error) => error.len(),
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
