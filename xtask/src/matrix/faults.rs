//! The faults that show on some targets alone: each is put into the reference, which is built for such a target and judged there,
//! and has to be found as `fixtures/faulty` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conformance::family::Family;

use super::judged::{judge, reference_profile};
use super::runner::Runner;
use super::table::Cell;
use super::targets::Target;
use crate::edits::{copy_of, while_edited};
use crate::faults::held::{Report, complaints};
use crate::faults::known::{self, Fault};
use crate::{steps, workspace};

/// What came of the faults of a target, held against what the suite says there of each whole pair; nothing if it has none.
pub(super) fn tried(target: &Target, runner: &Runner, whole: &[(Family, Report)]) -> Option<Cell> {
    let files = match known::files(&workspace().join("fixtures")) {
        Ok(files) => files,
        Err(problem) => return Some(Cell::Failed(problem)),
    };
    let mut verdicts = BTreeMap::new();
    for (family, whole) in whole {
        let ours = files.iter().filter(|file| file.pair.family() == *family && !file.pair.is_scripts());
        let faults = ours.flat_map(|file| &file.fault);
        for fault in faults.filter(|fault| fault.targets.iter().any(|triple| triple == target.triple)) {
            let said = broken(target, *family, fault)
                .and_then(|pair| complaints_of(target, runner, *family, fault, &pair, whole))
                .unwrap_or_else(|problem| vec![problem]);
            said.iter().for_each(|complaint| eprintln!("   {}: {complaint}", fault.name));
            let verdict = if said.is_empty() { "found" } else { "missed" };
            *verdicts.entry(verdict.to_owned()).or_default() += 1;
        }
    }
    (!verdicts.is_empty()).then_some(Cell::Ran { verdicts })
}

/// What is wrong with the verdicts on a broken pair. What is complained of where the machine was too slow does not count, and is tried
/// once more.
fn complaints_of(
    target: &Target,
    runner: &Runner,
    family: Family,
    fault: &Fault,
    pair: &Path,
    whole: &Report,
) -> Result<Vec<String>, String> {
    let try_it = || {
        let (report, status) = judge(target, runner, family, pair, Some(&reference_profile(runner)), &fault.name)?;
        Ok::<_, String>((complaints(Some(fault), whole, &report, status), report.is_too_slow()))
    };
    match try_it()? {
        (said, true) if !said.is_empty() => try_it().map(|(said, _)| said),
        (said, _) => Ok(said),
    }
}

/// The folder of a pair with this fault, built for the target in a place of its own.
fn broken(target: &Target, family: Family, fault: &Fault) -> Result<PathBuf, String> {
    let copy = copy_of("reference", &workspace(), &target.built().join("faults"))?;
    let built = copy.join("target");
    let (original, edited) = (workspace().join("reference/src"), copy.join("reference/src"));
    while_edited(&original, &edited, &fault.edit, || {
        let mut cargo = target.cargo_build();
        cargo.args(family.file_names().iter().flat_map(|program| ["--bin", program]));
        cargo.current_dir(&copy).env("CARGO_TARGET_DIR", &built);
        match steps::status(&mut cargo)?.success() {
            true => Ok(built.join(target.triple).join("debug")),
            false => Err("the broken reference was not built, see above".into()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::targets::named;

    /// Else it would be tried nowhere, and nobody would know.
    #[test]
    fn a_fault_that_shows_elsewhere_is_the_references_and_its_targets_are_there() {
        let files = known::files(&workspace().join("fixtures")).unwrap();
        let mut seen = 0;
        for (file, fault) in files.iter().flat_map(|file| file.fault.iter().map(move |fault| (file, fault))) {
            for triple in &fault.targets {
                assert!(named(triple).is_ok_and(Target::has_suite), "{}: {triple}", fault.name);
                assert!(!file.pair.is_scripts(), "{}: a script is the same everywhere", fault.name);
                seen += 1;
            }
        }
        assert!(seen > 0);
    }
}
