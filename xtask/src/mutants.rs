//! `cargo xtask mutants`: cargo-mutants over the reference's codec, machines, operations and process code, with the suite
//! as its only test. Each mutant that builds must make the suite say something, or be listed in
//! `fixtures/survivors.toml` with the reason why nobody outside can see it.
//!
//! cargo-mutants makes, builds and tries the mutants, in a copy of the workspace that holds the reference and one test:
//! the suite, judging the pair that was just built. What a mutant is, is not known here.

#[cfg(test)]
mod finding;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::Deserialize;

use crate::edits::{built_for_one_run, copy_of};
use crate::files::read_toml;
use crate::steps::{cargo, status};
use crate::{conformance as suite, workspace};

/// The reference's files that are mutated, below `reference/src`.
const FILES: [&str; 9] = [
    "codec/delimited.rs",
    "codec/malformed.rs",
    "codec/op_frame.rs",
    "codec/payload.rs",
    "ending.rs",
    "process_unix.rs",
    "server/machine.rs",
    "server/operation.rs",
    "watchdog/machine.rs",
];

/// So many of the mutants that build have to die.
const DEAD_PERCENT_MIN: f64 = 90.0;

/// A mutant that never comes to an end is dead, after this many seconds: many times what two runs take.
const SECONDS_MAX: &str = "240";

/// The first build of each job builds everything: it must not be taken for a mutant without end.
const BUILD_SECONDS_MAX: &str = "1200";

/// The copy's only test, and what it makes of a run.
const TEST: [(&str, &str); 2] =
    [("judged.rs", include_str!("mutants/judged.rs")), ("finding/mod.rs", include_str!("mutants/finding.rs"))];

/// What the test says of a run that could not tell.
const INCONCLUSIVE: &str = "INCONCLUSIVE";

/// `fixtures/survivors.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    survivor: Vec<Survivor>,
}

/// A mutant that nobody outside can see.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// The file, below `reference/src`.
    file: String,
    /// What is changed, in cargo-mutants' words.
    change: String,
    /// The line that is changed, without the blanks around it.
    line: String,
    /// Why nobody outside can see it.
    why: String,
}

/// What cargo-mutants says in the end.
#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: Summary,
    log_path: PathBuf,
}

#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

/// A mutant, as cargo-mutants lists it.
#[derive(Debug, Clone, Deserialize)]
struct Mutant {
    name: String,
    file: PathBuf,
    span: Span,
}

#[derive(Debug, Clone, Deserialize)]
struct Span {
    start: Place,
}

#[derive(Debug, Clone, Deserialize)]
struct Place {
    line: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum Summary {
    CaughtMutant,
    MissedMutant,
    Timeout,
    Unviable,
    Success,
    Failure,
}

/// Which of how many slices, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) index: u64,
    pub(crate) of: u64,
}

impl std::str::FromStr for Slice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if index < of => Ok(Slice { index, of }),
            _ => Err("expected K/N with K below N, counted from 0, for example 0/10".to_owned()),
        }
    }
}

pub(crate) fn run(slice: Option<Slice>) -> ExitCode {
    match tried(slice) {
        Ok((summary, complaints)) => {
            for line in &complaints {
                println!("{line}");
            }
            println!("{summary}");
            if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask mutants: {problem}");
            ExitCode::from(3)
        }
    }
}

fn tried(slice: Option<Slice>) -> Result<(String, Vec<String>), String> {
    if !cargo(["mutants", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return Err("cargo-mutants not found; install it with: cargo install --locked cargo-mutants".into());
    }
    suite::build(false)?;
    let built = suite::built_directory()?;
    let folder = built.parent().unwrap_or(&built).join("mutants");
    let copy = copy_to_mutate(&folder, &built)?;
    let all = listed_by_tool(&copy)?;
    let status = status(cargo_mutants(&copy, &folder).args(slice_arguments(slice)).stdin(Stdio::null()))?;
    let file = folder.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{status}: {}: {error}", file.display()))?;
    let outcomes: Outcomes = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let listed: Listed = read_toml(&workspace().join("fixtures/survivors.toml"))?;
    let line_of = |mutant: &Mutant| line(&copy, mutant);
    weigh(&outcomes, &listed, &all, slice.is_none(), &line_of, &|path| {
        std::fs::read_to_string(folder.join("mutants.out").join(path)).unwrap_or_default()
    })
}

/// The copy, its test and a suite that no later build changes.
fn copy_to_mutate(folder: &Path, built: &Path) -> Result<PathBuf, String> {
    let copy = copy_of("reference", &workspace(), folder)?;
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    for program in ["conformance", "conformance-standin"] {
        std::fs::copy(built.join(program), folder.join(program)).map_err(told)?;
    }
    let reference = copy.join("reference");
    for other in ["tests", "benches"] {
        std::fs::remove_dir_all(reference.join(other)).map_err(told)?;
    }
    std::fs::create_dir_all(reference.join("tests/finding")).map_err(told)?;
    for (file, text) in TEST {
        std::fs::write(reference.join("tests").join(file), text).map_err(told)?;
    }
    let manifest = std::fs::read_to_string(reference.join("Cargo.toml")).map_err(told)?;
    let mut manifest: toml::Table = toml::from_str(&manifest).map_err(|error| error.to_string())?;
    manifest.remove("dev-dependencies");
    manifest.remove("bench");
    // The suite is the only test.
    let targets = manifest.iter_mut().filter(|(name, _)| matches!(name.as_str(), "lib" | "bin"));
    for target in targets.flat_map(|(_, value)| match value {
        toml::Value::Array(targets) => targets.iter_mut().filter_map(toml::Value::as_table_mut).collect(),
        other => other.as_table_mut().into_iter().collect::<Vec<_>>(),
    }) {
        target.insert("test".into(), false.into());
        target.insert("doctest".into(), false.into());
    }
    std::fs::write(reference.join("Cargo.toml"), manifest.to_string()).map_err(told)?;
    // The tool looks for modules where a plain `path` says, not where a conditional one does; and unit tests are gone.
    for module in ["lib.rs", "control/supervisor/mod.rs", "server/mod.rs", "transport/mod.rs", "watchdog/mod.rs"] {
        let path = reference.join("src").join(module);
        let text = std::fs::read_to_string(&path).map_err(told)?;
        let lines = text.lines().filter(|line| !line.starts_with("#[cfg_attr(windows, path"));
        let plain = |line: &str| match line.strip_prefix("#[cfg_attr(unix, ") {
            Some(rest) => format!("#[{}]\n", rest.trim_end_matches(")]")),
            None => format!("{line}\n"),
        };
        std::fs::write(&path, lines.map(plain).collect::<String>()).map_err(told)?;
    }
    Ok(copy)
}

fn cargo_mutants(copy: &Path, folder: &Path) -> Command {
    let mut command = cargo(["mutants", "--no-config", "--colors=never", "--dir"]);
    command.arg(copy).arg("--output").arg(folder);
    for file in FILES {
        command.arg("--file").arg(Path::new("reference/src").join(file));
    }
    command.args(["--jobs", "2", "--timeout", SECONDS_MAX, "--build-timeout", BUILD_SECONDS_MAX, "--copy-target=true"]);
    command.args(["--no-times", "-C", "--offline"]);
    command.env("SUITE", folder.join("conformance")).env("SUITE_PROFILE", suite::reference_profile());
    built_for_one_run(&mut command);
    command.env_remove("CARGO_TARGET_DIR");
    command
}

fn slice_arguments(slice: Option<Slice>) -> Vec<String> {
    // Each slice takes its share of each file.
    let shard = |slice: Slice| ["--sharding=round-robin".to_owned(), format!("--shard={}/{}", slice.index, slice.of)];
    slice.map(shard).map_or_else(Vec::new, Vec::from)
}

/// Every mutant there is, in all slices.
fn listed_by_tool(copy: &Path) -> Result<Vec<Mutant>, String> {
    let mut list = cargo_mutants(copy, copy);
    let output = list.args(["--list", "--json"]).output().map_err(|error| format!("cargo mutants: {error}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo mutants --list: {error}; {}", String::from_utf8_lossy(&output.stderr)))
}

/// The text of the line that a mutant changes.
fn line(copy: &Path, mutant: &Mutant) -> String {
    let text = std::fs::read_to_string(copy.join(&mutant.file)).unwrap_or_default();
    text.lines().nth(mutant.span.start.line - 1).unwrap_or_default().trim().to_owned()
}

/// The summary, and everything that is wrong.
fn weigh(
    outcomes: &Outcomes,
    listed: &Listed,
    all: &[Mutant],
    is_whole: bool,
    line_of: &dyn Fn(&Mutant) -> String,
    log_of: &dyn Fn(&Path) -> String,
) -> Result<(String, Vec<String>), String> {
    let is = |mutant: &Mutant, survivor: &Survivor| {
        mutant.file.ends_with(&survivor.file) && change(mutant) == survivor.change && line_of(mutant) == survivor.line
    };
    let mut complaints = Vec::new();
    for survivor in &listed.survivor {
        if !all.iter().any(|mutant| is(mutant, survivor)) {
            complaints.push(format!("listed, and there is no such mutant: {} {}", survivor.file, survivor.change));
        }
    }
    let (mut dead, mut alive, mut unviable) = (0, 0, 0);
    for Outcome { scenario, summary, log_path } in &outcomes.outcomes {
        let mutant = match scenario {
            Scenario::Baseline if *summary == Summary::Success => continue,
            Scenario::Baseline => {
                return Err(format!("the reference itself is judged wrongly:\n{}", log_of(log_path)));
            }
            Scenario::Mutant(mutant) => mutant,
        };
        let is_listed = listed.survivor.iter().any(|survivor| is(mutant, survivor));
        let log = log_of(log_path);
        let is_open = log.contains(INCONCLUSIVE);
        let dies = match summary {
            Summary::CaughtMutant => true,
            Summary::MissedMutant => false,
            // One that could not be told at first and then took for ever was not found out.
            Summary::Timeout => !is_open,
            Summary::Unviable => {
                unviable += 1;
                continue;
            }
            Summary::Success | Summary::Failure => return Err(format!("{}: an outcome of no mutant", mutant.name)),
        };
        match (dies, is_listed) {
            (true, true) => complaints.push(format!("listed, and dies: {}", mutant.name)),
            (false, false) => {
                let open = if is_open { " (inconclusive)" } else { "" };
                complaints.push(format!("survives{open}: {} in `{}`", mutant.name, line_of(mutant)));
            }
            _ => {}
        }
        if dies {
            dead += 1;
            // As the suite says it, and as the test does.
            if ["HARNESS FAULT", "HarnessFault"].iter().any(|words| log.contains(words)) {
                complaints.push(format!("the suite itself failed: {}", mutant.name));
            }
        } else {
            alive += 1;
        }
    }
    let percent = 100.0 * f64::from(dead) / f64::from((dead + alive).max(1));
    if is_whole && percent < DEAD_PERCENT_MIN {
        complaints.push(format!("expected that {DEAD_PERCENT_MIN} % of the mutants that build die"));
    }
    let summary = format!(
        "{} of {} mutants tried: {unviable} do not build, {dead} die, {alive} survive: {percent:.1} % of those that \
         build die; {} complaints",
        dead + alive + unviable,
        all.len(),
        complaints.len()
    );
    Ok((summary, complaints))
}

/// What a mutant changes, without the place.
fn change(mutant: &Mutant) -> &str {
    mutant.name.split_once(": ").map_or(mutant.name.as_str(), |(_, change)| change)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(line: usize) -> Mutant {
        let name = format!("reference/src/codec/payload.rs:{line}:7: replace + with - in next");
        Mutant { name, file: "reference/src/codec/payload.rs".into(), span: Span { start: Place { line } } }
    }

    fn outcomes(summaries: &[(usize, Summary)]) -> Outcomes {
        let outcome = |(line, summary): &(usize, Summary)| Outcome {
            scenario: Scenario::Mutant(mutant(*line)),
            summary: *summary,
            log_path: PathBuf::new(),
        };
        Outcomes { outcomes: summaries.iter().map(outcome).collect() }
    }

    fn listed(lines: &[usize]) -> Listed {
        let survivor = |line: &usize| Survivor {
            file: "codec/payload.rs".into(),
            change: "replace + with - in next".into(),
            line: line.to_string(),
            why: "a test".into(),
        };
        Listed { survivor: lines.iter().map(survivor).collect() }
    }

    fn weighed(summaries: &[(usize, Summary)], lines: &[usize], is_whole: bool) -> (String, Vec<String>) {
        weighed_with("", summaries, lines, is_whole)
    }

    fn weighed_with(
        log: &str,
        summaries: &[(usize, Summary)],
        lines: &[usize],
        is_whole: bool,
    ) -> (String, Vec<String>) {
        let all: Vec<_> = (0..20).map(mutant).collect();
        let line_of = |mutant: &Mutant| mutant.span.start.line.to_string();
        weigh(&outcomes(summaries), &listed(lines), &all, is_whole, &line_of, &|_| log.to_owned()).expect("no baseline")
    }

    #[test]
    fn a_survivor_has_to_be_listed_and_whoever_is_listed_to_survive() {
        let tried = [(1, Summary::CaughtMutant), (2, Summary::MissedMutant), (3, Summary::Unviable)];
        assert_eq!(weighed(&tried, &[2], false).1, Vec::<String>::new());
        assert!(weighed(&tried, &[], false).1[0].starts_with("survives: "));
        assert!(weighed(&tried, &[1, 2], false).1[0].starts_with("listed, and dies: "));
        assert!(weighed(&tried, &[2, 99], false).1[0].starts_with("listed, and there is no such mutant"));
    }

    #[test]
    fn what_the_suite_could_not_tell_survives_and_is_said_to() {
        for summary in [Summary::MissedMutant, Summary::Timeout] {
            let tried = [(2, summary)];
            assert!(weighed_with(INCONCLUSIVE, &tried, &[], false).1[0].starts_with("survives (inconclusive): "));
            assert_eq!(weighed_with(INCONCLUSIVE, &tried, &[2], false).1, Vec::<String>::new());
        }
        assert_eq!(weighed(&[(2, Summary::Timeout)], &[], false).1, Vec::<String>::new());
        let test = TEST.iter().find(|(file, _)| *file == "judged.rs").expect("the test").1;
        assert!(test.contains(INCONCLUSIVE), "the test says it in these words");
    }

    #[test]
    fn nine_of_ten_have_to_die_which_a_slice_cannot_tell() {
        let tried = [(1, Summary::CaughtMutant), (2, Summary::MissedMutant), (3, Summary::Timeout)];
        assert!(weighed(&tried, &[2], true).1[0].starts_with("expected that 90 %"));
        assert!(weighed(&tried, &[2], true).0.contains("66.7 % of those that build die"));
    }

    #[test]
    fn a_slice_is_one_of_so_many() {
        assert_eq!("3/10".parse(), Ok(Slice { index: 3, of: 10 }));
        for wrong in ["10/10", "1", "a/b", "1/0", "-1/3"] {
            assert!(wrong.parse::<Slice>().is_err(), "{wrong}");
        }
    }
}
