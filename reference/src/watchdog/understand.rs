//! From pieces of the streams, replies and lines, to what the machine is told about them; the same on every system.

use super::command;
use super::machine::Event;
use crate::codec::delimited::Piece;
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

/// What the machine is to know about this piece of the input.
pub fn line(piece: Piece<'_>) -> Event {
    Event::Line(match piece {
        Piece::Whole(line) => command::parse(line),
        Piece::TooLong { .. } => Err(command::too_long()),
    })
}
