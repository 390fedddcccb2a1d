//! From a recorded session to what the server sends back: through which descriptor, where a reply ends, and which message
//! it belongs to.

use super::learn::{Learned, descriptors};
use super::{Symbol, cut};
use crate::event::{Event, What, Who, passed};

/// Learns the replies, once it is known what was sent for which line.
pub(super) fn learn_replies(events: &[Event], learned: &mut Learned) {
    let sent: Vec<_> = learned.messages.iter().flatten().cloned().collect();
    let mut candidates: Vec<Vec<u8>> = learned.dialect.end.iter().map(|end| end.0.clone()).collect();
    candidates.extend([&b"#"[..], b"\n", b"\0"].map(<[u8]>::to_vec));
    // A captured standard error is a stream towards the watchdog too: replies are what can be cut.
    for fd in descriptors(events, Who::Watchdog) {
        let stream = passed(events, Who::Watchdog, fd);
        for end in candidates.iter().cloned().map(Symbol) {
            let (replies, rest) = cut(&stream, &end);
            if replies.is_empty() || !rest.is_empty() {
                continue;
            }
            let as_many = replies.len() == sent.len() || replies.len() == sent.len() + learned.others.len();
            let each = as_many && follow(events, fd, &replies, &end, learned);
            if learned.dialect.wiring.write.is_some() && !each {
                continue;
            }
            learned.dialect.wiring.write = Some(fd);
            learned.dialect.reply.each = Some(each);
            learned.replies = replies_to_lines(events, &replies, &sent, learned);
            let same = |(reply, message): (&Vec<u8>, &Vec<u8>)| reply.first() == message.first();
            learned.dialect.reply.same_op = each.then(|| learned.replies.iter().zip(&sent).all(same));
            learned.dialect.reply.end = Some(end);
            break;
        }
    }
    if learned.dialect.wiring.write.is_none() {
        // Replies that nothing ends still come from somewhere; where words of failure go is no such place.
        let through = descriptors(events, Who::Watchdog).into_iter();
        let through = through.filter(|fd| *fd != 2 && !passed(events, Who::Watchdog, *fd).is_empty());
        learned.dialect.wiring.write = through.max_by_key(|fd| passed(events, Who::Watchdog, *fd).len());
    }
}

/// The replies to what was sent for a line: what is sent besides, such as a first greeting, may be replied to as well.
fn replies_to_lines(events: &[Event], replies: &[&[u8]], sent: &[Vec<u8>], learned: &Learned) -> Vec<Vec<u8>> {
    let all = || replies.iter().map(|reply| reply.to_vec()).collect();
    let (Some(read), Some(end)) = (learned.dialect.wiring.read, &learned.dialect.end) else { return all() };
    let stream = passed(events, Who::Server(0), read);
    let (messages, _) = cut(&stream, end);
    // Else either only lines are replied to, or it cannot be told what is.
    if learned.dialect.reply.each != Some(true) || replies.len() != messages.len() {
        return all();
    }
    let mut sent = sent.iter().peekable();
    let to_lines = messages.iter().zip(replies).filter(|(message, _)| sent.next_if(|line| line == *message).is_some());
    to_lines.map(|(_, reply)| reply.to_vec()).collect()
}

/// Each reply came after its message had been sent: a greeting and a silence may make up the same number.
fn follow(events: &[Event], fd: i32, replies: &[&[u8]], end: &Symbol, learned: &Learned) -> bool {
    let (Some(read), Some(message_end)) = (learned.dialect.wiring.read, &learned.dialect.end) else { return false };
    let stream = passed(events, Who::Server(0), read);
    let (messages, _) = cut(&stream, message_end);
    let sent = when(events, Who::Server(0), read, &messages, message_end);
    let replied = when(events, Who::Watchdog, fd, replies, end);
    // Where only lines are answered, whatever was sent before the first of them has no reply.
    let first = learned.messages.iter().flatten().next();
    let before = || messages.iter().position(|message| Some(*message) == first.map(Vec::as_slice)).unwrap_or(0);
    let skipped = if replies.len() == messages.len() { 0 } else { before() };
    replied.iter().zip(sent.iter().skip(skipped)).all(|(reply, message)| reply > message)
}

/// For each piece of a stream the place of the event with which it was whole.
fn when(events: &[Event], side: Who, fd: i32, pieces: &[&[u8]], end: &Symbol) -> Vec<usize> {
    let mut due: Vec<usize> = Vec::new();
    let mut length = 0;
    for piece in pieces {
        length += piece.len() + end.0.len();
        due.push(length);
    }
    let (mut places, mut passed) = (Vec::new(), 0);
    for (place, event) in events.iter().enumerate() {
        if let What::Passed { to, fd: through, bytes } = &event.what
            && *to == side
            && *through == fd
        {
            passed += bytes.len();
            while due.get(places.len()).is_some_and(|due| *due <= passed) {
                places.push(place);
            }
        }
    }
    places
}
