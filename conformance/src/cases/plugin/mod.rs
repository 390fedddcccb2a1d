//! Cases of the family `plugin`: a plugin alone, a host alone, and the two together.
//!
//! Steps that they share are here.

use std::collections::BTreeSet;

use crate::cases::Case;
use crate::cases::seen::{state, text};
use crate::chunk::{Chunk, Direction, ERROR, PING, Tail};
use crate::outcome::{Outcome, Stop};
use crate::probe::connection::{Connection, Heard};
use crate::stage::Stage;

#[cfg(unix)]
mod host_answers;
#[cfg(unix)]
mod host_asks;
#[cfg(unix)]
mod host_ends;
#[cfg(unix)]
mod host_starts;
#[cfg(unix)]
mod played;
mod plugin_answers;
mod plugin_asks;
mod plugin_ends;
mod plugin_speaks;
#[cfg(unix)]
mod together;

/// All of them, as far as they can be performed on this system.
pub(super) const PARTS: &[&[Case]] = &[
    plugin_speaks::CASES,
    plugin_answers::CASES,
    plugin_asks::CASES,
    plugin_ends::CASES,
    #[cfg(unix)]
    host_starts::CASES,
    #[cfg(unix)]
    host_asks::CASES,
    #[cfg(unix)]
    host_answers::CASES,
    #[cfg(unix)]
    host_ends::CASES,
    #[cfg(unix)]
    together::CASES,
];

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

/// Of many requests of this command that come at once each is answered under its own number, with what it was sent.
async fn each_is_answered(side: &Connection, command: &str) -> Outcome {
    const MANY: u64 = 40;
    let buffer = |n: u64| format!("request {n}");
    side.send(&(0..MANY).map(|n| Chunk::request(FIRST + n, command, buffer(n))).collect::<Vec<_>>()).await?;
    for n in 0..MANY {
        has_bytes(&response(side, FIRST + n, "one of many requests").await?, buffer(n).as_bytes())?;
    }
    Ok(())
}

/// The first request has one response among these chunks.
fn answered_once(chunks: &[Chunk]) -> Outcome {
    match chunks.iter().filter(|chunk| chunk.answers(FIRST)).count() {
        1 => Ok(()),
        count => Err(Stop::failure("one response", format!("{count} responses of number {FIRST}"))),
    }
}

/// A request of a command that there is not is answered with an error.
async fn unknown_is_refused(side: &Connection) -> Outcome {
    let answer = answered(side, FIRST, "no.such.command", "x").await?;
    if answer.is_error() { Ok(()) } else { Err(Stop::failure(format!("the command {ERROR}"), words(&answer))) }
}

/// A ping is answered, and not with an error.
async fn ping_is_answered(side: &Connection) -> Outcome {
    let answer = answered(side, FIRST, PING, "").await?;
    if answer.is_error() { Err(Stop::failure("a response that is no error", sent(side))) } else { Ok(()) }
}

/// All that was sent is chunks, and of those there is one at least.
fn all_is_chunks(side: &Connection) -> Outcome {
    let is_whole = |heard: &Heard| heard.tail == Tail::Nothing && !heard.chunks.is_empty();
    if side.run.record.look(|events| is_whole(&side.heard(events))) {
        return Ok(());
    }
    Err(Stop::failure("one whole chunk after the other, and nothing after the last", sent(side)))
}

/// Requests that are under way at the same time have different numbers.
fn differ_in_number(requests: &[Chunk]) -> Outcome {
    let numbers: BTreeSet<_> = requests.iter().map(|request| request.id).collect();
    if numbers.len() == requests.len() {
        return Ok(());
    }
    let seen = requests.iter().map(|request| request.id.to_string()).collect::<Vec<_>>().join(", ");
    Err(Stop::failure("a number of its own for each request", format!("the numbers {seen}")))
}

/// The command for which a plugin asks its host, where it has one.
fn back(stage: &Stage) -> Result<&str, Stop> {
    let back = stage.suite.profile.plugin.back.as_str();
    let none = || Stop::NotApplicable("the profile names no command for which a plugin asks its host".into());
    Some(back).filter(|back| !back.is_empty()).ok_or_else(none)
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
