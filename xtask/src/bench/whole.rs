//! A whole run on the reference in tier A, beside one in tier C: the one and the other in turn, and the ratio of medians.

use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::conformance as suite;
use crate::files::read_json;
use crate::test::has_namespaces;

/// To be kept apart costs a run at most this much more.
const RATIO_MAX: f64 = 1.5;

const ROUNDS: usize = 9;

#[derive(Deserialize)]
struct Report {
    total_ms: u64,
    answer: String,
}

/// Prints its line of the table.
pub(super) fn is_within_limit() -> bool {
    let name = "a whole run in tier A / in tier C";
    if !has_namespaces() {
        println!("{name:<34} not measured: namespaces cannot be made here");
        return true;
    }
    match medians() {
        Ok([ours, floor]) => {
            let ratio = ours as f64 / floor as f64;
            let verdict = if ratio <= RATIO_MAX { "ok" } else { "EXCEEDED" };
            println!("{name:<34} {ours:>6} ms {floor:>6} ms {ratio:>7.2} {RATIO_MAX:>7.2}  {verdict}");
            ratio <= RATIO_MAX
        }
        Err(problem) => {
            eprintln!("{name}: {problem}");
            false
        }
    }
}

/// Of tier A and tier C.
fn medians() -> Result<[u64; 2], String> {
    suite::build(true)?;
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (tier, took) in ["A", "C"].into_iter().zip(&mut took) {
            took.push(milliseconds(tier)?);
        }
    }
    Ok(took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    }))
}

fn milliseconds(tier: &str) -> Result<u64, String> {
    let built = suite::built_directory()?;
    let report = tempfile::NamedTempFile::new().map_err(|error| format!("a report: {error}"))?;
    let mut run = Command::new(built.join("conformance"));
    run.arg("--bin").arg(&built).arg("--profile").arg(suite::reference_profile()).arg("--json").arg(report.path());
    let status = run.args(["--tier", tier]).stdout(Stdio::null()).status().map_err(|error| error.to_string())?;
    let Report { total_ms, answer } = read_json(report.path())?;
    if status.success() { Ok(total_ms) } else { Err(format!("in tier {tier} the reference is {answer}")) }
}
