//! The suite judged by known-bad pairs: each fault breaks the requirements that it says it breaks, and no other
//! gets the blame.
//!
//! The faults stand in `fixtures/faulty`, each as edits of a pair that conforms. For each, everything runs that is
//! graded without a profile, so that wrong blame shows; what could only give advice is skipped. `FAULT=name` in the
//! environment runs only the faults whose names contain it.
#![cfg(unix)]

mod common;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Instant;

use common::faulty::{Edit, Fault, break_pair, faults};
use common::{Bench, Entry, Judgement, Report, graded_only, python_pair, python_path, side_by_side};
use conformance::spec::{Platform, Source, requirements};

/// Requirements that are graded without a profile and that somebody can judge.
fn graded() -> BTreeSet<String> {
    let graded =
        requirements().into_iter().filter(|r| matches!(r.source, Source::Assignment(_)) && r.untestable.is_none());
    graded.map(|r| r.id).collect()
}

/// What a run should not have said, given what is broken.
fn complaints(breaks: &BTreeSet<String>, judgement: &Judgement) -> Vec<String> {
    let Judgement { report, status, .. } = judgement;
    let is_broken = |entry: &&Entry| entry.graded && matches!(entry.verdict.as_str(), "fail" | "warn");
    let mut said: Vec<String> = report
        .requirements
        .iter()
        .filter(|entry| is_broken(entry) && !breaks.contains(&entry.id))
        .map(|entry| format!("wrongly blamed: {entry}"))
        .collect();
    let named: BTreeSet<_> = report.requirements.iter().filter(is_broken).map(|entry| entry.id.clone()).collect();
    for id in breaks.difference(&named) {
        let seen = report.entry(id).map_or_else(|| "not in the report".to_owned(), ToString::to_string);
        said.push(format!("not named: {id} ({seen})"));
    }
    said.extend(report.requirements.iter().filter_map(|entry| unaccounted(report, breaks, entry)));
    said.extend(judgement.left.iter().map(|left| format!("left behind: {left}")));
    let fails = report.requirements.iter().any(|entry| entry.verdict == "fail");
    let expected = i32::from(fails);
    if *status != expected {
        said.push(format!("exit status {status}, expected {expected}; standard error: {}", judgement.stderr));
    }
    said
}

/// An entry that says neither what holds nor what is broken, without what is broken being the reason.
fn unaccounted(report: &Report, breaks: &BTreeSet<String>, entry: &Entry) -> Option<String> {
    let accounted = match entry.verdict.as_str() {
        "harness_fault" => false,
        "inconclusive" => !entry.graded,
        "blocked" => !entry.graded || comes_from(report, breaks, entry),
        _ => true,
    };
    (!accounted).then(|| format!("unaccounted for: {entry}"))
}

/// Whether what blocks an entry is broken, directly or through a chain.
fn comes_from(report: &Report, breaks: &BTreeSet<String>, entry: &Entry) -> bool {
    let Some(by) = &entry.by else { return false };
    breaks.contains(by) || report.entry(by).is_some_and(|blocker| comes_from(report, breaks, blocker))
}

fn try_fault(fault: &Fault, path: &OsString) -> Vec<String> {
    let begun = Instant::now();
    let bench = Bench::new(path);
    let pair = bench.folder().join("pair");
    std::fs::create_dir(&pair).expect("the folder is new");
    let said = match break_pair(fault, &pair) {
        Ok(()) => {
            let profile = bench.folder().join("profile.toml");
            std::fs::write(&profile, graded_only()).expect("the folder is the test's own");
            // Most of the time goes into waiting for what never comes. Half of the usual patience is five seconds,
            // some fifty times what the slowest step of a pair that works takes.
            let args = ["--profile", &profile.display().to_string(), "--timeout-scale", "0.5"];
            complaints(&fault.breaks, &bench.try_judge(&pair, &args))
        }
        Err(problem) => vec![problem],
    };
    // Seen with `--nocapture`: where the time goes.
    println!("{:>6.2} s  {}", begun.elapsed().as_secs_f64(), fault.name);
    said.into_iter().map(|problem| format!("{}: {problem}", fault.name)).collect()
}

#[test]
fn the_pair_without_a_fault_conforms() {
    let Some(path) = python_path() else { return };
    let judgement = Bench::new(&path).judge(&python_pair(), &[]);
    let said = complaints(&BTreeSet::new(), &judgement);
    assert!(said.is_empty(), "{}", said.join("\n"));
    assert_eq!(judgement.status, 0, "{}", judgement.stdout);
    let passed = judgement.report.verdicts().values().filter(|verdict| **verdict == "pass").count();
    assert!(passed >= graded().len(), "only {passed} requirements passed");
}

#[test]
fn each_fault_breaks_what_it_says_and_nothing_else() {
    let Some(path) = python_path() else { return };
    let only = std::env::var("FAULT").unwrap_or_default();
    let mut all = faults();
    all.retain(|fault| {
        fault.name.contains(&only) && fault.platforms.as_ref().is_none_or(|p| p.contains(&Platform::HERE))
    });
    assert!(!all.is_empty(), "no fault is called {only}");
    let said = side_by_side(3, &all, |fault| try_fault(fault, &path));
    assert!(said.is_empty(), "{} complaints about {} faults:\n{}", said.len(), all.len(), said.join("\n"));
}

#[test]
fn faults_name_requirements_that_are_graded() {
    let graded = graded();
    let mut names = BTreeSet::new();
    for fault in faults() {
        assert!(names.insert(fault.name.clone()), "two faults are called {}", fault.name);
        assert!(!fault.breaks.is_empty() && !fault.why.is_empty(), "{} says too little", fault.name);
        let unknown: Vec<_> = fault.breaks.difference(&graded).collect();
        assert!(unknown.is_empty(), "{} breaks what is not graded by default: {unknown:?}", fault.name);
    }
}

#[test]
fn each_graded_requirement_has_a_fault_that_breaks_it() {
    let broken: BTreeSet<String> = faults().into_iter().flat_map(|fault| fault.breaks).collect();
    let mut without = graded();
    without.retain(|id| !broken.contains(id));
    let expected = [
        // What passes through nothing that can be tapped is not seen at all: there is nothing to find fault with.
        "descriptor.pipe",
    ];
    assert_eq!(without, expected.map(str::to_owned).into());
}

#[test]
fn an_edit_must_fit_exactly_once() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for find in ["no such text", "def "] {
        let edit = Edit { file: "server".into(), find: find.into(), replace: String::new() };
        let fault =
            Fault { name: "x".into(), why: "x".into(), breaks: BTreeSet::new(), platforms: None, edit: vec![edit] };
        assert!(break_pair(&fault, folder.path()).is_err(), "{find:?} was taken for one place");
    }
}
