//! A bundle: all that was recorded in a run, in a folder, enough to judge it again without the subjects.
//!
//! ```text
//! bundle.json          format, family and programs, system, profile, selection, patience, limits, tier, the target's address,
//!                      baseline, day
//! ID/case.json         the sessions of a case, or of `learn`: when they began, in microseconds since the run did,
//!                      process ids, programs that could not be executed, and the processes that were left
//! ID/notes.jsonl       what was found out beside the sessions
//! ID/N.jsonl           session N, one event a line: `at_us` since it began, `what`, and what belongs to that; bytes
//!                      are text in which what is not printable ASCII is `\n`, `\\` or `\xNN`
//! ```
//!
//! Beside what observers saw, a session holds each look of its case (`looked`) and the answers to what it asked
//! (`answered`): judged again, the case sees what it saw then. `format` grows when that changes its meaning.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::acts::{Act, Acts};
use crate::baseline::{Baseline, Day};
use crate::event::Event;
use crate::profile::Profile;
use crate::record::Record;
use crate::run::{Options, Run};
use crate::subject::limits::Limits;
use crate::subject::remains::Remain;
use crate::subject::tier::Tier;
use crate::suite::Pair;

/// The format's version.
pub const FORMAT: u32 = 3;

/// The first session's name among the cases.
const LEARN: &str = "learn";

/// A run that is over.
#[derive(Debug, Clone)]
pub struct Bundle {
    head: Head,
    /// What each case did, and `learn`.
    pub acts: BTreeMap<String, PastActs>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Head {
    format: u32,
    system: String,
    pair: Pair,
    profile: Profile,
    only: Vec<String>,
    jobs: usize,
    patience_ms: u64,
    /// Older ones do not say, nor the tier.
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    tier: Tier,
    /// What of it the machine did not give.
    #[serde(default)]
    lapses: Vec<String>,
    target: String,
    baseline: Baseline,
    /// The day on which it was held against the baseline.
    day: Day,
}

/// What a case did.
#[derive(Debug, Clone, Default)]
pub struct PastActs {
    /// What was found out beside its sessions.
    pub notes: Vec<Event>,
    /// The processes that were left.
    pub remains: Vec<Remain>,
    /// Its sessions.
    pub sessions: Vec<PastAct>,
}

/// A session.
#[derive(Debug, Clone, Default)]
pub struct PastAct {
    /// The program that was started.
    pub pid: i32,
    /// Why it could not be, as the system's error number.
    pub not_executed: Option<i32>,
    /// What was seen.
    pub events: Vec<Event>,
}

impl PastAct {
    /// The same, to be looked at once more.
    pub(crate) fn act(&self) -> Act {
        Act { pid: self.pid, not_executed: self.not_executed, record: Arc::new(Record::past(self.events.clone())) }
    }
}

/// What stands in `case.json`.
#[derive(Serialize, Deserialize)]
struct Case {
    /// When its notes began, in microseconds since the run did.
    at_us: u64,
    remains: Vec<Remain>,
    sessions: Vec<Start>,
}

#[derive(Serialize, Deserialize)]
struct Start {
    /// When it began, in microseconds since the run did.
    at_us: u64,
    pid: i32,
    not_executed: Option<i32>,
}

/// Keeps a run in a folder, which must not be there yet.
pub fn keep(run: &Run, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let options = &run.options;
    let head = Head {
        format: FORMAT,
        system: std::env::consts::OS.to_owned(),
        pair: options.pair.clone(),
        profile: options.profile.clone(),
        only: options.only.clone(),
        jobs: options.jobs,
        patience_ms: u64::try_from(options.patience.as_millis()).unwrap_or(u64::MAX),
        limits: options.limits,
        tier: options.tier,
        lapses: run.lapses.clone(),
        target: run.target.clone(),
        baseline: options.baseline.clone(),
        day: run.day,
    };
    fs::write(folder.join("bundle.json"), serde_json::to_vec_pretty(&head)?)?;
    keep_acts(&folder.join(LEARN), run.begun, &run.lesson.acts, &run.lesson.remains)?;
    // What was blocked did nothing.
    for judged in run.results.iter().filter(|judged| judged.took > Duration::ZERO) {
        keep_acts(&folder.join(&judged.requirement.id), run.begun, &judged.acts, &judged.remains)?;
    }
    Ok(())
}

fn keep_acts(folder: &Path, begun: Instant, acts: &Acts, remains: &[Remain]) -> io::Result<()> {
    fs::create_dir(folder)?;
    let at_us = |record: &Record| {
        u64::try_from(record.begun().saturating_duration_since(begun).as_micros()).unwrap_or(u64::MAX)
    };
    let sessions = acts.sessions.iter().map(|act| Start {
        at_us: at_us(&act.record),
        pid: act.pid,
        not_executed: act.not_executed,
    });
    let case = Case { at_us: at_us(&acts.notes), remains: remains.to_vec(), sessions: sessions.collect() };
    fs::write(folder.join("case.json"), serde_json::to_vec_pretty(&case)?)?;
    write_events(&folder.join("notes.jsonl"), &acts.notes.all())?;
    for (n, act) in acts.sessions.iter().enumerate() {
        write_events(&folder.join(format!("{n}.jsonl")), &act.record.all())?;
    }
    Ok(())
}

fn write_events(path: &Path, events: &[Event]) -> io::Result<()> {
    let mut file = BufWriter::new(fs::File::create(path)?);
    for event in events {
        serde_json::to_writer(&mut file, event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

impl Bundle {
    /// Reads a folder; the error names the file and says what is wrong.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let head: serde_json::Value = json(&folder.join("bundle.json"))?;
        let format = head.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(FORMAT.into()) {
            let found = format.map_or_else(|| "none".to_owned(), |format| format.to_string());
            return Err(format!("{}: expected a bundle of format {FORMAT}, found {found}", folder.display()));
        }
        let head = serde_json::from_value(head).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut acts = BTreeMap::new();
        let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            if path.is_dir() {
                let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                acts.insert(id, read_acts(&path)?);
            }
        }
        Ok(Bundle { head, acts })
    }

    /// The address that the target had.
    pub fn target(&self) -> &str {
        &self.head.target
    }

    /// The day of the run, for what is expected up to some day.
    pub fn day(&self) -> Day {
        self.head.day
    }

    /// What of the run's tier the machine did not give.
    pub fn lapses(&self) -> &[String] {
        &self.head.lapses
    }

    /// The run as it was asked for.
    pub fn options(self) -> Options {
        Options {
            pair: self.head.pair.clone(),
            profile: self.head.profile.clone(),
            only: self.head.only.clone(),
            jobs: self.head.jobs,
            patience: Duration::from_millis(self.head.patience_ms),
            limits: self.head.limits,
            tier: self.head.tier,
            baseline: self.head.baseline.clone(),
            past: Some(self),
            ..Options::default()
        }
    }
}

fn read_acts(folder: &Path) -> Result<PastActs, String> {
    let Case { remains, sessions, .. } = json(&folder.join("case.json"))?;
    let session = |(n, start): (usize, Start)| {
        let events = read_events(&folder.join(format!("{n}.jsonl")))?;
        Ok(PastAct { pid: start.pid, not_executed: start.not_executed, events })
    };
    let sessions = sessions.into_iter().enumerate().map(session).collect::<Result<_, String>>()?;
    Ok(PastActs { notes: read_events(&folder.join("notes.jsonl"))?, remains, sessions })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_events(path: &Path) -> Result<Vec<Event>, String> {
    let told = |line: usize, error: &dyn std::fmt::Display| format!("{}, line {line}: {error}", path.display());
    let file = fs::File::open(path).map_err(|error| told(1, &error))?;
    let lines = BufReader::new(file).lines().enumerate();
    let event = |(n, line): (usize, io::Result<String>)| {
        let line = line.map_err(|error| told(n + 1, &error))?;
        serde_json::from_str(&line).map_err(|error| told(n + 1, &error))
    };
    lines.map(event).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What a file may hold: lines as they are written, and anything else.
    fn file() -> impl Strategy<Value = Vec<u8>> {
        const CASE: &str = r#"{"at_us": 1, "remains": [], "sessions": [{"at_us": 2, "pid": 3, "not_executed": null}]}"#;
        let line = prop_oneof![
            Just(CASE.as_bytes().to_vec()),
            Just(serde_json::to_vec(&Event { at_us: 7, what: crate::event::What::Looked }).unwrap()),
            vec(any::<u8>(), 0..20),
        ];
        vec(line, 0..4).prop_map(|lines| lines.join(&b'\n'))
    }

    proptest! {
        #[test]
        fn whatever_a_case_is_said_to_have_done_is_read_or_refused(case in file(), notes in file(), session in file()) {
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in [("case.json", case), ("notes.jsonl", notes), ("0.jsonl", session)] {
                fs::write(folder.path().join(name), bytes).unwrap();
            }
            if let Err(told) = read_acts(folder.path()) {
                let place = folder.path().display().to_string();
                prop_assert!(told.starts_with(&place), "{}", told);
            }
        }
    }
}
