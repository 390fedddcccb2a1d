//! The server on the real system, the Windows twin: threads read and write the pipes, one loop does what the machine
//! says. There is no SIGALRM here; the end of the requests is the order to stop.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use super::http::Client;
use super::machine::{Action, Event, Machine};
use super::operation::Processors;
use super::options::Options;
use super::understand::understand;
use super::workers::Workers;
use crate::codec::delimited::{Delimited, NeedsMore};
use crate::codec::op_frame::{END_SYMBOL, REQUEST_BYTES_MAX, Reply};
use crate::transport::inherited::Ends;
use crate::transport::pump::{News, Reader, Writer};

/// Windows has no signals that a server obeys.
#[derive(Debug)]
pub struct Signals;

/// Nothing to listen for; the twin of what Unix does.
pub fn watch_signals() -> io::Result<Signals> {
    Ok(Signals)
}

enum Happened {
    Requests(News),
    Replies(News),
    Result,
}

/// Serves until the requests end or the replies have no reader.
pub fn run(options: &Options, _signals: Signals, ends: Ends) -> io::Result<()> {
    let (sender, happened) = channel();
    let processors = Processors::new();
    let waker: Sender<Happened> = sender.clone();
    let mut server = Server {
        machine: Machine::new(processors.available(), options.grace),
        requests: Reader::start(File::from(ends.requests), sender.clone(), Happened::Requests),
        replies: Writer::start(File::from(ends.replies), sender, Happened::Replies),
        inbox: Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX),
        outbox: Vec::new(),
        workers: Workers::new(move || drop(waker.send(Happened::Result))),
        client: Client::new(options.timeout),
        processors,
        reading: true,
        ended: false,
        now: Instant::now(),
        actions: VecDeque::new(),
    };
    while !server.ended {
        server.step();
        if !server.ended {
            server.wait(&happened);
        }
    }
    Ok(())
}

struct Server {
    machine: Machine,
    requests: Reader,
    replies: Writer,
    inbox: Delimited,
    outbox: Vec<u8>,
    workers: Workers,
    client: Client,
    processors: Processors,
    reading: bool,
    ended: bool,
    now: Instant,
    actions: VecDeque<Action>,
}

impl Server {
    fn step(&mut self) {
        self.now = Instant::now();
        for (ticket, reply) in self.workers.take_done() {
            self.handle(Event::Done(ticket, reply));
        }
        self.handle(Event::Clock);
        while self.wants_messages() {
            let event = match self.inbox.next_piece() {
                Ok(piece) => understand(piece),
                Err(NeedsMore) if self.reading => break,
                Err(NeedsMore) => Event::RequestsEnded,
            };
            self.handle(event);
        }
        self.replies.put(std::mem::take(&mut self.outbox));
        if self.replies.unsent_bytes() == 0 {
            self.handle(Event::Flushed);
        }
        if self.reading && self.wants_messages() {
            self.requests.allow();
        }
    }

    fn wants_messages(&self) -> bool {
        self.machine.wants_messages(self.outbox.len() + self.replies.unsent_bytes())
    }

    fn wait(&mut self, happened: &Receiver<Happened>) {
        let news = match self.machine.deadline() {
            Some(deadline) => happened.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match news {
            Ok(Happened::Requests(News::Bytes(bytes))) => {
                self.requests.used();
                self.inbox.push(&bytes);
            }
            Ok(Happened::Requests(_)) => self.reading = false,
            Ok(Happened::Replies(News::Sent(bytes))) => self.replies.sent(bytes),
            Ok(Happened::Replies(_)) => self.handle(Event::NobodyReads),
            // The next step takes results, and looks at the clock.
            Ok(Happened::Result) | Err(_) => {}
        }
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, self.now, &mut self.actions);
        while let Some(action) = self.actions.pop_front() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(op, reply) => reply.encode(op, &mut self.outbox),
            Action::SetProcessors { ticket, count, workers_max } => {
                self.workers.shrink_to(workers_max);
                let reply =
                    self.processors.restrict(count).map_or_else(Reply::Error, |count| Reply::Value(count as i64));
                self.handle(Event::Done(ticket, reply));
            }
            Action::Fetch { ticket, request, body_limit, workers_max } => {
                let client = self.client.clone();
                let job = Box::new(move || client.fetch(*request, body_limit));
                if let Err(error) = self.workers.start(ticket, job, workers_max) {
                    let why = format!("the server could not start a worker thread: {error}");
                    self.handle(Event::Done(ticket, Reply::Error(why)));
                }
            }
            Action::End => self.ended = true,
        }
    }
}
