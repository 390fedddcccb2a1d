//! The project's commands, `cargo xtask <command>`: a file for each, this one only reads the command line.
//!
//! It knows how to call cargo and the programs that cargo builds. What conforms, what a snapshot holds and how fast is
//! fast enough is known by those programs alone.

mod bench;
mod conformance;
#[cfg(unix)]
mod contents;
#[cfg(target_os = "linux")]
mod controls;
#[cfg_attr(
    windows,
    allow(dead_code, reason = "here a few faults are tried by `matrix`, and there is more for whoever tries them all")
)]
mod edits;
#[cfg_attr(
    windows,
    allow(dead_code, reason = "here a few faults are tried by `matrix`, and there is more for whoever tries them all")
)]
mod faults;
mod files;
#[cfg(target_os = "linux")]
mod hostile;
#[cfg(target_os = "linux")]
mod kills;
mod matrix;
#[cfg(unix)]
mod mutants;
mod spec;
#[cfg(unix)]
mod stability;
mod steps;
mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Judge a watchdog/server pair: the reference, or yours with `--bin PATH` (`--help` shows all options)
    // Help is the suite's own, so every word after the command's name belongs to the suite.
    #[command(disable_help_flag = true)]
    Conformance {
        /// Arguments of the suite
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run all tests: format, lints, tests, documentation
    Test {
        /// Further arguments of `cargo test`, after `--`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Measure against floors taken in the same run; the status is 1 when a limit is exceeded
    Bench,
    /// Judge the suite by known-bad pairs: all, or those whose name contains one of the words
    #[cfg(unix)]
    Faults {
        /// Parts of names
        names: Vec<String>,
    },
    /// Write the specification that people read from the files in `conformance/spec`
    Spec {
        /// Write nothing; the status is 1 when the page is not up to date
        #[arg(long)]
        check: bool,
    },
    /// Judge mutants of the reference: each that builds is to be noticed, or listed with the reason why it cannot be
    #[cfg(unix)]
    Mutants {
        /// Only one slice of all mutants, counted from 0
        #[arg(long, value_name = "K/N")]
        slice: Option<mutants::Slice>,
    },
    /// Judge the programs that nobody should trust: all, or those whose name contains one of the words
    #[cfg(target_os = "linux")]
    Hostile(hostile::Options),
    /// Take down the walls around confined programs, one after the other: all, or those whose name contains one of the words
    #[cfg(target_os = "linux")]
    Controls {
        /// Parts of names
        words: Vec<String>,
    },
    /// Kill the suite again and again in the middle of a run, which goes on from its journal
    #[cfg(target_os = "linux")]
    Kills(kills::Options),
    /// One hostile program, in a process of its own
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    HostileJob {
        /// What it is
        job: PathBuf,
    },
    /// Judge a pair again and again; the status is 1 when a verdict changes
    #[cfg(unix)]
    Stability(stability::Options),
    /// Build and judge on other systems and processors, and say in one table what ran where
    Matrix(matrix::Options),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Conformance { args } => conformance::run(args),
        Command::Test { args } => test::run(args),
        Command::Bench => bench::run(),
        #[cfg(unix)]
        Command::Faults { names } => faults::run(&names),
        #[cfg(unix)]
        Command::Mutants { slice } => mutants::run(slice),
        Command::Spec { check } => spec::run(check),
        #[cfg(target_os = "linux")]
        Command::Hostile(options) => hostile::run(&options),
        #[cfg(target_os = "linux")]
        Command::Controls { words } => controls::run(&words),
        #[cfg(target_os = "linux")]
        Command::Kills(options) => kills::run(&options),
        #[cfg(target_os = "linux")]
        Command::HostileJob { job } => hostile::run_job(&job),
        #[cfg(unix)]
        Command::Stability(options) => stability::run(&options),
        Command::Matrix(options) => matrix::run(&options),
    }
}

/// The repository's root.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask stands in the workspace").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn every_word_after_conformance_is_the_suites() {
        for words in [&["--help"][..], &["-h"], &["--bin", "x", "--list"], &["--version"], &["--only", "D4", "extra"]] {
            let line = ["cargo xtask", "conformance"].iter().chain(words);
            let Command::Conformance { args } = Cli::try_parse_from(line).expect("accepted").command else {
                panic!("not the conformance command");
            };
            assert_eq!(args, words);
        }
    }

    #[test]
    fn words_after_the_dashes_are_cargo_tests() {
        let line = ["cargo xtask", "test", "--", "codec", "--", "--nocapture"];
        let Command::Test { args } = Cli::try_parse_from(line).expect("accepted").command else {
            panic!("not the test command");
        };
        assert_eq!(args, ["codec", "--", "--nocapture"]);
        assert!(Cli::try_parse_from(["cargo xtask", "test", "codec"]).is_err(), "a filter needs the dashes");
    }
}
