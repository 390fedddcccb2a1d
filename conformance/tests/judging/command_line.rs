//! The suite's command line: every exit status that it documents, what it says about a mistake, and the files that
//! it reads and writes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::common::{Bench, Report, fixtures, python_pair, python_path, reference, write_program};
use assert_cmd::Command;
use conformance::family::Family;
use conformance::spec::requirements_of;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;

fn suite() -> Command {
    Command::new(env!("CARGO_BIN_EXE_conformance"))
}

fn pair() -> String {
    python_pair().display().to_string()
}

/// The command line is wrong: status 2, and one of these words says how. Nothing is started for it.
fn is_refused(args: &[&str], words: &str) {
    suite().args(args).assert().code(2).stderr(contains(words)).stdout("");
}

/// Writes a profile and has a run with it refused.
fn profile_is_refused(text: &str, words: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("some-profile.toml");
    std::fs::write(&file, text).expect("the folder is ours");
    let name = file.display().to_string();
    for words in words.iter().chain(&["some-profile.toml"]) {
        is_refused(&["--bin", &pair(), "--profile", &name], words);
    }
}

// Status 2: the command line.

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    for args in [&["--list"][..], &["--explain", "wire"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut suite = std::process::Command::new(env!("CARGO_BIN_EXE_conformance"));
        let output = suite.args(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn without_bin_there_is_nothing_to_judge() {
    is_refused(&[], "--bin");
}

#[test]
fn an_unknown_option_is_named() {
    is_refused(&["--frobnicate"], "--frobnicate");
}

#[test]
fn bin_must_be_there() {
    is_refused(&["--bin", "/nonexistent/pair"], "/nonexistent/pair");
}

#[test]
fn both_programs_must_be_executable() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let bin = folder.path().display().to_string();
    is_refused(&["--bin", &bin], "watchdog");
    write_program(&folder.path().join("watchdog"), "#!/bin/sh\n");
    is_refused(&["--bin", &bin], "--server");
    std::fs::write(folder.path().join("server"), "not a program").expect("the folder is ours");
    is_refused(&["--bin", &bin], "executable");
    is_refused(&["--bin", &bin, "--server", "/nonexistent/server"], "/nonexistent/server");
}

#[test]
fn only_takes_what_the_specification_has() {
    is_refused(&["--bin", &pair(), "--only", "no-such-area"], "no-such-area");
    is_refused(&["--bin", &pair(), "--only", "start", "--only", "start.nothing"], "start.nothing");
}

#[test]
fn numbers_have_ranges() {
    is_refused(&["--bin", &pair(), "--jobs", "0"], "--jobs");
    is_refused(&["--bin", &pair(), "--timeout-scale", "0"], "--timeout-scale");
    is_refused(&["--bin", &pair(), "--timeout-scale", "nan"], "--timeout-scale");
}

#[test]
fn a_profile_that_cannot_be_read_is_named_with_the_place() {
    is_refused(&["--bin", &pair(), "--profile", "/nonexistent/profile.toml"], "/nonexistent/profile.toml");
    profile_is_refused("name = 'x'\ngrades = [\n", &["line "]);
    profile_is_refused("name = 'x'\ngardes = []\n", &["gardes", "line 2"]);
    profile_is_refused("name = 'x'\n\n[dialect]\nstop = '#'\n", &["stop", "line 4"]);
    profile_is_refused("name = 'x'\n[dialect]\nend = '\\q'\n", &["\\q", "line 3"]);
    profile_is_refused("name = 'x'\ngrades = ['everything']\n", &["everything", "line 2"]);
}

#[test]
fn a_profile_cannot_skip_what_does_not_exist() {
    profile_is_refused("name = 'x'\nskip = ['start.nothing']\n", &["start.nothing"]);
}

/// 2 before 5, and before 3: a wrong command line is told of before anything is tried.
#[test]
fn usage_comes_before_what_a_run_would_have_found() {
    let alone = Alone::new();
    let args = ["--bin", &pair(), "--only", "no-such-area"];
    alone.suite().args(args).assert().code(2).stderr(contains("no-such-area"));
}

// Statuses 0 and 1: the answer.

#[test]
fn a_pair_that_does_what_is_asked_conforms() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let judgement = bench.judge(&python_pair(), &["--only", "start"]);
    assert_eq!(judgement.status, 0, "{}{}", judgement.stdout, judgement.stderr);
    assert!(judgement.stdout.contains("exit status 0"), "{}", judgement.stdout);
    let others: Vec<_> = judgement.report.requirements.iter().filter(|e| !e.id.starts_with("start.")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_pair_that_fails_a_must_does_not_conform() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["watchdog", "server"] {
        write_program(&folder.path().join(name), "#!/bin/sh\nexit 0\n");
    }
    let args = ["--only", "start.server", "--timeout-scale", "0.2"];
    suite().arg("--bin").arg(folder.path()).args(args).assert().code(1).stdout(contains("exit status 1"));
}

/// What had begun meanwhile is ended, and the rest is not said to hold.
#[test]
fn the_first_failure_ends_a_run_that_is_to_fail_fast() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    for name in ["watchdog", "server"] {
        write_program(&bench.folder().join(name), "#!/bin/sh\nexit 0\n");
    }
    let judgement = bench.judge(bench.folder(), &["--fail-fast", "--timeout-scale", "0.2"]);
    assert_eq!(judgement.status, 1, "{}{}", judgement.stdout, judgement.stderr);
    let failed: Vec<_> = judgement.report.requirements.iter().filter(|e| e.verdict == "fail").collect();
    assert!(matches!(failed[..], [one] if one.id == "start.server"), "{failed:?}");
    let rest = requirements_of(Family::Watchdog).len() - judgement.report.requirements.len();
    assert!(rest > 100, "most of it depends on that, and only {rest} were not judged");
    let words = format!("The first failure ended the run: {rest} requirements were not judged");
    assert!(judgement.stdout.contains(&words), "{}", judgement.stdout);
    assert_eq!(bench.left(), Vec::<String>::new());
    is_refused(&["--bin", &pair(), "--fail-fast", "--bundle", "x"], "cannot be used with");
}

/// The watchdog's path will do, and the server may be named.
#[test]
fn the_programs_may_be_named_one_by_one() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let elsewhere = bench.folder().join("elsewhere");
    std::fs::copy(python_pair().join("watchdog"), &elsewhere).expect("the folder is ours");
    let server = python_pair().join("server").display().to_string();
    let judgement = bench.judge(&elsewhere, &["--server", &server, "--only", "start.server"]);
    assert_eq!(judgement.status, 0, "{}{}", judgement.stdout, judgement.stderr);
    assert_eq!(judgement.report.verdicts().into_iter().collect::<Vec<_>>(), [("start.server", "pass")]);
}

// Status 3: the suite itself.

/// The program without the stand-in that belongs beside it.
struct Alone {
    folder: tempfile::TempDir,
}

impl Alone {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::create_dir(folder.path().join("bin")).expect("the folder is ours");
        std::fs::copy(env!("CARGO_BIN_EXE_conformance"), folder.path().join("bin/conformance")).expect("it was built");
        Alone { folder }
    }

    fn suite(&self) -> Command {
        Command::new(self.folder.path().join("bin/conformance"))
    }
}

#[test]
fn a_suite_without_its_stand_in_accuses_itself() {
    let alone = Alone::new();
    let words = contains("conformance-standin").and(contains("cargo build"));
    alone.suite().args(["--bin", &pair()]).assert().code(3).stderr(words);
}

#[test]
fn a_stand_in_that_ends_at_once_is_told_of_and_not_waited_for() {
    let alone = Alone::new();
    let beside_it = alone.folder.path().join("bin/conformance-standin");
    write_program(&beside_it, "#!/bin/sh\necho lacking >&2\nexit 1\n");
    let mut suite = alone.suite();
    let judged = suite.args(["--only", "command.exit", "--bin"]).arg(reference()).assert().code(3);
    judged.stdout(contains("the starter ended before it reported")).stderr(contains("lacking"));
}

#[test]
fn a_report_that_cannot_be_written_is_the_suites_fault() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let args = ["--bin", &pair(), "--only", "start.server", "--json", "/nonexistent/report.json"];
    let output = bench.suite().args(args).output().expect("the suite was built");
    assert_eq!(output.status.code(), Some(3));
    assert!(contains("/nonexistent/report.json").eval(&String::from_utf8_lossy(&output.stderr)));
}

// Status 4: what could not be judged.

/// FIFOs on disk are legal, and the tap cannot stand in them: what was not learned is nobody's failure.
#[test]
fn what_cannot_be_seen_is_inconclusive_and_no_failure() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let only: Vec<&str> = ["start", "command.setmeml", "command.sequence", "wire", "descriptor", "end.sigalrm"]
        .iter()
        .flat_map(|id| ["--only", id])
        .collect();
    let judgement = bench.judge(&fixtures().join("pairs/python-fifo"), &only);
    let blamed: Vec<String> = graded_with(&judgement.report, &["fail", "warn", "harness_fault"]);
    assert!(blamed.is_empty(), "{}", blamed.join("\n"));
    assert_eq!(judgement.status, 4, "{}{}", judgement.stdout, judgement.stderr);
    let verdict = |id| judgement.report.entry(id).map(|entry| entry.verdict.as_str());
    for id in ["command.sequence", "start.environment", "end.sigalrm"] {
        assert_eq!(verdict(id), Some("pass"), "{id} is seen without the tap");
    }
    for id in ["command.setmeml", "wire.end-symbol"] {
        assert_eq!(verdict(id), Some("inconclusive"), "{id} is seen in the pipes only");
    }
    assert!(judgement.stdout.contains("[dialect.wiring]"), "the report names the profile lines: {}", judgement.stdout);
    // What keeps the answer from being one is shown with its evidence.
    let shown = judgement.stdout.split("inconclusive command.setmeml").nth(1).expect("a finding of its own");
    assert!(shown.contains("  missing   ") && shown.contains("watchdog started"), "{shown}");
}

fn graded_with(report: &Report, verdicts: &[&str]) -> Vec<String> {
    let entries = report.requirements.iter().filter(|e| e.graded && verdicts.contains(&e.verdict.as_str()));
    entries.map(ToString::to_string).collect()
}

// Status 5: nothing ran.

#[test]
fn where_all_is_skipped_nothing_ran() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let profile = write_profile(&bench, "name = 'nothing'\nskip = ['end', 'start']\n");
    let judgement = bench.judge(&python_pair(), &["--profile", &profile, "--only", "start"]);
    assert_eq!(judgement.status, 5, "{}{}", judgement.stdout, judgement.stderr);
    assert!(judgement.report.requirements.is_empty());
}

/// What nobody outside can see is no success.
#[test]
fn where_all_is_untestable_nothing_ran() {
    let Some(path) = python_path() else { return };
    let judgement = Bench::new(&path).judge(&python_pair(), &["--only", "start.platforms"]);
    assert_eq!(judgement.status, 5, "{}{}", judgement.stdout, judgement.stderr);
    assert_eq!(judgement.report.verdicts().get("start.platforms"), Some(&"untestable"));
}

fn write_profile(bench: &Bench, text: &str) -> String {
    let file = bench.folder().join("profile.toml");
    std::fs::write(&file, text).expect("the folder is the test's own");
    file.display().to_string()
}

// What is shown without a pair.

#[test]
fn list_names_every_requirement() {
    let output = suite().arg("--list").assert().success().stderr("").get_output().stdout.clone();
    let text = String::from_utf8(output).expect("UTF-8");
    let all = requirements_of(Family::Watchdog);
    assert_eq!(text.lines().count(), all.len());
    for (line, requirement) in text.lines().zip(&all) {
        assert!(line.starts_with(&requirement.id) && line.ends_with(&requirement.sentence), "{line}");
    }
}

#[test]
fn explain_says_where_a_requirement_comes_from() {
    let words = contains("MUST D10").and(contains("корректно завершать работу")).and(contains("why: "));
    suite().args(["--explain", "end.sigalrm"]).assert().success().stdout(words);
    suite().args(["--explain", "start.platforms"]).assert().success().stdout(contains("untestable: "));
    suite().args(["--explain", "end"]).assert().success().stdout(contains("end.sigalrm").and(contains("end.ctrl-c")));
    is_refused(&["--explain", "end.nothing"], "end.nothing");
}

#[test]
fn help_documents_every_exit_status() {
    let words =
        ["0 conformant", "1 not conformant", "2 wrong usage", "3 the suite itself", "4 a graded", "5 nothing ran"];
    let output = suite().arg("--help").assert().success().get_output().stdout.clone();
    let text = String::from_utf8(output).expect("UTF-8").split_whitespace().collect::<Vec<_>>().join(" ");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

// Files: the report and profiles.

#[test]
fn the_json_report_keeps_its_schema() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let judgement = bench.judge(&python_pair(), &["--only", "start"]);
    let text = std::fs::read_to_string(bench.folder().join("report.json")).expect("it was asked for");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["family"], "watchdog");
    assert_eq!(report["profile"], "none");
    assert_eq!(report["answer"], "conformant");
    assert_eq!(report["exit_status"], judgement.status);
    assert_eq!(report["system"], std::env::consts::OS);
    assert_eq!(report["dialect"]["op"]["setmeml"], "M");
    for name in ["watchdog", "server"] {
        let program = python_pair().canonicalize().expect("the pair is there").join(name);
        assert_eq!(report[name], program.display().to_string());
    }
    let entries = report["requirements"].as_array().expect("a list");
    let specified = requirements_of(Family::Watchdog);
    assert_eq!(entries.len(), specified.iter().filter(|r| r.area() == "start").count());
    for entry in entries {
        let requirement = specified.iter().find(|r| entry["id"] == r.id.as_str()).expect("its id is known");
        assert_eq!(entry["level"], requirement.level.to_string());
        assert_eq!(entry["source"], requirement.source.to_string());
        assert_eq!(entry["sentence"], requirement.sentence.as_str());
        assert!(entry["graded"].is_boolean() && entry["took_ms"].is_u64() && entry["waited"].is_boolean(), "{entry}");
        assert!(entry["left"].is_array() && entry["transcripts"].is_array(), "{entry}");
        is_complete(entry);
    }
}

/// Each verdict brings what belongs to it.
fn is_complete(entry: &serde_json::Value) {
    let expected: &[&str] = match entry["verdict"].as_str().expect("a verdict") {
        "pass" => &[],
        "fail" | "warn" | "advice" => &["expected", "seen"],
        "not_applicable" | "untestable" => &["reason"],
        "blocked" => &["by"],
        "inconclusive" => &["missing"],
        "harness_fault" => &["error"],
        other => panic!("{other} is no verdict of schema 1"),
    };
    for name in expected {
        assert!(entry[name].is_string(), "{name} is missing in {entry}");
    }
}

#[test]
fn a_profile_that_was_learned_gives_the_same_verdicts() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let file = bench.folder().join("learned.toml").display().to_string();
    let only = ["--only", "start", "--only", "wire", "--only", "command.order", "--only", "descriptor"];
    let learned = bench.judge(&python_pair(), &[&only[..], &["--write-profile", &file]].concat());
    let stated = bench.judge(&python_pair(), &[&only[..], &["--profile", &file]].concat());
    assert_eq!((learned.status, stated.status), (0, 0), "{}{}", learned.stdout, stated.stdout);
    let mut before = learned.report.verdicts();
    let mut after = stated.report.verdicts();
    // With nothing stated there is nothing to depart from.
    assert_eq!(before.remove("wire.as-stated"), Some("not_applicable"));
    assert_eq!(after.remove("wire.as-stated"), Some("pass"));
    assert_eq!(before, after);
}

#[test]
fn a_dialect_that_is_not_spoken_is_a_finding_of_its_own() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let profile = write_profile(&bench, "name = 'course'\n[dialect.op]\nsetproc = '2'\n");
    let only = ["--only", "start", "--only", "wire", "--only", "command.setproc", "--only", "command.order"];
    let judgement = bench.judge(&python_pair(), &[&only[..], &["--profile", &profile]].concat());
    assert_eq!(judgement.status, 1, "{}{}", judgement.stdout, judgement.stderr);
    let entries = judgement.report.requirements.iter();
    let broken: BTreeSet<&str> = entries
        .filter(|e| e.graded && e.verdict != "pass" && e.verdict != "untestable")
        .map(|e| e.id.as_str())
        .collect();
    assert_eq!(broken, BTreeSet::from(["wire.as-stated"]));
    let seen = judgement.report.entry("wire.as-stated").and_then(|entry| entry.seen.clone()).unwrap_or_default();
    assert!(seen.contains("op.setproc") && seen.contains("\"2\"") && seen.contains("\"P\""), "{seen}");
}

/// A log is no terminal: no colours, no line that is redrawn.
#[test]
fn a_log_gets_plain_text() {
    let Some(path) = python_path() else { return };
    let judgement = Bench::new(&path).judge(&python_pair(), &["--only", "start.server"]);
    assert_eq!(judgement.stderr, "");
    assert!(judgement.stdout.contains("CONFORMANT (exit status 0)"), "{}", judgement.stdout);
    assert!(!judgement.stdout.contains('\x1b') && !judgement.stdout.contains('\r'), "{}", judgement.stdout);
}

/// Returns when somebody has written to this FIFO, which a run under test has to bring about.
fn await_word(fifo: &Path) {
    let (come, comes) = std::sync::mpsc::channel();
    let fifo = fifo.to_owned();
    std::thread::spawn(move || come.send(std::fs::read_to_string(fifo)));
    comes.recv_timeout(Duration::from_secs(120)).expect("a word in time").unwrap();
}

/// Whoever interrupts a run gets what was judged until then, and that it was not all; no baseline, and no leftovers.
#[test]
fn an_interrupted_run_tells_what_it_knows() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let pair = bench.copy_of(&reference());
    std::fs::rename(pair.join("watchdog"), pair.join("real")).unwrap();
    let up = bench.folder().join("up");
    nix::unistd::mkfifo(&up, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Whoever asks for help waits for ever.
    let (real, fifo) = (pair.join("real").display().to_string(), up.display());
    let script =
        format!("#!/bin/sh\n[ \"$1\" = --help ] && {{ echo up > '{fifo}'; exec sleep 1000; }}\nexec '{real}' \"$@\"\n");
    write_program(&pair.join("watchdog"), &script);
    let profile = fixtures().join("profiles/reference.toml");
    let [json, baseline] = ["report.json", "baseline.toml"].map(|name| bench.folder().join(name));
    let mut suite = bench.suite();
    // What is to be told to somebody outside is not told in tier A.
    suite.args(["--tier", "C", "--only", "start.help", "--only", "start.server"]);
    suite.args(["--timeout-scale", "10", "--profile"]).arg(profile);
    suite.arg("--json").arg(&json).arg("--write-baseline").arg(&baseline).arg("--bin").arg(&pair);
    let suite = suite.stdout(Stdio::piped()).spawn().unwrap();
    await_word(&up);
    nix::sys::signal::kill(Pid::from_raw(suite.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = suite.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("Somebody ended the run: 1 requirements were not judged"), "{said}");
    assert!(said.contains("INCOMPLETE"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!(report["requirements"][0]["id"], "start.server");
    assert_eq!(report["requirements"][0]["verdict"], "pass");
    assert_eq!((&report["exit_status"], &report["not_judged"]), (&130.into(), &1.into()));
    assert_eq!(std::fs::read_to_string(&baseline).unwrap(), "");
    assert_eq!(bench.left(), Vec::<String>::new());
}

/// Before any case there is nothing to tell.
#[test]
fn an_interrupted_run_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
        let up = bench.folder().join("up");
        nix::unistd::mkfifo(&up, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let hangs = format!("#!/bin/sh\necho up > '{}'\nexec sleep 1000\n", up.display());
        write_program(&bench.folder().join("watchdog"), &hangs);
        write_program(&bench.folder().join("server"), &hangs);
        let mut suite = bench.suite();
        let mut suite =
            suite.args(["--tier", "C", "--bin"]).arg(bench.folder()).stderr(Stdio::piped()).spawn().unwrap();
        // When the watchdog is up, the run is in its first session.
        await_word(&up);
        nix::sys::signal::kill(Pid::from_raw(suite.id().cast_signed()), signal).unwrap();
        assert_eq!(suite.wait().unwrap().code(), Some(130), "{signal}");
        assert_eq!(bench.left(), Vec::<String>::new(), "{signal}");
    }
}

/// The report is on its way to somebody who never takes it.
#[test]
#[cfg(target_os = "linux")]
fn who_interrupts_twice_does_not_wait_for_the_report_either() {
    let (_untaken, full) = os_pipe::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&full).unwrap();
    rustix::fs::fcntl_setfl(&full, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while rustix::io::write(&full, &[0]).is_ok() {}
    rustix::fs::fcntl_setfl(&full, flags).unwrap();
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let mut suite = bench.suite();
    suite.args(["--tier", "C", "--only", "start.server", "--bin"]).arg(reference());
    let mut suite = suite.stdout(full).spawn().unwrap();
    let writes = format!("{} 0x1 ", libc::SYS_write);
    let deadline = Instant::now() + Duration::from_secs(120);
    let status = loop {
        let system_call = std::fs::read_to_string(format!("/proc/{}/syscall", suite.id())).unwrap_or_default();
        if system_call.starts_with(&writes) {
            // Two that come at once count as one.
            nix::sys::signal::kill(Pid::from_raw(suite.id().cast_signed()), Signal::SIGINT).unwrap();
        }
        if let Some(status) = suite.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            suite.kill().unwrap();
            panic!("it goes on, in the system call {system_call}");
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(130));
}
