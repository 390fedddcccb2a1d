//! From a recorded session to what the pair shows: whether answers, statuses and settings, and after which prompt.

use super::learn::Tokens;
use super::{Prints, find};
use crate::event::{Event, Stream, What, shown};

/// What is shown of the answers that the target gave.
pub(super) fn learn_prints(events: &[Event], tokens: &Tokens) -> Prints {
    let all = said(events);
    let has = |what: &str| find(&all, what.as_bytes()).is_some();
    // What is shown before the first answer is what the settings gave.
    let first = [find(&all, tokens.body.as_bytes()), find(&all, tokens.status.to_string().as_bytes())];
    let before = String::from_utf8_lossy(&all[..first.into_iter().flatten().min().unwrap_or(0)]);
    Prints {
        body: Some(has(&tokens.body)),
        status: Some(has(&tokens.status.to_string())),
        setting: (first != [None, None]).then(|| before.lines().count() > 1 && before.contains(char::is_alphanumeric)),
        prompt: None,
        failure: None,
    }
}

/// What was shown in a terminal, without the typed lines that some programs echo themselves.
fn said(events: &[Event]) -> Vec<u8> {
    let mut all = shown(events, Some(Stream::Terminal));
    let mut from = 0;
    for event in events {
        let What::Typed { bytes } = &event.what else { continue };
        let line = bytes.trim_ascii();
        if let Some(at) = find(&all[from..], line).map(|at| from + at) {
            all.drain(at..at + line.len());
            from = at;
        }
    }
    all
}

/// The lines that were shown in a terminal, without prompts and without those that say nothing.
pub fn words(events: &[Event], prints: &Prints) -> Vec<String> {
    let all = String::from_utf8_lossy(&said(events)).into_owned();
    let prompt = prints.prompt.as_deref().unwrap_or_default();
    let bare = |line: &str| if prompt.is_empty() { line.to_owned() } else { line.replace(prompt, "") };
    all.lines().map(bare).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The prompt, from what two sessions showed whose first commands have different answers: what both begin with,
/// in the line that an answer then follows. Empty when there is none.
pub fn prompt(one: &[u8], other: &[u8]) -> String {
    let common = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let common = String::from_utf8_lossy(&one[..common]).into_owned();
    let line = common.rsplit('\n').next().unwrap_or_default();
    let Some(mark) = line.find(['>', '$', ':', '%', '#', '?']) else { return String::new() };
    let blanks = line[mark + 1..].chars().take_while(|c| *c == ' ').count();
    line[..=mark + blanks].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by random tests: a blank line was looked for in what was shown.
    #[test]
    fn a_blank_line_that_was_typed_is_no_echo() {
        let typed = Event { at_us: 0, what: What::Typed { bytes: b" \n".to_vec() } };
        assert!(words(&[typed], &Prints::default()).is_empty());
    }

    #[test]
    fn a_prompt_is_what_sessions_begin_with() {
        assert_eq!(prompt(b"> limit: 1\n> limit: 2\n> ", b"> 203\nbody\n> "), "> ");
        assert_eq!(prompt(b"Welcome: 2\nwatchdog> ok\n", b"Welcome: 2\nwatchdog> body\n"), "watchdog> ");
        assert_eq!(prompt(b"> > > > ", b"> > "), "> ");
        assert_eq!(prompt(b"limit: 1\nlimit: 2\n", b"<- 203\nbody\n"), "");
        assert_eq!(prompt(b"", b""), "");
    }
}
