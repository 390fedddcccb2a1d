//! The server apart from its pipes: the machine, and whatever it has done on the real system. The same everywhere.
//!
//! It knows where replies are put, not how they are sent, and it waits for nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::http::Client;
use super::machine::{Action, Event, Machine};
use super::operation::Processors;
use super::options::Options;
use super::workers::Workers;
use crate::codec::op_frame::Reply;

/// What all connections of a server have in common.
#[derive(Debug, Clone)]
pub struct Setup {
    grace: Duration,
    client: Client,
    processors: Arc<Processors>,
}

impl Setup {
    /// A server that was told this. The error is a sentence about that.
    pub fn new(options: &Options) -> Result<Self, String> {
        let client = Client::new(options.timeout, options.roots.as_deref())?;
        Ok(Setup { grace: options.grace, client, processors: Arc::new(Processors::new()) })
    }

    /// How long requests under way have after an alarm.
    pub fn grace(&self) -> Duration {
        self.grace
    }
}

/// A server that is told what happens and leaves its replies in an outbox.
pub struct Service {
    machine: Machine,
    workers: Workers,
    client: Client,
    processors: Arc<Processors>,
    ended: bool,
    now: Instant,
    /// What the machine wants done, oldest first.
    actions: VecDeque<Action>,
}

impl Service {
    /// A server at its start. `wake` is called, on a worker thread, whenever a result is there.
    pub fn new(setup: &Setup, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let Setup { grace, client, processors } = setup.clone();
        Self {
            machine: Machine::new(processors.available(), grace),
            workers: Workers::new(wake),
            client,
            processors,
            ended: false,
            now: Instant::now(),
            actions: VecDeque::new(),
        }
    }

    /// Looks at the clock and takes in the results of the workers.
    pub fn catch_up(&mut self, outbox: &mut Vec<u8>) {
        self.now = Instant::now();
        for (ticket, reply) in self.workers.take_done() {
            self.handle(Event::Done(ticket, reply), outbox);
        }
        if self.machine.deadline().is_some() {
            self.handle(Event::Clock, outbox);
        }
    }

    /// Tells the machine what happened, and does what it says; replies go into `outbox`.
    pub fn handle(&mut self, event: Event, outbox: &mut Vec<u8>) {
        self.machine.handle(event, self.now, &mut self.actions);
        while let Some(action) = self.actions.pop_front() {
            self.perform(action, outbox);
        }
    }

    fn perform(&mut self, action: Action, outbox: &mut Vec<u8>) {
        match action {
            Action::Reply(op, reply) => reply.encode(op, outbox),
            Action::SetProcessors { ticket, count, workers_max } => {
                self.workers.shrink_to(workers_max);
                let reply =
                    self.processors.restrict(count).map_or_else(Reply::Error, |count| Reply::Value(count as i64));
                self.handle(Event::Done(ticket, reply), outbox);
            }
            Action::Fetch { ticket, request, body_limit, workers_max } => {
                let client = self.client.clone();
                let job = Box::new(move || client.fetch(*request, body_limit));
                if let Err(error) = self.workers.start(ticket, job, workers_max) {
                    let why = format!("the server could not start a worker thread: {error}");
                    self.handle(Event::Done(ticket, Reply::Error(why)), outbox);
                }
            }
            Action::End => self.ended = true,
        }
    }

    /// Whether the next message may be read, while `unsent_bytes` of replies have not been sent yet.
    pub fn wants_messages(&self, unsent_bytes: usize) -> bool {
        self.machine.wants_messages(unsent_bytes)
    }

    /// When to catch up, if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        self.machine.deadline()
    }

    /// Whether all is done.
    pub fn ended(&self) -> bool {
        self.ended
    }
}
