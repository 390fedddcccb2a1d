//! The faults that show on some targets alone: each is put into the reference, which is built for such a target and judged there,
//! and has to be found as `fixtures/faulty` says.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
                .and_then(|pair| judge(target, runner, *family, &pair, Some(&reference_profile(runner))))
                .map_or_else(
                    |problem| vec![problem],
                    |(report, status)| complaints(Some(fault), whole, &report, status),
                );
            said.iter().for_each(|complaint| eprintln!("   {}: {complaint}", fault.name));
            let verdict = if said.is_empty() { "found" } else { "missed" };
            *verdicts.entry(verdict.to_owned()).or_default() += 1;
        }
    }
    (!verdicts.is_empty()).then_some(Cell::Ran { verdicts })
}

/// The folder of a pair with this fault, built for the target in a place of its own.
fn broken(target: &Target, family: Family, fault: &Fault) -> Result<PathBuf, String> {
    let copy = copy_of("reference", &workspace(), &target.built().join("faults"))?;
    let built = copy.join("target");
    let (original, edited) = (workspace().join("reference/src"), copy.join("reference/src"));
    while_edited(&original, &edited, &fault.edit, || {
        let mut cargo = target.cargo_build();
        cargo.args(family.file_names().iter().flat_map(|program| ["--bin", program]));
        // What an edit leaves unused is no news.
        cargo.current_dir(&copy).env("CARGO_TARGET_DIR", &built);
        match steps::status(&mut cargo)?.success() {
            true => Ok(built.join(target.triple).join("debug")),
            false => Err("the broken reference was not built, see above".into()),
        }
    })
}
