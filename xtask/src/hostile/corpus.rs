//! The corpus in `fixtures/hostile`: what each program is, and what has to come of it.
//!
//! It does not know how a program is judged.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::read_toml;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    program: Vec<Program>,
}

/// A program that nobody should trust.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// Its file's name, without what tells the language.
    pub(crate) name: String,
    /// The side of the pair in whose place it is put.
    #[serde(rename = "as")]
    pub(crate) side: Side,
    /// What keeps the harm from being done.
    pub(crate) contained_by: String,
    /// Has to be among what it showed: it came to what it is for.
    #[serde(default)]
    pub(crate) shows: String,
    /// The requirements that are not to hold.
    #[serde(default)]
    pub(crate) fails: Vec<String>,
    /// What it does leaves itself so little that the other requirements may hold or not.
    #[serde(default)]
    pub(crate) hampers_itself: bool,
    /// It says more than is kept.
    #[serde(default)]
    pub(crate) floods: bool,
    /// What a verdict on it may take, in seconds, before the suite's scale, if not what is usual.
    pub(crate) max_time: Option<u64>,
    /// Nothing contains it where one of the things that tier A does not give is told with this word.
    pub(crate) lapses_with: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Watchdog,
    Server,
}

impl Side {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Watchdog => "watchdog",
            Side::Server => "server",
        }
    }
}

/// All of it, each with its file beside it.
pub(crate) fn read(folder: &Path) -> Result<Vec<Program>, String> {
    read_toml::<File>(&folder.join("corpus.toml")).map(|file| file.program)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use conformance::spec::requirements;

    #[test]
    fn each_file_is_in_the_corpus_once_and_fails_what_there_is() {
        let folder = crate::workspace().join("fixtures/hostile");
        let all = read(&folder).unwrap();
        let names: BTreeSet<_> = all.iter().map(|program| program.name.clone()).collect();
        assert_eq!(names.len(), all.len(), "one is there twice");
        let is_program = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "py" || e == "c");
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_program);
        let files: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, files.into_iter().filter(|name| name != "hostile").collect());
        assert!(names.len() >= 40);
        let ids: BTreeSet<_> = requirements().into_iter().map(|requirement| requirement.id).collect();
        for program in &all {
            assert!(!program.contained_by.is_empty() && program.fails.iter().all(|id| ids.contains(id)), "{program:?}");
            assert!(
                !program.shows.is_empty() || !program.fails.is_empty(),
                "{} cannot be told from another",
                program.name
            );
        }
    }
}
