//! A session as text, on one clock, for a person who looks for a fault.
//!
//! It takes no more memory than what it tells, however much was said in the session.

use std::fmt::Write as _;

use serde::Deserialize as _;

use crate::dialect::Symbol;
use crate::event::{Event, Stream, What};
use crate::signal;
use crate::subject::handover::Hello;

/// How many events, and how much of each, a transcript for people shows.
const EVENTS_SHOWN: usize = 60;
const BYTES_SHOWN: usize = 160;

/// The events on their clock, one a line. Everything that a subject said is escaped. What was shown is told a line an
/// event, at the time at which the line was whole: in how many pieces it was read is an accident. What has no line end, as a
/// prompt, is whole when something is typed.
pub fn timeline(events: &[Event]) -> String {
    // What follows is the suite's own doing.
    let done = events.iter().position(|e| matches!(e.what, What::Finishing)).unwrap_or(events.len());
    let mut told = Told::default();
    let mut begun: Vec<ShownLine> = Vec::new();
    for Event { at_us, what } in &events[..done] {
        match what {
            What::Looked | What::Waited { .. } => {}
            What::Shown { stream, bytes } => {
                for piece in bytes.split_inclusive(|b| *b == b'\n') {
                    let at = begun.iter().position(|line| line.stream == *stream);
                    let mut line = at.map_or_else(|| ShownLine::begin(*stream), |at| begun.remove(at));
                    line.add(*at_us, piece);
                    if piece.ends_with(b"\n") { told.push(line.at_us, line.text()) } else { begun.push(line) }
                }
            }
            what => {
                if matches!(what, What::Typed { .. }) {
                    begun.drain(..).for_each(|line| told.push(line.at_us, line.text()));
                }
                told.push(*at_us, line(what));
            }
        }
    }
    begun.into_iter().for_each(|line| told.push(line.at_us, line.text()));
    told.text()
}

/// What is told of a session, of which the middle may be dropped: it may be much.
#[derive(Default)]
struct Told {
    kept: Vec<(u64, String)>,
    dropped: usize,
}

impl Told {
    /// So many of the first and of the last are kept at least.
    const KEPT: usize = 1000;

    fn push(&mut self, at_us: u64, text: String) {
        self.kept.push((at_us, text));
        if self.kept.len() > 4 * Self::KEPT {
            let last = self.kept.len() - Self::KEPT;
            self.dropped += last - Self::KEPT;
            self.kept.drain(Self::KEPT..last);
        }
    }

    /// The beginning and the end, which tell most; a flood in between is counted.
    fn text(mut self) -> String {
        self.kept.sort_by_key(|(at_us, _)| *at_us);
        let skipped = (self.kept.len() + self.dropped).saturating_sub(EVENTS_SHOWN);
        let after = self.kept.len().saturating_sub(EVENTS_SHOWN / 2);
        let mut out = String::new();
        for (n, (at_us, text)) in self.kept.iter().enumerate() {
            if skipped > 0 && n == EVENTS_SHOWN / 2 {
                let _ = writeln!(out, "      …    {skipped} events left out");
            }
            if skipped == 0 || n < EVENTS_SHOWN / 2 || n >= after {
                let _ = writeln!(out, "{:9.3}  {text}", *at_us as f64 / 1000.0);
            }
        }
        out
    }
}

/// A line that was shown, as far as it is told.
struct ShownLine {
    at_us: u64,
    stream: Stream,
    head: Vec<u8>,
    length: usize,
}

impl ShownLine {
    fn begin(stream: Stream) -> Self {
        ShownLine { at_us: 0, stream, head: Vec::new(), length: 0 }
    }

    fn add(&mut self, at_us: u64, piece: &[u8]) {
        self.at_us = at_us;
        self.length += piece.len();
        let more = piece.len().min(BYTES_SHOWN - self.head.len());
        self.head.extend_from_slice(&piece[..more]);
    }

    fn text(&self) -> String {
        format!("{:<18} {}", format!("{:?}", self.stream).to_lowercase(), beginning(&self.head, self.length))
    }
}

/// What happened, in words.
pub(crate) fn line(what: &What) -> String {
    match what {
        What::Typed { bytes } => format!("typed              {}", quoted(bytes)),
        What::InputClosed => "input closed".to_owned(),
        What::Shown { stream, .. } => format!("{stream:?}").to_lowercase(),
        What::Started { who, .. } => format!("{who} started"),
        What::NotExecuted { who, error } => format!("{who} not executed: {error}"),
        What::Looked | What::Waited { .. } => String::new(),
        What::Answered { question, answer } => {
            let words = started_so(answer).unwrap_or_else(|| quoted(answer.to_string().as_bytes()));
            format!("{:<18} {question} {words}", "seen")
        }
        What::ShownAll { stream } => format!("{:<18} closed", format!("{stream:?}").to_lowercase()),
        What::Flooded => "more was said than is kept; from here on nobody listens".to_owned(),
        What::Finishing => "the suite ends what still runs".to_owned(),
        What::TapFailed { error } => format!("the tap failed: {error}"),
        What::Posed { .. } => "somebody else connected to the suite in the server's place".to_owned(),
        What::Passed { to, fd, bytes } => format!("{:<18} {}", format!("to {to} [{fd}]"), quoted(bytes)),
        What::Closed { to, fd } => format!("{:<18} end of file", format!("to {to} [{fd}]")),
        What::Requested(r) => {
            format!("{:<18} {} {} {} -> {}", "http", r.method, quoted(r.path.as_bytes()), quoted(&r.body), r.answered)
        }
        What::Disagreed { target, bytes } => {
            format!("{:<18} {} to a target that {target}", "http", quoted(bytes))
        }
        What::Signalled { who, signal } => format!("{:<18} {}", format!("signal to {who}"), signal::name(*signal)),
        What::Ended { who, status } => match status {
            Some(status) => format!("{who} ended: {status}"),
            None => format!("{who} ended"),
        },
        What::Reaped { who, status } => match status {
            Some(status) => format!("{who} reaped: {status}"),
            None => format!("{who} reaped"),
        },
    }
}

/// With what a child was started, if that is what was answered.
fn started_so(answer: &serde_json::Value) -> Option<String> {
    let Hello { argv, descriptors, .. } = Hello::deserialize(answer).ok()?;
    let arguments: Vec<_> = argv.iter().skip(1).map(|argument| quoted(argument)).collect();
    let open: Vec<_> = descriptors.iter().map(|one| format!("{} {:?}", one.number, one.kind)).collect();
    Some(format!("with the arguments {}; open are {}", arguments.join(" "), open.join(", ")))
}

/// Bytes as a person reads them, of which only the beginning is shown if they are many.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    beginning(bytes, bytes.len())
}

/// The beginning of so many bytes.
fn beginning(bytes: &[u8], length: usize) -> String {
    let shown = Symbol(bytes[..bytes.len().min(BYTES_SHOWN)].to_vec());
    if length > BYTES_SHOWN { format!("`{shown}`… {length} bytes") } else { format!("`{shown}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Who;
    use crate::subject::handover::{Descriptor, Kind};

    fn shown_at(at_us: u64, text: &str) -> Event {
        Event { at_us, what: What::Shown { stream: Stream::Terminal, bytes: text.into() } }
    }

    /// In how many pieces a line was read says nothing of the pair, and is not in the report.
    #[test]
    fn a_line_is_one_event_in_however_many_pieces_it_was_read() {
        let typed = Event { at_us: 40, what: What::Typed { bytes: b"exit\n".into() } };
        let pieces = [shown_at(10, "on"), shown_at(20, "e\ntwo\n"), shown_at(30, "> "), typed, shown_at(50, "bye")];
        let expected = "    0.020  terminal           `one\\n`\n    0.020  terminal           `two\\n`\n    0.030  \
             terminal           `> `\n    0.040  typed              `exit\\n`\n    0.050  terminal           `bye`\n";
        assert_eq!(timeline(&pieces), expected);
    }

    #[test]
    fn what_a_child_was_given_is_told_in_words() {
        let end = Descriptor {
            number: 3,
            kind: Kind::Pipe,
            readable: true,
            writable: false,
            nonblocking: false,
            identity: (0, 0),
            handed: true,
            peer: None,
        };
        let argv = ["server", "--in", "3"].map(|word| word.as_bytes().to_vec()).into();
        let hello = Hello { name: "server".into(), pid: 7, argv, env: Vec::new(), descriptors: vec![end] };
        let answered = |answer| What::Answered { question: "how the server was started".into(), answer };
        let told = line(&answered(serde_json::to_value(hello).unwrap()));
        assert_eq!(
            told,
            "seen               how the server was started with the arguments `--in` `3`; open are 3 Pipe"
        );
        assert_eq!(line(&answered(true.into())), "seen               how the server was started `true`");
    }

    #[test]
    fn a_prompt_stands_where_it_was_shown_and_not_where_it_was_found_to_be_whole() {
        let started = Event { at_us: 20, what: What::Started { who: Who::Server(0), pid: 1 } };
        let typed = Event { at_us: 30, what: What::Typed { bytes: b"exit\n".into() } };
        let lines = timeline(&[shown_at(10, "> "), started, typed]);
        let places: Vec<_> = ["> ", "server started", "typed"].map(|words| lines.find(words)).into();
        assert!(places.is_sorted() && !places.contains(&None), "{lines}");
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_told_and_the_rest_is_counted() {
        let flood: Vec<_> = (0..50_000).map(|n| shown_at(n, &format!("line {n}\n"))).collect();
        let lines = timeline(&flood);
        assert_eq!(lines.lines().count(), EVENTS_SHOWN + 1);
        for words in ["`line 0\\n`", "`line 29\\n`", "49940 events left out", "`line 49970\\n`", "`line 49999\\n`"] {
            assert!(lines.contains(words), "{words}: {lines}");
        }
    }
}
