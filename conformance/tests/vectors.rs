//! The hand-written vectors, read by the suite's own reader: it and the reference's decoder, which share no
//! code, mean the same.

use std::path::Path;

use conformance::dialect::payload::{self, Value};
use conformance::dialect::{Symbol, cut};
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
struct Vectors {
    vector: Vec<Vector>,
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

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        match (&self.bytes, &self.hex) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(hex)) => {
                let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
                digits.chunks(2).map(byte).collect()
            }
            _ => panic!("{}: either `bytes` or `hex`", self.name),
        }
    }
}

#[test]
fn the_reader_agrees_with_every_vector() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/vectors/op_frame.toml");
    let vectors: Vectors = toml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
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
