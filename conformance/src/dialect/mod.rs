//! What a pair's models fix and the assignment leaves open: op bytes, payload syntax, end symbol, escapes,
//! wiring, replies, words. A dialect is learned from a recorded session or stated by a profile.
//!
//! This file holds the value and how messages are cut by it. How it is learned is in `learn`, and of what comes back and
//! is shown in `replies` and `prints`; how a payload is read is in `payload`. None of them does any I/O.

pub mod datagram;
pub mod learn;
pub mod payload;
pub mod prints;
mod replies;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::escape::{escaped, unescaped};
use payload::Form;

/// One pair's dialect. `None` is what is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// How the server reaches its ends of the pipes.
    #[serde(skip_serializing_if = "is_default")]
    pub wiring: Wiring,
    /// What ends each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Symbol>,
    /// The op of each command, and of the message for `exit` where there is one.
    #[serde(skip_serializing_if = "is_default")]
    pub op: Ops,
    /// The payload's form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Form>,
    /// The name of the value in the payload of `setmeml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_name: Option<String>,
    /// How an end symbol inside a body is carried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_inside: Option<Inside>,
    /// What the server sends back.
    #[serde(skip_serializing_if = "is_default")]
    pub reply: Reply,
    /// What the watchdog prints.
    #[serde(skip_serializing_if = "is_default")]
    pub prints: Prints,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The server's descriptors for the messages: where it reads and where it writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wiring {
    /// The descriptor that messages to the server come through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<i32>,
    /// The descriptor that its replies go through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<i32>,
}

impl Wiring {
    /// Both directions are known.
    pub fn both(&self) -> Option<(i32, i32)> {
        Some((self.read?, self.write?))
    }
}

/// The op of each command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ops {
    /// `setmeml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setmeml: Option<Symbol>,
    /// `setproc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setproc: Option<Symbol>,
    /// `doreq`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doreq: Option<Symbol>,
    /// `exit`, which may be no message at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Symbol>,
}

/// What the server sends back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// There is exactly one reply to each message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<bool>,
    /// A reply begins with the op of its message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_op: Option<bool>,
    /// What ends each reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Symbol>,
}

/// What the watchdog prints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prints {
    /// Its prompt; empty when it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The response's body is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<bool>,
    /// The response's status is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<bool>,
    /// Something is shown when a setting was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<bool>,
    /// Something is shown when a request could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<bool>,
}

/// A byte or a few, written as text: what is not printable ASCII as `\xNN`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Symbol(pub Vec<u8>);

/// How an end symbol inside a body is carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inside {
    /// As it is: data and end symbol collide, which the assignment permits.
    Raw,
    /// As these characters instead.
    Escaped(String),
    /// The whole message has a form in which it cannot occur.
    Encoded,
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.0))
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> Self {
        symbol.to_string()
    }
}

impl TryFrom<String> for Symbol {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = unescaped(&text)?;
        if bytes.is_empty() { Err("a symbol cannot be empty".to_owned()) } else { Ok(Symbol(bytes)) }
    }
}

/// Cuts a stream at an end symbol: the messages without it, and what follows the last.
pub fn cut<'a>(stream: &'a [u8], end: &Symbol) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut messages = Vec::new();
    let mut rest = stream;
    while let Some(at) = find(rest, &end.0) {
        messages.push(&rest[..at]);
        rest = &rest[at + end.0.len()..];
    }
    (messages, rest)
}

/// Where `needle` first occurs; nothing occurs nowhere.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return None;
    }
    hay.windows(needle.len()).position(|w| w == needle)
}

/// How often `needle` occurs; nothing occurs never.
pub fn times(hay: &[u8], needle: &[u8]) -> usize {
    if needle.is_empty() { 0 } else { hay.windows(needle.len()).filter(|w| *w == needle).count() }
}

impl Dialect {
    /// The whole messages in a stream, each without its end; none when the end symbol is not known.
    pub fn messages<'a>(&self, stream: &'a [u8]) -> Vec<&'a [u8]> {
        self.end.as_ref().map_or_else(Vec::new, |end| cut(stream, end).0)
    }

    /// The whole replies in a stream, each without its end.
    pub fn replies<'a>(&self, stream: &'a [u8]) -> Vec<&'a [u8]> {
        self.reply.end.as_ref().map_or_else(Vec::new, |end| cut(stream, end).0)
    }

    /// A message's bytes as they stand in the pipe.
    pub fn framed(&self, message: &[u8]) -> Vec<u8> {
        let end = self.end.as_ref().map_or(&[][..], |end| &end.0);
        [message, end].concat()
    }

    /// Every point in which what is stated differs from what was seen; what either does not know is no difference.
    pub fn differences(stated: &Dialect, seen: &Dialect) -> Vec<String> {
        let (stated, seen) = (flat(stated), flat(seen));
        stated
            .iter()
            .filter_map(|(name, stated)| {
                let (_, seen) = seen.iter().find(|(n, _)| n == name)?;
                (seen != stated).then(|| format!("{name}: stated {stated}, seen {seen}"))
            })
            .collect()
    }

    /// What is stated where it is stated, and what was learned where not. Which descriptors carry bytes and what is
    /// shown was seen, though, and counts whatever is stated.
    #[must_use]
    pub fn over(&self, learned: &Dialect) -> Dialect {
        let mut merged = to_table(learned);
        overlay(&mut merged, to_table(self));
        let seen = Dialect { wiring: learned.wiring, prints: learned.prints.clone(), ..Dialect::default() };
        overlay(&mut merged, to_table(&seen));
        merged.try_into().expect("two dialects merge into a dialect")
    }
}

fn to_table(dialect: &Dialect) -> toml::Table {
    toml::Table::try_from(dialect).expect("a dialect is a table")
}

fn overlay(under: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (under.get_mut(&name), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => overlay(under, over),
            (_, value) => _ = under.insert(name, value),
        }
    }
}

fn flat(dialect: &Dialect) -> Vec<(String, String)> {
    fn walk(prefix: &str, table: &toml::Table, all: &mut Vec<(String, String)>) {
        for (name, value) in table {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => walk(&name, inner, all),
                value => all.push((name, value.to_string())),
            }
        }
    }
    let mut all = Vec::new();
    walk("", &to_table(dialect), &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_survives_its_text() {
        for bytes in [&b"#"[..], b"\n", b"\x00\xff", b"\\", b"#\r\n", "я".as_bytes()] {
            let symbol = Symbol(bytes.to_vec());
            assert_eq!(Symbol::try_from(symbol.to_string()).unwrap(), symbol);
        }
        assert!(Symbol::try_from("\\q".to_owned()).is_err());
        assert!(Symbol::try_from(String::new()).is_err());
    }

    #[test]
    fn messages_are_cut_at_the_end_symbol() {
        let end = Symbol(b"#".to_vec());
        assert_eq!(cut(b"1{}#2{}#3", &end), (vec![&b"1{}"[..], b"2{}"], &b"3"[..]));
        assert_eq!(cut(b"##", &end), (vec![&b""[..], b""], &b""[..]));
    }

    #[test]
    fn what_is_stated_wins_and_differences_are_named() {
        let stated: Dialect = toml::from_str("end = '#'\n[wiring]\nread = 3").unwrap();
        let seen: Dialect = toml::from_str("end = ';'\n[wiring]\nread = 3\nwrite = 4").unwrap();
        let merged = stated.over(&seen);
        assert_eq!(merged.end, Some(Symbol(b"#".to_vec())));
        assert_eq!(merged.wiring, Wiring { read: Some(3), write: Some(4) });
        assert_eq!(Dialect::differences(&stated, &seen), ["end: stated \"#\", seen \";\""]);
    }
}
