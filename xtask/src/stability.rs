//! `cargo xtask stability`: the same pair judged again and again, idle or beside busy threads; no verdict may change.
//!
//! What was counted is kept by contents, pair and load, in `target/stability`, so that a large number can be reached in
//! slices. Cases that wait for a deadline by design run in the first hundred rounds only.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{conformance as suite, workspace};

/// So often every case runs; after that those that take long are left out.
const ROUNDS_WITH_SLOW: u64 = 100;

/// A case that takes longer than this waits for something by design; beside busy threads everything takes longer.
const SLOW: Duration = Duration::from_millis(900);

#[derive(Args)]
pub(crate) struct Options {
    /// How often the pair is judged
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// Busy threads beside it, for each processor
    #[arg(long, default_value_t = 0)]
    load: usize,
    /// The pair: the reference, or a folder that holds another
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Its profile
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
}

/// What was counted so far of one pair under one load.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    rounds: u64,
    /// How often each requirement had each verdict.
    verdicts: BTreeMap<String, BTreeMap<String, u64>>,
    /// Those that wait by design.
    slow: BTreeSet<String>,
    /// Milliseconds of the fastest and the slowest round with every case.
    fastest_ms: u64,
    slowest_ms: u64,
}

#[derive(Deserialize)]
struct Report {
    total_ms: u64,
    requirements: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    verdict: String,
    took_ms: u64,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match counted(options) {
        Ok(counted) => {
            let flips = counted.flips();
            for (id, verdicts) in &flips {
                let told: Vec<_> = verdicts.iter().map(|(verdict, times)| format!("{verdict} {times} times")).collect();
                println!("{id}: {}", told.join(", "));
            }
            println!("{}", counted.summary(flips.len()));
            if flips.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask stability: {problem}");
            ExitCode::from(3)
        }
    }
}

fn counted(options: &Options) -> Result<Counted, String> {
    suite::build(true)?;
    let built = suite::built_directory()?;
    let (name, bin, profile) = match &options.bin {
        Some(bin) => (name_of(bin), bin.clone(), options.profile.clone()),
        None => ("reference".to_owned(), built.clone(), Some(suite::reference_profile())),
    };
    let folder = built.parent().unwrap_or(&built).join("stability");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let slice = folder.join(format!("{}-{name}-{}", contents()?, options.load));
    let file = slice.with_extension("json");
    let mut counted: Counted =
        std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let _load = Load::start(options.load * std::thread::available_parallelism().map_or(1, usize::from));
    let slow = SLOW * u32::try_from(options.load + 1).unwrap_or(u32::MAX);
    for round in 0..options.runs {
        let report = judge(&built, &bin, profile.as_deref(), &slice, &counted)?;
        counted.add(&report, slow);
        // After each round, so that a slice that is cut short is not lost.
        let text = serde_json::to_vec_pretty(&counted).map_err(|error| error.to_string())?;
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        eprintln!("{} of {}: {} ms", round + 1, options.runs, report.total_ms);
    }
    Ok(counted)
}

/// One round. What it writes is named after the slice, so that other pairs can be judged meanwhile.
fn judge(built: &Path, bin: &Path, profile: Option<&Path>, slice: &Path, so_far: &Counted) -> Result<Report, String> {
    let (json, skipping) = (slice.with_extension("report"), slice.with_extension("profile"));
    let mut stated: toml::Table = match profile {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => toml::Table::new(),
    };
    if so_far.rounds >= ROUNDS_WITH_SLOW {
        let slow = so_far.slow.iter().cloned().map(toml::Value::String);
        let skip = stated.entry("skip").or_insert_with(|| toml::Value::Array(Vec::new()));
        skip.as_array_mut().ok_or("the profile's `skip`: expected a list")?.extend(slow);
    }
    std::fs::write(&skipping, stated.to_string()).map_err(|error| format!("{}: {error}", skipping.display()))?;
    let _ = std::fs::remove_file(&json);
    let mut suite = Command::new(built.join("conformance"));
    suite.arg("--bin").arg(bin).arg("--profile").arg(&skipping).arg("--json").arg(&json);
    let output = suite.stdin(Stdio::null()).output().map_err(|error| format!("the suite: {error}"))?;
    let report = std::fs::read(&json).map_err(|_| {
        format!("no report; status {:?}; {}", output.status.code(), String::from_utf8_lossy(&output.stderr))
    })?;
    serde_json::from_slice(&report).map_err(|error| format!("{}: {error}", json.display()))
}

impl Counted {
    fn add(&mut self, report: &Report, slow: Duration) {
        if self.rounds < ROUNDS_WITH_SLOW {
            self.slowest_ms = self.slowest_ms.max(report.total_ms);
            self.fastest_ms = if self.rounds == 0 { report.total_ms } else { self.fastest_ms.min(report.total_ms) };
        }
        self.rounds += 1;
        for entry in &report.requirements {
            *self.verdicts.entry(entry.id.clone()).or_default().entry(entry.verdict.clone()).or_default() += 1;
            if Duration::from_millis(entry.took_ms) > slow && self.rounds <= ROUNDS_WITH_SLOW {
                self.slow.insert(entry.id.clone());
            }
        }
    }

    /// The requirements whose verdict was not always the same.
    fn flips(&self) -> Vec<(&String, &BTreeMap<String, u64>)> {
        self.verdicts.iter().filter(|(_, verdicts)| verdicts.len() > 1).collect()
    }

    fn summary(&self, flips: usize) -> String {
        let runs = |id: &String| self.verdicts[id].values().sum::<u64>();
        let all: Vec<u64> = self.verdicts.keys().map(runs).collect();
        let (least, most) = (all.iter().min().copied().unwrap_or(0), all.iter().max().copied().unwrap_or(0));
        format!(
            "{} rounds in {} to {} ms: {} requirements judged {least} to {most} times, {flips} with a changed verdict; \
             with 95 % confidence a verdict changes in at most {:.2} % of the runs of a case ({:.2} % of those that wait)",
            self.rounds,
            self.fastest_ms,
            self.slowest_ms,
            all.len(),
            300.0 / most.max(1) as f64,
            300.0 / least.max(1) as f64,
        )
    }
}

/// What a verdict depends on. The pairs are named by their folder besides.
const JUDGED: [&str; 6] =
    ["Cargo.lock", "conformance/Cargo.toml", "conformance/spec", "conformance/src", "reference/src", "fixtures/pairs"];

/// A name for the contents of what is judged and of what judges, so that a commit that changes neither adds to what was
/// counted before it; what was not committed is told apart.
fn contents() -> Result<String, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).args(JUDGED).current_dir(workspace()).output();
        let output = output.map_err(|error| format!("git: {error}"))?;
        if !output.status.success() {
            return Err(format!("git: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(output.stdout)
    };
    let mut listed = DefaultHasher::new();
    git(&["ls-tree", "HEAD"])?.hash(&mut listed);
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Ok(format!("{:016x}{}", listed.finish(), if changed { "-changed" } else { "" }))
}

fn name_of(bin: &Path) -> String {
    let last = bin.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    last.unwrap_or_else(|| "pair".into())
}

/// Threads that do nothing and take all the time there is, until it is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start(threads: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(entries: &[(&str, &str, u64)]) -> Report {
        let entry = |(id, verdict, took_ms): &(&str, &str, u64)| Entry {
            id: (*id).into(),
            verdict: (*verdict).into(),
            took_ms: *took_ms,
        };
        Report { total_ms: 10, requirements: entries.iter().map(entry).collect() }
    }

    #[test]
    fn a_verdict_that_changes_once_is_a_flip() {
        let mut counted = Counted::default();
        counted.add(&report(&[("a.b", "pass", 1), ("a.c", "fail", 1000)]), SLOW);
        counted.add(&report(&[("a.b", "pass", 1), ("a.c", "fail", 1000)]), SLOW);
        assert!(counted.flips().is_empty());
        counted.add(&report(&[("a.b", "inconclusive", 1)]), SLOW);
        assert_eq!(counted.flips().len(), 1);
        assert_eq!(counted.slow.iter().collect::<Vec<_>>(), ["a.c"]);
        assert!(counted.summary(1).contains("judged 2 to 3 times, 1 with a changed verdict"));
    }
}
