//! A server over datagrams, for many at once: one socket, one thread, and a session for each who asks.
//!
//! It puts sessions and services together; what is in order and what is lost is known in `transport::numbered`.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::complaints::complain;
use super::machine::Event;
use super::service::{Service, Setup};
use super::understand::event_of;
use crate::codec::op_frame::{END_SYMBOL, Op, Reply};
use crate::stops::Stops;
use crate::transport::datagrams::{DATAGRAM_BYTES_MAX, Datagrams, Peer, is_too_long};
use crate::transport::numbered::{Answering, Datagram, WINDOW};

/// More sessions than this are not begun.
const SESSIONS_MAX: usize = 4096;

/// A session of which nothing was heard for so long is forgotten. Who waits for an answer asks for it more often.
const SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// A session that is over is kept for so long: longer than anything is sent again that is on its way still, so that it is not
/// done again.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Of a peer that is the only one, the last answer is at most likely to be asked for again.
const LAST_WORDS_TO_PEER: Duration = Duration::from_secs(1);

/// What came and was not looked at yet; more waits in the system, which drops what is too much.
const WAITING_MAX: usize = 1024;

type Key = (Peer, u64);

enum Happened {
    Datagram(Option<Peer>, Vec<u8>),
    /// A worker of this session has a result.
    Result(Key),
    Failed(io::Error),
    Stop,
}

/// Serves everybody whose datagrams come, or `only` this peer, until a signal comes and all of them are done; `only` one is done
/// when it says so.
pub fn run(setup: &Setup, stops: Stops, socket: Datagrams, only: Option<Peer>) -> io::Result<()> {
    let (sender, happened) = sync_channel(WAITING_MAX);
    let stop = sender.clone();
    stops.forward(move || drop(stop.send(Happened::Stop)))?;
    let (listening, comers) = (socket.try_clone()?, sender.clone());
    thread::Builder::new().spawn(move || listen(&listening, &comers))?;
    let sessions = HashMap::new();
    let mut server = Server { setup, socket, only, sender, sessions, stopping: false, done: false, complained: false };
    while !server.is_done() {
        server.wait(&happened)?;
    }
    server.last_words();
    Ok(())
}

fn listen(socket: &Datagrams, events: &SyncSender<Happened>) {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let news = match socket.receive(&mut bytes) {
            Ok((count, from)) => Happened::Datagram(from, bytes[..count].to_vec()),
            // What was sent to somebody found nobody there.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset) => continue,
            Err(error) => Happened::Failed(error),
        };
        let is_last = matches!(news, Happened::Failed(_));
        if events.send(news).is_err() || is_last {
            return;
        }
    }
}

struct Server<'a> {
    setup: &'a Setup,
    socket: Datagrams,
    only: Option<Peer>,
    sender: SyncSender<Happened>,
    sessions: HashMap<Key, Session>,
    stopping: bool,
    /// The only one is done.
    done: bool,
    /// It was said that datagrams are dropped.
    complained: bool,
}

impl Server<'_> {
    fn is_done(&self) -> bool {
        self.done || self.stopping && self.sessions.values().all(|session| session.service.ended())
    }

    fn wait(&mut self, happened: &Receiver<Happened>) -> io::Result<()> {
        let deadline = self.sessions.values().map(Session::deadline).min();
        // However much comes in, what is due is due.
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            self.tidy(Instant::now());
            return Ok(());
        }
        let news = match deadline {
            Some(deadline) => happened.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match news {
            Ok(Happened::Datagram(Some(peer), bytes)) => self.came(peer, &bytes),
            Ok(Happened::Datagram(None, _)) => {
                self.complain(
                    "a datagram came from a socket without an address, so it cannot be answered; bind it first",
                );
            }
            Ok(Happened::Result(key)) => {
                if let Some(session) = self.sessions.get_mut(&key) {
                    session.go_on(&self.socket, &key.0);
                }
            }
            Ok(Happened::Failed(error)) => return Err(error),
            Ok(Happened::Stop) => {
                self.stopping = true;
                for ((peer, _), session) in &mut self.sessions {
                    // The grace begins now, and not when it last had something to do.
                    session.go_on(&self.socket, peer);
                    session.handle(Event::Alarm);
                    session.go_on(&self.socket, peer);
                }
            }
            // What is due now is seen to next.
            Err(_) => {}
        }
        Ok(())
    }

    fn came(&mut self, peer: Peer, bytes: &[u8]) {
        if self.only.as_ref().is_some_and(|only| *only != peer) {
            return self.complain(&format!("{peer} is not the peer; its datagrams are dropped"));
        }
        let Some(Datagram { session: id, number, message }) = Datagram::parse(bytes) else {
            let expected = "expected a session's number, a request's number and a message, with a blank between";
            return self.complain(&format!("{peer}: {expected}; such datagrams are dropped"));
        };
        let key = (peer, id);
        if !self.sessions.contains_key(&key) {
            if number == 0 {
                // Whoever says that has nothing to ask; and two who answered it would never come to an end.
                return;
            }
            if message.is_empty() {
                // Of a session that is over, or never was, there is nothing more to say.
                let _ = self.socket.send_to(&Answering::new(id).stop(), &key.0);
                return;
            }
            if self.stopping || !(1..=WINDOW).contains(&number) || !self.has_room() {
                return;
            }
            let session = self.session(&key);
            self.sessions.insert(key.clone(), session);
        }
        if let Some(session) = self.sessions.get_mut(&key) {
            session.heard(number, message, &self.socket, &key.0);
        }
    }

    /// Whether there is room for another session, for which one may be forgotten that is owed nothing and was not heard of for
    /// longest.
    fn has_room(&mut self) -> bool {
        if self.sessions.len() < SESSIONS_MAX {
            return true;
        }
        let idle = self.sessions.iter().filter(|(_, session)| !session.answering.owes());
        let longest = idle.min_by_key(|(_, session)| session.heard).map(|(key, session)| (key.clone(), session.heard));
        match longest {
            Some((key, heard)) if heard.elapsed() > LAST_WORDS => self.sessions.remove(&key).is_some(),
            _ => {
                self.complain(&format!("there are {SESSIONS_MAX} sessions; no more are begun until one ends"));
                false
            }
        }
    }

    fn session(&self, key: &Key) -> Session {
        let (sender, woken) = (self.sender.clone(), key.clone());
        Session {
            answering: Answering::new(key.1),
            service: Service::new(self.setup, move || drop(sender.send(Happened::Result(woken.clone())))),
            outbox: Vec::new(),
            ended: false,
            over: None,
            heard: Instant::now(),
            last_words: if self.only.is_some() { LAST_WORDS_TO_PEER } else { LAST_WORDS },
        }
    }

    /// Whose time has come goes on, or is forgotten.
    fn tidy(&mut self, now: Instant) {
        for ((peer, _), session) in &mut self.sessions {
            session.go_on(&self.socket, peer);
        }
        let mut one_is_over = false;
        self.sessions.retain(|(peer, _), session| {
            let is_forgotten = session.deadline_to_forget() <= now;
            if is_forgotten {
                session.account(peer);
                one_is_over |= session.over.is_some();
            }
            !is_forgotten
        });
        self.done |= self.only.is_some() && one_is_over && self.sessions.is_empty();
    }

    /// Says that datagrams are dropped, the first time.
    fn complain(&mut self, sentence: &str) {
        if !std::mem::replace(&mut self.complained, true) {
            complain(format_args!("server: {sentence}"));
        }
    }

    fn last_words(&self) {
        for ((peer, _), session) in &self.sessions {
            session.account(peer);
            // Who does not hear it will find nobody.
            let _ = self.socket.send_to(&session.answering.stop(), peer);
        }
    }
}

/// What one client asks for, and how far it is.
struct Session {
    answering: Answering,
    service: Service,
    /// Replies, one after the other.
    outbox: Vec<u8>,
    /// The client has said that these were all its requests.
    ended: bool,
    /// Since when all of them are answered.
    over: Option<Instant>,
    heard: Instant,
    /// How long it is kept then.
    last_words: Duration,
}

impl Session {
    fn heard(&mut self, number: u64, message: &[u8], socket: &Datagrams, peer: &Peer) {
        self.heard = Instant::now();
        let (requests, at_once) = self.answering.heard(number, message);
        if let Some(datagram) = at_once {
            // What is lost is asked for again.
            let _ = socket.send_to(&datagram, peer);
        }
        for request in requests {
            if request.is_empty() {
                self.ended = true;
                self.handle(Event::RequestsEnded);
            } else {
                self.handle(event_of(&request));
            }
        }
        self.go_on(socket, peer);
    }

    fn handle(&mut self, event: Event) {
        self.service.handle(event, &mut self.outbox);
    }

    /// Takes in what the workers have, looks at the clock, and sends what there is to send.
    fn go_on(&mut self, socket: &Datagrams, peer: &Peer) {
        self.service.catch_up(&mut self.outbox);
        let outbox = std::mem::take(&mut self.outbox);
        for reply in outbox.split_inclusive(|byte| *byte == END_SYMBOL) {
            self.answer(reply, socket, peer);
        }
        self.handle(Event::Flushed);
        if self.ended && self.over.is_none() && self.service.ended() {
            self.over = Some(Instant::now());
            let _ = socket.send_to(&self.answering.answer_end(), peer);
        }
    }

    fn answer(&mut self, reply: &[u8], socket: &Datagrams, peer: &Peer) {
        let datagram = self.answering.answer(reply);
        match socket.send_to(&datagram, peer) {
            Err(error) if is_too_long(&error) => {
                let op = reply.first().map_or(Op::NONE, |first| Op(*first));
                let bytes = reply.len();
                let mut instead = Vec::new();
                Reply::Error(format!("the reply is {bytes} bytes long, which no datagram can carry; use a stream"))
                    .encode(op, &mut instead);
                let _ = socket.send_to(&self.answering.answer_instead(&instead), peer);
            }
            // What is lost is asked for again.
            _ => {}
        }
    }

    /// When to look again at the latest.
    fn deadline(&self) -> Instant {
        let forgotten = self.deadline_to_forget();
        self.service.deadline().map_or(forgotten, |deadline| deadline.min(forgotten))
    }

    /// When it is forgotten.
    fn deadline_to_forget(&self) -> Instant {
        self.over.map_or(self.heard + SILENCE_MAX, |over| over + self.last_words)
    }

    /// Says what happened to its datagrams, if anything did.
    fn account(&self, peer: &Peer) {
        let counts = self.answering.counts().to_string();
        if !counts.is_empty() {
            complain(format_args!("server: {peer}: datagrams: {counts}"));
        }
    }
}
