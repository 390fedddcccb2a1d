//! The hand-written vectors, read by the suite's own reader: it and the reference's decoder, which share no
//! code, mean the same.

use std::path::Path;

use conformance::chunk::{self, Chunk, Direction, Order};
use conformance::dialect::payload::{self, Value};
use conformance::dialect::{Symbol, cut};
use conformance::message::{self, Lifetime, Tail};
use serde::Deserialize;

/// Payloads that the reference refuses and the suite reads all the same: it reads other people's dialects, in
/// which they may be legal, and judges no value.
const READ_ALL_THE_SAME: &[&str] = &[
    "number beyond 64 bits",
    "number with a leading zero",
    "number with a plus",
    "newline in a string",
    "unknown escape",
    "string that is not UTF-8",
    "single quotes",
];

#[derive(Deserialize)]
struct Vectors<T> {
    vector: Vec<T>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    bytes: Option<String>,
    hex: Option<String>,
    kind: String,
    op: Option<String>,
    #[serde(default)]
    fields: toml::Table,
    #[serde(default)]
    rest: String,
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        match (&self.bytes, &self.hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(hex)) => bytes_of(hex),
            _ => panic!("{}: either `bytes` or `hex`", self.name),
        }
    }
}

#[test]
fn the_reader_agrees_with_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors/op_frame.toml");
    let vectors: Vectors<Vector> = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(vectors.vector.len() >= 25);
    for vector in &vectors.vector {
        agree(vector);
    }
}

fn agree(vector: &Vector) {
    let name = &vector.name;
    let bytes = vector.bytes();
    let (frames, rest) = cut(&bytes, &Symbol(b"#".to_vec()));
    match vector.kind.as_str() {
        "incomplete" => assert!(frames.is_empty(), "{name}: no whole message"),
        "invalid" => {
            let read = frames.first().and_then(|frame| payload::object(frame.get(1..)?));
            let lenient = READ_ALL_THE_SAME.contains(&name.as_str());
            assert_eq!(read.is_some(), lenient, "{name}: read as {read:?}");
        }
        "frame" => {
            let frame = frames.first().unwrap_or_else(|| panic!("{name}: a whole message"));
            assert_eq!(&frame[..1], vector.op.as_ref().unwrap().as_bytes(), "{name}: op");
            let object = payload::object(&frame[1..]);
            if frame.len() == 1 {
                assert!(vector.fields.is_empty(), "{name}: an empty payload has no fields");
            } else {
                let object = object.unwrap_or_else(|| panic!("{name}: a payload that can be read"));
                vector.fields.iter().for_each(|(field, expected)| is(name, object.get(field), expected));
            }
            let after: Vec<u8> =
                frames[1..].iter().flat_map(|f| [f, &b"#"[..]].concat()).chain(rest.iter().copied()).collect();
            assert_eq!(after, vector.rest.as_bytes(), "{name}: what follows");
        }
        kind => panic!("{name}: unknown kind {kind}"),
    }
}

fn is(name: &str, seen: Option<&Value>, expected: &toml::Value) {
    match (seen, expected) {
        (Some(Value::Text(text)), toml::Value::String(expected)) => assert_eq!(text, expected.as_bytes(), "{name}"),
        (Some(Value::Bare(word)), toml::Value::Integer(expected)) => assert_eq!(*word, expected.to_string(), "{name}"),
        (Some(Value::Bare(word)), toml::Value::Boolean(expected)) => assert_eq!(*word, expected.to_string(), "{name}"),
        (Some(Value::Nested(_)), toml::Value::Array(_) | toml::Value::Table(_)) => {}
        (seen, expected) => panic!("{name}: expected {expected:?}, read {seen:?}"),
    }
}

/// A message of a control pipe.
#[derive(Deserialize)]
struct PipeMessage {
    name: String,
    hex: String,
    kind: String,
    means: Option<String>,
    #[serde(default)]
    rest: String,
    #[serde(default)]
    canonical: bool,
}

/// The suite has no limit: what is too long for the reference is only not whole yet.
#[test]
fn the_reader_of_pipe_messages_agrees_with_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors/pipe_message.toml");
    let vectors: Vectors<PipeMessage> = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(vectors.vector.len() >= 25);
    for PipeMessage { name, hex, kind, means, rest, canonical } in &vectors.vector {
        let bytes = bytes_of(hex);
        let (messages, tail) = message::cut(&bytes);
        let first = messages.first();
        if matches!(kind.as_str(), "message" | "unknown" | "malformed") {
            let first = first.unwrap_or_else(|| panic!("{name}: a whole message"));
            let whole = message::encoded(&first.kind, &first.payload);
            assert_eq!(bytes, [&whole[..], &bytes_of(rest)].concat(), "{name}: what follows");
        }
        let event = first.and_then(message::Message::lifetime);
        let told = event.clone().and_then(Result::ok);
        match kind.as_str() {
            "message" => {
                let word = match told {
                    Some(Lifetime::Startup(task)) => format!("startup {task}"),
                    Some(Lifetime::Complete) => "startup complete".to_owned(),
                    Some(Lifetime::Shutdown(task)) => format!("shutdown {task}"),
                    None => address(first.unwrap()),
                };
                assert_eq!(Some(&word), means.as_ref(), "{name}");
                if let (true, Some(told)) = (canonical, told) {
                    assert!(bytes.starts_with(&told.encoded()), "{name}: written");
                }
            }
            "unknown" => assert_eq!(event, None, "{name}"),
            "malformed" => assert!(told.is_none(), "{name}: {told:?}"),
            "incomplete" => assert!(messages.is_empty() && !matches!(tail, Tail::Version(_)), "{name}: {tail:?}"),
            "unframed" => {
                let is_text = first.is_none_or(|message| std::str::from_utf8(&message.kind).is_err());
                assert!(is_text, "{name}: {messages:?}, {tail:?}");
            }
            other => panic!("{name}: unknown kind {other}"),
        }
    }
}

/// What a message tells that tells an address.
fn address(message: &message::Message) -> String {
    let who = if message.kind.starts_with(b"p2p") { "peers" } else { "calls" };
    format!("{who} at {}", String::from_utf8_lossy(&message.payload))
}

/// A chunk of a plugin connection.
#[derive(Deserialize)]
struct ChunkVector {
    name: String,
    bytes: Option<String>,
    described: Option<String>,
    kind: String,
    id: Option<toml::Value>,
    direction: Option<String>,
    #[serde(default)]
    command: String,
    #[serde(default)]
    buffer: String,
    #[serde(default)]
    rest: String,
    #[serde(default)]
    canonical: bool,
}

impl ChunkVector {
    fn chunk(&self) -> Chunk {
        let id = match self.id.as_ref().expect("a chunk has a number") {
            toml::Value::Integer(id) => u64::try_from(*id).unwrap(),
            id => id.as_str().unwrap().parse().unwrap(),
        };
        let direction = match self.direction.as_deref().unwrap() {
            "none" => Direction::None,
            "one-way" => Direction::OneWay,
            "request" => Direction::Request,
            "response" => Direction::Response,
            other => panic!("{}: direction {other}", self.name),
        };
        Chunk { id, direction, command: self.command.clone().into(), buffer: self.buffer.clone().into() }
    }
}

/// The suite has no limit: what is too long for the reference is only not whole yet.
#[test]
fn the_reader_of_chunks_agrees_with_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors/chunk.toml");
    let vectors: Vectors<ChunkVector> = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(vectors.vector.len() >= 30);
    for vector in &vectors.vector {
        for (bytes, order) in [(&vector.bytes, Order::Published), (&vector.described, Order::Described)] {
            if let Some(bytes) = bytes {
                agree_on_chunks(vector, bytes.as_bytes(), order);
            }
        }
    }
}

fn agree_on_chunks(vector: &ChunkVector, bytes: &[u8], order: Order) {
    let name = format!("{} ({order:?})", vector.name);
    let (chunks, tail) = chunk::cut(bytes, order);
    match vector.kind.as_str() {
        "chunk" => {
            assert_eq!(chunks.first(), Some(&vector.chunk()), "{name}");
            assert!(chunks.len() == 1 || !vector.rest.is_empty(), "{name}: what follows");
            if vector.canonical {
                assert_eq!(vector.chunk().encoded(order), bytes, "{name}: written");
            }
        }
        "incomplete" => assert!(chunks.is_empty() && !matches!(tail, chunk::Tail::Nonsense(_)), "{name}: {tail:?}"),
        "unchunked" => {
            let is_only_long = vector.name == "one byte too many";
            assert!(
                chunks.is_empty() && (is_only_long || matches!(tail, chunk::Tail::Nonsense(_))),
                "{name}: {tail:?}"
            );
        }
        other => panic!("{name}: unknown kind {other}"),
    }
}
