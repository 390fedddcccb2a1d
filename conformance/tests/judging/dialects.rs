//! Where the assignment is silent, everything is legal: a plain pair in dialects that lie far apart fails nothing;
//! and what was kept of each run comes out the same when the programs are gone.

use crate::common::{Bench, fixtures, graded_only, python_path, side_by_side, strongest_tier};

/// Dialects that together have every value of every word in the fixture's table but `late`, which has a test of its own.
const DIALECTS: [&str; 5] = [
    "wiring variables, end newline, ops digits, escapes none, told folder, payload text, replies no, prints no, start lazy, exit eof, alarm exit, \
     split whole, body free, greets no, prompt none",
    "wiring leaky_socket, end hash, ops letters, escapes hex, told nothing, payload text, replies yes, prints yes, start eager, exit message, alarm again, \
     split commas, body free, greets first, prompt discards",
    "wiring socket, end nul, ops digits, escapes none, told folder, payload base64, replies yes, prints no, start eager, exit alarm, alarm again, \
     split quotes, body free, greets no, prompt none",
    "wiring leaky, end newline, ops letters, escapes none, told nothing, payload base64, replies yes, prints no, start lazy, exit alarm, alarm exit, \
     split blanks, body demanded, greets first, prompt none",
    "wiring arguments, end nul, ops letters, escapes none, told nothing, payload mixed, replies yes, prints yes, start eager, exit eof, alarm exit, \
     split marks, body free, greets no, prompt discards",
];

/// What a dialect leaves out on purpose, and the report therefore warns of.
const WARNS: &[&str] = &["descriptor.two-way"];

#[test]
fn a_legal_dialect_is_never_failed() {
    let Some(path) = python_path() else { return };
    // Where nobody sees what another session has, if the machine can do that.
    let tier = strongest_tier();
    let complaints = side_by_side(2, &DIALECTS, |dialect| {
        let bench = Bench::new(&path);
        let pair = bench.copy_of(&fixtures().join("pairs/odd"));
        std::fs::write(pair.join("dialect"), dialect.replace(", ", "\n")).unwrap();
        let [profile, bundle] = ["graded.toml", "bundle"].map(|name| bench.folder().join(name));
        std::fs::write(&profile, graded_only()).unwrap();
        let args = ["--tier", tier, "--profile", profile.to_str().unwrap(), "--bundle", bundle.to_str().unwrap()];
        let run = bench.judge(&pair, &args);
        let silent = dialect.contains("replies no");
        let expected = |id: &str, verdict: &str| match verdict {
            "pass" | "untestable" | "not_applicable" => true,
            "warn" => silent && WARNS.contains(&id),
            _ => false,
        };
        let odd = run.report.requirements.iter().filter(|e| !expected(&e.id, &e.verdict));
        let mut said: Vec<String> = odd.map(|entry| format!("{dialect}: {entry}")).collect();
        if run.status != 0 {
            said.push(format!("{dialect}: exit status {}", run.status));
        }
        std::fs::remove_dir_all(&pair).unwrap();
        bench.replays(&bundle, run.status);
        said
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// So it may be on a slow machine with any pair: what is typed before it listens is lost.
#[test]
fn a_pair_that_is_long_in_coming_up_is_let_come_up() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = bench.copy_of(&fixtures().join("pairs/odd"));
    std::fs::write(pair.join("dialect"), DIALECTS[4].replace("prompt discards", "prompt late").replace(", ", "\n"))
        .unwrap();
    let run = bench.judge(&pair, &["--only", "command.sequence", "--timeout-scale", "0.5"]);
    let entry = run.report.entry("command.sequence").unwrap();
    assert_eq!(entry.verdict, "pass", "{entry}");
}
