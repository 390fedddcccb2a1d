//! The journal of a run: a file to which each verdict is appended, and which is on the disk before the next is. A run that was
//! killed goes on from what it holds.
//!
//! ```text
//! {"format": 2, "suite": …, "pair": …, …}      what is judged, and how: another run does not go on with it
//! {"dialect": …}                               what was learned, since verdicts in two dialects are not one report
//! {"id": …, "verdict": …, …}                   a line for each requirement, as it was judged
//! ```
//!
//! A last line that is cut off was being written when the run was killed; it does not count. What a verdict is worth beside
//! a baseline is not kept, but said anew; nor is anything of a run on a machine that was too slow to learn the dialect.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dialect::Dialect;
use crate::family::Family;
use crate::run::{Judged, Options};
use crate::subject::limits::Limits;
use crate::subject::remains::Remain;
use crate::subject::tier::Tier;
use crate::verdict::Verdict;

/// The format's version.
const FORMAT: u32 = 2;

/// A journal that is being kept.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<File>,
    path: PathBuf,
    dialect: Option<Dialect>,
    kept: HashMap<String, Entry>,
}

/// What is judged, and how.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: u32,
    suite: String,
    family: Family,
    /// The programs, each with a number for what it holds.
    programs: Vec<(PathBuf, u64)>,
    profile: serde_json::Value,
    only: Vec<String>,
    patience_ms: u64,
    tier: Tier,
    hide: Vec<PathBuf>,
    limits: Limits,
}

#[derive(Serialize, Deserialize)]
struct Learned {
    dialect: Dialect,
}

/// What became of a requirement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    id: String,
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    took_us: u64,
    pub(crate) waited: bool,
    pub(crate) remains: Vec<Remain>,
    pub(crate) evidence: Vec<String>,
    pub(crate) traces: Vec<Vec<String>>,
}

impl Head {
    fn of(options: &Options) -> io::Result<Self> {
        let hashed = |path: &Path| {
            let mut hasher = DefaultHasher::new();
            std::fs::read(path)?.hash(&mut hasher);
            io::Result::Ok((path.to_owned(), hasher.finish()))
        };
        Ok(Head {
            format: FORMAT,
            suite: env!("CARGO_PKG_VERSION").to_owned(),
            family: options.pair.family,
            programs: options.pair.programs().map(|(_, path)| hashed(path)).collect::<Result<_, _>>()?,
            profile: serde_json::to_value(&options.profile)?,
            only: options.only.clone(),
            patience_ms: u64::try_from(options.patience.as_millis()).unwrap_or(u64::MAX),
            tier: options.tier,
            hide: options.hide.clone(),
            limits: options.limits,
        })
    }
}

impl Journal {
    /// Begins one in a file that is not there yet, or is empty. The error says what would be right.
    pub fn begin(path: &Path, options: &Options) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let file = OpenOptions::new().append(true).create(true).open(path).map_err(told)?;
        if file.metadata().map_err(told)?.len() > 0 {
            return Err(format!(
                "{}: expected a journal that is not there yet; --resume goes on with one that is",
                path.display()
            ));
        }
        let journal = Journal { file: Mutex::new(file), path: path.to_owned(), dialect: None, kept: HashMap::new() };
        journal.append(&Head::of(options).map_err(told)?).map_err(told)?;
        Ok(journal)
    }

    /// Goes on with one. The error says what would be right.
    pub fn resume(path: &Path, options: &Options) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let mut file = OpenOptions::new().read(true).append(true).open(path).map_err(told)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(told)?;
        // What has no line end was being written.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(told)?;
        let mut lines = text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
        let mut journal =
            Journal { file: Mutex::new(file), path: path.to_owned(), dialect: None, kept: HashMap::new() };
        let now = Head::of(options).map_err(told)?;
        match lines.next() {
            // Killed before anything was written.
            None => journal.append(&now).map_err(told)?,
            Some((_, line)) => {
                let before: Head = parsed(path, 0, line)?;
                if before != now {
                    return Err(format!(
                        "{}: expected the journal of a run like this one, found another's: it differs in {}; begin a new one",
                        path.display(),
                        differences(&before, &now)
                    ));
                }
            }
        }
        for (number, line) in lines {
            if number == 1 {
                journal.dialect = Some(parsed::<Learned>(path, number, line)?.dialect);
            } else {
                let entry: Entry = parsed(path, number, line)?;
                journal.kept.insert(entry.id.clone(), entry);
            }
        }
        Ok(journal)
    }

    /// What was learned, or that it is not what was learned before. From a machine that was too `slow` to learn it nothing is
    /// kept: a run that goes on judges what comes of it anew.
    pub(crate) fn learned(&self, dialect: &Dialect, slow: Option<&str>) -> Result<(), String> {
        let path = self.path.display();
        match (&self.dialect, slow) {
            (None, Some(_)) => Ok(()),
            (None, None) => {
                self.append(&Learned { dialect: dialect.clone() }).map_err(|error| format!("{path}: {error}"))
            }
            (Some(before), _) if before == dialect => Ok(()),
            (Some(_), Some(slow)) => Err(format!(
                "{path}: expected the dialect that was learned before, found too little of any ({slow}); go on with it when \
                 the machine has more time"
            )),
            (Some(_), None) => Err(format!(
                "{path}: the pair speaks another dialect than before, so that this would not be one report; begin a new journal"
            )),
        }
    }

    /// What is known of a requirement already.
    pub(crate) fn kept(&self, id: &str) -> Option<&Entry> {
        self.kept.get(id)
    }

    /// Keeps what became of a requirement, and returns when it is on the disk. Cases go on meanwhile.
    pub(crate) async fn keep(self: &Arc<Self>, judged: &Judged) -> io::Result<()> {
        let entry = Entry {
            id: judged.requirement.id.clone(),
            verdict: judged.verdict.clone(),
            took_us: u64::try_from(judged.took.as_micros()).unwrap_or(u64::MAX),
            waited: judged.waited,
            remains: judged.remains.clone(),
            evidence: judged.evidence.clone(),
            traces: judged.traces.clone(),
        };
        let journal = self.clone();
        tokio::task::spawn_blocking(move || journal.append(&entry)).await.map_err(io::Error::other)?
    }

    fn append<T: Serialize>(&self, line: &T) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let mut file = self.file.lock().expect("not poisoned");
        file.write_all(&bytes)?;
        file.sync_data()
    }
}

impl Entry {
    /// How long its case took.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_micros(self.took_us)
    }
}

fn parsed<'a, T: Deserialize<'a>>(path: &Path, number: usize, line: &'a [u8]) -> Result<T, String> {
    let what = ["a journal's head", "what was learned", "a verdict"][number.min(2)];
    serde_json::from_slice(line).map_err(|error| format!("{}:{}: expected {what}: {error}", path.display(), number + 1))
}

fn differences(before: &Head, now: &Head) -> String {
    let named = [
        ("its format", before.format != now.format),
        ("the suite's version", before.suite != now.suite),
        ("the family", before.family != now.family),
        ("the programs", before.programs != now.programs),
        ("the profile", before.profile != now.profile),
        ("what is selected", before.only != now.only),
        ("--timeout-scale", before.patience_ms != now.patience_ms),
        ("the tier", before.tier != now.tier),
        ("--hide", before.hide != now.hide),
        ("the limits", before.limits != now.limits),
    ];
    let differ: Vec<_> = named.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    differ.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Pair;

    fn options(folder: &Path) -> Options {
        let programs = ["watchdog", "server"].map(|name| folder.join(name));
        programs.iter().for_each(|path| std::fs::write(path, "text").unwrap());
        let [parent, child] = programs;
        let pair = Pair { parent: Some(parent), child, ..Pair::default() };
        Options { pair, ..Options::default() }
    }

    #[test]
    fn a_run_goes_on_with_its_own_journal_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, options) = (folder.path().join("journal"), options(folder.path()));
        Journal::begin(&path, &options).unwrap().learned(&Dialect::default(), None).unwrap();
        assert!(Journal::begin(&path, &options).unwrap_err().contains("--resume"));
        let other = Dialect { end: Some(crate::dialect::Symbol(b"#".to_vec())), ..Dialect::default() };
        let resumed = Journal::resume(&path, &options).unwrap();
        resumed.learned(&Dialect::default(), None).unwrap();
        assert!(resumed.learned(&other, None).unwrap_err().contains("another dialect"));
        std::fs::write(&options.pair.child, "another text").unwrap();
        let refused = Journal::resume(&path, &Options { only: vec!["end".into()], ..options }).unwrap_err();
        assert!(refused.contains("it differs in the programs, what is selected"), "{refused}");
    }

    #[test]
    fn what_a_machine_was_too_slow_to_learn_is_not_kept_and_does_not_pass_for_another_dialect() {
        let folder = tempfile::tempdir().unwrap();
        let (path, options) = (folder.path().join("journal"), options(folder.path()));
        let other = Dialect { end: Some(crate::dialect::Symbol(b"#".to_vec())), ..Dialect::default() };
        let slow = Some("the suite itself was woken 2000 ms late");
        Journal::begin(&path, &options).unwrap().learned(&other, slow).unwrap();
        let resumed = Journal::resume(&path, &options).unwrap();
        resumed.learned(&Dialect::default(), None).unwrap();
        let resumed = Journal::resume(&path, &options).unwrap();
        resumed.learned(&Dialect::default(), slow).unwrap();
        let refused = resumed.learned(&other, slow).unwrap_err();
        assert!(refused.contains("woken 2000 ms late") && !refused.contains("another dialect"), "{refused}");
    }

    #[test]
    fn wherever_it_is_cut_off_whole_lines_count() {
        let folder = tempfile::tempdir().unwrap();
        let (path, options) = (folder.path().join("journal"), options(folder.path()));
        let journal = Journal::begin(&path, &options).unwrap();
        journal.learned(&Dialect::default(), None).unwrap();
        let entry = |id: &str| Entry {
            id: id.to_owned(),
            verdict: Verdict::Pass,
            took_us: 1,
            waited: false,
            remains: Vec::new(),
            evidence: vec!["seen\n".to_owned()],
            traces: Vec::new(),
        };
        ["one", "two"].iter().for_each(|id| journal.append(&entry(id)).unwrap());
        let text = std::fs::read(&path).unwrap();
        let ends: Vec<_> = (0..text.len()).filter(|at| text[*at] == b'\n').collect();
        for cut in 0..=text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let resumed = Journal::resume(&path, &options).unwrap();
            assert_eq!(resumed.kept("one").is_some(), cut > ends[2], "{cut}");
            assert_eq!(resumed.kept("two").is_some(), cut > ends[3], "{cut}");
            resumed.learned(&Dialect::default(), None).unwrap();
            resumed.append(&entry("three")).unwrap();
            assert!(Journal::resume(&path, &options).unwrap().kept("three").is_some(), "{cut}");
        }
    }
}
