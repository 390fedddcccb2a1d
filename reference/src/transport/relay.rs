//! Datagrams as two pipes: whoever has the ends of those sees a stream of messages in order, as over any other transport, and
//! what gets lost on the way is made up for here.
//!
//! It knows where a message ends and which request a reply belongs to, and not what either says.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use os_pipe::PipeWriter;

use super::datagrams::{DATAGRAM_BYTES_MAX, Datagrams, is_lost, is_too_long};
use super::ends::{self, Incoming, Outgoing};
use super::link::Why;
use super::numbered::{Asking, Heard};
use super::pump::{News, Reader};
use crate::codec::delimited::{Delimited, Piece};
use crate::codec::op_frame::END_SYMBOL;

/// A datagram for which the other side has no room for so long is one that was lost.
const ROOM_WAIT: Duration = Duration::from_millis(200);

/// Makes the reply to a request that does not fit into a datagram.
pub type TooLong = fn(&[u8]) -> Vec<u8>;

enum Happened {
    Requests(News),
    Datagram(Vec<u8>),
    Failed(io::Error),
}

/// Begins a session with whoever the socket is connected to. What is written to one of these ends goes there, message by
/// message, and the replies can be read from the other. If it `waits`, nobody there is no failure before anybody was.
pub fn start(socket: Datagrams, waits: bool, why: Why, too_long: TooLong) -> io::Result<(Incoming, Outgoing)> {
    let (requests, outgoing) = os_pipe::pipe()?;
    let (incoming, replies) = os_pipe::pipe()?;
    socket.set_room_wait(ROOM_WAIT)?;
    let (sender, happened) = channel();
    let reader = Reader::start(requests, sender.clone(), Happened::Requests);
    let listening = socket.try_clone()?;
    thread::Builder::new().spawn(move || listen(&listening, &sender))?;
    let relay = Relay {
        socket,
        reader,
        replies,
        too_long,
        inbox: Delimited::new(END_SYMBOL, usize::MAX),
        open: true,
        waits,
        asking: Asking::new(RandomState::new().hash_one(())),
    };
    thread::Builder::new().spawn(move || relay.run(&happened, &why))?;
    Ok(ends::of_pipes(incoming, outgoing))
}

fn listen(socket: &Datagrams, events: &Sender<Happened>) {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let news = match socket.receive(&mut bytes) {
            Ok((count, _)) => Happened::Datagram(bytes[..count].to_vec()),
            Err(error) => Happened::Failed(error),
        };
        let is_last = matches!(&news, Happened::Failed(error) if !is_nobody(error));
        if events.send(news).is_err() || is_last {
            return;
        }
    }
}

struct Relay {
    socket: Datagrams,
    reader: Reader,
    replies: PipeWriter,
    too_long: TooLong,
    inbox: Delimited,
    /// Further requests may come.
    open: bool,
    /// The other side may not be there yet.
    waits: bool,
    asking: Asking,
}

/// Why it is over.
enum Over {
    /// Both sides said so, or nobody hears the replies.
    Ended,
    /// It could not go on.
    Failed(String),
}

impl Relay {
    fn run(mut self, happened: &Receiver<Happened>, why: &Why) {
        let over = loop {
            if let Err(over) = self.step(happened) {
                break over;
            }
        };
        let counts = self.asking.counts().to_string();
        let words = |failed: String| match counts.is_empty() {
            true => failed,
            false => format!("{failed} (datagrams: {counts})"),
        };
        match over {
            Over::Failed(failed) => why.say(words(failed)),
            // If this fails, there is nobody to tell.
            Over::Ended if !counts.is_empty() => drop(writeln!(io::stderr(), "note: datagrams: {counts}")),
            Over::Ended => {}
        }
        // The end of the replies, for whoever reads them, comes with the end of this.
    }

    fn step(&mut self, happened: &Receiver<Happened>) -> Result<(), Over> {
        let now = Instant::now();
        self.ask(now)?;
        for datagram in self.asking.due(now).map_err(|given_up| Over::Failed(given_up.to_string()))? {
            self.send(&datagram)?;
        }
        let news = match self.asking.deadline() {
            Some(deadline) => happened.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match news {
            Ok(Happened::Requests(News::Bytes(bytes))) => {
                self.reader.used();
                self.inbox.push(&bytes);
                Ok(())
            }
            Ok(Happened::Requests(_)) => {
                self.open = false;
                Ok(())
            }
            Ok(Happened::Datagram(bytes)) => {
                self.waits = false;
                match self.asking.heard(&bytes, Instant::now()) {
                    Heard::Replies(replies) => self.hand_on(&replies),
                    Heard::End => Err(Over::Ended),
                }
            }
            Ok(Happened::Failed(error)) if self.waits && is_nobody(&error) => Ok(()),
            Ok(Happened::Failed(error)) => Err(failed(&error)),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Over::Ended),
        }
    }

    /// Sends what there is to ask, as far as it may.
    fn ask(&mut self, now: Instant) -> Result<(), Over> {
        while self.asking.wants() {
            let message = match self.inbox.next_piece() {
                Ok(Piece::Whole(message)) => [message, &[END_SYMBOL]].concat(),
                // There is no limit to outgrow.
                Ok(Piece::TooLong { .. }) => continue,
                Err(_) if self.open => {
                    self.reader.allow();
                    return Ok(());
                }
                Err(_) => {
                    let end = self.asking.finish(now);
                    return self.send(&end).map(drop);
                }
            };
            let datagram = self.asking.ask(&message, now);
            if !self.send(&datagram)? {
                let replies = self.asking.answer_last((self.too_long)(&message));
                self.hand_on(&replies)?;
            }
        }
        Ok(())
    }

    /// False if it does not fit into a datagram.
    fn send(&self, datagram: &[u8]) -> Result<bool, Over> {
        match self.socket.send(datagram) {
            Ok(()) => Ok(true),
            Err(error) if is_too_long(&error) => Ok(false),
            Err(error) if is_lost(&error) || self.waits && is_nobody(&error) => Ok(true),
            Err(error) => Err(failed(&error)),
        }
    }

    fn hand_on(&mut self, replies: &[Vec<u8>]) -> Result<(), Over> {
        self.replies.write_all(&replies.concat()).map_err(|_| Over::Ended)
    }
}

fn failed(error: &io::Error) -> Over {
    Over::Failed(match is_nobody(error) {
        true => format!("nobody is at the server's address ({error})"),
        false => format!("datagrams cannot be exchanged any more: {error}"),
    })
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::NotFound)
}
