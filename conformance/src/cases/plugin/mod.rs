//! Cases of the family `plugin`: a plugin alone, a host alone, and the two together.
//!
//! Steps that they share are here.

use crate::cases::steps::{state, text};
use crate::chunk::{Chunk, Direction, PING, Tail};
use crate::outcome::Stop;
use crate::probe::connection::Connection;

pub(super) mod host_answers;
pub(super) mod host_asks;
pub(super) mod host_ends;
pub(super) mod host_starts;
mod played;
pub(super) mod plugin_answers;
pub(super) mod plugin_asks;
pub(super) mod plugin_ends;
pub(super) mod plugin_speaks;
pub(super) mod together;

/// The number of the suite's first request but for the greeting. Few count from there, and after some more it takes another bit.
const FIRST: u64 = (1 << 20) - 15;

/// A number that no shorter one can stand for.
const WIDE: u64 = i64::MAX as u64;

/// More than pipes hold.
const LARGE_BYTES: usize = 1 << 20;

/// Every byte, and what would be a chunk if it stood alone.
fn any_bytes() -> Vec<u8> {
    let all: Vec<u8> = (0..=255).collect();
    [&b"\x00\x00 7\x003\x00echo 2\x00ok"[..], &all, b" \0"].concat()
}

/// So many bytes, of which no two parts are alike.
fn large() -> Vec<u8> {
    (0u64..).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).take(LARGE_BYTES).collect()
}

/// What is no chunk, and no beginning of one.
const NONSENSE: &[u8] = b"Hello\0there\0are you in?\0\n";

/// What would be chunks if there were such numbers.
fn out_of_range() -> [(&'static str, Vec<u8>); 2] {
    let number = [&[b'9'; 30][..], b"\x002\x00echo 1\x00x"].concat();
    [("a number of 30 digits", number), ("direction 9", b"1001\x009\x00echo 1\x00x".to_vec())]
}

/// The response to the request of this number, which must come.
async fn response(side: &Connection, id: u64, to: &str) -> Result<Chunk, Stop> {
    let answer = side.until(|chunks| chunks.iter().find(|chunk| chunk.answers(id)).cloned()).await;
    answer.ok_or_else(|| Stop::failure(format!("a response to {to}, of number {id}"), sent(side)))
}

/// Sends a request of this number, and waits for its response, which must come.
async fn answered(side: &Connection, id: u64, command: &str, buffer: impl Into<Vec<u8>>) -> Result<Chunk, Stop> {
    side.send(&[Chunk::request(id, command, buffer)]).await?;
    response(side, id, &format!("`{command}`")).await
}

/// Fails unless a response has these bytes.
fn has_bytes(answer: &Chunk, expected: &[u8]) -> Result<(), Stop> {
    let seen = &answer.buffer;
    if seen == expected && !answer.is_error() {
        return Ok(());
    }
    // Of many bytes nobody sees in which they differ.
    let alike = seen.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let where_from = if alike < 20 { String::new() } else { format!("alike up to byte {alike}, ") };
    let lengths = if seen.len() == expected.len() { String::new() } else { format!("{} bytes, ", seen.len()) };
    let expected = format!("a response with {} bytes, {}", expected.len(), text(expected));
    Err(Stop::failure(expected, format!("{lengths}{where_from}{}", words(answer))))
}

/// A chunk as a person reads it.
fn words(chunk: &Chunk) -> String {
    let kind = match chunk.direction {
        Direction::None => "chunk without a direction",
        Direction::OneWay => "one-way message",
        Direction::Request => "request",
        Direction::Response => "response",
    };
    let command = String::from_utf8_lossy(&chunk.command);
    format!("a {kind} of number {}, {command}, with {}", chunk.id, text(&chunk.buffer))
}

/// What the subject has sent last, but for pings, and how the session is.
fn sent(side: &Connection) -> String {
    let heard = side.run.record.look(|events| side.heard(events));
    let others: Vec<_> = heard.chunks.iter().filter(|chunk| !chunk.is_request(PING)).collect();
    let mut said: Vec<_> = others[others.len().saturating_sub(3)..].iter().map(|chunk| words(chunk)).collect();
    match &heard.tail {
        Tail::Nothing => {}
        Tail::CutOff(bytes) => said.push(format!("{bytes} bytes that are no whole chunk")),
        Tail::Nonsense(bytes) => said.push(format!("what is no chunk, {}", text(bytes))),
    }
    let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", then ") };
    let flood = if side.run.record.is_flooded() { ", and more than is kept (--max-output)" } else { "" };
    format!("the {} sent {said}{flood}; {}", side.subject, state(&side.run))
}
