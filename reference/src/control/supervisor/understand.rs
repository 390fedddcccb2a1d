//! What a service says, as an event: one way to read the pipe for both operating systems.

use super::machine::Event;
use crate::codec::pipe_message::{Frames, Message};

/// The next thing that was said; `None` while it has not come whole.
pub fn next_event(frames: &mut Frames) -> Option<Event> {
    Some(match frames.next_frame() {
        Err(why) => Event::Lost(why),
        Ok(frame) => {
            let frame = frame?;
            let (kind, bytes) = (frame.kind, frame.payload.len());
            match Message::decode(frame) {
                Ok(Some(message)) => Event::Said(message),
                Ok(None) => Event::SaidUnknown { kind: kind.to_owned(), bytes },
                Err(why) => Event::Misunderstood(why),
            }
        }
    })
}
