//! Bundles: a run that was kept is judged again without its programs, and comes out the same.

use std::path::Path;

use crate::common::{Bench, fixtures, python_pair, python_path, reference, write_program};

/// Judges a copy of a pair: see [`same_without`].
fn comes_out_the_same(bench: &Bench, bin: &Path, args: &[&str]) {
    same_without(bench, &bench.copy_of(bin), args);
}

/// Runs the suite on a pair, keeps the run, takes the pair away and replays: whole reports are the same.
fn same_without(bench: &Bench, pair: &Path, args: &[&str]) {
    let bundle = bench.folder().join("bundle");
    let run = bench.judge(pair, &[args, &["--bundle", &bundle.display().to_string()]].concat());
    std::fs::remove_dir_all(pair).unwrap();
    bench.replays(&bundle, run.status);
}

#[test]
fn the_reference_replayed() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let profile = fixtures().join("profiles/reference.toml").display().to_string();
    comes_out_the_same(&bench, &reference(), &["--profile", &profile]);
}

#[test]
fn a_pair_with_much_advice_replayed() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    // Less patience makes more of it inconclusive, which has to come out the same too.
    comes_out_the_same(&bench, &python_pair(), &["--timeout-scale", "0.2"]);
}

#[test]
fn a_pair_that_cannot_be_tapped_replayed() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    // What waits for messages waits in vain.
    comes_out_the_same(&bench, &fixtures().join("pairs/python-fifo"), &["--timeout-scale", "0.2"]);
}

/// A pair that is slow at every step is nobody's for ever: this case takes two seconds of any pair's time.
#[test]
fn a_case_that_is_given_up_leaves_nobody_and_comes_out_the_same() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let bundle = bench.folder().join("bundle").display().to_string();
    let run =
        bench.judge(&reference(), &["--only", "end.exit-failed", "--max-time", "1", "--bundle", &bundle, "--verbose"]);
    let entry = run.report.entry("end.exit-failed").expect("it was asked for");
    assert_eq!(entry.verdict, "inconclusive", "{}", run.stdout);
    // On a machine that is slow enough what it needs is given up.
    let why = ["the end of the case, within 1 s (--max-time)", "could not be judged"];
    assert!(why.iter().any(|why| run.stdout.contains(why)), "{}", run.stdout);
    bench.replays(Path::new(&bundle), run.status);
}

/// Whoever is late each time learns a shorter lesson, again when it takes place on paper.
#[test]
fn a_first_session_that_was_cut_short_comes_out_the_same() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let pair = bench.copy_of(&reference());
    std::fs::rename(pair.join("watchdog"), pair.join("real")).unwrap();
    let real = pair.join("real").display().to_string();
    // More than half of a second before anything arrives.
    let late = format!("#!/bin/sh\nwhile read -r line; do sleep 1; echo \"$line\"; done | exec '{real}' \"$@\"\n");
    write_program(&pair.join("watchdog"), &late);
    same_without(&bench, &pair, &["--only", "start.server", "--max-time", "1"]);
}

#[test]
fn what_is_no_bundle_is_refused() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let refused = |bundle: &Path| {
        let output = bench.suite().arg("replay").arg(bundle).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (status, said) = refused(Path::new("/no/such/folder"));
    assert!(status == Some(2) && said.contains("bundle.json: No such file"), "{said}");
    std::fs::write(bench.folder().join("bundle.json"), r#"{"format": 99}"#).unwrap();
    let (status, said) = refused(bench.folder());
    let expected = format!("expected a bundle of format {}, found 99", conformance::bundle::FORMAT);
    assert!(status == Some(2) && said.contains(&expected), "{said}");
    let kept = bench.judge(&python_pair(), &["--bundle", &bench.folder().display().to_string()]);
    assert!(kept.status == 2 && kept.stderr.contains("a folder that is not there yet"), "{}", kept.stderr);
}

/// One that was made by another suite is nobody's bug.
#[test]
fn a_bundle_that_does_not_fit_is_told_apart_from_a_bug() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let bundle = bench.folder().join("bundle");
    bench.judge(&reference(), &["--only", "wire.coalesced", "--bundle", &bundle.display().to_string()]);
    let without_answers = |file: &Path| {
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("which recorded request")).collect();
        assert_ne!(lines.len(), text.lines().count());
        std::fs::write(file, lines.join("\n")).unwrap();
    };
    without_answers(&bundle.join("wire.coalesced/notes.jsonl"));
    let output = bench.suite().arg("replay").arg(&bundle).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("was kept by another suite") && said.contains("no answer to `which recorded"), "{said}");
    assert!(!complained.contains("panicked"), "{complained}");
}
