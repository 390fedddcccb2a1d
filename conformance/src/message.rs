//! Messages of a control pipe, as the suite writes them and reads whatever comes: version, length of the type, type, length
//! of the payload, payload. What a message means to anybody is not known here, but for lifetime events.

/// The version of the format.
pub const VERSION: u8 = 1;

/// The type of lifetime events.
pub const LIFETIME: &[u8] = b"lifetimeevent";

/// A whole message, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The type, which should be UTF-8.
    pub kind: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// What follows the last whole message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Nothing,
    /// So many bytes of another message.
    CutOff(usize),
    /// Another version, so that nothing more can be told apart.
    Version(u8),
}

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// This task is about to start.
    Startup(u8),
    /// All have started.
    Complete,
    /// This task is about to stop.
    Shutdown(u8),
}

impl Lifetime {
    /// As a message, in bytes.
    pub fn encoded(self) -> Vec<u8> {
        let payload = match self {
            Lifetime::Startup(task) => [0, task],
            Lifetime::Complete => [1, 0],
            Lifetime::Shutdown(task) => [2, task],
        };
        encoded(LIFETIME, &payload)
    }
}

impl Message {
    /// The lifetime event that it tells, if it is one. The error says what is wrong with it.
    pub fn lifetime(&self) -> Option<Result<Lifetime, String>> {
        (self.kind == LIFETIME).then(|| match self.payload[..] {
            [0, task] => Ok(Lifetime::Startup(task)),
            [1, _] => Ok(Lifetime::Complete),
            [2, task] => Ok(Lifetime::Shutdown(task)),
            [event, _] => Err(format!("event {event}")),
            _ => Err(format!("a payload of {} bytes", self.payload.len())),
        })
    }
}

/// A message in bytes. Types longer than a length of one byte can say are no types.
///
/// # Panics
/// When the type or the payload is longer than its length can say.
pub fn encoded(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    let kind_bytes = u8::try_from(kind.len()).expect("a type is at most 255 bytes long");
    let payload_bytes = u32::try_from(payload.len()).expect("a payload is shorter than 4 GiB");
    [&[VERSION, kind_bytes], kind, &payload_bytes.to_le_bytes(), payload].concat()
}

/// The whole messages of a stream, and what follows them.
pub fn cut(stream: &[u8]) -> (Vec<Message>, Tail) {
    let (mut rest, mut messages) = (stream, Vec::new());
    loop {
        match rest.first() {
            None => return (messages, Tail::Nothing),
            Some(&VERSION) => {}
            Some(other) => return (messages, Tail::Version(*other)),
        }
        let Some((message, after)) = first(&rest[1..]) else { return (messages, Tail::CutOff(rest.len())) };
        messages.push(message);
        rest = after;
    }
}

/// The message whose version has been read, and what follows it; nothing as long as it is not whole.
fn first(rest: &[u8]) -> Option<(Message, &[u8])> {
    let (kind_bytes, rest) = rest.split_first()?;
    let (kind, rest) = rest.split_at_checked(usize::from(*kind_bytes))?;
    let (payload_bytes, rest) = rest.split_first_chunk::<4>()?;
    let payload_bytes = usize::try_from(u32::from_le_bytes(*payload_bytes)).ok()?;
    let (payload, rest) = rest.split_at_checked(payload_bytes)?;
    Some((Message { kind: kind.to_vec(), payload: payload.to_vec() }, rest))
}
