//! A line, as a person types it, to a command. It checks everything that can be known without asking anyone, so that
//! nothing malformed is ever sent; it does not know what becomes of a command.

use std::ops::RangeInclusive;

use super::printable::excerpt;
use crate::codec::op_frame::{HttpRequest, MEMORY_LIMIT_RANGE, PROCESSORS_RANGE, Request};

/// The longest line, without its end.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Nothing: the line is blank.
    Nothing,
    /// To send this to the server.
    Send(Request),
    /// To end the session.
    Exit,
}

/// What is wrong with a line, and what would be right: one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake(pub String);

/// Reads one line, given without its newline; a carriage return before that is tolerated.
///
/// Words are parted by blanks or tabs. The body of `doreq` is the exception: it begins after exactly one of them and
/// is the rest of the line, byte for byte. If nothing follows, there is no body.
pub fn parse(line: &[u8]) -> Result<Command, Mistake> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (name, rest) = word(line);
    match name {
        b"" => Ok(Command::Nothing),
        b"setmeml" => {
            let bytes = number("setmeml 123000", "bytes", rest, MEMORY_LIMIT_RANGE)?;
            Ok(Command::Send(Request::MemoryLimit { bytes }))
        }
        b"setproc" => {
            let count = number("setproc 32", "processors", rest, PROCESSORS_RANGE)?;
            Ok(Command::Send(Request::Processors { count }))
        }
        b"doreq" => http(rest).map(|request| Command::Send(Request::Http(Box::new(request)))),
        b"exit" => match word(rest).0 {
            b"" => Ok(Command::Exit),
            extra => Err(Mistake(format!("exit takes nothing after it, found {}", excerpt(extra)))),
        },
        other => {
            let found = excerpt(other);
            Err(Mistake(format!("unknown command {found}: expected setmeml, setproc, doreq or exit")))
        }
    }
}

/// The sentence for a line that is too long to be read.
pub fn too_long() -> Mistake {
    Mistake(format!("the line is longer than {LINE_BYTES_MAX} bytes and was not sent; send a shorter one"))
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The first word, and what follows it with the blank that ends the word.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let from = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    let text = &text[from..];
    text.split_at(text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len()))
}

fn number(example: &str, unit: &str, rest: &[u8], range: RangeInclusive<i64>) -> Result<i64, Mistake> {
    let (min, max) = (range.start(), range.end());
    let (name, _) = example.split_once(' ').unwrap_or((example, ""));
    let expected = format!("{name} expects a number of {unit} from {min} to {max}");
    let (digits, rest) = word(rest);
    if digits.is_empty() {
        return Err(Mistake(format!("{expected}, found nothing; try: {example}")));
    }
    if let (extra @ [_, ..], _) = word(rest) {
        return Err(Mistake(format!("{expected} and nothing after it, found {}", excerpt(extra))));
    }
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    let number = str::from_utf8(digits).ok().filter(|_| all_digits).and_then(|digits| digits.parse().ok());
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| Mistake(format!("{expected}, found {}", excerpt(digits))))
}

fn http(rest: &[u8]) -> Result<HttpRequest, Mistake> {
    const EXPECTED: &str = "doreq expects a method, a URL and perhaps a body";
    let (method, rest) = word(rest);
    if method.is_empty() {
        return Err(Mistake(format!("{EXPECTED}, found nothing; try: doreq GET http://127.0.0.1:8080")));
    }
    if !method.iter().copied().all(is_token_byte) {
        let found = excerpt(method);
        return Err(Mistake(format!("{EXPECTED}: a method is a word such as GET or POST, found {found}")));
    }
    let (url, rest) = word(rest);
    if url.is_empty() {
        let method = excerpt(method);
        return Err(Mistake(format!("{EXPECTED}, found no URL after {method}; try: doreq GET http://127.0.0.1:8080")));
    }
    let body = rest.get(1..).filter(|body| !body.is_empty());
    Ok(HttpRequest { method: ascii(method), url: checked_url(url)?, body: body.map(Vec::from) })
}

/// The bytes of a method, as RFC 9110 has them.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn checked_url(url: &[u8]) -> Result<String, Mistake> {
    let mistake = |what: &str| Mistake(format!("doreq expects {what}, found {}", excerpt(url)));
    if !url.iter().all(u8::is_ascii_graphic) {
        return Err(mistake("a URL in ASCII (write other characters as %XX)"));
    }
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let Some(rest) = rest else {
        return Err(mistake("a URL that begins with http:// or https://"));
    };
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host_from = authority.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
    if matches!(authority[host_from..].first(), None | Some(b':')) {
        return Err(mistake("a URL with a host, such as http://127.0.0.1:8080"));
    }
    Ok(ascii(url))
}

fn ascii(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(line: &[u8]) -> Request {
        match parse(line) {
            Ok(Command::Send(request)) => request,
            other => panic!("{} gave {other:?}", line.escape_ascii()),
        }
    }

    fn body(line: &[u8]) -> Option<Vec<u8>> {
        match sent(line) {
            Request::Http(request) => request.body,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_examples_of_the_assignment() {
        assert_eq!(sent(b"setmeml 123000"), Request::MemoryLimit { bytes: 123_000 });
        assert_eq!(sent(b"setproc 32"), Request::Processors { count: 32 });
        assert_eq!(
            sent(br#"doreq GET http://127.0.0.1:8080 {"arg": "body"}"#),
            Request::Http(Box::new(HttpRequest {
                method: "GET".into(),
                url: "http://127.0.0.1:8080".into(),
                body: Some(br#"{"arg": "body"}"#.to_vec()),
            }))
        );
        assert_eq!(parse(b"exit"), Ok(Command::Exit));
    }

    #[test]
    fn blanks_around_words_do_not_matter() {
        assert_eq!(parse(b" \t "), Ok(Command::Nothing));
        assert_eq!(parse(b"\r"), Ok(Command::Nothing));
        assert_eq!(parse(b"  exit \r"), Ok(Command::Exit));
        assert_eq!(sent(b"\tsetmeml\t 007  "), Request::MemoryLimit { bytes: 7 });
    }

    #[test]
    fn a_body_is_the_rest_of_the_line_as_it_is() {
        assert_eq!(body(b"doreq  POST   http://h"), None);
        assert_eq!(body(b"doreq POST http://h "), None);
        assert_eq!(body(b"doreq POST http://h  a b  "), Some(b" a b  ".to_vec()));
        assert_eq!(body(b"doreq POST http://h\t\xff#\x00\r"), Some(b"\xff#\x00".to_vec()));
    }

    #[test]
    fn methods_and_urls_are_taken_as_they_are_typed() {
        for line in ["doreq pUrGe HTTP://h", "doreq M-SEARCH https://u:p@h:1/a?b#c", "doreq GET http://[::1]:80"] {
            let Request::Http(request) = sent(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(format!("doreq {} {}", request.method, request.url), line);
        }
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        let lines: &[&[u8]] = &[
            b"hello",
            b"SETMEML 1",
            b"\x1b[2Jsetmeml\xff 1",
            b"setmeml",
            b"setmeml 0",
            b"setmeml -1",
            b"setmeml +1",
            b"setmeml 1.5",
            b"setmeml 9223372036854775808",
            b"setmeml 1 2",
            b"setproc many",
            b"setproc 65536",
            b"exit now",
            b"doreq",
            b"doreq GET",
            b"doreq G(T http://h",
            b"doreq GET h:8080/",
            b"doreq GET ftp://h",
            b"doreq GET http://",
            b"doreq GET http://:80/",
            b"doreq GET http://u@/",
            "doreq GET http://пример".as_bytes(),
        ];
        let table: Vec<String> = lines
            .iter()
            .map(|line| {
                let Mistake(sentence) = parse(line).expect_err("a mistake");
                assert!(!sentence.contains(|symbol: char| symbol.is_control()), "{sentence:?}");
                format!("{:<34} {sentence}", line.escape_ascii().to_string())
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
