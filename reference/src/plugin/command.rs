//! What a person types to a host, as commands. What becomes of them is not known here.

use crate::watchdog::printable::excerpt;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Have the plugin do something, and show its answer.
    Call {
        /// What.
        command: String,
        /// With what.
        text: String,
    },
    /// Tell the plugin something.
    Notify {
        /// What.
        command: String,
        /// With what.
        text: String,
    },
    /// Let both sides give each other many calls at once.
    Load {
        /// How many each.
        calls: usize,
        /// How many bytes with each.
        bytes: usize,
    },
    /// End the plugin.
    Stop,
}

/// The most calls at once. Their bytes are all there at once as well.
const CALLS_MAX: usize = 1_000_000;

/// The most bytes of all calls at once, which the other side may have to hold.
const LOAD_BYTES_MAX: usize = 1 << 27;

/// What a load has with each call, unless it is said.
const BYTES: usize = 100;

/// Understands a line; an empty one is no command. The error says what was expected.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let line = line.trim_end_matches(['\r', '\n']);
    let (word, rest) = first_word(line.trim_start());
    let of_the_plugin = || match first_word(rest) {
        ("", _) => Err(format!("expected a command after {word}, and perhaps a text")),
        (command, text) => Ok((command.to_owned(), text.to_owned())),
    };
    Ok(Some(match word {
        "" => return Ok(None),
        "call" => of_the_plugin().map(|(command, text)| Command::Call { command, text })?,
        "notify" => of_the_plugin().map(|(command, text)| Command::Notify { command, text })?,
        "load" => load(rest)?,
        "stop" if rest.trim().is_empty() => Command::Stop,
        "stop" => return Err(format!("expected nothing after stop, found {}", excerpt(rest.as_bytes()))),
        other => return Err(format!("expected call, notify, load or stop, found {}", excerpt(other.as_bytes()))),
    }))
}

/// The text up to the first blank, and after it.
fn first_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn load(rest: &str) -> Result<Command, String> {
    let (calls, bytes) = parse_load(rest)?;
    if calls.saturating_mul(bytes) > LOAD_BYTES_MAX {
        return Err(format!("expected at most {LOAD_BYTES_MAX} bytes in all calls together"));
    }
    Ok(Command::Load { calls, bytes })
}

/// Of a load, the number of calls and of the bytes of each, as they are typed and as they are sent.
pub fn parse_load(text: &str) -> Result<(usize, usize), String> {
    let number = |of: &str, text: &str| {
        let number = text.parse().ok().filter(|number| (1..=CALLS_MAX).contains(number));
        number.ok_or_else(|| {
            format!("expected a number of {of} from 1 to {CALLS_MAX}, found {}", excerpt(text.as_bytes()))
        })
    };
    let mut words = text.split_ascii_whitespace();
    let calls = number("calls", words.next().unwrap_or_default())?;
    let bytes = words.next().map_or(Ok(BYTES), |word| number("bytes", word))?;
    match words.next() {
        None => Ok((calls, bytes)),
        Some(more) => {
            let more = excerpt(more.as_bytes());
            Err(format!("expected a number of calls and one of bytes, and nothing more, found {more}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_understood() {
        let call = |command: &str, text: &str| Command::Call { command: command.into(), text: text.into() };
        for (line, expected) in [
            ("call echo hello there", Some(call("echo", "hello there"))),
            ("  call echo", Some(call("echo", ""))),
            ("call echo  two blanks ", Some(call("echo", " two blanks "))),
            ("notify seen x\r\n", Some(Command::Notify { command: "seen".into(), text: "x".into() })),
            ("load 10", Some(Command::Load { calls: 10, bytes: 100 })),
            ("load 10 2000", Some(Command::Load { calls: 10, bytes: 2000 })),
            ("stop ", Some(Command::Stop)),
            ("", None),
            ("  ", None),
        ] {
            assert_eq!(parse(line), Ok(expected), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_command_is_answered_with_what_would_be() {
        for (line, expected) in [
            ("call", "expected a command after call, and perhaps a text"),
            ("notify ", "expected a command after notify, and perhaps a text"),
            ("load", "expected a number of calls from 1 to 1000000, found \"\""),
            ("load 5 0", "expected a number of bytes from 1 to 1000000, found \"0\""),
            ("load 1 2 3", "expected a number of calls and one of bytes, and nothing more, found \"3\""),
            ("load 1000000 1000000", "expected at most 134217728 bytes in all calls together"),
            ("stop now", "expected nothing after stop, found \"now\""),
            ("echo hello", "expected call, notify, load or stop, found \"echo\""),
        ] {
            assert_eq!(parse(line), Err(expected.to_owned()), "{line:?}");
        }
    }
}
