//! `cargo xtask bench`: the reference's benches, then the suite's.
//!
//! Each bench prints its ratios to floors measured in the same run, holds its own limits and ends with a status other
//! than zero when one is exceeded; none of that is known here.

use std::process::ExitCode;

use crate::steps::{self, OnFailure, Step, cargo};

pub(crate) fn run() -> ExitCode {
    // A limit that the one exceeds says nothing about the other, so both tables are shown.
    if steps::run(steps(), OnFailure::GoOn) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn steps() -> Vec<Step> {
    vec![
        Step::new("reference", cargo(["bench", "--quiet", "-p", "reference"])),
        Step::new("conformance", cargo(["bench", "--quiet", "-p", "conformance"])),
    ]
}
