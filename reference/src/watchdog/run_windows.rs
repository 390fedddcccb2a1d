//! The watchdog on the real system, the Windows twin: threads read the input and the replies, write the requests and
//! wait for the server's end; one loop does what the machine says.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use super::command::LINE_BYTES_MAX;
use super::machine::{Action, Event, Machine, StopSignal};
use super::options::Options;
use super::server::Held;
use super::{Failure, understand};
use crate::codec::delimited::Delimited;
use crate::codec::op_frame::{END_SYMBOL, REPLY_BYTES_MAX};
use crate::transport::pump::{News, Reader, Writer};

enum Happened {
    Input(News),
    Replies(News),
    Requests(News),
    ServerEnded,
    Interrupt,
}

/// Runs one session and returns its exit status.
pub fn run(options: &Options) -> Result<u8, Failure> {
    let (sender, happened) = channel();
    let interrupts = sender.clone();
    ctrlc::set_handler(move || drop(interrupts.send(Happened::Interrupt)))
        .map_err(|error| Failure::System(io::Error::other(error)))?;
    let (held, incoming, outgoing) = Held::obtain(&options.server)?;
    if let Held::Child(process) = &held {
        let deaths = sender.clone();
        process.watch(move || drop(deaths.send(Happened::ServerEnded))).map_err(Failure::System)?;
    }
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut watchdog = Watchdog {
        machine: Machine::new(held.kind(), options.grace, interactive),
        held,
        input: Reader::start(io::stdin(), sender.clone(), Happened::Input),
        replies: Reader::start(incoming, sender.clone(), Happened::Replies),
        requests: Some(Writer::start(outgoing, sender, Happened::Requests)),
        lines: Delimited::new(b'\n', LINE_BYTES_MAX),
        inbox: Delimited::new(END_SYMBOL, REPLY_BYTES_MAX),
        outbox: Vec::new(),
        input_open: true,
        replies_open: true,
        output_failed: false,
        status: None,
        now: Instant::now(),
        actions: VecDeque::new(),
    };
    watchdog.handle(Event::Begin);
    loop {
        watchdog.step();
        if let Some(status) = watchdog.status {
            return Ok(status);
        }
        watchdog.wait(&happened).map_err(Failure::System)?;
    }
}

struct Watchdog {
    machine: Machine,
    held: Held,
    input: Reader,
    replies: Reader,
    /// Closed when it is dropped.
    requests: Option<Writer>,
    lines: Delimited,
    inbox: Delimited,
    outbox: Vec<u8>,
    input_open: bool,
    replies_open: bool,
    output_failed: bool,
    status: Option<u8>,
    now: Instant,
    actions: VecDeque<Action>,
}

impl Watchdog {
    fn step(&mut self) {
        self.now = Instant::now();
        self.handle(Event::Clock);
        self.understand_replies();
        while self.wants_lines() {
            let Some(event) = understand::next_line(&mut self.lines, self.input_open) else { break };
            self.handle(event);
        }
        let outbox = std::mem::take(&mut self.outbox);
        if let Some(requests) = &mut self.requests {
            requests.put(outbox);
        }
        if std::mem::take(&mut self.output_failed) {
            self.handle(Event::OutputFailed);
        }
        if self.replies_open {
            self.replies.allow();
        }
        if self.input_open && self.wants_lines() {
            self.input.allow();
        }
    }

    fn understand_replies(&mut self) {
        while let Ok(piece) = self.inbox.next_piece() {
            let event = understand::reply(piece);
            self.handle(event);
        }
    }

    fn wants_lines(&self) -> bool {
        let unsent_bytes = self.outbox.len() + self.requests.as_ref().map_or(0, Writer::unsent_bytes);
        self.machine.wants_lines(unsent_bytes)
    }

    fn wait(&mut self, happened: &Receiver<Happened>) -> io::Result<()> {
        let news = match self.machine.deadline() {
            Some(deadline) => happened.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match news {
            Ok(Happened::Input(News::Bytes(bytes))) => {
                self.input.used();
                self.lines.push(&bytes);
            }
            Ok(Happened::Input(_)) => self.input_open = false,
            Ok(Happened::Replies(news)) => self.replies_came(news),
            Ok(Happened::Requests(News::Sent(bytes))) => {
                if let Some(requests) = &mut self.requests {
                    requests.sent(bytes);
                }
            }
            Ok(Happened::Requests(_)) => self.handle(Event::ServerClosed),
            Ok(Happened::ServerEnded) => self.server_ended(happened)?,
            Ok(Happened::Interrupt) => self.handle(Event::Signal(StopSignal::Interrupt)),
            // The next step looks at the clock.
            Err(_) => {}
        }
        Ok(())
    }

    fn replies_came(&mut self, news: News) {
        match news {
            News::Bytes(bytes) => {
                self.replies.used();
                self.inbox.push(&bytes);
            }
            _ => {
                self.replies_open = false;
                match &self.held {
                    Held::Child(_) => self.handle(Event::ServerClosed),
                    Held::Connection(link) => {
                        let why = link.why.said().map(str::to_owned);
                        self.disconnected(why);
                    }
                }
            }
        }
    }

    /// A server elsewhere is gone when its connection is.
    fn disconnected(&mut self, why: Option<String>) {
        self.understand_replies();
        let lines_unread = self.lines.pieces_waiting();
        self.handle(Event::Disconnected { why, lines_unread });
    }

    /// What the server said last is heard before its end is dealt with; its end of the pipe is closed by now.
    fn server_ended(&mut self, happened: &Receiver<Happened>) -> io::Result<()> {
        while self.replies_open {
            self.replies.allow();
            match happened.recv() {
                Ok(Happened::Replies(news)) => self.replies_came(news),
                Ok(Happened::Input(News::Bytes(bytes))) => self.lines.push(&bytes),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.step();
        let Held::Child(process) = &mut self.held else { return Ok(()) };
        let Some(ending) = process.try_wait()? else { return Ok(()) };
        let lines_unread = self.lines.pieces_waiting();
        self.handle(Event::ServerEnded { ending, lines_unread });
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
            Action::Send(request) => request.encode(&mut self.outbox),
            Action::Print(text) => {
                let mut stdout = io::stdout();
                self.output_failed |= stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err();
            }
            // If this fails too, there is nobody left to tell.
            Action::Complain(sentence) => drop(writeln!(io::stderr(), "error: {sentence}")),
            Action::CloseRequests => self.requests = None,
            Action::Alarm => {
                if let Held::Child(process) = &self.held {
                    process.alarm();
                }
            }
            Action::Kill => match &mut self.held {
                Held::Child(process) => process.kill(),
                Held::Connection(_) => self.disconnected(None),
            },
            Action::End(status) => self.status = Some(status),
        }
    }
}
