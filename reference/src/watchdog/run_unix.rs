//! The watchdog on the real system: one thread that waits for lines, replies, signals and the server's end, and does
//! what the machine says. It decides nothing itself.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use super::command::LINE_BYTES_MAX;
use super::console::{Console, Stream};
use super::machine::{Action, Event, Machine, StopSignal};
use super::options::{Options, Server};
use super::server::Held;
use super::{Failure, understand};
use crate::codec::delimited::{Delimited, Piece};
use crate::codec::op_frame::{END_SYMBOL, REPLY_BYTES_MAX};
use crate::signals::Signals;
use crate::transport::pipe::{Connection, Received, wait_for};

/// How much unread input is looked through after the server's death.
const REST_BYTES_MAX: usize = 1024 * 1024;

/// Runs one session and returns its exit status.
pub fn run(options: &Options) -> Result<u8, Failure> {
    let watch = || Signals::watch(&[Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD]);
    // Before a server is started, so that not even an early death goes unseen. Until there is a connection a signal ends the
    // watchdog as it ends any program.
    let is_child = matches!(options.server, Server::Start { .. });
    let early = is_child.then(watch).transpose().map_err(Failure::System)?;
    let (held, incoming, outgoing) = Held::obtain(&options.server)?;
    let signals = early.map_or_else(watch, Ok).map_err(Failure::System)?;
    let inbox = Delimited::new(END_SYMBOL, REPLY_BYTES_MAX);
    let connection = Connection::new(incoming, outgoing, inbox).map_err(Failure::System)?;
    connection.enlarge();
    let console = Console::new();
    let mut watchdog = Watchdog {
        machine: Machine::new(held.kind(), options.grace, console.is_interactive()),
        held,
        connection,
        signals,
        console,
        lines: Delimited::new(b'\n', LINE_BYTES_MAX),
        input_open: true,
        replies_open: true,
        status: None,
        now: Instant::now(),
        actions: VecDeque::new(),
    };
    let status = watchdog.session(options).map_err(Failure::System)?;
    Ok(status)
}

struct Watchdog {
    machine: Machine,
    held: Held,
    connection: Connection,
    signals: Signals,
    console: Console,
    lines: Delimited,
    input_open: bool,
    replies_open: bool,
    /// The exit status, once it is known.
    status: Option<u8>,
    now: Instant,
    /// What the machine wants done, oldest first.
    actions: VecDeque<Action>,
}

impl Watchdog {
    fn session(&mut self, options: &Options) -> io::Result<u8> {
        self.handle(Event::Begin);
        loop {
            self.step()?;
            if let Some(status) = self.status {
                self.last_words(status, options)?;
                return Ok(status);
            }
            self.wait()?;
        }
    }

    /// Takes in whatever has happened, and does what follows.
    fn step(&mut self) -> io::Result<()> {
        self.now = Instant::now();
        while let Some(signal) = self.signals.take() {
            match signal {
                Signal::SIGHUP => self.handle(Event::Signal(StopSignal::Hangup)),
                Signal::SIGINT => self.handle(Event::Signal(StopSignal::Interrupt)),
                Signal::SIGTERM => self.handle(Event::Signal(StopSignal::Terminate)),
                _ => self.child_changed()?,
            }
        }
        if self.machine.deadline().is_some() {
            self.handle(Event::Clock);
        }
        self.replies();
        self.commands();
        match self.connection.send() {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.handle(Event::ServerClosed),
            Err(error) => return Err(error),
        }
        if self.console.flush().is_err() {
            self.handle(Event::OutputFailed);
        }
        Ok(())
    }

    /// If the server has ended, what it said last is heard before its end is dealt with.
    fn child_changed(&mut self) -> io::Result<()> {
        let Held::Child(process) = &mut self.held else { return Ok(()) };
        let Some(ending) = process.try_wait()? else { return Ok(()) };
        while self.replies_open && self.receive()? == Received::Bytes {
            self.replies();
        }
        self.replies();
        let lines_unread = self.lines_unread();
        self.handle(Event::ServerEnded { ending, lines_unread });
        Ok(())
    }

    /// A server elsewhere is gone when its connection is.
    fn disconnected(&mut self, why: Option<String>) {
        self.replies();
        let lines_unread = self.lines_unread();
        self.handle(Event::Disconnected { why, lines_unread });
    }

    fn lines_unread(&mut self) -> usize {
        if self.machine.misses_lines() { self.count_unread() } else { 0 }
    }

    fn count_unread(&mut self) -> usize {
        let mut count = 0;
        if self.input_open {
            self.console.read_rest(&mut self.lines, REST_BYTES_MAX);
        }
        let is_blank = |line: &[u8]| line.iter().all(u8::is_ascii_whitespace);
        while let Ok(piece) = self.lines.next_piece() {
            count += usize::from(!matches!(piece, Piece::Whole(line) if is_blank(line)));
        }
        count + usize::from(!is_blank(self.lines.unfinished()))
    }

    fn receive(&mut self) -> io::Result<Received> {
        let received = self.connection.receive()?;
        self.received(received);
        Ok(received)
    }

    fn received(&mut self, received: Received) {
        let why = match received {
            Received::Bytes | Received::Nothing => return,
            Received::End => None,
            Received::Reset => Some("the server reset the connection".to_owned()),
        };
        self.replies_open = false;
        match &self.held {
            Held::Child(_) => self.handle(Event::ServerClosed),
            Held::Connection(link) => {
                let why = link.why.said().map(str::to_owned).or(why);
                self.disconnected(why);
            }
        }
    }

    fn replies(&mut self) {
        while let Ok(piece) = self.connection.inbox.next_piece() {
            let event = understand::reply(piece);
            self.handle(event);
        }
    }

    fn wants_lines(&self) -> bool {
        self.machine.wants_lines(self.connection.unsent_bytes()) && !self.console.is_full()
    }

    fn commands(&mut self) {
        while self.wants_lines() {
            let Some(event) = understand::next_line(&mut self.lines, self.input_open) else { return };
            self.handle(event);
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
            Action::Send(request) => request.encode(self.connection.outbox()),
            Action::Print(text) => self.console.put(Stream::Output, text),
            Action::Complain(sentence) => self.console.put(Stream::Error, format!("error: {sentence}\n")),
            Action::CloseRequests => self.connection.close_outgoing(),
            Action::Alarm => {
                if let Held::Child(process) = &self.held {
                    process.alarm();
                }
            }
            Action::Kill => match &self.held {
                Held::Child(process) => process.kill(),
                Held::Connection(_) => self.disconnected(None),
            },
            Action::End(status) => self.status = Some(status),
        }
    }

    /// Waits until something happens. A reply that is due is probably near, so there it looks for a moment before it
    /// goes to sleep.
    fn wait(&mut self) -> io::Result<()> {
        if self.replies_open && self.machine.awaits_reply() && self.connection.unsent_bytes() == 0 {
            match self.connection.receive_soon()? {
                Received::Nothing => {}
                received => {
                    self.received(received);
                    return Ok(());
                }
            }
        }
        let wants_lines = self.input_open && self.wants_lines();
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut watch = |fd, flags| {
            fds.push(PollFd::new(fd, flags));
            fds.len() - 1
        };
        let replies = self.replies_open.then(|| watch(self.connection.incoming(), PollFlags::POLLIN));
        let input = wants_lines.then(|| watch(self.console.input(), PollFlags::POLLIN));
        self.console.waits_for().map(|fd| watch(fd, PollFlags::POLLOUT));
        // With nothing to send this only tells that the server closed its end.
        let unsent = self.connection.unsent_bytes() > 0;
        let requests = if unsent { PollFlags::POLLOUT } else { PollFlags::empty() };
        let requests = self.connection.outgoing().map(|fd| watch(fd, requests));
        if !wait_for(&mut fds, self.machine.deadline())? {
            return Ok(());
        }
        let came = |index: Option<usize>| {
            index.and_then(|index| fds[index].revents()).is_some_and(|revents| !revents.is_empty())
        };
        let (signal, replies, input, requests) = (came(Some(0)), came(replies), came(input), came(requests));
        if signal {
            self.signals.quiet();
        }
        if replies {
            self.receive()?;
        }
        if requests && !unsent {
            self.handle(Event::ServerClosed);
        }
        if input {
            self.input_open = self.console.read(&mut self.lines);
        }
        Ok(())
    }

    /// Prints what is left. Whoever sent a signal does not want to wait for a reader that has stopped reading.
    fn last_words(&mut self, status: u8, options: &Options) -> io::Result<()> {
        let deadline = (status > 128).then(|| Instant::now() + options.grace);
        loop {
            if self.console.flush().is_err() {
                continue;
            }
            let Some(stream) = self.console.waits_for() else { return Ok(()) };
            let mut fds =
                [PollFd::new(stream, PollFlags::POLLOUT), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            wait_for(&mut fds, deadline)?;
            self.signals.quiet();
            let hurry = self.signals.take().is_some_and(|signal| signal != Signal::SIGCHLD);
            if hurry || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(());
            }
        }
    }
}
