//! The server on the real system, the Windows twin: threads read and write the pipes, one loop does what the machine
//! says. There is no SIGALRM here; the end of the requests is the order to stop.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::machine::Event;
use super::service::{Service, Setup};
use super::understand::next_event;
use crate::codec::delimited::Delimited;
use crate::codec::op_frame::{END_SYMBOL, REQUEST_BYTES_MAX};
use crate::transport::ends::{Incoming, Outgoing};
use crate::transport::pump::{News, Reader, Writer};

/// The alarms that a server obeys. Windows has no signal for that, so they come from within.
#[derive(Debug, Default)]
pub struct Alarms(Arc<Mutex<Bell>>);

/// Rings.
#[derive(Debug)]
pub struct Alarm(Arc<Mutex<Bell>>);

#[derive(Debug, Default)]
struct Bell {
    /// Rung before anybody listened.
    early: usize,
    listener: Option<Sender<Happened>>,
}

impl Alarms {
    /// Those of this process: none.
    pub fn of_process() -> io::Result<Self> {
        Ok(Self::default())
    }

    /// The same.
    pub fn of_process_and_stops() -> io::Result<Self> {
        Self::of_process()
    }

    /// Those that are rung here.
    pub fn rung() -> io::Result<(Self, Alarm)> {
        let alarms = Self::default();
        let alarm = Alarm(alarms.0.clone());
        Ok((alarms, alarm))
    }

    fn listen(self, listener: Sender<Happened>) {
        let mut bell = self.0.lock().expect("nobody panics with it");
        for _ in 0..bell.early {
            let _ = listener.send(Happened::Alarm);
        }
        bell.listener = Some(listener);
    }
}

impl Alarm {
    /// Rings once.
    pub fn ring(&self) {
        let mut bell = self.0.lock().expect("nobody panics with it");
        match &bell.listener {
            Some(listener) => drop(listener.send(Happened::Alarm)),
            None => bell.early += 1,
        }
    }
}

#[derive(Debug)]
enum Happened {
    Requests(News),
    Replies(News),
    Result,
    Alarm,
}

/// Serves over one connection until the requests end, the replies have no reader, or an alarm comes. Nothing is complained about
/// here that would need the name of the other side. `room` is kept as long as anything is under way for it.
pub fn run(
    setup: &Setup,
    alarms: Alarms,
    incoming: Incoming,
    outgoing: Outgoing,
    _who: &str,
    room: impl Send + Sync + 'static,
) -> io::Result<()> {
    let (sender, happened) = channel();
    alarms.listen(sender.clone());
    let waker: Sender<Happened> = sender.clone();
    let mut server = Server {
        service: Service::new(setup, move || {
            let _kept = &room;
            let _ = waker.send(Happened::Result);
        }),
        requests: Reader::start(incoming, sender.clone(), Happened::Requests),
        replies: Writer::start(outgoing, sender, Happened::Replies),
        inbox: Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX),
        outbox: Vec::new(),
        reading: true,
    };
    while !server.service.ended() {
        server.step();
        if !server.service.ended() {
            server.wait(&happened);
        }
    }
    Ok(())
}

struct Server {
    service: Service,
    requests: Reader,
    replies: Writer,
    inbox: Delimited,
    outbox: Vec<u8>,
    reading: bool,
}

impl Server {
    fn step(&mut self) {
        self.service.catch_up(&mut self.outbox);
        let mut is_hungry = false;
        while self.wants_messages() {
            let Some(event) = next_event(&mut self.inbox, self.reading) else {
                is_hungry = true;
                break;
            };
            self.handle(event);
        }
        self.replies.put(std::mem::take(&mut self.outbox));
        if self.replies.unsent_bytes() == 0 {
            self.handle(Event::Flushed);
        }
        if self.reading && is_hungry {
            self.requests.allow();
        }
    }

    fn handle(&mut self, event: Event) {
        self.service.handle(event, &mut self.outbox);
    }

    fn wants_messages(&self) -> bool {
        self.service.wants_messages(self.outbox.len() + self.replies.unsent_bytes())
    }

    fn wait(&mut self, happened: &Receiver<Happened>) {
        let news = match self.service.deadline() {
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
            Ok(Happened::Alarm) => self.handle(Event::Alarm),
            // The next step takes results, and looks at the clock.
            Ok(Happened::Result) | Err(_) => {}
        }
    }
}
