//! `cargo xtask bench`: the reference's benches, the suite's, and whole runs on the reference in tier A beside tier C.
//!
//! Each prints its ratios to floors measured in the same run, and holds its own limits; those of the benches are not known
//! here.

#[cfg(unix)]
mod whole;

use std::process::ExitCode;

use crate::steps::{self, OnFailure, Step, cargo};

pub(crate) fn run() -> ExitCode {
    // A limit that the one exceeds says nothing about the other, so all tables are shown.
    let benches = steps::run(steps(), OnFailure::GoOn);
    #[cfg(unix)]
    let whole = whole::is_within_limit();
    #[cfg(not(unix))]
    let whole = true;
    if benches && whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A plugin connection beside what else there is, which is no part of the project.
const VERSUS: [&str; 8] = [
    "run",
    "--quiet",
    "--release",
    "--locked",
    "--manifest-path",
    "reference/versus/Cargo.toml",
    "--target-dir",
    "target/beside",
];

fn steps() -> Vec<Step> {
    vec![
        Step::new("reference", cargo(["bench", "--quiet", "-p", "reference"])),
        Step::new("versus", cargo(VERSUS)),
        Step::new("conformance", cargo(["bench", "--quiet", "-p", "conformance"])),
    ]
}
