//! A session as a text to be compared: one block a channel, whole lines and whole frames, and no order across channels;
//! prompts are left out; ports, process ids, paths of the run and times are replaced, nothing else.

use std::fmt::Write as _;

use crate::dialect::{Dialect, Symbol, cut};
use crate::event::{Event, Stream, What, Who, passed, requests, shown};
use crate::run::Run;
use crate::timeline::{line, quoted};

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
        arrived.map(|r| format!("{} {} {} -> {}", r.method, r.path, quoted(&r.body), r.answered)).collect();
    arrived.extend(events.iter().filter_map(|event| match &event.what {
        What::Disagreed { target, bytes } => {
            let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
            Some(format!("{} to a target that {target}", Symbol(line.to_vec())))
        }
        _ => None,
    }));
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

/// Escapes, shortens, and replaces ports, the folders of the run and the session, and which recorded request is replayed.
fn filtered(bytes: &[u8]) -> String {
    let text = quoted(bytes);
    let text = replace_after(&text, "127.0.0.1:", "PORT", |c| c.is_ascii_digit());
    // Which of the recorded requests a case replays depends on which case comes first.
    let text = replace_after(&text, "/replay-", "NN", |c| c.is_ascii_lowercase());
    // Nor does it matter where this machine has its temporary folders.
    let (here, anywhere) = (std::env::temp_dir().join("conf-").display().to_string(), "/tmp/conf-");
    let text = replace_after(&text.replace(&here, anywhere), anywhere, "RUN", |c| c.is_ascii_alphanumeric());
    // Nor in which order sessions are begun.
    replace_after(&text, "/tmp/conf-RUN/", "N", |c| c.is_ascii_digit())
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
