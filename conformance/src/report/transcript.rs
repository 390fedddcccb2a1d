//! A session as text: on one clock for a person who looks for a fault, or normalised for comparison.
//!
//! The normalised form has one block a channel, whole lines and whole frames, and no order across channels;
//! prompts are left out; ports, process ids, paths of the run and times are replaced, nothing else.

use std::fmt::Write as _;

use crate::dialect::{Dialect, Symbol, cut};
use crate::event::{Event, Stream, What, Who, passed, requests, shown, signal_name};
use crate::run::Run;

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
        format!("{:<18} {}", format!("{:?}", self.stream).to_lowercase(), quoted(&self.head, self.length))
    }
}

fn line(what: &What) -> String {
    match what {
        What::Typed { bytes } => format!("typed              {}", whole(bytes)),
        What::InputClosed => "input closed".to_owned(),
        What::Shown { stream, .. } => format!("{stream:?}").to_lowercase(),
        What::Started { who, .. } => format!("{who} started"),
        What::NotExecuted { who, error } => format!("{who} not executed: {error}"),
        What::Looked | What::Waited { .. } => String::new(),
        What::Answered { question, answer } => {
            let answer = answer.to_string();
            format!("{:<18} {question} {}", "seen", whole(answer.as_bytes()))
        }
        What::ShownAll { stream } => format!("{:<18} closed", format!("{stream:?}").to_lowercase()),
        What::Flooded => "more was said than is kept; from here on nobody listens".to_owned(),
        What::Finishing => "the suite ends what still runs".to_owned(),
        What::TapFailed { error } => format!("the tap failed: {error}"),
        What::Posed { .. } => "somebody else connected to the suite in the server's place".to_owned(),
        What::Passed { to, fd, bytes } => format!("{:<18} {}", format!("to {to} [{fd}]"), whole(bytes)),
        What::Closed { to, fd } => format!("{:<18} end of file", format!("to {to} [{fd}]")),
        What::Requested(r) => {
            format!("{:<18} {} {} {} -> {}", "http", r.method, whole(r.path.as_bytes()), whole(&r.body), r.answered)
        }
        What::Signalled { who, signal } => format!("{:<18} {}", format!("signal to {who}"), signal_name(*signal)),
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

fn whole(bytes: &[u8]) -> String {
    quoted(bytes, bytes.len())
}

/// The beginning of so many bytes.
fn quoted(bytes: &[u8], length: usize) -> String {
    let shown = Symbol(bytes[..bytes.len().min(BYTES_SHOWN)].to_vec());
    if length > BYTES_SHOWN { format!("`{shown}`… {length} bytes") } else { format!("`{shown}`") }
}

/// Every case's sessions, normalised, each under its requirement's id; the first session is `learn`.
pub fn all(run: &Run) -> Vec<(String, String)> {
    let dialect = &run.lesson.dialect;
    let learning = ("learn".to_owned(), normalised(&run.lesson.record.all(), dialect));
    let cases = run.results.iter().filter(|judged| !judged.acts.sessions.is_empty()).map(|judged| {
        let sessions: Vec<_> = judged.acts.records().into_iter().map(|r| normalised(&r.all(), dialect)).collect();
        (judged.requirement.id.clone(), sessions.join("\n"))
    });
    std::iter::once(learning).chain(cases).collect()
}

/// How often a line may stand after itself. How much of the same there is beyond that is often a matter of buffers.
const SAME_MAX: usize = 50;

/// A session without its accidents, for snapshots.
pub fn normalised(events: &[Event], dialect: &Dialect) -> String {
    let mut out = String::new();
    let mut block = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "{title}:");
            for same in lines.chunk_by(|a, b| a == b) {
                let shown = if same.len() > SAME_MAX { 1 } else { same.len() };
                same[..shown].iter().for_each(|line| _ = writeln!(out, "  {line}"));
                if shown < same.len() {
                    let _ = writeln!(out, "  and so on, more than {SAME_MAX} times");
                }
            }
        }
    };
    let lines_of = |bytes: &[u8]| lines_of(bytes).into_iter().map(|line| of_any_machine(&line)).collect();
    let typed: Vec<u8> = events
        .iter()
        .filter_map(|e| match &e.what {
            What::Typed { bytes } => Some(bytes.clone()),
            What::InputClosed => Some(b"<end of input>\n".to_vec()),
            _ => None,
        })
        .flatten()
        .collect();
    block("typed", lines_of(&typed));
    for stream in [Stream::Terminal, Stream::Stdout, Stream::Stderr] {
        let lines = lines_of(&without_prompts(&shown(events, Some(stream)), dialect));
        block(&format!("{stream:?}").to_lowercase(), lines);
    }
    for (side, end) in [(Who::Server(0), dialect.end.as_ref()), (Who::Watchdog, dialect.reply.end.as_ref())] {
        let mut descriptors: Vec<i32> = Vec::new();
        for event in events {
            if let What::Passed { to, fd, .. } | What::Closed { to, fd } = event.what
                && to == side
                && !descriptors.contains(&fd)
            {
                descriptors.push(fd);
            }
        }
        for fd in descriptors {
            block(&format!("to {side} [{fd}]"), {
                let frames = frames_of(&passed(events, side, fd), end);
                // What goes to the server was typed; what comes from it may tell the machine.
                let of_side =
                    |frame: &String| if side == Who::Watchdog { of_any_machine(frame) } else { frame.clone() };
                frames.iter().map(of_side).collect()
            });
        }
    }
    // Requests under way side by side arrive in any order.
    let arrived = requests(events).into_iter();
    let mut arrived: Vec<_> =
        arrived.map(|r| format!("{} {} {} -> {}", r.method, r.path, whole(&r.body), r.answered)).collect();
    arrived.sort();
    block("http", arrived);
    let by_themselves = events.iter().take_while(|e| !matches!(e.what, What::Finishing));
    let facts = by_themselves.filter_map(|e| match &e.what {
        What::Signalled { .. } | What::Ended { .. } | What::NotExecuted { .. } => Some(line(&e.what)),
        _ => None,
    });
    let mut facts: Vec<_> = facts.collect();
    facts.sort();
    block("processes", facts);
    out
}

/// A prompt is shown when the watchdog is idle, which is a matter of time.
fn without_prompts(bytes: &[u8], dialect: &Dialect) -> Vec<u8> {
    let prompt = dialect.prints.prompt.as_deref().unwrap_or_default().as_bytes();
    if prompt.is_empty() {
        return bytes.to_vec();
    }
    let stripped = |line: &'_ [u8]| {
        let mut rest = line;
        while let Some(after) = rest.strip_prefix(prompt) {
            rest = after;
        }
        // A line that was a prompt and no more was ended by whatever came next.
        (!rest.is_empty() || line.is_empty()).then(|| rest.to_vec())
    };
    let lines: Vec<_> = bytes.split(|b| *b == b'\n').filter_map(stripped).collect();
    lines.join(&b'\n')
}

fn lines_of(bytes: &[u8]) -> Vec<String> {
    let lines = bytes.split(|b| *b == b'\n').collect::<Vec<_>>();
    let whole = lines.len() - usize::from(lines.last().is_some_and(|last| last.is_empty()));
    lines[..whole].iter().map(|line| filtered(line)).collect()
}

fn frames_of(bytes: &[u8], end: Option<&Symbol>) -> Vec<String> {
    let Some(end) = end else { return vec![filtered(bytes)] };
    let (frames, rest) = cut(bytes, end);
    let mut lines: Vec<_> = frames.iter().map(|frame| format!("{}{end}", filtered(frame))).collect();
    if !rest.is_empty() {
        lines.push(filtered(rest));
    }
    lines
}

/// Escapes, shortens, and replaces ports, the run's folder, and which recorded request is replayed.
fn filtered(bytes: &[u8]) -> String {
    let text = whole(bytes);
    let text = replace_after(&text, "127.0.0.1:", "PORT", |c| c.is_ascii_digit());
    // Which of the recorded requests a case replays depends on which case comes first.
    let text = replace_after(&text, "/replay-", "NN", |c| c.is_ascii_lowercase());
    let temp = std::env::temp_dir().join("conf-");
    replace_after(&text, &temp.display().to_string(), "RUN", |c| c.is_ascii_alphanumeric())
}

/// A line that ends with the machine's number of processors, as a word or as the last value of a payload, may tell
/// what `setproc` gave: that is another number on another machine.
fn of_any_machine(line: &str) -> String {
    let here = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let tail = line.trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_last = !line[tail.len()..].contains(char::is_alphabetic);
    match tail.strip_suffix(&here) {
        Some(before) if is_last && before.ends_with(": ") => format!("{before}ALL{}", &line[tail.len()..]),
        _ => line.to_owned(),
    }
}

fn replace_after(text: &str, marker: &str, with: &str, belongs: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(marker) {
        let after = at + marker.len();
        out.push_str(&rest[..after]);
        out.push_str(with);
        rest = rest[after..].trim_start_matches(&belongs);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_prompt_stands_where_it_was_shown_and_not_where_it_was_found_to_be_whole() {
        let started = Event { at_us: 20, what: What::Started { who: Who::Server(0), pid: 1 } };
        let typed = Event { at_us: 30, what: What::Typed { bytes: b"exit\n".into() } };
        let lines = timeline(&[shown_at(10, "> "), started, typed]);
        let places: Vec<_> = ["> ", "server started", "typed"].map(|words| lines.find(words)).into();
        assert!(places.is_sorted() && !places.contains(&None), "{lines}");
    }
}
