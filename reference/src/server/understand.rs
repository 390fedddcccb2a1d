//! From a piece of the stream to what the machine is told about it; the same on every system.

use super::machine::Event;
use crate::codec::delimited::{Delimited, Piece};
use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{Op, REQUEST_BYTES_MAX, Request, split};

/// What the machine is to be told next: of a message that lies in the inbox, or, once nothing more can come (`open` is
/// false), of the end.
pub fn next_event(inbox: &mut Delimited, open: bool) -> Option<Event> {
    match inbox.next_piece() {
        Ok(piece) => Some(understand(piece)),
        Err(_) => (!open).then_some(Event::RequestsEnded),
    }
}

fn understand(piece: Piece<'_>) -> Event {
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
