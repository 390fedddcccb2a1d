//! Reading payloads that nobody described: objects with quoted or bare names, as far as they can be read.
//!
//! What is not such an object is text or opaque: framed and replayed, not interpreted. The vectors in
//! `fixtures/vectors` pin this reader and the reference's decoder to the same meaning.

use serde::{Deserialize, Serialize};

/// How payloads are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// `{Value: 1}`.
    BareNames,
    /// `{"Value": 1}`.
    QuotedNames,
    /// The value stands there as text, without a structure that is known here.
    Text,
    /// What was sent cannot be found in what was written.
    Opaque,
}

/// A value in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string, unescaped. Its bytes need not be UTF-8.
    Text(Vec<u8>),
    /// A number, `true`, `false`, `null`: as it stands.
    Bare(String),
    /// An object or a list: as it stands.
    Nested(Vec<u8>),
}

/// The fields of an object in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Names and values.
    pub fields: Vec<(String, Value)>,
    /// The names are quoted.
    pub quoted: bool,
}

impl Object {
    /// The last value under this name, as of JSON objects with repeated names.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

/// Reads an object that fills all of `bytes`; `None` when it is not one.
pub fn object(bytes: &[u8]) -> Option<Object> {
    let mut reader = Reader { rest: bytes };
    let object = reader.object()?;
    reader.blank();
    reader.rest.is_empty().then_some(object)
}

/// How deeply lists and objects may be nested before a payload counts as opaque.
const DEPTH_MAX: usize = 64;

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn blank(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.blank();
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn object(&mut self) -> Option<Object> {
        self.take(b'{')?;
        let mut object = Object { fields: Vec::new(), quoted: false };
        if self.take(b'}').is_some() {
            return Some(object);
        }
        loop {
            self.blank();
            let name = match self.rest.first()? {
                quote @ (b'"' | b'\'') => {
                    object.quoted = true;
                    String::from_utf8(self.string(*quote)?).ok()?
                }
                _ => self.name()?,
            };
            self.take(b':')?;
            object.fields.push((name, self.value()?));
            if self.take(b'}').is_some() {
                return Some(object);
            }
            self.take(b',')?;
        }
    }

    fn name(&mut self) -> Option<String> {
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$');
        let length = self.rest.iter().take_while(|b| is_part(b)).count();
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        (length > 0).then(|| String::from_utf8_lossy(name).into_owned())
    }

    fn value(&mut self) -> Option<Value> {
        self.blank();
        match self.rest.first()? {
            quote @ (b'"' | b'\'' | b'`') => self.string(*quote).map(Value::Text),
            b'{' | b'[' => self.nested().map(|bytes| Value::Nested(bytes.to_vec())),
            _ => {
                let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_');
                let length = self.rest.iter().take_while(|b| is_part(b)).count();
                let (word, rest) = self.rest.split_at(length);
                self.rest = rest;
                (length > 0).then(|| Value::Bare(String::from_utf8_lossy(word).into_owned()))
            }
        }
    }

    /// Brackets are counted, strings are skipped; what stands inside is not read.
    fn nested(&mut self) -> Option<&'a [u8]> {
        let whole = self.rest;
        let mut depth = 0;
        loop {
            match self.rest.first()? {
                quote @ (b'"' | b'\'') => {
                    self.string(*quote)?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.rest = &self.rest[1..];
            if depth == 0 {
                return Some(&whole[..whole.len() - self.rest.len()]);
            }
            if depth > DEPTH_MAX {
                return None;
            }
        }
    }

    fn string(&mut self, quote: u8) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.rest = &self.rest[1..];
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b if b == quote => return Some(text),
                b'\\' => self.escape(&mut text)?,
                b => text.push(b),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'n' => text.push(b'\n'),
            b't' => text.push(b'\t'),
            b'r' => text.push(b'\r'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'u' => {
                let character = self.unit()?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'x' => text.push(u8::try_from(self.hex(2)?).ok()?),
            other => text.push(other),
        }
        Some(())
    }

    /// A `\u` escape after its `u`, with the second half of a surrogate pair.
    fn unit(&mut self) -> Option<char> {
        let first = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest = self.rest.strip_prefix(b"\\u")?;
        let second = self.hex(4)?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + low)
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let (text, rest) = self.rest.split_at_checked(digits)?;
        self.rest = rest;
        text.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::Text(value.as_bytes().to_vec())
    }

    #[test]
    fn bare_and_quoted_names() {
        let bare = object(b"{Value: 1}").unwrap();
        assert_eq!(bare.get("Value"), Some(&Value::Bare("1".into())));
        assert!(!bare.quoted);
        let quoted = object(br#" {"limit" :12,'x':"y"} "#).unwrap();
        assert_eq!(quoted.get("x"), Some(&text("y")));
        assert!(quoted.quoted);
    }

    #[test]
    fn escapes_and_nesting() {
        let read = object(br#"{a: "\u0023\ud83d\ude00\n\"\x23", b: {c: ["]"]}, d: true}"#).unwrap();
        assert_eq!(read.get("a"), Some(&text("#\u{1f600}\n\"#")));
        assert_eq!(read.get("b"), Some(&Value::Nested(br#"{c: ["]"]}"#.to_vec())));
        assert_eq!(read.get("d"), Some(&Value::Bare("true".into())));
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        for bytes in [&b""[..], b"12", b"{", b"{a}", b"{a:1", b"{a:1}x", br#"{a:"\ud83d"}"#, b"{a:\"", b"\x00\xff"] {
            assert_eq!(object(bytes), None, "{}", bytes.escape_ascii());
        }
    }
}
