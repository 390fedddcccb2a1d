//! Bytes as text that can be read, and read back: what is not printable ASCII is written as `\n` or `\xNN`.

use std::fmt::Write as _;

/// The bytes as text.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        // Bodies of megabytes are mostly that.
        let plain = rest.iter().take_while(|byte| matches!(byte, 0x20..=0x7e) && **byte != b'\\').count();
        let (before, from) = rest.split_at(plain);
        text.push_str(std::str::from_utf8(before).expect("ASCII is UTF-8"));
        let Some((special, after)) = from.split_first() else { return text };
        match special {
            b'\n' => text.push_str("\\n"),
            b'\\' => text.push_str("\\\\"),
            // Writing to a string cannot fail.
            byte => _ = write!(text, "\\x{byte:02x}"),
        }
        rest = after;
    }
}

/// The bytes that a text stands for. Characters beyond ASCII stand for their UTF-8. The error says what would be right.
pub fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("`{text}`: expected characters, \\n, \\\\ or \\xNN with two hexadecimal digits");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, length) = match rest[at + 1..].chars().next() {
            Some('n') => (b'\n', 2),
            Some('\\') => (b'\\', 2),
            Some('x') => {
                let digits = rest.get(at + 2..at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
                (u8::from_str_radix(digits.ok_or_else(bad)?, 16).map_err(|_| bad())?, 4)
            }
            _ => return Err(bad()),
        };
        bytes.push(byte);
        rest = &rest[at + length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// For fields that hold bytes.
pub mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes the bytes as text.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::escaped(bytes))
    }

    /// Reads them back.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        super::unescaped(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: Vec<u8> = (0..=255).chain(*b"\\x41\\n").collect();
        assert_eq!(unescaped(&escaped(&all)), Ok(all));
        assert_eq!(unescaped("я\\x00"), Ok("я\0".into()));
        for bad in ["\\", "\\x", "\\x1", "\\xg0", "\\x+1", "\\q", "a\\xя"] {
            assert!(unescaped(bad).is_err(), "{bad}");
        }
    }
}
