//! What the suite reads from subjects and from files never makes it panic, and what it writes can be read back.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use conformance::baseline::Baseline;
use conformance::chunk::{self, Chunk, Direction, Order};
use conformance::dialect::learn::{self, Command, Line, Tokens};
use conformance::dialect::{Dialect, Symbol, cut, payload};
use conformance::escape::{escaped, unescaped};
use conformance::event::{Event, Request, Status, Stream, What, Who};
use conformance::message::{self, Tail};
use conformance::profile::Profile;
use conformance::record::Record;
use conformance::subject::handover::{self, Hello};
use proptest::collection::vec;
use proptest::prelude::*;

/// Bytes as subjects write them: pieces of messages, and anything else.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"1{Value: 1}#".to_vec()),
        Just(b"\x02{\"value\":32}\n".to_vec()),
        Just(b"doreq POST http://127.0.0.1/a {}".to_vec()),
        Just(b"an-answer".to_vec()),
        Just(b"\\u0023\\ud800\\".to_vec()),
        Just(b"{[{[\"".to_vec()),
        vec(any::<u8>(), 0..12),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn who() -> impl Strategy<Value = Who> {
    let child = (0usize..3).prop_flat_map(|n| {
        prop_oneof![Just(Who::Server(n)), Just(Who::Service(n)), Just(Who::Plugin(n)), Just(Who::Listener(n))]
    });
    prop_oneof![Just(Who::Watchdog), Just(Who::Supervisor), Just(Who::Host), child]
}

fn what() -> impl Strategy<Value = What> {
    let request = (stream(), any::<u16>()).prop_map(|(body, answered)| {
        What::Requested(Request { method: "POST".into(), path: "/a?b".into(), body, answered })
    });
    prop_oneof![
        stream().prop_map(|bytes| What::Typed { bytes }),
        stream().prop_map(|bytes| What::Shown { stream: Stream::Terminal, bytes }),
        (who(), -1i32..9, stream()).prop_map(|(to, fd, bytes)| What::Passed { to, fd, bytes }),
        (who(), any::<i32>()).prop_map(|(who, pid)| What::Started { who, pid }),
        who().prop_map(|who| What::Ended { who, status: Some(Status::Exited(3)) }),
        (who(), -1i32..9).prop_map(|(to, fd)| What::Closed { to, fd }),
        request,
        stream().prop_map(|bytes| What::Disagreed { target: "resets the connection".into(), bytes }),
        Just(What::Looked),
        Just(What::Finishing),
    ]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    vec(what(), 0..40).prop_map(|all| {
        let event = |(at_us, what)| Event { at_us, what };
        (0..).zip(all).map(event).collect()
    })
}

proptest! {
    #[test]
    fn bytes_come_back_from_their_text(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(unescaped(&escaped(&bytes)), Ok(bytes));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        let _ = unescaped(&text);
        let _ = Symbol::try_from(text.clone());
        let _ = toml::from_str::<Profile>(&text);
        let _ = toml::from_str::<Baseline>(&text);
        let _ = serde_json::from_str::<Event>(&text);
    }

    #[test]
    fn any_payload_is_read_or_refused(bytes in stream()) {
        let _ = payload::object(&bytes);
    }

    #[test]
    fn a_stream_is_its_messages_and_their_ends(bytes in stream(), end in vec(any::<u8>(), 1..3)) {
        let end = Symbol(end);
        let (messages, rest) = cut(&bytes, &end);
        let mut joined: Vec<u8> = messages.iter().flat_map(|message| [*message, &end.0[..]].concat()).collect();
        joined.extend_from_slice(rest);
        prop_assert_eq!(joined, bytes);
    }

    #[test]
    fn whatever_was_recorded_something_is_learned_or_nothing(events in events()) {
        let line = |command, token: &str| Line { command, token: token.to_owned() };
        let lines = [
            line(Command::SetMemory, "1"),
            line(Command::SetProcessors, "32"),
            line(Command::Request, "a"),
            line(Command::Exit, "exit"),
        ];
        let tokens = Tokens { body: "an-answer".into(), status: 203 };
        let learned = learn::learn(&events, &lines, &tokens);
        prop_assert_eq!(learned.messages.len(), lines.len());
        // What was learned can be kept as a profile and read again.
        let text = toml::to_string(&learned.dialect).unwrap();
        prop_assert_eq!(toml::from_str::<Dialect>(&text).unwrap(), learned.dialect);
    }

    #[test]
    fn an_event_comes_back_from_its_line(what in what()) {
        let line = serde_json::to_string(&Event { at_us: 7, what }).unwrap();
        let again: Event = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), line);
    }

    #[test]
    fn whoever_connects_says_a_greeting_or_is_refused(bytes in stream(), is_measured in any::<bool>()) {
        let (mut theirs, ours) = UnixStream::pair().unwrap();
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        theirs.write_all(&[if is_measured { &length[..] } else { &[] }, &bytes].concat()).unwrap();
        drop(theirs);
        let _ = handover::receive::<Hello>(&ours);
    }

    #[test]
    fn a_record_of_the_past_shows_what_was_seen_then(events in events()) {
        let record = Record::past(events.clone());
        for at in events.iter().enumerate().filter(|(_, e)| matches!(e.what, What::Looked)).map(|(at, _)| at) {
            prop_assert_eq!(record.look(<[Event]>::len), at);
        }
    }

    #[test]
    fn of_what_comes_over_a_control_pipe_nothing_is_lost(
        pieces in vec(
            prop_oneof![
                (vec(any::<u8>(), 0..256), vec(any::<u8>(), 0..300))
                    .prop_map(|(kind, payload)| message::encoded(&kind[..kind.len().min(255)], &payload)),
                vec(any::<u8>(), 0..9),
            ],
            0..6,
        ),
    ) {
        let stream = pieces.concat();
        let (messages, tail) = message::cut(&stream);
        let whole: Vec<u8> = messages.iter().flat_map(|one| message::encoded(&one.kind, &one.payload)).collect();
        prop_assert!(stream.starts_with(&whole));
        let rest = &stream[whole.len()..];
        match tail {
            Tail::Nothing => prop_assert!(rest.is_empty()),
            Tail::CutOff(bytes) => prop_assert_eq!(rest.len(), bytes),
            Tail::Version(version) => prop_assert_eq!(rest.first(), Some(&version)),
        }
    }

    #[test]
    fn chunks_are_read_as_they_were_written_and_what_is_cut_off_is_said_to_be(
        parts in vec(
            (prop_oneof![0..3u64, any::<u64>()], 0..4usize, vec(1..=255u8, 0..20), vec(any::<u8>(), 0..300)),
            1..5,
        ),
        kept in any::<prop::sample::Index>(),
        order in prop_oneof![Just(Order::Published), Just(Order::Described)],
    ) {
        const DIRECTIONS: [Direction; 4] = [Direction::None, Direction::OneWay, Direction::Request, Direction::Response];
        let chunk = |(id, direction, command, buffer)| Chunk { id, direction: DIRECTIONS[direction], command, buffer };
        let chunks: Vec<_> = parts.into_iter().map(chunk).collect();
        let encoded: Vec<_> = chunks.iter().map(|chunk| chunk.encoded(order)).collect();
        let stream = encoded.concat();
        prop_assert_eq!(chunk::cut(&stream, order), (chunks.clone(), chunk::Tail::Nothing));
        let kept = kept.index(stream.len());
        let (whole, tail) = chunk::cut(&stream[..kept], order);
        prop_assert_eq!(&whole[..], &chunks[..whole.len()]);
        let rest = kept - encoded[..whole.len()].iter().map(Vec::len).sum::<usize>();
        prop_assert_eq!(tail, if rest == 0 { chunk::Tail::Nothing } else { chunk::Tail::CutOff(rest) });
    }

    #[test]
    fn whatever_comes_over_a_plugin_connection_can_be_looked_at(stream in vec(prop_oneof![Just(0), Just(b' '), b'0'..=b'9', any::<u8>()], 0..200)) {
        for order in [Order::Published, Order::Described] {
            let (chunks, _) = chunk::cut(&stream, order);
            let again: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.encoded(order)).collect();
            prop_assert_eq!(chunk::cut(&again, order), (chunks, chunk::Tail::Nothing));
        }
    }
}

/// In a record of the past nobody waits, not even for what never came.
#[tokio::test]
async fn the_past_is_not_waited_for() {
    let record = Record::past(vec![Event { at_us: 0, what: What::Looked }]);
    let begun = Instant::now();
    let far = begun + std::time::Duration::from_secs(3600);
    assert_eq!(record.until(far, |_| None::<()>).await, None);
    assert!(record.has_run_out() && begun.elapsed().as_secs() < 60);
}
