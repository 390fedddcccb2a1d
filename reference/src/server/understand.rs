//! From a piece of the stream to what the machine is told about it; the same on every system.

use super::machine::Event;
use crate::codec::delimited::Piece;
use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{Op, REQUEST_BYTES_MAX, Request, split};

/// What the machine is to know about this piece.
pub fn understand(piece: Piece<'_>) -> Event {
    let message = match piece {
        Piece::Whole(message) => message,
        Piece::TooLong { first } => {
            return Event::Refused(Op(first), Malformed::TooLong { bytes_max: REQUEST_BYTES_MAX });
        }
    };
    match split(message) {
        Err(why) => Event::Refused(Op::NONE, why),
        Ok((op, payload)) => match Request::decode(op, payload) {
            Ok(request) => Event::Message(request),
            Err(why) => Event::Refused(op, why),
        },
    }
}
