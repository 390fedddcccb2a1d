//! Pairs in other languages, each written as its community would, in dialects that lie far apart: all conform, and
//! nobody tells the suite how they speak. What was kept of each run comes out the same when the programs are gone, and
//! whatever counts is judged in tiers A and B as in tier C.
//!
//! A pair whose language is not installed is said to be not run, which `cargo xtask test` leaves out by these tests'
//! names; in CI that is a failure.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::subject::place::RunFolder;

use crate::common::{Bench, Entry, fixtures, has_tier_a, python_path};

/// Whether a tool answers; else what to say about it.
fn is_there(tool: &str, arguments: &[&str]) -> bool {
    let there = Command::new(tool).args(arguments).output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none(), "{tool} not found: in CI it must be there");
    if !there {
        println!("{tool} not found: not run");
    }
    there
}

fn path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn pair(name: &str) -> PathBuf {
    fixtures().join("pairs").join(name)
}

fn built(command: &mut Command) {
    let output = command.output().expect("the compiler answered a moment ago");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Without a profile every graded requirement that there is something to judge in holds, and so many at least do; and the
/// suite itself does not fail in any other.
fn conforms(bench: &Bench, pair: &Path, family: &str, passes_min: usize) {
    let bundle = bench.folder().join("bundle");
    // Half of the usual patience for the words that some pairs never say.
    let patience = ["--family", family, "--timeout-scale", "0.5"];
    let mut in_others = Vec::new();
    for (tier, is_there) in [("A", has_tier_a()), ("B", RunFolder::grouped().is_ok())] {
        if is_there {
            in_others.push(bench.judge(pair, &[&["--tier", tier][..], &patience].concat()));
        }
    }
    let run = bench.judge(pair, &[&["--bundle", bundle.to_str().unwrap()][..], &patience].concat());
    let holds = |entry: &&Entry| match entry.verdict.as_str() {
        "pass" | "untestable" | "not_applicable" => true,
        "advice" | "blocked" | "inconclusive" => !entry.graded,
        _ => false,
    };
    let others: Vec<_> = run.report.requirements.iter().filter(|entry| !holds(entry)).collect();
    assert!(others.is_empty(), "{others:#?}");
    let passed = run.report.requirements.iter().filter(|entry| entry.verdict == "pass").count();
    assert!(passed >= passes_min, "only {passed} requirements passed");
    assert_eq!(run.status, 0, "{}", run.stdout);
    for other in &in_others {
        let [here, there] = [&run, other].map(|run| {
            let graded = run.report.requirements.iter().filter(|entry| entry.graded);
            graded.map(|entry| (&entry.id, entry.to_string())).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(here, there, "{}", other.stderr);
    }
    std::fs::remove_dir_all(pair).unwrap();
    bench.replays(&bundle, run.status);
}

#[test]
fn the_pair_in_python() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    conforms(&bench, &bench.copy_of(&pair("python")), "watchdog", 35);
}

#[test]
fn the_pair_in_node() {
    if is_there("node", &["--version"]) {
        let bench = Bench::new(&path());
        conforms(&bench, &bench.copy_of(&pair("node")), "watchdog", 35);
    }
}

#[test]
fn the_pair_in_c() {
    if !is_there("cc", &["--version"]) {
        return;
    }
    let bench = Bench::new(&path());
    let programs = bench.folder().join("pair");
    std::fs::create_dir(&programs).unwrap();
    for program in ["watchdog", "server"] {
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-std=c11", "-D_GNU_SOURCE", "-o"]).arg(programs.join(program));
        built(cc.arg(pair("c").join(format!("{program}.c"))));
    }
    conforms(&bench, &programs, "watchdog", 35);
}

#[test]
fn the_pair_in_go() {
    if !is_there("go", &["version"]) {
        return;
    }
    let bench = Bench::new(&path());
    conforms(&bench, &built_in_go(&bench, "go", ["watchdog", "server"]), "watchdog", 35);
}

#[test]
fn the_supervisor_and_service_in_go() {
    if !is_there("go", &["version"]) {
        return;
    }
    let bench = Bench::new(&path());
    conforms(&bench, &built_in_go(&bench, "go-control", ["supervisor", "service"]), "control", 50);
}

#[test]
fn the_plugin_and_its_host_in_python() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let files = ["plugin-host", "plugin", "connection.py"];
    conforms(&bench, &bench.copy_of_programs(&pair("python-plugin"), &files), "plugin", 35);
}

fn built_in_go(bench: &Bench, name: &str, programs: [&str; 2]) -> PathBuf {
    let folder = bench.folder().join("pair");
    for program in programs {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(folder.join(program)).arg(format!("./{program}"));
        // Nothing but the standard library, and nothing from anywhere else.
        go.envs([("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local")]);
        built(go.env("GOCACHE", bench.folder().join("cache")).current_dir(pair(name)));
    }
    folder
}
