//! The files of faults in `fixtures/faulty`: known-bad pairs, each as exact edits of the text of a pair that conforms.
//!
//! It knows what a fault says of itself, not whether that is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conformance::spec::{Level, Platform, Requirement};
use serde::Deserialize;

/// A file of faults: bugs in one pair.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The pair that they are put into.
    pub(crate) pair: Base,
    /// What the pair is judged by, below `fixtures/profiles`; without one, only what is graded by default is judged.
    #[serde(default)]
    pub(crate) profile: Option<PathBuf>,
    /// The fault that is tried before all others: when it is not found, no other finding counts.
    pub(crate) canary: String,
    /// Requirements that no fault in this pair can break, with the reason.
    #[serde(default)]
    pub(crate) without: BTreeMap<String, String>,
    pub(crate) fault: Vec<Fault>,
}

/// The pair that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Base {
    /// `fixtures/pairs/python`; edits name `watchdog` or `server`.
    Python,
    /// The reference; edits name files below `reference/src`.
    Reference,
}

/// One bug, and what it breaks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) why: String,
    /// The requirements that fail because of it, each with words that the finding holds: it is to fail for this reason
    /// and no other.
    pub(crate) breaks: BTreeMap<String, String>,
    /// Where the bug shows, if not everywhere.
    #[serde(default)]
    pub(crate) platforms: Option<Vec<Platform>>,
    pub(crate) edit: Vec<Edit>,
}

/// A place in a file, which must be there exactly once, and what comes there instead.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) file: PathBuf,
    pub(crate) find: String,
    pub(crate) replace: String,
}

impl Fault {
    /// Whether the bug shows on this system.
    pub(crate) fn is_here(&self) -> bool {
        self.platforms.as_ref().is_none_or(|platforms| platforms.contains(&Platform::HERE))
    }
}

/// Every file of faults, by name.
pub(crate) fn files(fixtures: &Path) -> Result<Vec<File>, String> {
    let folder = fixtures.join("faulty");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<File, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(&error))?;
    let file: File = toml::from_str(&text).map_err(|error| told(&error))?;
    let mut names = BTreeSet::new();
    for fault in &file.fault {
        if !names.insert(&fault.name) {
            return Err(told(&format!("two faults are called {}", fault.name)));
        }
        if fault.breaks.is_empty() || fault.edit.is_empty() || fault.why.is_empty() {
            return Err(told(&format!("{}: a fault says why, what it breaks and how", fault.name)));
        }
    }
    if !names.contains(&file.canary) {
        return Err(told(&format!("the canary {} is none of its faults", file.canary)));
    }
    Ok(file)
}

/// The names of the faults that break a requirement.
pub(crate) fn breakers<'a>(files: &'a [File], id: &str) -> Vec<&'a str> {
    let faults = files.iter().flat_map(|file| &file.fault);
    faults.filter(|fault| fault.breaks.contains_key(id)).map(|fault| fault.name.as_str()).collect()
}

/// What is wrong with the faults as a whole: a requirement that must be able to fail and has none, a name that is no
/// requirement's.
pub(crate) fn gaps(files: &[File], requirements: &[Requirement]) -> Vec<String> {
    let mut said = Vec::new();
    let can_fail = |r: &&Requirement| r.level != Level::May && r.untestable.is_none();
    for requirement in requirements.iter().filter(can_fail) {
        let id = &requirement.id;
        let excused = files.iter().any(|file| file.without.contains_key(id));
        match (breakers(files, id).is_empty(), excused) {
            (true, false) => said.push(format!("{id}: no fault breaks it")),
            (false, true) => said.push(format!("{id}: said to be beyond all faults, and one breaks it")),
            _ => {}
        }
    }
    let named = files.iter().flat_map(|file| {
        let broken = file.fault.iter().flat_map(|fault| fault.breaks.keys());
        broken.chain(file.without.keys())
    });
    for id in named.collect::<BTreeSet<_>>() {
        if !requirements.iter().any(|r| r.id == *id && r.untestable.is_none()) {
            said.push(format!("{id}: a fault names it, and it is no requirement that is tested"));
        }
    }
    said
}
