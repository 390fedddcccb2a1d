//! `--strace`: the system calls of a case that failed are part of its evidence.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::common::{Bench, forgetful, python_path};

#[test]
fn a_failure_has_the_system_calls_of_both_programs() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = forgetful(&bench);
    let args = ["--only", "command.url-as-typed", "--strace"];
    if !Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "strace not found: in CI it must be there");
        let run = bench.judge(&pair, &args);
        assert!(run.status == 2 && run.stderr.contains("expected strace on the PATH"), "{}", run.stderr);
        return;
    }
    let run = bench.judge(&pair, &args);
    assert_eq!(run.status, 1, "{}", run.stdout);
    let (_, calls) = run.stdout.split_once("system calls of the same case").expect("they are there");
    // What the watchdog read from its terminal, and what the server wrote to the target.
    for words in ["\"doreq GET http://", "\"GET /command.url-as-typed/"] {
        assert!(calls.contains(words), "{words}: {calls}");
    }
    assert_eq!(run.report.entry("command.url-as-typed").map(|entry| entry.verdict.as_str()), Some("fail"));
}
