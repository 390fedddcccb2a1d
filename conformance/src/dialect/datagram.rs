//! What is in a datagram beside a message: the number of a request, and of its answer, by which what is lost, comes twice or
//! comes out of order is told from what is not. A profile states the form.
//!
//! What is done about any of that is not known here.

use std::fmt::Write;
use std::str::FromStr;

/// The form of a pair's datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// These bytes.
    Always(String),
    Session,
    Number,
    Message,
}

/// A message, and what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Numbered {
    /// What the asking side has chosen; 0 where there is no such thing.
    pub session: u64,
    /// Which request it is, or answers.
    pub number: u64,
    /// The message; it may be empty.
    pub message: Vec<u8>,
}

/// What stands for a part.
const PARTS: [(&str, Part); 3] =
    [("{session}", Part::Session), ("{number}", Part::Number), ("{message}", Part::Message)];

impl FromStr for Form {
    type Err = String;

    /// Reads a form with a number and a message in it, the message last.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let next = PARTS.iter().filter_map(|(name, part)| Some((rest.find(name)?, name.len(), part)));
            let (at, length, part) = match next.min_by_key(|(at, ..)| *at) {
                Some((at, length, part)) => (at, length, Some(part.clone())),
                None => (rest.len(), 0, None),
            };
            if at > 0 {
                parts.push(Part::Always(rest[..at].to_owned()));
            }
            parts.extend(part);
            rest = &rest[at + length..];
        }
        let times = |part| parts.iter().filter(|other| **other == part).count();
        let is_number = |part: &Part| matches!(part, Part::Session | Part::Number);
        if times(Part::Number) != 1 || times(Part::Session) > 1 || times(Part::Message) != 1 {
            return Err(format!(
                "expected {{number}} and {{message}} in it, and {{session}} at most once, found `{text}`"
            ));
        }
        if parts.last() != Some(&Part::Message) {
            return Err(format!("expected {{message}} at its end, found `{text}`"));
        }
        if parts.windows(2).any(|two| is_number(&two[0]) && !ends_number(&two[1])) {
            return Err(format!("expected something that is no digit behind each number, found `{text}`"));
        }
        Ok(Form { parts })
    }
}

fn ends_number(part: &Part) -> bool {
    matches!(part, Part::Always(text) if !text.starts_with(|first: char| first.is_ascii_digit()))
}

impl Form {
    /// Whether an asking side tells its sessions apart.
    pub fn has_session(&self) -> bool {
        self.parts.contains(&Part::Session)
    }

    /// The datagram.
    pub fn datagram(&self, session: u64, number: u64, message: &[u8]) -> Vec<u8> {
        let mut head = String::new();
        for part in &self.parts {
            match part {
                Part::Always(text) => head.push_str(text),
                Part::Session => drop(write!(head, "{session}")),
                Part::Number => drop(write!(head, "{number}")),
                Part::Message => {}
            }
        }
        [head.as_bytes(), message].concat()
    }

    /// What is in a datagram, if it has this form.
    pub fn read(&self, datagram: &[u8]) -> Option<Numbered> {
        let mut read = Numbered { session: 0, number: 0, message: Vec::new() };
        let mut rest = datagram;
        for part in &self.parts {
            match part {
                Part::Always(text) => rest = rest.strip_prefix(text.as_bytes())?,
                Part::Session => (read.session, rest) = leading_number(rest)?,
                Part::Number => (read.number, rest) = leading_number(rest)?,
                Part::Message => (read.message, rest) = (rest.to_vec(), &[]),
            }
        }
        Some(read)
    }
}

fn leading_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(length);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_datagram_is_read_from_it() {
        for text in ["{session} {number} {message}", "#{number}:{message}", "{number}/{session};{message}"] {
            let form: Form = text.parse().unwrap();
            let session = if form.has_session() { 7 } else { 0 };
            for message in [&b""[..], b"1{Value: 5}#", b" 8 9"] {
                let datagram = form.datagram(session, 12, message);
                let read = Numbered { session, number: 12, message: message.to_vec() };
                assert_eq!(form.read(&datagram), Some(read), "{text}");
            }
        }
        assert_eq!("{session} {number} {message}".parse::<Form>().unwrap().datagram(7, 1, b"a"), b"7 1 a");
    }

    #[test]
    fn what_has_another_form_is_not_read() {
        let form: Form = "{session} {number} {message}".parse().unwrap();
        for other in ["", " ", "7", "7 ", "7 1", "a 1 b", "7 -1 b", "99999999999999999999 1 a"] {
            assert_eq!(form.read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_form_that_cannot_be_read_is_refused() {
        for text in [
            "",
            "{message}",
            "{number}",
            "{message} {number}",
            "{number}{message}",
            "{number}{session} {message}",
            "{number} {number} {message}",
            "{number}1{message}",
        ] {
            assert!(text.parse::<Form>().is_err(), "{text}");
        }
    }
}
