//! The messages of a control pipe.

use reference::codec::pipe_message::{Frames, LifetimeEvent, Message, Task};

use crate::from_hex;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    hex: String,
    kind: Kind,
    means: Option<String>,
    #[serde(default)]
    rest: String,
    #[serde(default)]
    canonical: bool,
    why: String,
}

#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Message,
    Unknown,
    Incomplete,
    Malformed,
    Unframed,
}

fn vectors() -> Vec<Vector> {
    crate::read("pipe_message")
}

/// A message in the words of the vectors.
fn words(message: &Message) -> String {
    match message {
        Message::Lifetime(LifetimeEvent::Startup(Task(task))) => format!("startup {task}"),
        Message::Lifetime(LifetimeEvent::StartupComplete) => "startup complete".into(),
        Message::Lifetime(LifetimeEvent::Shutdown(Task(task))) => format!("shutdown {task}"),
        Message::PeersAt(address) => format!("peers at {address}"),
        Message::CallsAt(address) => format!("calls at {address}"),
    }
}

/// What comes first in these bytes, and what follows it.
fn first(bytes: &[u8]) -> (Kind, Option<Message>, Vec<u8>) {
    let mut frames = Frames::default();
    frames.push(bytes);
    let (kind, message) = match frames.next_frame() {
        Err(_) => (Kind::Unframed, None),
        Ok(None) => (Kind::Incomplete, None),
        Ok(Some(frame)) => match Message::decode(frame) {
            Ok(Some(message)) => (Kind::Message, Some(message)),
            Ok(None) => (Kind::Unknown, None),
            Err(_) => (Kind::Malformed, None),
        },
    };
    (kind, message, frames.unfinished().to_vec())
}

#[test]
fn every_vector_is_read_as_it_says() {
    for vector in vectors() {
        let Vector { name, why, .. } = &vector;
        let (kind, message, rest) = first(&from_hex(&vector.hex));
        assert_eq!(kind, vector.kind, "{name}: {why}");
        assert_eq!(message.as_ref().map(words), vector.means, "{name}: {why}");
        if !matches!(kind, Kind::Incomplete | Kind::Unframed) {
            assert_eq!(rest, from_hex(&vector.rest), "{name}: {why}");
        }
    }
}

#[test]
fn every_beginning_of_a_message_is_incomplete() {
    for vector in vectors().iter().filter(|vector| vector.kind != Kind::Unframed && vector.rest.is_empty()) {
        let whole = from_hex(&vector.hex);
        for length in 0..whole.len() {
            assert_eq!(first(&whole[..length]).0, Kind::Incomplete, "{}: {length} bytes of it", vector.name);
        }
    }
}

#[test]
fn canonical_messages_are_written_byte_for_byte() {
    let canonical: Vec<_> = vectors().into_iter().filter(|vector| vector.canonical).collect();
    assert!(canonical.len() >= 5);
    for vector in canonical {
        let whole = from_hex(&vector.hex);
        let mut written = Vec::new();
        first(&whole).1.expect("a message").encode(&mut written);
        assert_eq!(written, whole, "{}", vector.name);
    }
}

#[test]
fn every_error_says_what_was_expected_and_what_was_found() {
    let wrong = vectors().into_iter().filter(|vector| matches!(vector.kind, Kind::Unframed | Kind::Malformed));
    let said = wrong.map(|vector| {
        let mut frames = Frames::default();
        frames.push(&from_hex(&vector.hex));
        let why = match frames.next_frame() {
            Err(why) => why.to_string(),
            Ok(frame) => Message::decode(frame.expect("it is whole")).expect_err("it is malformed").to_string(),
        };
        format!("{}: {why}", vector.name)
    });
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"));
}
