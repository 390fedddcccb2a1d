//! Requests and replies over datagrams, which may be lost, come twice and come out of order: each side's account of that.
//!
//! A datagram is `SESSION NUMBER MESSAGE`, the numbers in decimal, a blank after each, the message as it would be on a stream.
//! The session is a number that the asking side chooses for itself, so that what an earlier one left on the way is not taken
//! for its own. Requests count from 1; the reply to one has its number. A request that is not answered is sent again, later each
//! time and not for ever; one that comes again is not done again but answered again. So both sides see every message once and in
//! order, or say that they do not.
//!
//! Without a message, the asking side says that these were all its requests, and the answering side that it has got what has that
//! number and is at it; with the number 0, that it has nothing more to say: all is answered, or it stops.
//!
//! It knows no socket and no clock: time is an argument, and [`Asking::deadline`] says when to look again.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

/// So many requests are taken in, and their answers kept, beyond the last that was answered.
pub const WINDOW: u64 = 16;

/// So many are sent before there are answers: fewer than the ten for which there is room at a path, so that neither side finds
/// the other's full.
const AHEAD_MAX: u64 = 8;

/// After so long a request is sent again for the first time; then it is twice as long each time.
const AGAIN_FIRST: Duration = Duration::from_millis(250);

/// It is never longer than this.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// A request is sent so often without a word about it; then the other side is given up.
pub const TRIES_MAX: u32 = 6;

/// The longest that `SESSION NUMBER ` can be.
pub const HEADER_BYTES_MAX: usize = 42;

/// What happened to datagrams that nothing should happen to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Were sent again, since there was no answer.
    pub sent_again: u64,
    /// Came although they had come before.
    pub repeated: u64,
    /// Came before one that was sent earlier.
    pub reordered: u64,
    /// Belonged to nothing.
    pub strange: u64,
}

impl fmt::Display for Counts {
    /// What happened, in words; nothing where nothing did.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.sent_again, "sent again"),
            (self.repeated, "came twice"),
            (self.reordered, "came out of order"),
            (self.strange, "not understood"),
        ];
        let said: Vec<_> = all.iter().filter(|(count, _)| *count > 0).map(|(n, what)| format!("{n} {what}")).collect();
        f.write_str(&said.join(", "))
    }
}

/// A datagram, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Whose it is.
    pub session: u64,
    /// Which request, from 1 on.
    pub number: u64,
    /// The message, or nothing.
    pub message: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Takes a datagram apart, if it is one of these.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (session, rest) = leading_number(bytes)?;
        let (number, message) = leading_number(rest)?;
        Some(Datagram { session, number, message })
    }

    /// Puts it together.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} ", self.session, self.number).into_bytes();
        bytes.extend_from_slice(self.message);
        bytes
    }
}

/// A decimal number and the blank behind it, and the rest.
fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // Twenty digits are the most that can fit.
    let at = bytes.iter().take(21).position(|b| *b == b' ')?;
    let (digits, rest) = (&bytes[..at], &bytes[at + 1..]);
    let is_plain = digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let number = std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()?;
    Some((number, rest))
}

/// The side that asks.
#[derive(Debug)]
pub struct Asking {
    session: u64,
    /// The number of the next request.
    next: u64,
    /// The replies up to this number were handed on.
    given: u64,
    /// What was sent and not answered yet.
    waiting: BTreeMap<u64, Waiting>,
    /// Replies that came before their turn.
    early: BTreeMap<u64, Vec<u8>>,
    /// Replies that are known here, and the number after which it is their turn.
    own: VecDeque<(u64, Vec<u8>)>,
    /// The number that stands for the end, once it was said.
    end: Option<u64>,
    counts: Counts,
}

#[derive(Debug)]
struct Waiting {
    datagram: Vec<u8>,
    /// When it is sent again.
    again: Instant,
    wait: Duration,
    tries: u32,
}

/// What a datagram brought to the asking side.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// These replies, in order; often none.
    Replies(Vec<Vec<u8>>),
    /// Nothing more will come.
    End,
}

/// A request that was sent so often and never answered.
#[derive(Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its number.
    pub number: u64,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {} was sent {TRIES_MAX} times, and nobody answered", self.number)
    }
}

impl Asking {
    /// A side that has asked nothing yet.
    pub fn new(session: u64) -> Self {
        Asking {
            session,
            next: 1,
            given: 0,
            waiting: BTreeMap::new(),
            early: BTreeMap::new(),
            own: VecDeque::new(),
            end: None,
            counts: Counts::default(),
        }
    }

    /// Whether another request may be sent.
    pub fn wants(&self) -> bool {
        self.end.is_none() && self.next - self.given <= AHEAD_MAX
    }

    /// The datagram for this request, which is to be sent now.
    pub fn ask(&mut self, message: &[u8], now: Instant) -> Vec<u8> {
        let datagram = Datagram { session: self.session, number: self.next, message }.bytes();
        let waiting = Waiting { datagram: datagram.clone(), again: now + AGAIN_FIRST, wait: AGAIN_FIRST, tries: 1 };
        self.waiting.insert(self.next, waiting);
        self.next += 1;
        datagram
    }

    /// Takes back the last request, which could not be sent, and answers it here. Replies whose turn it is are returned.
    pub fn answer_last(&mut self, reply: Vec<u8>) -> Vec<Vec<u8>> {
        self.next -= 1;
        self.waiting.remove(&self.next);
        self.own.push_back((self.next - 1, reply));
        self.in_turn()
    }

    /// The datagram that says that these were all requests.
    pub fn finish(&mut self, now: Instant) -> Vec<u8> {
        self.end = Some(self.next);
        self.ask(b"", now)
    }

    /// Takes in what came.
    pub fn heard(&mut self, bytes: &[u8], now: Instant) -> Heard {
        let ours = Datagram::parse(bytes).filter(|datagram| datagram.session == self.session);
        let Some(Datagram { number, message, .. }) = ours else {
            self.counts.strange += 1;
            return Heard::Replies(Vec::new());
        };
        if number == 0 && message.is_empty() {
            return Heard::End;
        }
        let is_end = self.end == Some(number);
        match self.waiting.get_mut(&number) {
            // It is at it: that is a word, and the next one is asked for later.
            Some(waiting) if message.is_empty() => {
                (waiting.tries, waiting.wait, waiting.again) = (0, AGAIN_MAX, now + AGAIN_MAX);
            }
            Some(_) if !is_end => {
                self.waiting.remove(&number);
                self.counts.reordered += u64::from(self.waiting.keys().next().is_some_and(|first| *first < number));
                self.early.insert(number, message.to_vec());
            }
            None if number != 0 && number < self.next => self.counts.repeated += u64::from(!message.is_empty()),
            _ => self.counts.strange += 1,
        }
        Heard::Replies(self.in_turn())
    }

    fn in_turn(&mut self) -> Vec<Vec<u8>> {
        let mut replies = Vec::new();
        loop {
            if self.own.front().is_some_and(|(after, _)| *after == self.given) {
                replies.extend(self.own.pop_front().map(|(_, reply)| reply));
            } else if let Some(reply) = self.early.remove(&(self.given + 1)) {
                self.given += 1;
                replies.push(reply);
            } else {
                return replies;
            }
        }
    }

    /// The datagrams that are to be sent again by now.
    pub fn due(&mut self, now: Instant) -> Result<Vec<Vec<u8>>, GivenUp> {
        let mut due = Vec::new();
        for (number, waiting) in &mut self.waiting {
            if waiting.again > now {
                continue;
            }
            if waiting.tries == TRIES_MAX {
                return Err(GivenUp { number: *number });
            }
            waiting.tries += 1;
            waiting.wait = (waiting.wait * 2).min(AGAIN_MAX);
            waiting.again = now + waiting.wait;
            self.counts.sent_again += 1;
            due.push(waiting.datagram.clone());
        }
        Ok(due)
    }

    /// When something is to be sent again, unless an answer comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.values().map(|waiting| waiting.again).min()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// The side that answers, for one session.
#[derive(Debug)]
pub struct Answering {
    session: u64,
    /// The requests up to this number were handed on.
    taken: u64,
    /// Requests that came before their turn.
    early: BTreeMap<u64, Vec<u8>>,
    /// The requests up to this number were answered.
    answered: u64,
    /// The last answers. Invariant: as many as [`WINDOW`] at most, of the numbers up to `answered`.
    kept: VecDeque<Vec<u8>>,
    counts: Counts,
}

impl Answering {
    /// A session in which nothing was asked yet.
    pub fn new(session: u64) -> Self {
        Answering {
            session,
            taken: 0,
            early: BTreeMap::new(),
            answered: 0,
            kept: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Takes in a datagram of this session: the requests whose turn it is, an empty one for the end of all, and what is to be
    /// sent at once.
    pub fn heard(&mut self, number: u64, message: &[u8]) -> (Vec<Vec<u8>>, Option<Vec<u8>>) {
        // Who asks sends no more than that before it has answers.
        if number == 0 || number > self.answered + WINDOW {
            self.counts.strange += 1;
            return (Vec::new(), None);
        }
        if number <= self.answered {
            self.counts.repeated += 1;
            // Who asks for an older one has had its answer.
            let at = (self.answered - number) as usize;
            return (Vec::new(), self.kept.iter().rev().nth(at).cloned());
        }
        if number <= self.taken || self.early.contains_key(&number) {
            self.counts.repeated += 1;
            return (Vec::new(), Some(self.datagram(number, b"")));
        }
        self.counts.reordered += u64::from(number != self.taken + 1);
        self.early.insert(number, message.to_vec());
        let mut requests = Vec::new();
        while let Some(request) = self.early.remove(&(self.taken + 1)) {
            self.taken += 1;
            requests.push(request);
        }
        (requests, None)
    }

    /// The datagram that answers the oldest request that was not answered yet.
    pub fn answer(&mut self, reply: &[u8]) -> Vec<u8> {
        let datagram = self.datagram(self.answered + 1, reply);
        self.answered_with(datagram)
    }

    /// The datagram that answers the end of the requests, when all of them are answered.
    pub fn answer_end(&mut self) -> Vec<u8> {
        let datagram = self.stop();
        self.answered_with(datagram)
    }

    fn answered_with(&mut self, datagram: Vec<u8>) -> Vec<u8> {
        self.answered += 1;
        if self.kept.len() as u64 == WINDOW {
            self.kept.pop_front();
        }
        self.kept.push_back(datagram.clone());
        datagram
    }

    /// The datagram for another answer in place of the last one, which could not be sent.
    pub fn answer_instead(&mut self, reply: &[u8]) -> Vec<u8> {
        self.kept.pop_back();
        self.answered -= 1;
        self.answer(reply)
    }

    /// Whether a request was not answered yet.
    pub fn owes(&self) -> bool {
        self.answered < self.taken
    }

    /// The datagram that says that this side has nothing more to say.
    pub fn stop(&self) -> Vec<u8> {
        self.datagram(0, b"")
    }

    fn datagram(&self, number: u64, message: &[u8]) -> Vec<u8> {
        Datagram { session: self.session, number, message }.bytes()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
#[path = "numbered_tests.rs"]
mod tests;
