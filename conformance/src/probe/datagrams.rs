//! Datagrams between the suite and a subject: what is said and heard, each piece on its own.
//!
//! How the subject came to be there is not known here.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;

use crate::dialect::datagram::{Form, Numbered};
use crate::event::{Event, What, Who, ended};
use crate::forks;
use crate::observe::datagrams::{Peer, Socket};
use crate::outcome::Stop;
use crate::stage::{Run, Stage};

/// One socket of the suite, and the subject that it exchanges datagrams with.
pub struct Datagrams {
    /// The session that the subject is in.
    pub run: Run,
    /// Which of the suite's sockets, from 1 on.
    pub number: i32,
    subject: Who,
    /// What is in a datagram.
    pub form: Form,
    /// Nothing in a session of another run.
    socket: Option<Arc<Socket>>,
    /// Where the subject was told to be, if it was told.
    told: Peer,
    /// Where its last datagram came from.
    from: Arc<Mutex<Peer>>,
    reading: Option<JoinHandle<()>>,
}

impl Datagrams {
    /// An exchange that is noted in the subject's session; one of another run is there on paper.
    pub fn new(
        stage: &Stage,
        run: &Run,
        number: i32,
        subject: Who,
        socket: Option<OwnedFd>,
        told: Peer,
    ) -> Result<Self, Stop> {
        let form = stage.suite.profile.sockets.datagram.parse().map_err(Stop::Harness)?;
        let socket = socket.map(Socket::new).transpose()?.map(Arc::new);
        let from = Arc::new(Mutex::new(Peer::Nobody));
        let mut exchange = Datagrams { run: run.clone(), number, subject, form, socket, told, from, reading: None };
        exchange.listen();
        Ok(exchange)
    }

    /// Notes what comes.
    fn listen(&mut self) {
        let Some(socket) = self.socket.clone() else { return };
        let (record, last, to, fd) = (self.run.record.clone(), self.from.clone(), self.ours(), self.number);
        self.reading = Some(tokio::spawn(async move {
            while let Ok((bytes, from)) = socket.receive().await {
                *last.lock().expect("nobody panics with it") = from;
                let count = bytes.len();
                if !record.keep(What::Passed { to, fd, bytes }, count.max(1)) {
                    return;
                }
            }
        }));
    }

    /// No more of what comes is read.
    pub fn stall(&mut self) {
        if let Some(reading) = self.reading.take() {
            reading.abort();
        }
    }

    /// The side that the suite plays.
    fn ours(&self) -> Who {
        if self.subject.number().is_some() { self.subject.parent() } else { self.subject.child(0) }
    }

    fn from(&self) -> Peer {
        self.from.lock().expect("nobody panics with it").clone()
    }

    /// Sends a datagram with these bytes, and says whether it was taken. What is not taken in time, or by nobody, shows in what
    /// does not happen.
    pub async fn send_bytes(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.run.record.push(What::Passed { to: self.subject, fd: self.number, bytes: bytes.to_vec() });
        let sent = async {
            let Some(socket) = &self.socket else { return false };
            let peer = if self.told == Peer::Nobody { self.from() } else { self.told.clone() };
            let sending = socket.send(bytes, &peer, self.run.pid);
            matches!(tokio::time::timeout(self.run.patience(), sending).await, Ok(Ok(())))
        };
        self.run.record.ask("it is taken", sent).await
    }

    /// Sends one of the pair's datagrams.
    pub async fn send(&self, session: u64, number: u64, message: impl AsRef<[u8]>) -> bool {
        self.send_bytes(self.form.datagram(session, number, message.as_ref())).await
    }

    /// Every datagram that came.
    pub fn all_heard(&self, events: &[Event]) -> Vec<Vec<u8>> {
        let ours = self.ours();
        let datagram = |event: &Event| match &event.what {
            What::Passed { to, fd, bytes } if *to == ours && *fd == self.number => Some(bytes.clone()),
            _ => None,
        };
        events.iter().filter_map(datagram).collect()
    }

    /// What came of the pair's datagrams, without those that have no message.
    pub fn heard(&self, events: &[Event]) -> Vec<Numbered> {
        let read = |datagram: &Vec<u8>| self.form.read(datagram).filter(|numbered| !numbered.message.is_empty());
        self.all_heard(events).iter().filter_map(read).collect()
    }

    /// Waits for so many messages, and gives those that came.
    pub async fn messages(&self, count: usize) -> Vec<Numbered> {
        self.run.at_least(count, |events| self.heard(events)).await
    }

    /// Waits for the datagram without a message that says that no more will be asked, and answers it, unless the subject ends
    /// without one.
    pub async fn let_go(&self) {
        let is_end = |numbered: &Numbered| numbered.message.is_empty() && numbered.number > 0;
        let said = |events: &[Event]| self.all_heard(events).iter().filter_map(|d| self.form.read(d)).find(is_end);
        let said_or_over =
            |events: &[Event]| said(events).map(Some).or_else(|| ended(events, self.subject).map(|_| None));
        if let Some(Some(end)) = self.run.until(said_or_over).await {
            self.send(end.session, 0, "").await;
        }
    }

    /// Whether the subject's datagrams come from where they can be answered, in words if not.
    pub fn answerable(&self) -> Result<(), String> {
        self.run.record.answer("where its datagrams come from", || match self.from() {
            Peer::Nobody => Err("they come from a socket without an address".to_owned()),
            Peer::Abstract | Peer::Internet(_) | Peer::Path(_) => Ok(()),
        })
    }

    /// Whether what comes could be answered from another network namespace.
    pub fn is_reachable(&self) -> bool {
        !self.run.record.answer("whether its address is a name that is no path", || self.from() == Peer::Abstract)
    }

    /// Is gone: nobody is at its address any more. Of a port nobody else becomes the owner as long as this lives, or an answer
    /// that comes late would come to another case.
    pub async fn leave(&mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.number });
        if let Some(reading) = self.reading.take() {
            reading.abort();
            // It holds the socket as well, until it is gone.
            let _ = reading.await;
        }
        let is_deaf = self.socket.as_ref().is_some_and(|socket| socket.deafen().is_ok());
        if !is_deaf {
            forks::close(self.socket.take());
        }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stall();
    }
}
