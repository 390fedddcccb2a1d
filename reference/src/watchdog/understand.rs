//! From pieces of the streams, replies and lines, to what the machine is told about them; the same on every system.

use super::command;
use super::machine::Event;
use crate::codec::delimited::{Delimited, Piece};
use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{Op, REPLY_BYTES_MAX, Reply, split};

/// What the machine is to know about this piece of the replies.
pub fn reply(piece: Piece<'_>) -> Event {
    let message = match piece {
        Piece::Whole(message) => message,
        Piece::TooLong { first } => {
            return Event::Reply(Op(first), Err(Malformed::TooLong { bytes_max: REPLY_BYTES_MAX }));
        }
    };
    match split(message) {
        Err(why) => Event::Reply(Op::NONE, Err(why)),
        Ok((op, payload)) => Event::Reply(op, Reply::decode(op, payload)),
    }
}

/// What the machine is to be told next of the input: a line, or, once nothing more can come (`open` is false), the end.
/// What stands behind the last newline is a line too.
pub fn next_line(lines: &mut Delimited, open: bool) -> Option<Event> {
    if let Ok(piece) = lines.next_piece() {
        return Some(line(piece));
    }
    if open {
        return None;
    }
    if lines.unfinished().is_empty() {
        return Some(Event::InputEnded);
    }
    lines.push(b"\n");
    next_line(lines, open)
}

fn line(piece: Piece<'_>) -> Event {
    Event::Line(match piece {
        Piece::Whole(line) => command::parse(line),
        Piece::TooLong { .. } => Err(command::too_long()),
    })
}
