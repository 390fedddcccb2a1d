//! The chunks of a plugin connection, and where each begins and ends in a stream of bytes.
//!
//! A chunk has a number that a response has in common with its request, a direction, a command, and bytes. Two orders of these
//! are known. The one that is sent by the published library, and here unless the other is asked for:
//!
//! | bytes                         | field                                                  |
//! |-------------------------------|--------------------------------------------------------|
//! | digits, NUL                   | number                                                 |
//! | digits, NUL                   | direction: 0 none, 1 one-way, 2 request, 3 response    |
//! | text, blank, digits, NUL      | command, and the length of the bytes                   |
//! | …                             | the bytes, at most [`BUFFER_BYTES_MAX`]                |
//!
//! The other one is the order in which that library is described. As it is described it cannot be cut, since the bytes have no
//! length; so one is added before them:
//!
//! | bytes       | field                                 |
//! |-------------|---------------------------------------|
//! | digits, NUL | number                                |
//! | digits, NUL | direction                             |
//! | digits, NUL | length of the command                 |
//! | text        | command                               |
//! | digits, NUL | length of the bytes                   |
//! | …           | the bytes                             |
//!
//! Numbers are decimal, and zero is written as no digit at all. It does not know what commands there are, nor who waits for
//! what.

use std::fmt;

/// The longest command. It would be read up to its end whatever its length; nobody names anything at such a length.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a chunk.
pub const BUFFER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most digits of a number: as many as the largest has.
const DIGITS_MAX: usize = 20;

/// The order of a chunk's parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// As the published library sends them.
    #[default]
    Published,
    /// As it is described, with a length before the bytes.
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

/// A chunk, cut out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// What a response has in common with its request.
    pub id: u64,
    /// What it is for.
    pub direction: Direction,
    /// What is to be done. It has no NUL in it.
    pub command: &'a str,
    /// With what.
    pub buffer: &'a [u8],
}

/// Why no further chunk can be cut out of a stream, however many bytes may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unchunked {
    /// Where a number should be there are other bytes, or more digits than any number has.
    Number {
        /// Which number.
        what: &'static str,
        /// The bytes, or their beginning.
        found: Vec<u8>,
    },
    /// There is no such direction.
    Direction(u64),
    /// A command is not UTF-8, or has a NUL in it.
    Command(Vec<u8>),
    /// No blank parts a command from the length of the bytes.
    NoLength(Vec<u8>),
    /// A command is longer than the limit.
    CommandTooLong,
    /// There would be more bytes than the limit.
    BufferTooLong(u64),
}

impl fmt::Display for Unchunked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unchunked::Number { what, found } => {
                write!(f, "expected digits and a NUL as {what}, found {}", found.escape_ascii())
            }
            Unchunked::Direction(found) => write!(f, "expected a direction from 0 to 3, found {found}"),
            Unchunked::Command(found) => {
                write!(f, "expected a command in UTF-8 without NUL, found {}", found.escape_ascii())
            }
            Unchunked::NoLength(found) => {
                write!(f, "expected a command, a blank and a length, found {}", found.escape_ascii())
            }
            Unchunked::CommandTooLong => write!(f, "expected a command of at most {COMMAND_BYTES_MAX} bytes"),
            Unchunked::BufferTooLong(found) => write!(f, "expected at most {BUFFER_BYTES_MAX} bytes, found {found}"),
        }
    }
}

impl std::error::Error for Unchunked {}

impl Direction {
    fn from_number(number: u64) -> Result<Self, Unchunked> {
        Ok(match number {
            0 => Direction::None,
            1 => Direction::OneWay,
            2 => Direction::Request,
            3 => Direction::Response,
            other => return Err(Unchunked::Direction(other)),
        })
    }

    fn number(self) -> u64 {
        match self {
            Direction::None => 0,
            Direction::OneWay => 1,
            Direction::Request => 2,
            Direction::Response => 3,
        }
    }
}

impl Chunk<'_> {
    /// Appends the chunk to `out`.
    ///
    /// # Errors
    /// A command with a NUL in it, or anything beyond a limit, cannot be sent; then nothing is appended.
    pub fn encode(&self, order: Order, out: &mut Vec<u8>) -> Result<(), Unchunked> {
        if self.command.contains('\0') {
            return Err(Unchunked::Command(self.command.as_bytes().to_owned()));
        }
        if self.command.len() > COMMAND_BYTES_MAX {
            return Err(Unchunked::CommandTooLong);
        }
        let bytes = self.buffer.len() as u64;
        if self.buffer.len() > BUFFER_BYTES_MAX {
            return Err(Unchunked::BufferTooLong(bytes));
        }
        put_number(out, self.id);
        put_number(out, self.direction.number());
        match order {
            Order::Published => {
                out.extend_from_slice(self.command.as_bytes());
                out.push(b' ');
            }
            Order::Described => {
                put_number(out, self.command.len() as u64);
                out.extend_from_slice(self.command.as_bytes());
            }
        }
        put_number(out, bytes);
        out.extend_from_slice(self.buffer);
        Ok(())
    }
}

/// Zero is written as no digit at all.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; DIGITS_MAX];
    let mut from = digits.len();
    while number > 0 {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[from..]);
    out.push(0);
}

/// A growing stream of bytes, cut into chunks.
#[derive(Debug, Default)]
pub struct Chunks {
    order: Order,
    // Invariant: start <= storage.len(); the bytes before it have been handed out.
    storage: Vec<u8>,
    start: usize,
}

/// What is there of a part that has not arrived whole is no error.
type Part<T> = Result<Option<T>, Unchunked>;

impl Chunks {
    /// Of a stream whose chunks have their parts in this order.
    pub fn in_order(order: Order) -> Self {
        Self { order, ..Self::default() }
    }

    /// Takes in bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.storage.drain(..self.start);
        self.start = 0;
        self.storage.extend_from_slice(bytes);
    }

    /// The next chunk; `None` while it has not arrived whole. After an error there is no next one.
    pub fn next_chunk(&mut self) -> Part<Chunk<'_>> {
        let mut rest = &self.storage[self.start..];
        let Some(id) = number(&mut rest, "the number of a chunk")? else { return Ok(None) };
        let Some(direction) = number(&mut rest, "a direction")? else { return Ok(None) };
        let direction = Direction::from_number(direction)?;
        let both = match self.order {
            Order::Published => command_and_length(&mut rest)?,
            Order::Described => length_and_command(&mut rest)?,
        };
        let Some((command, bytes)) = both else { return Ok(None) };
        let command = str::from_utf8(command).map_err(|_| Unchunked::Command(command.to_owned()))?;
        let length = usize::try_from(bytes).ok().filter(|bytes| *bytes <= BUFFER_BYTES_MAX);
        let length = length.ok_or(Unchunked::BufferTooLong(bytes))?;
        let Some((buffer, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        self.start = self.storage.len() - rest.len();
        Ok(Some(Chunk { id, direction, command, buffer }))
    }

    /// What has arrived after the last whole chunk: at the end of a stream, the chunk that was cut off.
    pub fn unfinished(&self) -> &[u8] {
        &self.storage[self.start..]
    }
}

/// Takes a number and the NUL behind it.
fn number(rest: &mut &[u8], what: &'static str) -> Part<u64> {
    let end = memchr::memchr(0, &rest[..rest.len().min(DIGITS_MAX + 1)]);
    let digits = &rest[..end.unwrap_or(rest.len().min(DIGITS_MAX + 1))];
    let number = digits_of(digits, what)?;
    let Some(end) = end else {
        let is_too_long = digits.len() > DIGITS_MAX;
        return if is_too_long { Err(Unchunked::Number { what, found: digits.to_owned() }) } else { Ok(None) };
    };
    *rest = &rest[end + 1..];
    Ok(Some(number))
}

/// The number that digits stand for, and none for zero. So far nothing is wrong with the first digits of a longer one.
fn digits_of(digits: &[u8], what: &'static str) -> Result<u64, Unchunked> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    let number = digits.iter().try_fold(0, add);
    number.ok_or_else(|| Unchunked::Number { what, found: digits.to_owned() })
}

/// Takes a command, which may have blanks in it, the length of the bytes behind its last blank, and the NUL.
fn command_and_length<'a>(rest: &mut &'a [u8]) -> Part<(&'a [u8], u64)> {
    // With the blank and the digits.
    const BYTES_MAX: usize = COMMAND_BYTES_MAX + 1 + DIGITS_MAX;
    let Some(end) = memchr::memchr(0, rest) else {
        return if rest.len() > BYTES_MAX { Err(Unchunked::CommandTooLong) } else { Ok(None) };
    };
    let both = &rest[..end];
    if both.len() > BYTES_MAX {
        return Err(Unchunked::CommandTooLong);
    }
    let Some(blank) = memchr::memrchr(b' ', both) else { return Err(Unchunked::NoLength(both.to_owned())) };
    if blank > COMMAND_BYTES_MAX {
        return Err(Unchunked::CommandTooLong);
    }
    let bytes = digits_of(&both[blank + 1..], "the length of the bytes")?;
    *rest = &rest[end + 1..];
    Ok(Some((&both[..blank], bytes)))
}

/// Takes the length of a command, that command, and the length of the bytes.
fn length_and_command<'a>(rest: &mut &'a [u8]) -> Part<(&'a [u8], u64)> {
    let Some(length) = number(rest, "the length of a command")? else { return Ok(None) };
    let length = usize::try_from(length).ok().filter(|length| *length <= COMMAND_BYTES_MAX);
    let length = length.ok_or(Unchunked::CommandTooLong)?;
    let Some((command, after)) = rest.split_at_checked(length) else { return Ok(None) };
    if command.contains(&0) {
        return Err(Unchunked::Command(command.to_owned()));
    }
    *rest = after;
    Ok(number(rest, "the length of the bytes")?.map(|bytes| (command, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKS: [Chunk<'static>; 5] = [
        Chunk { id: 0, direction: Direction::None, command: "", buffer: b"" },
        Chunk { id: 1, direction: Direction::OneWay, command: "cmd.stop", buffer: b"" },
        Chunk { id: u64::MAX, direction: Direction::Request, command: "echo twice", buffer: b"a b\0c" },
        Chunk { id: 10, direction: Direction::Response, command: "12 3", buffer: &[0xff; 300] },
        Chunk { id: 100, direction: Direction::Request, command: "я", buffer: b"7\x002\x00echo 1\x00x" },
    ];

    fn sent(order: Order) -> Vec<u8> {
        let mut bytes = Vec::new();
        CHUNKS.iter().for_each(|chunk| chunk.encode(order, &mut bytes).unwrap());
        bytes
    }

    #[test]
    fn chunks_come_back_as_they_went_however_the_bytes_arrive() {
        for order in [Order::Published, Order::Described] {
            let bytes = sent(order);
            for piece_bytes in 1..=bytes.len() {
                let mut chunks = Chunks::in_order(order);
                let mut seen = 0;
                for piece in bytes.chunks(piece_bytes) {
                    chunks.push(piece);
                    while let Some(chunk) = chunks.next_chunk().unwrap() {
                        assert_eq!(chunk, CHUNKS[seen], "{order:?}, in pieces of {piece_bytes}");
                        seen += 1;
                    }
                }
                assert_eq!((seen, chunks.unfinished()), (CHUNKS.len(), &b""[..]));
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_sent() {
        let long = "c".repeat(COMMAND_BYTES_MAX + 1);
        for (command, why) in [("a\0b", Unchunked::Command(b"a\0b".to_vec())), (&*long, Unchunked::CommandTooLong)] {
            let mut out = Vec::new();
            let chunk = Chunk { id: 1, direction: Direction::OneWay, command, buffer: b"" };
            assert_eq!((chunk.encode(Order::Published, &mut out), out.len()), (Err(why), 0));
        }
        let longest = &long[1..];
        for order in [Order::Published, Order::Described] {
            let mut chunks = Chunks::in_order(order);
            let mut out = Vec::new();
            Chunk { id: 1, direction: Direction::OneWay, command: longest, buffer: b"" }
                .encode(order, &mut out)
                .unwrap();
            chunks.push(&out);
            assert_eq!(chunks.next_chunk().unwrap().unwrap().command, longest, "{order:?}");
        }
    }

    #[test]
    fn what_never_ends_is_refused_before_it_does() {
        for (order, endless) in [
            (Order::Published, [&b"1\x002\x00"[..], &[b'c'; COMMAND_BYTES_MAX + 40]].concat()),
            (Order::Published, b"123456789012345678901".to_vec()),
            (Order::Described, b"1\x002\x0065537\x00".to_vec()),
        ] {
            let mut chunks = Chunks::in_order(order);
            chunks.push(&endless);
            assert!(chunks.next_chunk().is_err(), "{order:?}");
        }
    }
}
