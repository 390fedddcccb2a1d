//! The messages between watchdog and server; the suite's own codec is held to the same vectors.

use std::collections::BTreeMap;

use reference::codec::delimited::{Delimited, NeedsMore, Piece};
use reference::codec::op_frame::{END_SYMBOL, Op, REQUEST_BYTES_MAX, Reply, Request, split};
use reference::codec::payload::{Fields, Value};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    bytes: Option<String>,
    hex: Option<String>,
    kind: Kind,
    op: Option<String>,
    fields: Option<BTreeMap<String, toml::Value>>,
    #[serde(default)]
    rest: String,
    #[serde(default)]
    canonical: bool,
    #[serde(default)]
    refused: bool,
    why: String,
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Frame,
    Incomplete,
    Invalid,
}

fn vectors() -> Vec<Vector> {
    crate::read("op_frame")
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        match (&self.bytes, &self.hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(hex)) => crate::from_hex(hex),
            _ => panic!("{}: either bytes or hex", self.name),
        }
    }

    fn op(&self) -> u8 {
        self.op.as_ref().expect("a frame has an op").as_bytes()[0]
    }

    fn fields(&self) -> &BTreeMap<String, toml::Value> {
        self.fields.as_ref().expect("a frame has fields")
    }
}

/// The first message of a stream and what follows it, or the word that it is not whole yet.
fn first(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), NeedsMore> {
    let mut stream = Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX);
    stream.push(bytes);
    let message = match stream.next_piece()? {
        Piece::Whole(message) => message.to_vec(),
        Piece::TooLong { .. } => panic!("no vector is that long"),
    };
    Ok((message, stream.unfinished().to_vec()))
}

/// All fields of a payload; a later one replaces an earlier one with the same key.
fn fields(payload: &[u8]) -> Option<BTreeMap<String, toml::Value>> {
    let mut reader = Fields::new(payload);
    let mut fields = BTreeMap::new();
    while let Some((key, value)) = reader.next_field().ok()? {
        let value = match value {
            Value::Integer(number) => toml::Value::Integer(number),
            Value::Text(text) => toml::Value::String(text.into_owned()),
            Value::Other("a boolean") => toml::Value::Boolean(true),
            Value::Other("an array") => toml::Value::Array(Vec::new()),
            Value::Other("an object") => toml::Value::Table(toml::Table::new()),
            Value::Other(_) => continue,
        };
        fields.insert(key.into_owned(), value);
    }
    Some(fields)
}

#[test]
fn there_are_enough_vectors_and_each_has_a_name_and_a_reason() {
    let vectors = vectors();
    assert!(vectors.len() >= 25, "{}", vectors.len());
    let names: std::collections::BTreeSet<_> = vectors.iter().map(|vector| &vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "two vectors have one name");
    assert!(vectors.iter().all(|vector| !vector.why.is_empty()));
}

#[test]
fn messages_are_read_as_the_vectors_say() {
    for vector in vectors() {
        let name = &vector.name;
        let message = first(&vector.bytes());
        if vector.kind == Kind::Incomplete {
            assert_eq!(message, Err(NeedsMore), "{name}");
            continue;
        }
        let (message, rest) = message.unwrap_or_else(|NeedsMore| panic!("{name}: taken for incomplete"));
        let parts = split(&message).ok().and_then(|(op, payload)| Some((op, fields(payload)?)));
        if vector.kind == Kind::Invalid {
            assert_eq!(parts, None, "{name}");
            continue;
        }
        let (op, fields) = parts.unwrap_or_else(|| panic!("{name}: not understood"));
        assert_eq!((op.0, &fields), (vector.op(), vector.fields()), "{name}");
        assert_eq!(String::from_utf8_lossy(&rest), vector.rest, "{name}");
    }
}

#[test]
fn the_server_refuses_what_the_vectors_mark_and_nothing_else() {
    for vector in vectors().iter().filter(|vector| vector.kind != Kind::Incomplete) {
        let (message, _) = first(&vector.bytes()).expect("a whole message");
        let request = split(&message).and_then(|(op, payload)| Request::decode(op, payload));
        let refused = vector.refused || vector.kind == Kind::Invalid;
        assert_eq!(request.is_err(), refused, "{}: {request:?}", vector.name);
    }
}

/// Whoever reads byte by byte sees the same as whoever reads all at once, and nothing before the end symbol.
#[test]
fn a_message_is_whole_only_with_its_end_symbol() {
    for vector in vectors().iter().filter(|vector| vector.kind == Kind::Frame && vector.rest.is_empty()) {
        let bytes = vector.bytes();
        let mut stream = Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX);
        for &byte in &bytes[..bytes.len() - 1] {
            stream.push(&[byte]);
            assert_eq!(stream.next_piece(), Err(NeedsMore), "{}", vector.name);
        }
        stream.push(&bytes[bytes.len() - 1..]);
        assert_eq!(stream.next_piece(), Ok(Piece::Whole(&bytes[..bytes.len() - 1])), "{}", vector.name);
    }
}

#[test]
fn canonical_messages_are_written_to_the_byte() {
    let mut written = 0;
    for vector in vectors().iter().filter(|vector| vector.canonical) {
        let bytes = vector.bytes();
        let (message, _) = first(&bytes).expect("a whole message");
        let (op, payload) = split(&message).expect("an op byte");
        // Some are requests, some replies, and some are both; each is written as what it can be read as.
        let mut all = Vec::new();
        if let Ok(request) = Request::decode(op, payload) {
            let mut out = Vec::new();
            request.encode(&mut out);
            all.push(out);
        }
        if let Ok(reply) = Reply::decode(op, payload) {
            let mut out = Vec::new();
            reply.encode(Op(vector.op()), &mut out);
            all.push(out);
        }
        assert!(!all.is_empty(), "{}: neither request nor reply", vector.name);
        for out in all {
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(&bytes), "{}", vector.name);
            written += 1;
        }
    }
    assert!(written >= 12, "{written}");
}
