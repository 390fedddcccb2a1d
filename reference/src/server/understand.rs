//! From a piece of the stream to what the machine is told about it; the same on every system.

use super::machine::Event;
use crate::codec::delimited::{Delimited, Piece};
use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{END_SYMBOL, Op, REQUEST_BYTES_MAX, Request, split};

/// What the machine is to be told next: of a message that lies in the inbox, or, once nothing more can come (`open` is
/// false), of the end.
pub fn next_event(inbox: &mut Delimited, open: bool) -> Option<Event> {
    match inbox.next_piece() {
        Ok(piece) => Some(understand(piece)),
        Err(_) => (!open).then_some(Event::RequestsEnded),
    }
}

/// What the machine is to be told of a message that came by itself, up to its end symbol.
pub fn event_of(message: &[u8]) -> Event {
    match message.split_last() {
        Some((&END_SYMBOL, message)) if !message.contains(&END_SYMBOL) => understand(Piece::Whole(message)),
        _ => Event::Refused(message.first().map_or(Op::NONE, |first| Op(*first)), Malformed::NotOne),
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
