//! The suite's verdicts on a target: on a pair of each family, and on what is broken there. What runs the suite there it is told.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use conformance::family::Family;

use super::faults;
use super::runner::Runner;
use super::table::{self, Cell};
use super::targets::Target;
use crate::conformance as suite;
use crate::faults::held::Report;
use crate::files::read_json;

/// The area of the faults that show there and not everywhere.
const FAULTS: &str = "faults";

/// A pair of each family, or the reference, judged by the suite that was built for the target; and the reference's faults.
pub(super) fn cells(
    target: &Target,
    runner: &Runner,
    families: &[Family],
    pair: Option<&str>,
) -> BTreeMap<String, Cell> {
    let (mut cells, mut whole) = (BTreeMap::new(), Vec::new());
    for family in families {
        let (folder, profile) = match pair {
            None => (target.built(), Some(reference_profile(runner))),
            Some(folder) => (folder.into(), runner.is_emulated().then(|| suite::profile("emulated"))),
        };
        let cell = match judge(target, runner, *family, &folder, profile.as_deref(), &family.to_string()) {
            Ok((report, _)) => {
                let cell = ran(&report);
                let bad = report.requirements.iter().filter(|entry| table::is_bad(&entry.verdict));
                bad.for_each(|entry| eprintln!("   {entry}"));
                whole.push((*family, report));
                cell
            }
            Err(problem) => Cell::Failed(problem),
        };
        cells.insert(family.to_string(), cell);
    }
    if pair.is_none() {
        cells.extend(faults::tried(target, runner, &whole).map(|cell| (FAULTS.to_owned(), cell)));
    }
    cells
}

/// What the reference is judged by: below an emulator, without what that does not do as a kernel does.
pub(super) fn reference_profile(runner: &Runner) -> PathBuf {
    suite::profile(if runner.is_emulated() { "reference-emulated" } else { "reference" })
}

/// The suite's report on a pair of one family, kept under this name beside what was built for the target, and its exit status.
pub(super) fn judge(
    target: &Target,
    runner: &Runner,
    family: Family,
    pair: &Path,
    profile: Option<&Path>,
    name: &str,
) -> Result<(Report, Option<i32>), String> {
    let json = target.built().join(name).with_extension("json");
    let _ = std::fs::remove_file(&json);
    let mut judge = runner.command(&target.built().join(target.file_of("conformance")));
    judge.args(["--family", &family.to_string(), "--bin"]).arg(pair).arg("--json").arg(&json);
    judge.args(profile.into_iter().flat_map(|profile| [OsStr::new("--profile"), profile.as_os_str()]));
    if runner.is_emulated() {
        // What an emulator makes of namespaces is not what is asked here.
        judge.args(["--tier", "C"]);
    }
    let output = judge.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("the suite could not be run: {error}"))?;
    match read_json::<Report>(&json) {
        Ok(report) => Ok((report, output.status.code())),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            Err(format!("the suite ended with status {:?} and no report: {last}", output.status.code()))
        }
    }
}

/// So many of each verdict.
fn ran(report: &Report) -> Cell {
    let mut verdicts = BTreeMap::new();
    for entry in &report.requirements {
        *verdicts.entry(entry.verdict.clone()).or_default() += 1;
    }
    Cell::Ran { verdicts }
}
