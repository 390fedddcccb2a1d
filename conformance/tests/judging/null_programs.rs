//! Programs that do nothing right pass no requirement that judges the side they replace, whoever the other side is, end
//! with no success, and leave nothing behind.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use crate::common::{Bench, python_pair, python_path, reference, side_by_side, write_program};
use conformance::family::Family;
use conformance::spec::requirements_of;

/// Name and text of each program. Their arguments are ignored where they would be taken for files. What reads or echoes takes
/// the pipes that a server may have been given as 3 and 4.
pub(crate) const PROGRAMS: [(&str, &str); 7] = [
    ("true", "exec true"),
    ("false", "exec false"),
    ("cat", r#"exec cat "$@""#),
    ("yes", "exec yes"),
    // Longer than any run, and not for ever if a run should leave it behind.
    ("sleeps", "exec sleep 1000"),
    ("exits-at-the-first-byte", "[ -e /dev/fd/3 ] && exec <&3; exec dd bs=1 count=1 of=/dev/null 2>/dev/null"),
    ("echoes", "[ -e /dev/fd/4 ] && exec <&3 >&4; exec cat"),
];

/// Which side a program takes.
#[derive(Clone, Copy, Debug)]
enum Side {
    Watchdog,
    Server,
    Both,
}

/// What a watchdog meets alone, beside what is in the area `start`: how it starts its server is its own affair.
const ALONE: &[&str] = &[
    // A message is sent, or the watchdog ends: the pipe's other end need not understand anything.
    "command.setmeml",
    "command.setproc",
    "command.exit",
    // What the messages look like.
    "wire.end-symbol",
    "wire.op",
    "wire.no-blanks",
    "wire.one-message",
    "wire.example",
    // What the server was given.
    "descriptor.pipe",
    "descriptor.numbers",
    "descriptor.nothing-else",
    "descriptor.own-ends",
    "descriptor.inherited",
    "descriptor.standard",
    // There the suite plays the server, in the wiring that was learned.
    "end.never-answers",
    "end.half-a-reply",
    "end.flooding-server",
    "end.messages-closed",
    // These take the reference about as long as is waited here, so they may pass or not.
    "end.exit-failed",
    "end.pipes-closed",
    "end.pipes-closed-moment",
    "end.replies-closed",
    "end.stubborn-server",
    "end.exit-alarm",
    "end.ignored-signals",
    // Which ends the watchdog keeps.
    "descriptor.watchdog-ends",
    // The watchdog makes it so, by force if need be.
    "end.exit-server",
    "end.nothing-left",
    "end.exit-status",
    // It waits for whatever it started.
    "end.exit-waited",
    // The suite itself plays a server that ends.
    "end.server-exits-at-once",
    "end.signals-told",
];

/// Requirements that the watchdog alone can meet, whatever its server does: how it starts its server and with what
/// descriptors, what it writes to it, and that it ends it. A good watchdog may pass these beside any server.
///
/// Everything else judges the server too: requests that reach the target are the server's work, replies are its own
/// words, and so is what it does at a signal.
fn is_the_watchdogs_alone(id: &str) -> bool {
    // The stand-in in the server's place sees how it was started before there is any server.
    id.starts_with("start.") || ALONE.contains(&id)
}

/// A null program beside the other side of a good pair, or of none.
struct Null {
    side: Side,
    name: &'static str,
    text: &'static str,
    /// The good pair, and what it is called.
    other: Option<(&'static str, PathBuf)>,
}

impl std::fmt::Display for Null {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} as {:?}", self.name, self.side)?;
        self.other.as_ref().map_or(Ok(()), |(other, _)| write!(f, ", beside {other}"))
    }
}

/// The pair's folder.
fn null_pair(bench: &Bench, null: &Null) -> PathBuf {
    let pair = match &null.other {
        Some((_, other)) => bench.copy_of(other),
        None => bench.folder().join("pair"),
    };
    std::fs::create_dir_all(&pair).expect("the test's own folder can be written to");
    let replaced = match null.side {
        Side::Watchdog => &["watchdog"][..],
        Side::Server => &["server"],
        Side::Both => &["watchdog", "server"],
    };
    for file in replaced {
        write_program(&pair.join(file), &format!("#!/bin/sh\n{}\n", null.text));
    }
    pair
}

fn judge(null: &Null, path: &OsString) -> Vec<String> {
    let begun = Instant::now();
    // What floods the suite must not fill the machine: some times what the suite needs, and Python beside it.
    let bench = Bench::new(path).with_memory(4 << 20);
    let pair = null_pair(&bench, null);
    // A null program gets no better by waiting.
    let judgement = bench.try_judge(&pair, &["--timeout-scale", "0.2"]);
    let may_pass = |id: &str| matches!(null.side, Side::Server) && is_the_watchdogs_alone(id);
    let entries = judgement.report.requirements.iter();
    let wrong = entries.filter(|entry| match entry.verdict.as_str() {
        "pass" => !may_pass(&entry.id),
        "harness_fault" => true,
        _ => false,
    });
    let mut said: Vec<String> = wrong.map(ToString::to_string).collect();
    if !matches!(judgement.status, 1 | 4) {
        let first = judgement.stderr.lines().next().unwrap_or("nothing on standard error");
        said.push(format!("exit status {}: {first}", judgement.status));
    }
    if judgement.report.requirements.len() != requirements_of(Family::Watchdog).len() {
        said.push("not every requirement is in the report".to_owned());
    }
    said.extend(judgement.left.iter().map(|left| format!("left behind: {left}")));
    // Seen with `--nocapture`: where the time goes.
    println!("{:>6.2} s  {null}", begun.elapsed().as_secs_f64());
    said.into_iter().map(|problem| format!("{null}: {problem}")).collect()
}

#[test]
fn null_programs_pass_nothing_that_judges_them() {
    let Some(path) = python_path() else { return };
    let others = [("the pair in Python", python_pair()), ("the reference", reference())];
    let beside = |side| others.iter().map(move |other| (side, Some(other.clone())));
    let places = beside(Side::Watchdog).chain(beside(Side::Server)).chain([(Side::Both, None)]);
    let all: Vec<_> = places
        .flat_map(|(side, other)| PROGRAMS.map(|(name, text)| Null { side, name, text, other: other.clone() }))
        .collect();
    // Most of a run with a null program is waiting.
    let said = side_by_side(6, &all, |null| judge(null, &path));
    assert!(said.is_empty(), "{} complaints:\n{}", said.len(), said.join("\n"));
}

#[test]
fn the_watchdogs_requirements_exist() {
    let known = requirements_of(Family::Watchdog);
    let unknown: Vec<_> = ALONE.iter().filter(|id| !known.iter().any(|r| r.id == **id)).collect();
    assert!(unknown.is_empty(), "renamed, and still in the list: {unknown:?}");
}
