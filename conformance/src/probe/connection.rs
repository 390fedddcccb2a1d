//! One side of a plugin connection, played by the suite: what it sends, what it hears, and what it answers out of courtesy while
//! its case waits for something else. Whose side it is, and how the other one was started, it does not know.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::chunk::{Chunk, Order, PING, SHOWN_BYTES, Tail, cut};
use crate::event::{Event, What, Who};
use crate::forks;
use crate::observe::ends::{Input, is_gone};
use crate::outcome::Stop;
use crate::stage::Run;

/// What is answered to a request while a case waits; nothing to one that the case is about.
pub type Courtesy = Box<dyn Fn(&Chunk) -> Option<Chunk> + Send + Sync>;

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
    /// None when nothing more is said.
    pub says: Option<Input>,
    /// What was heard.
    pub heard: Mutex<Heard>,
}

/// What the subject has sent, as far as it was looked at: each byte once, however often somebody waits for more.
#[derive(Debug, Default)]
pub struct Heard {
    /// Events that were looked at.
    events: usize,
    /// Whole chunks.
    pub chunks: Vec<Chunk>,
    /// What follows them, as long as it may become one.
    rest: Vec<u8>,
    /// What that is.
    pub tail: Tail,
    /// Chunks for which it was decided whether they are answered out of courtesy.
    decided: usize,
}

impl Heard {
    /// What was sent besides. It comes to the same however often somebody listens meanwhile: else a run that is judged again
    /// would say other words.
    fn hear<'a>(&mut self, pieces: impl Iterator<Item = &'a [u8]>, order: Order) {
        let before = self.rest.len();
        for piece in pieces {
            match &mut self.tail {
                // What comes after nonsense is none the better for it.
                Tail::Nonsense(shown) => shown.extend(piece.iter().take(SHOWN_BYTES.saturating_sub(shown.len()))),
                Tail::Nothing | Tail::CutOff(_) => self.rest.extend_from_slice(piece),
            }
        }
        if self.rest.len() == before {
            return;
        }
        let (chunks, tail) = cut(&self.rest, order);
        let left = if let Tail::CutOff(bytes) = &tail { *bytes } else { 0 };
        self.rest.drain(..self.rest.len() - left);
        self.chunks.extend(chunks);
        self.tail = tail;
    }
}

/// Whoever asks whether the other side is there hears that it is.
pub fn ping_answered(chunk: &Chunk) -> Option<Chunk> {
    chunk.is_request(PING).then(|| chunk.response(Vec::new()))
}

/// What a wait came to.
enum Next<T> {
    Seen(T),
    /// These answers are due.
    Due(Vec<Chunk>),
}

/// The most bytes in which something is looked for that is perhaps in no chunk.
const BYTES_MAX: usize = 1 << 20;

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
                Ok(Err(error)) if !is_gone(&error) => {
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
            Ok(Err(error)) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says no more.
    pub fn close(&mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.into });
        forks::close(self.says.take());
    }

    /// Bytes that the subject has sent, from one of these events on.
    fn pieces<'a>(&self, events: &'a [Event], from: usize) -> impl Iterator<Item = &'a [u8]> {
        let (to, from_fd) = (self.other(), self.from);
        events.get(from..).unwrap_or_default().iter().filter_map(move |event| match &event.what {
            What::Passed { to: t, fd, bytes } if *t == to && *fd == from_fd => Some(bytes.as_slice()),
            _ => None,
        })
    }

    /// The side that the suite plays.
    fn other(&self) -> Who {
        if self.subject.number().is_some() { self.subject.parent() } else { self.subject.child(0) }
    }

    /// All that the subject has sent.
    pub fn heard(&self, events: &[Event]) -> MutexGuard<'_, Heard> {
        let mut heard = self.heard.lock().expect("not poisoned");
        let from = heard.events;
        heard.events = events.len().max(from);
        heard.hear(self.pieces(events, from), self.order);
        heard
    }

    /// The first bytes of it, whatever they are.
    pub fn bytes_heard(&self, events: &[Event]) -> Vec<u8> {
        self.pieces(events, 0).flatten().copied().take(BYTES_MAX).collect()
    }

    /// What has been heard so far.
    pub fn chunks(&self) -> Vec<Chunk> {
        self.run.record.look(|events| self.heard(events).chunks.clone())
    }

    /// Waits for what the subject sends, and answers meanwhile what is asked out of courtesy.
    pub async fn until<T>(&self, mut see: impl FnMut(&[Chunk]) -> Option<T>) -> Option<T> {
        self.until_seen(|_, chunks| see(chunks)).await
    }

    /// Waits for anything, likewise.
    pub async fn until_seen<T>(&self, see: impl FnMut(&[Event], &[Chunk]) -> Option<T>) -> Option<T> {
        self.within(self.run.patience(), see).await
    }

    /// Waits so long at most, likewise.
    pub async fn within<T>(&self, wait: Duration, mut see: impl FnMut(&[Event], &[Chunk]) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + wait;
        loop {
            let look = |events: &[Event]| {
                let mut heard = self.heard(events);
                see(events, &heard.chunks).map(Next::Seen).or_else(|| self.due(&mut heard).map(Next::Due))
            };
            match self.run.until_by(deadline, look).await? {
                Next::Seen(seen) => return Some(seen),
                // A subject that does not take them is none that hears them.
                Next::Due(answers) => drop(self.send(&answers).await),
            }
        }
    }

    /// The answers that are due out of courtesy, once.
    fn due(&self, heard: &mut Heard) -> Option<Vec<Chunk>> {
        let undecided = std::mem::replace(&mut heard.decided, heard.chunks.len());
        let answers: Vec<_> = heard.chunks[undecided..].iter().filter_map(&self.courtesy).collect();
        (!answers.is_empty()).then_some(answers)
    }

    /// Lets the subject come to rest, with every courtesy: until all its threads sleep, or it has ended, or for long.
    pub async fn rests(&self) {
        let deadline = Instant::now() + self.run.patience() / 2;
        loop {
            self.run.asleep(self.run.pid, deadline).await;
            let due = self.run.record.look(|events| self.due(&mut self.heard(events)));
            match due {
                Some(answers) if self.run.record.answer("there is time", || Instant::now() < deadline) => {
                    drop(self.send(&answers).await);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_heard_does_not_depend_on_when_somebody_listened(
            stream in proptest::collection::vec(prop_oneof![
                Just(Chunk::request(1, "echo", "x").encoded(Order::Published)),
                Just(Chunk::request(23, PING, "").encoded(Order::Published)),
                Just(b"\n".to_vec()),
                Just(b"12".to_vec()),
            ], 0..6),
            listened in proptest::collection::vec(1_usize..9, 0..40),
        ) {
            let stream = stream.concat();
            let mut once = Heard::default();
            once.hear(std::iter::once(&stream[..]), Order::Published);
            let (mut often, mut rest) = (Heard::default(), &stream[..]);
            for bytes in listened {
                let (piece, after) = rest.split_at(bytes.min(rest.len()));
                often.hear(std::iter::once(piece), Order::Published);
                rest = after;
            }
            often.hear(std::iter::once(rest), Order::Published);
            prop_assert_eq!((once.chunks, once.tail), (often.chunks, often.tail));
        }
    }
}
