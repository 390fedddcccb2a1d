//! One side of a plugin connection, played by the suite: what it sends, what it hears, and what it answers out of courtesy while
//! its case waits for something else. Whose side it is, and how the other one was started, it does not know.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::chunk::{Chunk, Order, PING, Tail, cut};
use crate::event::{Event, What, Who, passed};
use crate::forks;
use crate::observe::terminal::Input;
use crate::outcome::Stop;
use crate::stage::Run;

/// What is answered to a request while a case waits; nothing to one that the case is about.
pub type Courtesy = fn(&Chunk, &str) -> Option<Chunk>;

/// One side of a connection.
pub struct Connection {
    /// Its session.
    pub run: Run,
    /// The side that is judged.
    pub subject: Who,
    /// The number that the plugin has for what the subject reads from.
    pub into: i32,
    /// The number that it has for what the subject writes to.
    pub from: i32,
    /// Of the parts of each chunk.
    pub order: Order,
    /// What is answered out of courtesy.
    pub courtesy: Courtesy,
    /// The command for which a plugin asks a host.
    pub repeat: String,
    /// None when nothing more is said.
    pub says: Option<Input>,
    /// The chunks that were answered out of courtesy, by their place in what was heard.
    pub answered: Mutex<BTreeSet<usize>>,
}

/// Whoever asks whether the other side is there hears that it is.
pub fn ping_answered(chunk: &Chunk) -> Option<Chunk> {
    chunk.is_request(PING).then(|| chunk.response(Vec::new()))
}

/// What a wait came to.
enum Next<T> {
    Seen(T),
    Due(usize, Chunk),
}

impl Connection {
    /// Sends chunks, all at once.
    pub async fn send(&self, chunks: &[Chunk]) -> Result<(), Stop> {
        let bytes: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.encoded(self.order)).collect();
        self.send_bytes(&bytes).await.map(drop)
    }

    /// Sends bytes, and says whether all of them were taken. What is not taken in time, or by nobody, shows in what does not
    /// happen.
    pub async fn send_bytes(&self, bytes: &[u8]) -> Result<bool, Stop> {
        self.run.record.push(What::Passed { to: self.subject, fd: self.into, bytes: bytes.to_vec() });
        let mut failed = None;
        let sent = async {
            let Some(says) = &self.says else { return false };
            match tokio::time::timeout(self.run.patience(), says.write_all(bytes)).await {
                Ok(Err(error)) if error.raw_os_error() != Some(libc::EPIPE) => {
                    failed = Some(error);
                    false
                }
                sent => matches!(sent, Ok(Ok(()))),
            }
        };
        let taken = self.run.record.ask("all of it is taken", sent).await;
        failed.map_or(Ok(taken), |error| Err(error.into()))
    }

    /// Sends a chunk so that each of its bytes is read apart.
    pub async fn send_bytewise(&self, chunk: &Chunk) -> Result<(), Stop> {
        let bytes = chunk.encoded(self.order);
        self.run.record.push(What::Passed { to: self.subject, fd: self.into, bytes: bytes.clone() });
        let Some(says) = &self.says else { return Ok(()) };
        match tokio::time::timeout(self.run.patience(), says.write_apart(bytes.chunks(1))).await {
            Ok(Err(error)) if error.raw_os_error() != Some(libc::EPIPE) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says no more.
    pub fn close(&mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.into });
        forks::close(self.says.take());
    }

    /// All that the subject has sent.
    pub fn heard(&self, events: &[Event]) -> (Vec<Chunk>, Tail) {
        cut(&self.bytes_heard(events), self.order)
    }

    /// The bytes of it.
    pub fn bytes_heard(&self, events: &[Event]) -> Vec<u8> {
        let to = if self.subject.number().is_some() { self.subject.parent() } else { self.subject.child(0) };
        passed(events, to, self.from)
    }

    /// What has been heard so far.
    pub fn chunks(&self) -> Vec<Chunk> {
        self.run.record.look(|events| self.heard(events).0)
    }

    /// Waits for what the subject sends, and answers meanwhile what is asked out of courtesy.
    pub async fn until<T>(&self, mut see: impl FnMut(&[Chunk]) -> Option<T>) -> Option<T> {
        self.within(self.run.patience(), &mut see).await
    }

    /// The same for another time.
    pub async fn within<T>(&self, wait: Duration, mut see: impl FnMut(&[Chunk]) -> Option<T>) -> Option<T> {
        self.until_in(wait, |_, chunks| see(chunks)).await
    }

    /// Waits for anything, likewise.
    pub async fn until_seen<T>(&self, see: impl FnMut(&[Event], &[Chunk]) -> Option<T>) -> Option<T> {
        self.until_in(self.run.patience(), see).await
    }

    async fn until_in<T>(&self, wait: Duration, mut see: impl FnMut(&[Event], &[Chunk]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + wait;
        loop {
            let look = |events: &[Event]| {
                let (chunks, _) = self.heard(events);
                let due = || self.due(&chunks).map(|(at, answer)| Next::Due(at, answer));
                see(events, &chunks).map(Next::Seen).or_else(due)
            };
            match self.run.until_by(deadline, look).await? {
                Next::Seen(seen) => return Some(seen),
                Next::Due(at, answer) => self.answer(at, answer).await,
            }
        }
    }

    /// The first request that is to be answered out of courtesy, by its place, and the answer.
    fn due(&self, chunks: &[Chunk]) -> Option<(usize, Chunk)> {
        let answered = self.answered.lock().expect("not poisoned");
        let mut all = chunks.iter().enumerate().filter(|(at, _)| !answered.contains(at));
        all.find_map(|(at, chunk)| Some((at, (self.courtesy)(chunk, &self.repeat)?)))
    }

    async fn answer(&self, at: usize, answer: Chunk) {
        self.answered.lock().expect("not poisoned").insert(at);
        // A subject that does not take it is none that hears it.
        let _ = self.send(&[answer]).await;
    }

    /// Lets the subject, the process of this id, come to rest, with every courtesy: until all its threads sleep, or it has
    /// ended, or for long.
    pub async fn rests(&self, pid: i32) {
        let deadline = Instant::now() + self.run.patience() / 2;
        loop {
            self.run.asleep(pid, deadline).await;
            let due = self.run.record.look(|events| self.due(&self.heard(events).0));
            match due {
                Some((at, answer)) if self.run.record.answer("there is time", || Instant::now() < deadline) => {
                    self.answer(at, answer).await;
                }
                _ => return,
            }
        }
    }
}

impl Drop for Connection {
    /// A subject whose case is done hears that there is nobody any more.
    fn drop(&mut self) {
        forks::close(self.says.take());
    }
}
