//! The server on the real system, the Windows twin: threads read and write the pipes, one loop does what the machine
//! says. There is no SIGALRM here; the end of the requests is the order to stop.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use super::http::Client;
use super::machine::Event;
use super::options::Options;
use super::service::Service;
use super::understand::next_event;
use crate::codec::delimited::Delimited;
use crate::codec::op_frame::{END_SYMBOL, REQUEST_BYTES_MAX};
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
pub fn run(options: &Options, client: Client, _signals: Signals, ends: Ends) -> io::Result<()> {
    let (sender, happened) = channel();
    let waker: Sender<Happened> = sender.clone();
    let mut server = Server {
        service: Service::new(options, client, move || drop(waker.send(Happened::Result))),
        requests: Reader::start(File::from(ends.requests), sender.clone(), Happened::Requests),
        replies: Writer::start(File::from(ends.replies), sender, Happened::Replies),
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
        while self.wants_messages() {
            let Some(event) = next_event(&mut self.inbox, self.reading) else { break };
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
            // The next step takes results, and looks at the clock.
            Ok(Happened::Result) | Err(_) => {}
        }
    }
}
