//! The server on the real system: one thread that waits for messages, signals and results, and does what the machine
//! says. It decides nothing itself.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::Signal;

use super::complaints::complain;
use super::machine::Event;
use super::service::{Service, Setup};
use super::understand::next_event;
use crate::codec::delimited::Delimited;
use crate::codec::op_frame::{END_SYMBOL, REQUEST_BYTES_MAX};
use crate::signals::{Raise, Signals};
use crate::transport::ends::{Incoming, Outgoing};
use crate::transport::pipe::{Connection, Received, wait_for};

/// The alarms that a server obeys.
#[derive(Debug)]
pub struct Alarms(Signals);

impl Alarms {
    /// Those of this process; to be made early, since an alarm kills until then.
    pub fn of_process() -> io::Result<Self> {
        Signals::watch(&[Signal::SIGALRM]).map(Alarms)
    }

    /// The same, and what else is a wish that it stop.
    pub fn of_process_and_stops() -> io::Result<Self> {
        Signals::watch(&[Signal::SIGALRM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]).map(Alarms)
    }

    /// Those that are rung here, by whoever hears the process's.
    pub fn rung() -> io::Result<(Self, Alarm)> {
        let (signals, raise) = Signals::raised(Signal::SIGALRM)?;
        Ok((Alarms(signals), Alarm(raise)))
    }
}

/// Rings.
#[derive(Debug)]
pub struct Alarm(Raise);

impl Alarm {
    /// Rings once.
    pub fn ring(&self) {
        self.0.raise();
    }
}

/// Serves over one connection until the requests end, the replies have no reader, or an alarm comes. `who` names the other side
/// in complaints, and is empty for the only one. `room` is kept as long as anything is under way for it, which may be longer.
pub fn run(
    setup: &Setup,
    alarms: Alarms,
    incoming: Incoming,
    outgoing: Outgoing,
    who: &str,
    room: impl Send + Sync + 'static,
) -> io::Result<()> {
    let (results, waker) = UnixStream::pair()?;
    results.set_nonblocking(true)?;
    waker.set_nonblocking(true)?;
    // If the byte finds no room, enough of them are there already to wake the event loop.
    let wake = move || {
        let _kept = &room;
        let _ = (&waker).write(&[0]);
    };
    let mut server = Server {
        service: Service::new(setup, wake),
        connection: Connection::new(incoming, outgoing, Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX))?,
        signals: alarms.0,
        who: who.to_owned(),
        results,
        reading: true,
        is_hungry: true,
    };
    while !server.service.ended() {
        let busy = server.step()?;
        if !server.service.ended() {
            server.wait(busy)?;
        }
    }
    let unread = server.reading;
    server.connection.leave(unread, Instant::now() + setup.grace() / 2);
    Ok(())
}

struct Server {
    who: String,
    service: Service,
    connection: Connection,
    signals: Signals,
    /// Becomes readable when a worker has a result.
    results: UnixStream,
    /// False once the requests have ended.
    reading: bool,
    /// All that has arrived was worked on.
    is_hungry: bool,
}

impl Server {
    /// Takes in whatever has happened, and does what follows. True if a message came.
    fn step(&mut self) -> io::Result<bool> {
        self.service.catch_up(self.connection.outbox());
        while let Some(_alarm) = self.signals.take() {
            self.handle(Event::Alarm);
        }
        let busy = self.messages();
        self.send()?;
        Ok(busy)
    }

    fn requests_ended(&mut self) {
        self.reading = false;
        let cut_off = self.connection.inbox.unfinished().len();
        if cut_off > 0 && self.connection.inbox.pieces_waiting() == 0 {
            let who = &self.who;
            complain(format_args!(
                "server: {who}the requests ended inside a message, of which {cut_off} bytes had come"
            ));
        }
    }

    fn wants_messages(&self) -> bool {
        self.service.wants_messages(self.connection.unsent_bytes())
    }

    /// Works on the messages that have arrived. True if there was one.
    fn messages(&mut self) -> bool {
        let mut any = false;
        self.is_hungry = false;
        while self.wants_messages() {
            let Some(event) = next_event(&mut self.connection.inbox, self.reading) else {
                self.is_hungry = true;
                break;
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
        self.service.handle(event, self.connection.outbox());
    }

    /// Waits until something happens. Right after a message the next one is probably near, so there it looks for a
    /// moment before it goes to sleep.
    fn wait(&mut self, busy: bool) -> io::Result<()> {
        if !self.is_hungry && self.wants_messages() {
            // There is room again for what has arrived already.
            return Ok(());
        }
        let wants = self.reading && self.is_hungry;
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
        if !wait_for(&mut fds, self.service.deadline())? {
            return Ok(());
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
        match received {
            Received::Bytes | Received::Nothing => {}
            Received::End => self.requests_ended(),
            Received::Reset => {
                complain(format_args!("server: {}the connection was reset", self.who));
                self.handle(Event::NobodyReads);
            }
        }
    }
}
