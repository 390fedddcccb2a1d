//! `cargo xtask test`: every test there is, in the order in which a failure is cheapest to have.
//!
//! What the tests check is not known here; only how they are started, and what they need beyond Rust.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::steps::{self, OnFailure, Step, cargo};

/// The suite drives pairs by pty, pipes and signals as Unix has them; until it knows Windows, only the reference is
/// tested there.
const PACKAGES: &[&str] = if cfg!(windows) { &["-p", "reference"] } else { &["--workspace"] };

/// The Python that the pair in `fixtures/pairs/python` is written for.
const PYTHON_MIN: (u32, u32) = (3, 8);

pub(crate) fn run(cargo_test_args: Vec<OsString>) -> ExitCode {
    if cfg!(windows) {
        eprintln!("On Windows only the reference is tested.");
    } else {
        let missing = missing();
        for problem in &missing {
            eprintln!("{problem}");
        }
        if is_ci() && !missing.is_empty() {
            eprintln!("In CI nothing may be left out, so this is a failure.");
            return ExitCode::FAILURE;
        }
    }
    if steps::run(steps(cargo_test_args), OnFailure::Stop) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn steps(cargo_test_args: Vec<OsString>) -> Vec<Step> {
    // With arguments only a part of the tests is asked for.
    let all = cargo_test_args.is_empty();
    let mut clippy = cargo(["clippy", "--quiet", "--all-targets"]);
    clippy.args(PACKAGES).args(["--", "-D", "warnings"]);

    // Tests of one package start programs of another, and `cargo test` builds programs only for their own package.
    let mut build = cargo(["build", "--quiet", "--bins"]);
    build.args(PACKAGES);

    let mut test = cargo(["test", "--quiet"]);
    test.args(PACKAGES).args(cargo_test_args);
    // A forced pass would make this command's success worth nothing.
    test.env_remove("INSTA_FORCE_PASS");
    if is_ci() {
        // A pending snapshot is for a person to review; where there is none, only the difference counts.
        test.env("INSTA_UPDATE", "no");
    }

    let mut doc = cargo(["doc", "--quiet", "--no-deps"]);
    doc.args(PACKAGES).env("RUSTDOCFLAGS", "-D warnings");

    let mut steps = vec![
        Step { name: "fmt", command: cargo(["fmt", "--all", "--check"]) },
        Step { name: "clippy", command: clippy },
        Step { name: "build", command: build },
        Step { name: "test", command: test },
        Step { name: "doc", command: doc },
    ];
    if cfg!(unix) && all {
        let slice = slice_of_mutants();
        let mut further = vec![("faults", vec!["faults"]), ("stability", vec!["stability", "--runs", "10"])];
        further.push(("under load", vec!["stability", "--runs", "5", "--load", "2"]));
        if has_mutants() {
            further.push(("mutants", vec!["mutants", "--slice", &slice]));
        }
        for (name, arguments) in further {
            // This very program.
            let mut command = Command::new(env::current_exe().unwrap_or_else(|_| "xtask".into()));
            command.args(arguments);
            steps.push(Step { name, command });
        }
    }
    steps
}

/// All mutants take half an hour, so each commit has the next slice of them.
fn slice_of_mutants() -> String {
    const SLICES: u64 = 12;
    let output = Command::new("git").args(["rev-list", "--count", "HEAD"]).current_dir(crate::workspace()).output();
    let count = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()?.trim().parse::<u64>().ok());
    format!("{}/{SLICES}", count.unwrap_or(0) % SLICES)
}

/// Whether cargo-mutants is there. Which mutants survive is known for Linux.
pub(crate) fn has_mutants() -> bool {
    cfg!(target_os = "linux") && cargo(["mutants", "--version"]).output().is_ok_and(|output| output.status.success())
}

/// Whether nobody is watching who could install what is missing.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// What the tests need beyond Rust and is not there, each with what is not run without it.
fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if let Err(problem) = python() {
        let needed = format!("Install Python 3.{} or later", PYTHON_MIN.1);
        missing.push(format!("{problem}: the Python pair and its faults are not run. {needed}."));
    }
    for (tool, argument, language) in [("cc", "--version", "C"), ("node", "--version", "Node"), ("go", "version", "Go")]
    {
        let there = Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success());
        if !there {
            missing.push(format!("{tool} not found: the pair in {language} is not run. Install {language}."));
        }
    }
    if cfg!(target_os = "linux") && !has_mutants() {
        missing.push(
            "cargo-mutants not found: no mutants are tried. Install it with: cargo install --locked cargo-mutants"
                .into(),
        );
    }
    // It exists nowhere else.
    if cfg!(target_os = "linux") && !Command::new("strace").arg("-V").output().is_ok_and(|o| o.status.success()) {
        missing.push("strace not found: --strace is not tried. Install strace.".to_owned());
    }
    missing
}

/// Asks python3 for its version, which also tells a mere placeholder of that name from the real program.
fn python() -> Result<(), String> {
    let output = Command::new("python3").arg("--version").output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return Err("python3 not found".to_owned());
    };
    let words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match python_version(&words) {
        Some(version) if version >= PYTHON_MIN => Ok(()),
        _ => Err(format!("python3 is too old or unknown ({words:?})")),
    }
}

/// Major and minor of the line that `python3 --version` prints.
fn python_version(words: &str) -> Option<(u32, u32)> {
    let mut numbers = words.strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_versions_are_compared_as_numbers() {
        assert_eq!(python_version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(python_version("Python 3.13.0rc1"), Some((3, 13)));
        assert!(python_version("Python 3.7.16") < Some(PYTHON_MIN));
        assert!(python_version("Python 3.10.0") > Some(PYTHON_MIN));
        for words in ["", "Python", "Python 3", "pyenv: python3: command not found"] {
            assert_eq!(python_version(words), None, "{words}");
        }
    }

    #[test]
    fn further_arguments_reach_cargo_test_alone() {
        for step in steps(vec!["codec".into()]) {
            let has_it = step.command.get_args().any(|arg| arg == "codec");
            assert_eq!(has_it, step.name == "test", "{}", step.name);
        }
    }
}
