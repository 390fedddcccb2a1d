//! `cargo xtask matrix`: where does this work? For each target the pair and the suite are built, the suite judges the pair there,
//! and one table says what came of it: here, under an emulator, or not at all.
//!
//! What a target needs, and what runs it, is known in `targets`; what conforms, by the suite alone.

mod faults;
mod judged;
mod runner;
mod table;
mod targets;
mod wine;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use conformance::family::Family;

use crate::files::{read_json, replace};
use crate::{steps, workspace};
use runner::Runner;
use table::{Cell, Row, Table};
use targets::{Runs, Target};

#[derive(Args)]
pub(crate) struct Options {
    /// Only these targets, by their triples
    #[arg(long, value_delimiter = ',', value_name = "TRIPLE,…")]
    targets: Vec<String>,
    /// For these, whatever did not run or does not hold there makes the status 1
    #[arg(long, value_delimiter = ',', value_name = "TRIPLE,…")]
    require: Vec<String>,
    /// Only this family; may be repeated
    #[arg(long, value_enum)]
    family: Vec<Family>,
    /// On this target, judge the programs in this folder instead of the reference's; may be repeated
    #[arg(long, value_name = "TRIPLE=PATH")]
    bin_for: Vec<ForTarget>,
    /// Run programs of this target by this command, which gets their paths and arguments, and sees the same files; may be
    /// repeated. Without it, what a `.cargo/config.toml` has as its runner
    #[arg(long, value_name = "TRIPLE=COMMAND")]
    runner: Vec<ForTarget>,
    /// Write the table as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table as Markdown too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Put tables that were written as JSON, perhaps by other machines, into one; nothing is built or run
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["targets", "family", "bin_for", "runner"])]
    merge: Vec<PathBuf>,
    /// Install what the targets need on a Debian machine; nothing is built or run
    #[arg(long, conflicts_with_all = ["merge", "require"])]
    setup: bool,
    /// Say what would be installed, and how, instead
    #[arg(long, requires = "setup")]
    print: bool,
}

/// A target, and what is said of it.
#[derive(Debug, Clone)]
struct ForTarget {
    triple: String,
    value: String,
}

impl FromStr for ForTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (triple, value) = text.split_once('=').ok_or("expected a target's triple, `=` and what is meant for it")?;
        targets::named(triple)?;
        if value.trim().is_empty() {
            return Err(format!("expected what is meant for {triple} after `=`, found nothing"));
        }
        Ok(ForTarget { triple: triple.into(), value: value.into() })
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match answered(options) {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("cargo xtask matrix: {problem}");
            ExitCode::from(2)
        }
    }
}

fn answered(options: &Options) -> Result<ExitCode, String> {
    let chosen: Vec<&Target> = match options.targets.as_slice() {
        [] => targets::ALL.iter().collect(),
        named => named.iter().map(|triple| targets::named(triple)).collect::<Result<_, _>>()?,
    };
    for triple in &options.require {
        targets::named(triple)?;
    }
    for ForTarget { triple, .. } in options.bin_for.iter().chain(&options.runner) {
        if !chosen.iter().any(|target| target.triple == triple) {
            return Err(format!("{triple} is not among the targets that were asked for"));
        }
    }
    if let Some(one) = options.bin_for.iter().find(|one| targets::named(&one.triple).is_ok_and(|t| !t.has_suite())) {
        return Err(format!(
            "--bin-for {}: the suite, which would judge it, is not there on that system yet",
            one.triple
        ));
    }
    if options.setup {
        return targets::set_up(&chosen, options.print).map(|()| ExitCode::SUCCESS);
    }
    let mut table = Table::default();
    for file in &options.merge {
        read_json::<Table>(file)?.rows.into_iter().for_each(|row| table.add(row));
    }
    if options.merge.is_empty() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        for target in chosen {
            eprintln!("== {}", target.triple);
            let row = row(target, options, &path);
            eprintln!("{}", row.in_words());
            table.add(row);
        }
    }
    print!("{}", table.markdown());
    if let Some(file) = &options.json {
        replace(file, &(serde_json::to_string_pretty(&table).expect("a table has a JSON form") + "\n"))?;
    }
    if let Some(file) = &options.markdown {
        replace(file, &table.markdown())?;
    }
    let lacking = table.lacking(&options.require);
    lacking.iter().for_each(|lack| eprintln!("required: {lack}"));
    Ok(if lacking.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a target. Whatever is in its way is said in each of its cells.
fn row(target: &Target, options: &Options, path: &OsStr) -> Row {
    let families = if options.family.is_empty() { Family::value_variants() } else { &options.family };
    let mut row = Row { target: target.triple.into(), system: target.system.into(), cells: BTreeMap::new() };
    let everywhere = |cell: &Cell| areas(target, families).into_iter().map(|area| (area, cell.clone())).collect();
    match prepared(target, named_runner(target, options), path) {
        Err(in_the_way) => row.cells = everywhere(&in_the_way),
        Ok(None) => row.cells = everywhere(&Cell::BuiltOnly),
        Ok(Some(runner)) => {
            row.system = runner.system(target.system);
            let pair = for_target(&options.bin_for, target);
            row.cells.extend(judged::cells(target, &runner, &judged_there(target, families), pair));
            if !target.has_whole_suite() {
                row.cells.insert(TESTS.to_owned(), tests(target, &runner));
            }
        }
    }
    row
}

/// What was said of a target last.
fn for_target<'a>(all: &'a [ForTarget], target: &Target) -> Option<&'a str> {
    all.iter().rfind(|one| one.triple == target.triple).map(|one| one.value.as_str())
}

/// The words of the command by which somebody runs the programs of a target, if they are named.
fn named_runner(target: &Target, options: &Options) -> Option<Vec<String>> {
    let words = |command: &str| command.split_whitespace().map(ToOwned::to_owned).collect();
    for_target(&options.runner, target).map(words).or_else(|| runner::configured(target.triple))
}

/// The area of the reference's own tests, where the suite does not see all of it.
const TESTS: &str = "own tests";

/// What is looked at there: the families, and those tests where the suite does not see all of them.
fn areas(target: &Target, families: &[Family]) -> Vec<String> {
    let judged = judged_there(target, families).into_iter().map(|family| family.to_string());
    judged.chain((!target.has_whole_suite()).then(|| TESTS.to_owned())).collect()
}

/// Those of these families of which the suite judges something there.
fn judged_there(target: &Target, families: &[Family]) -> Vec<Family> {
    families.iter().copied().filter(|family| target.judges(*family)).collect()
}

/// Builds all that a target has, and comes by what runs it, if anything does: that is believed once a canary has sung.
fn prepared(target: &Target, named: Option<Vec<String>>, path: &OsStr) -> Result<Option<Runner>, Cell> {
    let missing = target.missing(path, named.is_some());
    if !missing.is_empty() {
        let what = missing.join(", ");
        return Err(Cell::Skipped(format!("{what} not found; cargo xtask matrix --setup installs it")));
    }
    let runner = match target.runs() {
        Runs::Nowhere if named.is_none() => None,
        _ => Some(believed(target, named).map_err(Cell::Failed)?),
    };
    let suite = target.has_suite().then_some(["-p", "conformance"]);
    let built =
        steps::status(target.cargo_build().args(["--bins", "-p", "reference"]).args(suite.into_iter().flatten()));
    if !built.is_ok_and(|status| status.success()) {
        return Err(Cell::Failed("it was not built, see above".into()));
    }
    Ok(runner)
}

/// What runs a target's programs, once its canary has sung there as it should.
fn believed(target: &Target, named: Option<Vec<String>>) -> Result<Runner, String> {
    let canary = target.canary()?;
    let runner = Runner::of(target, named, &canary)?;
    let sung = runner.command(&canary).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let (words, expected) = (String::from_utf8_lossy(&sung.stdout).trim().to_owned(), target.says());
    if words == expected {
        return Ok(runner);
    }
    let complaint = String::from_utf8_lossy(&sung.stderr).lines().next().unwrap_or_default().to_owned();
    Err(format!("the runner is not believed: its canary says `{words}` and should say `{expected}` ({complaint})"))
}

/// The reference's own tests, and those of the suite's parts, if it is there.
fn tests(target: &Target, runner: &Runner) -> Cell {
    let suite = target.has_suite().then_some(["-p", "conformance", "--lib"]);
    let left_out = runner.cannot();
    let mut all = 0;
    for what in [&["-p", "reference"][..]].into_iter().chain(suite.as_ref().map(|suite| &suite[..])) {
        let mut cargo = target.cargo_test(what);
        runner.lend_to_cargo(&mut cargo, target);
        cargo.arg("--").args(left_out.iter().flat_map(|test| ["--skip", test]));
        // What is pending is for a person to review, and here is nobody. Where the snapshots are is asked of cargo otherwise, which
        // is no program of that system.
        cargo.env("INSTA_UPDATE", "no").env("INSTA_WORKSPACE_ROOT", workspace());
        let output = match cargo.stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => return Cell::Failed(format!("cargo could not be started: {error}")),
        };
        let passed = passed(&String::from_utf8_lossy(&output.stdout));
        if !output.status.success() || passed == 0 {
            let said = [output.stdout, output.stderr].concat();
            eprintln!("{}", String::from_utf8_lossy(&said));
            return Cell::Failed(format!("{passed} tests passed and not all, see above"));
        }
        all += passed;
    }
    let counts = [("pass", all), ("left_out", left_out.len())].into_iter().filter(|(_, count)| *count > 0);
    Cell::Ran { verdicts: counts.map(|(verdict, count)| (verdict.to_owned(), count)).collect() }
}

/// How many tests passed, of what cargo says of all programs of tests.
fn passed(said: &str) -> usize {
    let counts = said.lines().filter_map(|line| line.strip_prefix("test result: "));
    counts.filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn passed_tests_of_all_programs_are_counted() {
        let said = "test result: ok. 12 passed; 0 failed\nnoise\ntest result: FAILED. 3 passed; 1 failed\n";
        assert_eq!(passed(said), 15);
    }

    #[test]
    fn a_target_without_its_tools_is_skipped_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let options = Cli::parse_from(["matrix", "--family", "watchdog"]).options;
        // Zig has a place of its own, and is perhaps there.
        for triple in ["s390x-unknown-linux-gnu", "x86_64-pc-windows-gnu", "i686-unknown-linux-musl"] {
            let target = targets::named(triple).unwrap();
            if cfg!(windows) && triple.contains("windows") {
                continue;
            }
            let row = row(target, &options, folder.path().as_os_str());
            let cells = areas(target, &[Family::Watchdog]);
            assert_eq!(row.cells.keys().collect::<Vec<_>>(), cells.iter().collect::<Vec<_>>());
            for cell in row.cells.values() {
                assert!(matches!(cell, Cell::Skipped(why) if why.contains(" not found; ")), "{triple}: {cell:?}");
            }
            let table = Table { rows: vec![row] };
            assert_eq!(table.lacking(&[triple.to_owned()]).len(), cells.len());
        }
    }

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn what_is_meant_for_a_target_names_one() {
        let one: ForTarget = "s390x-unknown-linux-gnu=ssh host".parse().unwrap();
        assert_eq!((one.triple.as_str(), one.value.as_str()), ("s390x-unknown-linux-gnu", "ssh host"));
        for nothing in ["s390x-unknown-linux-gnu", "s390x-unknown-linux-gnu=", "s390x-unknown-linux-gnu= "] {
            assert!(nothing.parse::<ForTarget>().is_err(), "{nothing}");
        }
        assert!("pdp11=x".parse::<ForTarget>().unwrap_err().contains("s390x-unknown-linux-gnu"));
    }
}
