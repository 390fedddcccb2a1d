//! Chunks of a plugin connection, as the suite writes them and reads whatever comes: number, direction, command, bytes, in one of
//! two orders. What a command means to anybody is not known here.

use serde::{Deserialize, Serialize};

/// Asks whether the other side is there.
pub const PING: &str = "cmd.ping";

/// Tells a plugin to end.
pub const STOP: &str = "cmd.stop";

/// In the place of a response's command: there was an error, in these words.
pub const ERROR: &str = "cmd.error";

/// Asks a plugin what it is.
pub const METADATA: &str = "GetMetadata";

/// The order of a chunk's parts, which a profile may state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// `number NUL direction NUL command blank length NUL bytes`, as the published library sends them.
    #[default]
    Published,
    /// `number NUL direction NUL length NUL command length NUL bytes`, as it is described, with a length before the bytes.
    Described,
}

/// What a chunk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Nothing is said of that.
    None,
    /// Nobody waits for an answer.
    OneWay,
    /// One response is due.
    Request,
    /// The answer to the request of the same number.
    Response,
}

/// A whole chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// What a response has in common with its request.
    pub id: u64,
    /// What it is for.
    pub direction: Direction,
    /// What is to be done, which should be UTF-8.
    pub command: Vec<u8>,
    /// With what.
    pub buffer: Vec<u8>,
}

/// What follows the last whole chunk of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    #[default]
    Nothing,
    /// So many bytes of another chunk.
    CutOff(usize),
    /// What is no chunk, and cannot become one: its first bytes.
    Nonsense(Vec<u8>),
}

const DIRECTIONS: [Direction; 4] = [Direction::None, Direction::OneWay, Direction::Request, Direction::Response];

/// The most bytes of nonsense that are shown of it.
pub const SHOWN_BYTES: usize = 60;

/// Zero is written as no digit at all.
fn number(number: u64) -> String {
    if number == 0 { "\0".to_owned() } else { format!("{number}\0") }
}

impl Chunk {
    /// A request.
    pub fn request(id: u64, command: &str, buffer: impl Into<Vec<u8>>) -> Self {
        Chunk { id, direction: Direction::Request, command: command.into(), buffer: buffer.into() }
    }

    /// What nobody answers.
    pub fn one_way(id: u64, command: &str, buffer: impl Into<Vec<u8>>) -> Self {
        Chunk { direction: Direction::OneWay, ..Chunk::request(id, command, buffer) }
    }

    /// The response to this request.
    pub fn response(&self, buffer: impl Into<Vec<u8>>) -> Self {
        Chunk { direction: Direction::Response, buffer: buffer.into(), ..self.clone() }
    }

    /// The error with which this request is answered.
    pub fn refused(&self, words: &str) -> Self {
        Chunk { command: ERROR.into(), ..self.response(words) }
    }

    /// It asks for this, and waits for the response.
    pub fn is_request(&self, command: &str) -> bool {
        self.direction == Direction::Request && self.command == command.as_bytes()
    }

    /// It is the response to the request of this number.
    pub fn answers(&self, id: u64) -> bool {
        self.direction == Direction::Response && self.id == id
    }

    /// It is an error.
    pub fn is_error(&self) -> bool {
        self.command == ERROR.as_bytes()
    }

    /// In bytes.
    pub fn encoded(&self, order: Order) -> Vec<u8> {
        let direction = DIRECTIONS.iter().position(|one| *one == self.direction).unwrap_or_default() as u64;
        let (bytes, command) = (number(self.buffer.len() as u64), &self.command[..]);
        let both = match order {
            Order::Published => [command, b" "].concat(),
            Order::Described => [number(command.len() as u64).as_bytes(), command].concat(),
        };
        [number(self.id).as_bytes(), number(direction).as_bytes(), &both, bytes.as_bytes(), &self.buffer].concat()
    }
}

/// The whole chunks of a stream, and what follows them.
pub fn cut(stream: &[u8], order: Order) -> (Vec<Chunk>, Tail) {
    let (mut rest, mut chunks) = (stream, Vec::new());
    while !rest.is_empty() {
        match first(rest, order) {
            Ok(Some((chunk, after))) => {
                chunks.push(chunk);
                rest = after;
            }
            Ok(None) => return (chunks, Tail::CutOff(rest.len())),
            Err(Nonsense) => return (chunks, Tail::Nonsense(rest[..rest.len().min(SHOWN_BYTES)].to_vec())),
        }
    }
    (chunks, Tail::Nothing)
}

/// No bytes that may follow make a chunk of it.
struct Nonsense;

/// The first chunk, and what follows it; nothing as long as it is not whole.
fn first(rest: &[u8], order: Order) -> Result<Option<(Chunk, &[u8])>, Nonsense> {
    let Some((id, rest)) = digits(rest)? else { return Ok(None) };
    let Some((direction, rest)) = digits(rest)? else { return Ok(None) };
    let direction = usize::try_from(direction).ok().and_then(|direction| DIRECTIONS.get(direction)).ok_or(Nonsense)?;
    let (command, rest) = match order {
        Order::Published => {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else { return Ok(None) };
            let blank = rest[..end].iter().rposition(|byte| *byte == b' ').ok_or(Nonsense)?;
            (&rest[..blank], &rest[blank + 1..])
        }
        Order::Described => {
            let Some((length, rest)) = digits(rest)? else { return Ok(None) };
            let Some(both) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length)) else {
                return Ok(None);
            };
            both
        }
    };
    // No order but one could have it there, and none needs it.
    if command.contains(&0) {
        return Err(Nonsense);
    }
    let Some((length, rest)) = digits(rest)? else { return Ok(None) };
    let whole = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let chunk = |buffer: &[u8]| Chunk { id, direction: *direction, command: command.to_vec(), buffer: buffer.to_vec() };
    Ok(whole.map(|(buffer, rest)| (chunk(buffer), rest)))
}

/// A number and what follows its NUL; nothing as long as that has not come.
fn digits(rest: &[u8]) -> Result<Option<(u64, &[u8])>, Nonsense> {
    let end = rest.iter().position(|byte| *byte == 0);
    let digits = &rest[..end.unwrap_or(rest.len())];
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    let number = digits.iter().try_fold(0, add).ok_or(Nonsense)?;
    Ok(end.map(|end| (number, &rest[end + 1..])))
}
