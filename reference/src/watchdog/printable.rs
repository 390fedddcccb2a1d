//! Makes bytes from elsewhere fit for a terminal: text stays as it is, while control characters, which could move the
//! cursor, recolour or retitle the window, and bytes that are no text are written out as `\xNN`.

use std::fmt::Write as _;

/// How much of somebody's input is repeated in a message.
const EXCERPT_CHARS_MAX: usize = 60;

/// Text of several lines: newlines and tabs stay.
pub fn printable(bytes: &[u8]) -> String {
    escaped(bytes, |symbol| symbol == '\n' || symbol == '\t')
}

/// Text of one line: no control character stays.
pub fn printable_line(bytes: &[u8]) -> String {
    escaped(bytes, |_| false)
}

/// The beginning of `bytes`, in quotes, to be put into a sentence.
pub fn excerpt(bytes: &[u8]) -> String {
    let line = printable_line(&bytes[..bytes.len().min(4 * EXCERPT_CHARS_MAX)]);
    match line.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((at, _)) => format!("\"{}…\"", &line[..at]),
        None => format!("\"{line}\""),
    }
}

fn escaped(bytes: &[u8], stays: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    let escape = |out: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        let text = chunk.valid();
        let mut copied = 0;
        for (at, control) in text.char_indices().filter(|&(_, symbol)| symbol.is_control() && !stays(symbol)) {
            let end = at + control.len_utf8();
            out.push_str(&text[copied..at]);
            escape(&mut out, &text.as_bytes()[at..end]);
            copied = end;
        }
        out.push_str(&text[copied..]);
        escape(&mut out, chunk.invalid());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_control_characters_do_not() {
        assert_eq!(printable("Привет\n\t😀".as_bytes()), "Привет\n\t😀");
        assert_eq!(printable(b"\x1b[31mred\r\x07\x7f"), "\\x1b[31mred\\x0d\\x07\\x7f");
        assert_eq!(printable("\u{9b}31m".as_bytes()), "\\xc2\\x9b31m");
        assert_eq!(printable(b"a\xffb\xe2\x82"), "a\\xffb\\xe2\\x82");
        assert_eq!(printable_line(b"one\ntwo\t"), "one\\x0atwo\\x09");
    }

    #[test]
    fn no_byte_gets_through_that_moves_the_cursor() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for text in [printable(&every_byte), printable_line(&every_byte), excerpt(&every_byte)] {
            assert!(text.chars().all(|symbol| !symbol.is_control() || symbol == '\n' || symbol == '\t'), "{text}");
        }
    }

    #[test]
    fn excerpts_are_short() {
        assert_eq!(excerpt(b"word"), "\"word\"");
        assert_eq!(excerpt(&[b'x'; 1000]).chars().count(), EXCERPT_CHARS_MAX + 3);
    }
}
