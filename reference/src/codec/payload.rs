//! The payload of a message: an object in the form of the assignment's example, `{Value: 1}`.
//!
//! It is JSON with two liberties: a key needs no quotes, and numbers that matter are whole. It knows the syntax and
//! nothing of what a field means; whoever reads fields skips the names that it does not know.
//!
//! ```text
//! payload = "{" [ key ":" value *( "," key ":" value ) ] "}"       any white space between the tokens
//! key     = letter or "_", then letters, digits, "_"  |  a JSON string
//! value   = whole number from -2^63 to 2^63-1  |  JSON string  |  any other JSON value, told apart but not read
//! ```
//!
//! The end symbol `#` never stands inside a payload: strings carry it as `\u0023`.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;

/// How deep values that are skipped may be nested.
const DEPTH_MAX: usize = 32;

/// Reads the fields of one payload, in their order.
#[derive(Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    begun: bool,
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A whole number.
    Integer(i64),
    /// A string, with its escapes undone.
    Text(Cow<'a, str>),
    /// Another JSON value; the word says of what kind.
    Other(&'static str),
}

/// One field: its key, and its value.
pub type Field<'a> = (Cow<'a, str>, Value<'a>);

/// Why a payload can never be read, however many bytes may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Syntax {
    /// What would have been right.
    pub expected: &'static str,
    /// Where in the payload it was missing, counted in bytes from 0.
    pub at_byte: usize,
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {} of the payload", self.expected, self.at_byte)
    }
}

impl std::error::Error for Syntax {}

impl<'a> Fields<'a> {
    /// The fields of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { bytes: payload, at: 0, begun: false }
    }

    /// The next field; `None` after the last one, when the payload has ended as it should.
    pub fn next_field(&mut self) -> Result<Option<Field<'a>>, Syntax> {
        if self.begun {
            self.skip_white_space();
            match self.take() {
                Some(b',') => {}
                Some(b'}') => return self.end(),
                _ => return Err(self.expected_before("`,` or `}`")),
            }
        } else {
            self.begun = true;
            self.symbol(b'{', "`{`")?;
            self.skip_white_space();
            if self.peek() == Some(b'}') {
                self.at += 1;
                return self.end();
            }
        }
        let key = self.key()?;
        self.symbol(b':', "`:`")?;
        self.skip_white_space();
        let value = self.value(0)?;
        Ok(Some((key, value)))
    }

    fn end(&mut self) -> Result<Option<Field<'a>>, Syntax> {
        self.skip_white_space();
        match self.peek() {
            None => Ok(None),
            Some(_) => Err(self.expected("the end of the payload after `}`")),
        }
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Syntax> {
        self.skip_white_space();
        let from = self.at;
        match self.peek() {
            Some(b'"') => return self.text(),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {}
            _ => return Err(self.expected("a key")),
        }
        while matches!(self.peek(), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_')) {
            self.at += 1;
        }
        let key = str::from_utf8(&self.bytes[from..self.at]).map_err(|_| self.expected("a key"))?;
        Ok(Cow::Borrowed(key))
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Syntax> {
        match self.peek() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => self.nested(depth, b'}', true, "an object"),
            Some(b'[') => self.nested(depth, b']', false, "an array"),
            Some(b't') => self.word("true", "a boolean"),
            Some(b'f') => self.word("false", "a boolean"),
            Some(b'n') => self.word("null", "null"),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, kind: &'static str) -> Result<Value<'a>, Syntax> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(Value::Other(kind))
    }

    fn number(&mut self) -> Result<Value<'a>, Syntax> {
        let from = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits_from = self.at;
        // Counting downwards reaches the smallest number, which has no positive counterpart.
        let mut value = Some(0_i64);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let digit = i64::from(digit - b'0');
            value = value.and_then(|value| value.checked_mul(10)?.checked_sub(digit));
            self.at += 1;
        }
        let digits = &self.bytes[digits_from..self.at];
        if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
            self.at = from;
            return Err(self.expected("a number as JSON writes it"));
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return self.rest_of_fraction();
        }
        let value = if negative { value } else { value.and_then(i64::checked_neg) };
        self.at = if value.is_none() { from } else { self.at };
        value
            .map(Value::Integer)
            .ok_or_else(|| self.expected("a number from -9223372036854775808 to 9223372036854775807"))
    }

    fn rest_of_fraction(&mut self) -> Result<Value<'a>, Syntax> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Other("a number that is not whole"))
    }

    fn digits(&mut self) -> Result<(), Syntax> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == from { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Steps over an object or an array; only its syntax is looked at.
    fn nested(&mut self, depth: usize, close: u8, keys: bool, kind: &'static str) -> Result<Value<'a>, Syntax> {
        if depth == DEPTH_MAX {
            return Err(self.expected("at most 32 levels of nesting"));
        }
        self.at += 1;
        self.skip_white_space();
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(Value::Other(kind));
        }
        loop {
            if keys {
                self.key()?;
                self.symbol(b':', "`:`")?;
            }
            self.skip_white_space();
            self.value(depth + 1)?;
            self.skip_white_space();
            match self.take() {
                Some(b',') => {}
                Some(symbol) if symbol == close => return Ok(Value::Other(kind)),
                _ => return Err(self.expected_before("`,` or the end of the list")),
            }
        }
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Syntax> {
        self.at += 1;
        let mut undone = String::new();
        loop {
            let from = self.at;
            let Some(offset) = memchr2(b'"', b'\\', &self.bytes[from..]) else {
                self.at = self.bytes.len();
                return Err(self.expected("`\"` at the end of a string"));
            };
            let plain = self.plain(from, from + offset)?;
            self.at = from + offset + 1;
            if self.bytes[from + offset] == b'"' {
                if undone.is_empty() {
                    return Ok(Cow::Borrowed(plain));
                }
                undone.push_str(plain);
                return Ok(Cow::Owned(undone));
            }
            undone.push_str(plain);
            undone.push(self.escape()?);
        }
    }

    /// A stretch of a string without quotes and escapes.
    fn plain(&mut self, from: usize, to: usize) -> Result<&'a str, Syntax> {
        let stretch = &self.bytes[from..to];
        if let Some(offset) = stretch.iter().position(|&byte| byte < 0x20) {
            self.at = from + offset;
            return Err(self.expected("a control character to be escaped"));
        }
        str::from_utf8(stretch).map_err(|error| {
            self.at = from + error.valid_up_to();
            self.expected("text in UTF-8")
        })
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char, Syntax> {
        match self.take() {
            Some(symbol @ (b'"' | b'\\' | b'/')) => Ok(char::from(symbol)),
            Some(b'n') => Ok('\n'),
            Some(b't') => Ok('\t'),
            Some(b'r') => Ok('\r'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'u') => self.unicode_escape(),
            _ => Err(self.expected_before("one of `\"\\/bfnrtu` after a backslash")),
        }
    }

    fn unicode_escape(&mut self) -> Result<char, Syntax> {
        const PAIR: &str = "a low surrogate after a high one";
        let unit = self.four_hex_digits()?;
        let code = match unit {
            0xd800..=0xdbff => {
                if !self.bytes[self.at..].starts_with(b"\\u") {
                    return Err(self.expected(PAIR));
                }
                self.at += 2;
                match self.four_hex_digits()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(self.expected_before(PAIR)),
                }
            }
            _ => unit,
        };
        char::from_u32(code).ok_or_else(|| self.expected_before("a high surrogate before a low one"))
    }

    fn four_hex_digits(&mut self) -> Result<u32, Syntax> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.take().and_then(|symbol| char::from(symbol).to_digit(16));
            unit = unit * 16 + digit.ok_or_else(|| self.expected_before("four hexadecimal digits after `\\u`"))?;
        }
        Ok(unit)
    }

    fn symbol(&mut self, symbol: u8, name: &'static str) -> Result<(), Syntax> {
        self.skip_white_space();
        if self.peek() != Some(symbol) {
            return Err(self.expected(name));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_white_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let symbol = self.peek();
        self.at += usize::from(symbol.is_some());
        symbol
    }

    fn expected(&self, expected: &'static str) -> Syntax {
        Syntax { expected, at_byte: self.at }
    }

    fn expected_before(&self, expected: &'static str) -> Syntax {
        Syntax { expected, at_byte: self.at.saturating_sub(1) }
    }
}

/// Writes a string: quoted, with `"`, `\`, `#` and control characters escaped.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            b'#' | 0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        if short == 0 {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// How many bytes a whole number takes at most.
pub const DIGITS_MAX: usize = 20;

/// Writes a whole number in decimal.
pub fn put_integer(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; DIGITS_MAX];
    let from = write_integer(&mut digits, number);
    out.extend_from_slice(&digits[from..]);
}

/// Writes a whole number in decimal to the end of `room`, which holds [`DIGITS_MAX`] bytes at least, and says where it
/// begins.
pub fn write_integer(room: &mut [u8], number: i64) -> usize {
    let mut from = room.len();
    let mut rest = number.unsigned_abs();
    loop {
        from -= 1;
        room[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    match number {
        0.. => from,
        _ => {
            room[from - 1] = b'-';
            from - 1
        }
    }
}

#[cfg(test)]
#[path = "payload_tests.rs"]
mod tests;
