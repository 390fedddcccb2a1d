//! `cargo xtask controls`: the walls around confined programs, taken down one after the other. `fixtures/controls.toml` says of
//! each by which edit of the suite it is taken down, and which test fails then: one that does not fail holds nothing.
//!
//! It works on a copy of the suite, so that no program that is used can do without its walls. The tests that are run harm
//! nobody where a wall is missing: they look at what is there, or write a little where they must not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{ExitCode, Output, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::edits::{Edit, built_for_one_run, copy_of, while_edited};
use crate::files::read_toml;
use crate::steps::cargo;
use crate::{conformance as suite, workspace};

/// `fixtures/controls.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    control: Vec<Control>,
}

/// A wall.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Control {
    /// What it is.
    wall: String,
    /// What fails without it, a test of `conformance/tests/isolation.rs`.
    test: String,
    /// How it is taken down; files are below `conformance/src`.
    edit: Vec<Edit>,
}

pub(crate) fn run(words: &[String]) -> ExitCode {
    match tried(words) {
        Ok((count, complaints)) => {
            complaints.iter().for_each(|complaint| println!("{complaint}"));
            println!("{count} walls taken down: {} complaints", complaints.len());
            if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask controls: {problem}");
            ExitCode::from(3)
        }
    }
}

fn tried(words: &[String]) -> Result<(usize, Vec<String>), String> {
    let all = walls()?;
    let is_chosen =
        |control: &&Control| words.is_empty() || words.iter().any(|word| control.wall.contains(word.as_str()));
    let chosen: Vec<_> = all.iter().filter(is_chosen).collect();
    if chosen.is_empty() {
        return Err(format!("no wall's name contains {}", words.join(" or ")));
    }
    let built = suite::built_directory()?;
    let bench =
        Bench { copy: copy_of("conformance", &workspace(), &built.parent().unwrap_or(&built).join("controls"))? };
    // A test that fails anyway says nothing.
    let tests: BTreeSet<_> = chosen.iter().map(|control| control.test.as_str()).collect();
    bench.build()?;
    for test in tests {
        let output = bench.test(test)?;
        if !says(&output, "1 passed; 0 failed") {
            return Err(format!("{test} does not pass with every wall in place:\n{}", told(&output)));
        }
    }
    let mut complaints = Vec::new();
    for control in &chosen {
        let begun = Instant::now();
        let complaint = bench.without(control)?;
        let mark = if complaint.is_none() { "ok" } else { "WRONG" };
        println!("{mark:<6} {:>5.1} s  {:<44} {}", begun.elapsed().as_secs_f64(), control.wall, control.test);
        complaints.extend(complaint);
    }
    Ok((chosen.len(), complaints))
}

fn walls() -> Result<Vec<Control>, String> {
    read_toml::<File>(&workspace().join("fixtures/controls.toml")).map(|file| file.control)
}

/// The copy of the suite.
struct Bench {
    copy: PathBuf,
}

impl Bench {
    /// What is wrong with the test of a wall that is taken down.
    fn without(&self, control: &Control) -> Result<Option<String>, String> {
        let (original, copy) = (workspace().join("conformance/src"), self.copy.join("conformance/src"));
        let tested = || self.build().and_then(|()| self.test(&control.test));
        let output = while_edited(&original, &copy, &control.edit, tested);
        let output = output.map_err(|problem| format!("{}: {problem}", control.wall))?;
        let fails = says(&output, "0 passed; 1 failed");
        Ok((!fails).then(|| format!("{}: {} does not fail without it:\n{}", control.wall, control.test, told(&output))))
    }

    fn build(&self) -> Result<(), String> {
        let output = self.cargo(&["--no-run"])?;
        if output.status.success() { Ok(()) } else { Err(format!("it does not build:\n{}", told(&output))) }
    }

    fn test(&self, name: &str) -> Result<Output, String> {
        self.cargo(&["--", "--exact", name])
    }

    fn cargo(&self, more: &[&str]) -> Result<Output, String> {
        let mut test = cargo(["test", "--quiet", "--offline", "--package", "conformance", "--test", "isolation"]);
        test.args(more).current_dir(&self.copy).env("CARGO_TARGET_DIR", self.copy.join("target"));
        built_for_one_run(&mut test);
        // Without namespaces the tests would pass over everything, unless this says that they must be there.
        test.env("CI", "true").env_remove("RUST_BACKTRACE");
        test.stdin(Stdio::null()).output().map_err(|error| format!("cannot start cargo: {error}"))
    }
}

fn says(output: &Output, words: &str) -> bool {
    String::from_utf8_lossy(&output.stdout).contains(words)
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::edited;

    #[test]
    fn every_wall_has_a_test_and_edits_that_fit() {
        let controls = walls().unwrap();
        let tests = std::fs::read_to_string(workspace().join("conformance/tests/isolation.rs")).unwrap();
        let mut names = BTreeSet::new();
        for control in &controls {
            assert!(names.insert(&control.wall), "two walls are called {}", control.wall);
            assert!(tests.contains(&format!("fn {}()", control.test)), "{}: no test {}", control.wall, control.test);
            assert!(!control.edit.is_empty(), "{}", control.wall);
            for edit in &control.edit {
                let fits = edited(&workspace().join("conformance/src"), &edit.file, &control.edit);
                assert!(fits.is_ok(), "{}: {}", control.wall, fits.unwrap_err());
            }
        }
    }
}
