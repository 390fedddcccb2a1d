//! The server on the real system: one thread that waits for messages, signals and results, and does what the machine
//! says. It decides nothing itself.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::http::Client;
use super::machine::{Action, Event, Machine};
use super::operation::Processors;
use super::options::Options;
use super::understand::understand;
use super::workers::Workers;
use crate::codec::delimited::{Delimited, NeedsMore};
use crate::codec::op_frame::{END_SYMBOL, REQUEST_BYTES_MAX, Reply};
use crate::signals::Signals;
use crate::transport::inherited::Ends;
use crate::transport::pipe::{Connection, Received};

/// Begins to listen for the signals that a server obeys; to be done early, since an alarm kills until then.
pub fn watch_signals() -> io::Result<Signals> {
    Signals::watch(&[Signal::SIGALRM])
}

/// Serves until the requests end, the replies have no reader, or SIGALRM comes.
pub fn run(options: &Options, signals: Signals, ends: Ends) -> io::Result<()> {
    let processors = Processors::new();
    let (results, waker) = UnixStream::pair()?;
    results.set_nonblocking(true)?;
    waker.set_nonblocking(true)?;
    let mut server = Server {
        machine: Machine::new(processors.available(), options.grace),
        connection: Connection::new(ends.requests, ends.replies, Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX))?,
        // If the byte finds no room, enough of them are there already to wake the event loop.
        workers: Workers::new(move || drop((&waker).write(&[0]))),
        client: Client::new(options.timeout),
        processors,
        signals,
        results,
        reading: true,
        ended: false,
        now: Instant::now(),
        actions: VecDeque::new(),
    };
    while !server.ended {
        let busy = server.step()?;
        if !server.ended {
            server.wait(busy)?;
        }
    }
    Ok(())
}

struct Server {
    machine: Machine,
    connection: Connection,
    workers: Workers,
    client: Client,
    processors: Processors,
    signals: Signals,
    /// Becomes readable when a worker has a result.
    results: UnixStream,
    /// False once the requests have ended.
    reading: bool,
    ended: bool,
    now: Instant,
    /// What the machine wants done, oldest first.
    actions: VecDeque<Action>,
}

impl Server {
    /// Takes in whatever has happened, and does what follows. True if a message came.
    fn step(&mut self) -> io::Result<bool> {
        self.now = Instant::now();
        while let Some(_alarm) = self.signals.take() {
            self.handle(Event::Alarm);
        }
        for (ticket, reply) in self.workers.take_done() {
            self.handle(Event::Done(ticket, reply));
        }
        if self.machine.deadline().is_some() {
            self.handle(Event::Clock);
        }
        let busy = self.messages();
        self.send()?;
        Ok(busy)
    }

    fn requests_ended(&mut self) {
        self.reading = false;
        let cut_off = self.connection.inbox.unfinished().len();
        if cut_off > 0 && self.connection.inbox.pieces_waiting() == 0 {
            eprintln!("server: the requests ended inside a message, of which {cut_off} bytes had come");
        }
    }

    fn wants_messages(&self) -> bool {
        self.machine.wants_messages(self.connection.unsent_bytes())
    }

    /// Works on the messages that have arrived. True if there was one.
    fn messages(&mut self) -> bool {
        let mut any = false;
        while self.wants_messages() {
            let event = match self.connection.inbox.next_piece() {
                Ok(piece) => understand(piece),
                Err(NeedsMore) if self.reading => break,
                Err(NeedsMore) => Event::RequestsEnded,
            };
            any = true;
            self.handle(event);
        }
        any
    }

    fn send(&mut self) -> io::Result<()> {
        match self.connection.send() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.handle(Event::NobodyReads),
            Err(error) => return Err(error),
        }
        if self.connection.unsent_bytes() == 0 {
            self.handle(Event::Flushed);
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, self.now, &mut self.actions);
        while let Some(action) = self.actions.pop_front() {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply(op, reply) => reply.encode(op, self.connection.outbox()),
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

    /// Waits until something happens. Right after a message the next one is probably near, so there it looks for a
    /// moment before it goes to sleep.
    fn wait(&mut self, busy: bool) -> io::Result<()> {
        let wants = self.reading && self.wants_messages();
        if wants && busy && self.connection.unsent_bytes() == 0 {
            match self.connection.receive_soon()? {
                Received::Nothing => {}
                received => {
                    self.received(received);
                    return Ok(());
                }
            }
        }
        let write = if self.connection.unsent_bytes() > 0 { PollFlags::POLLOUT } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.results.as_fd(), PollFlags::POLLIN),
        ];
        // Even with nothing to write, this tells when the other end is closed.
        fds.extend(self.connection.outgoing().map(|fd| PollFd::new(fd, write)));
        if wants {
            fds.push(PollFd::new(self.connection.incoming(), PollFlags::POLLIN));
        }
        match poll(&mut fds, self.machine.deadline().map_or(PollTimeout::NONE, poll_timeout)) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        let came = |index: usize| fds.get(index).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let (signal, result, replies, requests) = (came(0), came(1), came(2), came(3));
        if !signal.is_empty() {
            self.signals.quiet();
        }
        if !result.is_empty() {
            // However many results this stands for, the next step takes them all.
            let _ = self.results.read(&mut [0; 1024]);
        }
        if replies.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL) {
            self.handle(Event::NobodyReads);
        }
        if !requests.is_empty() {
            let received = self.connection.receive()?;
            self.received(received);
        }
        Ok(())
    }

    fn received(&mut self, received: Received) {
        if received == Received::End {
            self.requests_ended();
        }
    }
}

/// Rounded up, so that the deadline has come when the wait is over.
fn poll_timeout(deadline: Instant) -> PollTimeout {
    let millis = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
}
