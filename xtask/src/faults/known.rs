//! The files of faults in `fixtures/faulty`: known-bad pairs, each as exact edits of the text of a pair that conforms.
//!
//! It knows what a fault says of itself, not whether that is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conformance::family::Family;
use conformance::spec::{Level, Platform, Requirement};
use serde::Deserialize;

use crate::edits::Edit;
use crate::files::read_toml;

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
    /// The reference's supervisor and service; likewise.
    Control,
    /// The reference's host and plugin; likewise.
    Plugin,
    /// `fixtures/pairs/python-plugin`; edits name its files.
    #[serde(rename = "python-plugin")]
    PythonPlugin,
    /// `fixtures/pairs/python-sockets`; likewise.
    #[serde(rename = "python-sockets")]
    PythonSockets,
}

impl Base {
    /// What the pair speaks.
    pub(crate) fn family(self) -> Family {
        match self {
            Base::Python | Base::Reference => Family::Watchdog,
            Base::Control => Family::Control,
            Base::Plugin | Base::PythonPlugin => Family::Plugin,
            Base::PythonSockets => Family::Sockets,
        }
    }

    /// Where its files are in the workspace; of scripts, the folder that holds nothing else but what is said of them.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Base::Python => "fixtures/pairs/python",
            Base::PythonPlugin => "fixtures/pairs/python-plugin",
            Base::PythonSockets => "fixtures/pairs/python-sockets",
            Base::Reference | Base::Control | Base::Plugin => "reference/src",
        }
    }

    /// It is not built but run as it stands.
    pub(crate) fn is_scripts(self) -> bool {
        matches!(self, Base::Python | Base::PythonPlugin | Base::PythonSockets)
    }
}

/// One bug, and what it breaks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) why: String,
    /// The requirements that fail because of it, each with the reason: it is to fail for this one and no other.
    pub(crate) breaks: BTreeMap<String, Reason>,
    /// Graded requirements that are not applicable because of it: what they judge is gone.
    #[serde(default)]
    pub(crate) hides: Vec<String>,
    /// Where the bug shows, if not everywhere.
    #[serde(default)]
    pub(crate) platforms: Option<Vec<Platform>>,
    /// The targets, by their triples, on which alone it shows: `cargo xtask matrix` tries it there.
    #[serde(default)]
    pub(crate) targets: Vec<String>,
    pub(crate) edit: Vec<Edit>,
}

/// How a finding is known again: by words of what was seen. What was expected is the same whatever the bug, so it only
/// helps where a case expects several things and what was seen does not say which of them is missing.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Reason {
    Seen(String),
    Both { expected: String, seen: String },
}

impl Reason {
    /// Whether a finding that expects and sees this is the one.
    pub(crate) fn fits(&self, expected: &str, seen: &str) -> bool {
        match self {
            Self::Seen(words) => seen.contains(words),
            Self::Both { expected: missing, seen: words } => expected.contains(missing) && seen.contains(words),
        }
    }

    /// Whether any finding would do.
    fn says_nothing(&self) -> bool {
        match self {
            Self::Seen(words) => words.is_empty(),
            // What is seen may be the machine's own, as the number of its processors is.
            Self::Both { expected, .. } => expected.is_empty(),
        }
    }
}

impl Fault {
    /// Whether the bug shows on this system.
    pub(crate) fn is_here(&self) -> bool {
        self.targets.is_empty() && self.platforms.as_ref().is_none_or(|here| here.contains(&Platform::HERE))
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
    let file: File = read_toml(path)?;
    let mut names = BTreeSet::new();
    for fault in &file.fault {
        if !names.insert(&fault.name) {
            return Err(told(&format!("two faults are called {}", fault.name)));
        }
        if fault.breaks.is_empty() || fault.edit.is_empty() || fault.why.is_empty() {
            return Err(told(&format!("{}: a fault says why, what it breaks and how", fault.name)));
        }
        if let Some((id, _)) = fault.breaks.iter().find(|(_, reason)| reason.says_nothing()) {
            return Err(told(&format!("{}: {id}: the reason fits everything", fault.name)));
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
        let hidden = file.fault.iter().flat_map(|fault| &fault.hides);
        broken.chain(hidden).chain(file.without.keys())
    });
    for id in named.collect::<BTreeSet<_>>() {
        if !requirements.iter().any(|r| r.id == *id && r.untestable.is_none()) {
            said.push(format!("{id}: a fault names it, and it is no requirement that is tested"));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::edited;
    use crate::workspace;

    /// So a change of a pair says at once which bugs have lost their place.
    #[test]
    fn every_fault_fits_the_pair_that_it_is_put_into() {
        for file in files(&workspace().join("fixtures")).unwrap() {
            let pair = workspace().join(file.pair.folder());
            for fault in &file.fault {
                let misfit = fault.edit.iter().find_map(|edit| edited(&pair, &edit.file, &fault.edit).err());
                assert_eq!(misfit, None, "{}", fault.name);
            }
        }
    }

    fn reason(text: &str) -> Result<Reason, toml::de::Error> {
        toml::from_str::<BTreeMap<String, Reason>>(&format!("it = {text}")).map(|mut table| table.remove("it").unwrap())
    }

    #[test]
    fn a_reason_is_what_was_seen_and_what_was_expected_besides_if_need_be() {
        let seen = reason("'lost'").unwrap();
        assert!(seen.fits("", "a byte was lost") && !seen.fits("none lost", "all came"));
        let both = reason("{ expected = 'a prompt', seen = 'nothing' }").unwrap();
        assert!(both.fits("a prompt", "nothing came") && !both.fits("a reply", "nothing came"));
        for wrong in ["1", "{ expected = 'a' }", "{ expected = 'a', seen = 'b', why = 'c' }"] {
            assert!(reason(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_reason_that_fits_everything_is_none() {
        for (text, nothing) in [("''", true), ("{ expected = '', seen = 'b' }", true), ("'b'", false)] {
            assert_eq!(reason(text).unwrap().says_nothing(), nothing, "{text}");
        }
    }
}
