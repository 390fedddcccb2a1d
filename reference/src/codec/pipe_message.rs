//! The messages of a control pipe, and where each begins and ends in a stream of bytes.
//!
//! | bytes | field                                        |
//! |-------|----------------------------------------------|
//! | 1     | version: 1                                   |
//! | 1     | length of the type                           |
//! | 0…255 | type, in UTF-8                               |
//! | 4     | length of the payload, little endian         |
//! | …     | payload, at most [`PAYLOAD_BYTES_MAX`] bytes |
//!
//! | type            | payload                                                                               |
//! |-----------------|---------------------------------------------------------------------------------------|
//! | `lifetimeevent` | event (0 a startup, 1 startup is complete, 2 a shutdown), task (0 database, 1 network) |
//! | `p2plistenaddr` | an address at which peers are answered, in UTF-8                                      |
//! | `rpclistenaddr` | an address at which calls are answered, in UTF-8                                      |
//!
//! Cutting and understanding are two steps, since what cannot be understood can be passed over: its length is known.
//! What cannot be cut ends the stream. (The document's comment counts a task between the two; its code, which counts
//! here, does not.)

use std::fmt;

/// The only version there is.
pub const VERSION: u8 = 1;

/// The longest payload. The format would allow 4 GiB; nothing that is sent over a control pipe comes near this.
pub const PAYLOAD_BYTES_MAX: u32 = 64 * 1024;

const LIFETIME_EVENT: &str = "lifetimeevent";
const PEERS_ADDRESS: &str = "p2plistenaddr";
const CALLS_ADDRESS: &str = "rpclistenaddr";

/// What a service tells its supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Where it is in its life.
    Lifetime(LifetimeEvent),
    /// It answers peers at this address.
    PeersAt(String),
    /// It answers calls at this address.
    CallsAt(String),
}

/// A step in the life of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LifetimeEvent {
    /// A task is about to start.
    Startup(Task),
    /// All tasks have started.
    StartupComplete,
    /// A task is about to stop.
    Shutdown(Task),
}

/// A part of a service that starts and stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task(pub u8);

impl Task {
    /// What is kept on disk.
    pub const DATABASE: Task = Task(0);
    /// Who is listened to.
    pub const NETWORK: Task = Task(1);
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Task::DATABASE => write!(f, "the database"),
            Task::NETWORK => write!(f, "the peer-to-peer server"),
            Task(other) => write!(f, "task {other}"),
        }
    }
}

/// A message, cut out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: &'a str,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Why no further message can be cut out of a stream, however many bytes may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unframed {
    /// A message begins with another version, so nothing is known of how it goes on.
    Version(u8),
    /// A type is not UTF-8.
    Kind(Vec<u8>),
    /// A payload would be longer than the limit.
    TooLong {
        /// The type of the message.
        kind: String,
        /// The length that it tells, in bytes.
        bytes: u32,
    },
}

impl fmt::Display for Unframed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unframed::Version(found) => write!(f, "expected a message of version {VERSION}, found version {found}"),
            Unframed::Kind(bytes) => write!(f, "expected a type in UTF-8, found {}", bytes.escape_ascii()),
            Unframed::TooLong { kind, bytes } => write!(
                f,
                "expected a payload of at most {PAYLOAD_BYTES_MAX} bytes, found one of {bytes} in {}",
                kind.escape_debug()
            ),
        }
    }
}

impl std::error::Error for Unframed {}

/// Why a message of a known type means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// An event is told in two bytes.
    EventLength(usize),
    /// There is no such event.
    UnknownEvent(u8),
    /// An address is not UTF-8.
    Address(Vec<u8>),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::EventLength(found) => write!(f, "expected 2 bytes in {LIFETIME_EVENT}, found {found}"),
            Malformed::UnknownEvent(found) => write!(f, "expected event 0, 1 or 2, found {found}"),
            Malformed::Address(bytes) => write!(f, "expected an address in UTF-8, found {}", bytes.escape_ascii()),
        }
    }
}

impl std::error::Error for Malformed {}

impl Message {
    /// Reads a message; `None` if its type is not known here, which is nothing wrong: there will be others one day.
    pub fn decode(Frame { kind, payload }: Frame<'_>) -> Result<Option<Message>, Malformed> {
        let address = || str::from_utf8(payload).map(str::to_owned).map_err(|_| Malformed::Address(payload.to_owned()));
        match kind {
            LIFETIME_EVENT => LifetimeEvent::decode(payload).map(|event| Some(Message::Lifetime(event))),
            PEERS_ADDRESS => Ok(Some(Message::PeersAt(address()?))),
            CALLS_ADDRESS => Ok(Some(Message::CallsAt(address()?))),
            _ => Ok(None),
        }
    }

    /// Appends the message to `out`. An address that is longer than any payload is cut off at the limit.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Lifetime(event) => put_frame(out, LIFETIME_EVENT, &event.encoded()),
            Message::PeersAt(address) => put_frame(out, PEERS_ADDRESS, address.as_bytes()),
            Message::CallsAt(address) => put_frame(out, CALLS_ADDRESS, address.as_bytes()),
        }
    }
}

impl LifetimeEvent {
    fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let &[event, task] = payload else { return Err(Malformed::EventLength(payload.len())) };
        match event {
            0 => Ok(LifetimeEvent::Startup(Task(task))),
            // The second byte is ignored.
            1 => Ok(LifetimeEvent::StartupComplete),
            2 => Ok(LifetimeEvent::Shutdown(Task(task))),
            unknown => Err(Malformed::UnknownEvent(unknown)),
        }
    }

    fn encoded(self) -> [u8; 2] {
        match self {
            LifetimeEvent::Startup(Task(task)) => [0, task],
            LifetimeEvent::StartupComplete => [1, 0],
            LifetimeEvent::Shutdown(Task(task)) => [2, task],
        }
    }
}

fn put_frame(out: &mut Vec<u8>, kind: &str, payload: &[u8]) {
    let kind_bytes = u8::try_from(kind.len()).expect("the types above are short");
    let payload = &payload[..payload.len().min(PAYLOAD_BYTES_MAX as usize)];
    out.extend_from_slice(&[VERSION, kind_bytes]);
    out.extend_from_slice(kind.as_bytes());
    // The limit above lies within 32 bits.
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
}

/// A growing stream of bytes, cut into messages.
#[derive(Debug, Default)]
pub struct Frames {
    // Invariant: start <= storage.len(); the bytes before it have been handed out.
    storage: Vec<u8>,
    start: usize,
}

impl Frames {
    /// Takes in bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.storage.drain(..self.start);
        self.start = 0;
        self.storage.extend_from_slice(bytes);
    }

    /// The next message; `None` while it has not arrived whole. After an error there is no next one.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, Unframed> {
        let bytes = &self.storage[self.start..];
        let Some((&version, rest)) = bytes.split_first() else { return Ok(None) };
        if version != VERSION {
            return Err(Unframed::Version(version));
        }
        let Some((&kind_bytes, rest)) = rest.split_first() else { return Ok(None) };
        let Some((kind, rest)) = rest.split_at_checked(kind_bytes.into()) else { return Ok(None) };
        let kind = str::from_utf8(kind).map_err(|_| Unframed::Kind(kind.to_owned()))?;
        let Some((&length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let payload_bytes = u32::from_le_bytes(length);
        if payload_bytes > PAYLOAD_BYTES_MAX {
            return Err(Unframed::TooLong { kind: kind.to_owned(), bytes: payload_bytes });
        }
        // The limit above lies within any machine's addresses.
        let Some((payload, rest)) = rest.split_at_checked(payload_bytes as usize) else { return Ok(None) };
        self.start = self.storage.len() - rest.len();
        Ok(Some(Frame { kind, payload }))
    }

    /// What has arrived after the last whole message: at the end of a stream, the message that was cut off.
    pub fn unfinished(&self) -> &[u8] {
        &self.storage[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: [Message; 3] = [
        Message::Lifetime(LifetimeEvent::Startup(Task::NETWORK)),
        Message::Lifetime(LifetimeEvent::StartupComplete),
        Message::Lifetime(LifetimeEvent::Shutdown(Task(200))),
    ];

    fn messages(frames: &mut Frames) -> Vec<Message> {
        let next = || frames.next_frame().unwrap().map(|frame| Message::decode(frame).unwrap().unwrap());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn messages_come_back_as_they_went_however_the_bytes_arrive() {
        let sent =
            [MESSAGES.to_vec(), vec![Message::PeersAt("[::1]:8".into()), Message::CallsAt(String::new())]].concat();
        let mut bytes = Vec::new();
        sent.iter().for_each(|message| message.encode(&mut bytes));
        for chunk_bytes in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(chunk_bytes) {
                frames.push(chunk);
                seen.extend(messages(&mut frames));
            }
            assert_eq!(seen, sent, "in chunks of {chunk_bytes}");
            assert_eq!(frames.unfinished(), b"");
        }
    }

    #[test]
    fn an_address_that_is_too_long_is_cut_off_and_does_not_break_the_stream() {
        let mut bytes = Vec::new();
        Message::PeersAt("a".repeat(PAYLOAD_BYTES_MAX as usize + 1)).encode(&mut bytes);
        let mut frames = Frames::default();
        frames.push(&bytes);
        assert_eq!(frames.next_frame().unwrap().unwrap().payload.len(), PAYLOAD_BYTES_MAX as usize);
        assert_eq!(frames.unfinished(), b"");
    }
}
