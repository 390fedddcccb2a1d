//! The chunks of a plugin connection, in both orders of their parts.

use reference::codec::chunk::{Chunk, Chunks, Direction, Order};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    bytes: Option<String>,
    described: Option<String>,
    kind: Kind,
    id: Option<toml::Value>,
    direction: Option<String>,
    command: Option<String>,
    buffer: Option<String>,
    #[serde(default)]
    rest: String,
    #[serde(default)]
    canonical: bool,
    why: String,
}

#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Chunk,
    Incomplete,
    Unchunked,
}

fn vectors() -> Vec<Vector> {
    crate::read("chunk")
}

impl Vector {
    /// What arrives, in each order that there is of it.
    fn each(&self) -> impl Iterator<Item = (Order, &[u8])> {
        let both = [(Order::Published, &self.bytes), (Order::Described, &self.described)];
        both.into_iter().filter_map(|(order, bytes)| Some((order, bytes.as_ref()?.as_bytes())))
    }

    fn chunk(&self) -> Option<Chunk<'_>> {
        let direction = match self.direction.as_deref()? {
            "none" => Direction::None,
            "one-way" => Direction::OneWay,
            "request" => Direction::Request,
            "response" => Direction::Response,
            other => panic!("{}: no direction {other}", self.name),
        };
        // The largest number is none that TOML has.
        let id = self.id.as_ref()?.to_string().trim_matches('"').parse().expect("a number");
        Some(Chunk { id, direction, command: self.command.as_deref()?, buffer: self.buffer.as_deref()?.as_bytes() })
    }
}

#[test]
fn every_vector_is_read_as_it_says() {
    assert!(vectors().len() >= 25);
    for vector in &vectors() {
        assert!(!vector.why.is_empty() && vector.each().count() > 0, "{}", vector.name);
        assert_eq!(vector.chunk().is_some(), vector.kind == Kind::Chunk, "{}: all its parts", vector.name);
        for (order, bytes) in vector.each() {
            let mut chunks = Chunks::in_order(order);
            chunks.push(bytes);
            let (kind, chunk) = match chunks.next_chunk() {
                Ok(Some(chunk)) => (Kind::Chunk, Some(chunk)),
                Ok(None) => (Kind::Incomplete, None),
                Err(_) => (Kind::Unchunked, None),
            };
            assert_eq!((&kind, &chunk), (&vector.kind, &vector.chunk()), "{}, {order:?}", vector.name);
        }
    }
}

#[test]
fn what_follows_is_left_for_the_next() {
    for vector in vectors().iter().filter(|vector| vector.kind == Kind::Chunk) {
        let mut chunks = Chunks::default();
        chunks.push(vector.bytes.as_ref().expect("each chunk has the usual order").as_bytes());
        chunks.next_chunk().expect("a chunk");
        assert_eq!(chunks.unfinished(), vector.rest.as_bytes(), "{}", vector.name);
    }
}

#[test]
fn what_comes_a_byte_at_a_time_is_read_alike() {
    for vector in &vectors() {
        for (order, bytes) in vector.each() {
            let mut chunks = Chunks::in_order(order);
            let mut seen = None;
            for byte in bytes {
                chunks.push(std::slice::from_ref(byte));
                match chunks.next_chunk() {
                    Ok(None) => {}
                    Ok(Some(chunk)) => {
                        assert_eq!(Some(chunk), vector.chunk(), "{}, {order:?}", vector.name);
                        seen = Some(Kind::Chunk);
                        break;
                    }
                    Err(_) => {
                        seen = Some(Kind::Unchunked);
                        break;
                    }
                }
            }
            assert_eq!(seen.unwrap_or(Kind::Incomplete), vector.kind, "{}, {order:?}", vector.name);
        }
    }
}

#[test]
fn canonical_chunks_are_written_byte_for_byte() {
    let canonical: Vec<_> = vectors().into_iter().filter(|vector| vector.canonical).collect();
    assert!(canonical.len() >= 10);
    for vector in &canonical {
        for (order, bytes) in vector.each() {
            let mut out = Vec::new();
            vector.chunk().expect("a chunk").encode(order, &mut out).expect("it can be sent");
            assert_eq!(out, bytes, "{}, {order:?}", vector.name);
        }
    }
}
