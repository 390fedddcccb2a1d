//! The command itself: every pair and each of its faults, some at a time, and what is wrong with what the suite says of them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use conformance::family::Family;
use conformance::spec::{Source, requirements};

use super::broken::Workshop;
use super::held::{Report, complaints};
use super::known::{self, Base, Fault, File};
use crate::{conformance as suite, workspace};

/// The pair or the canary misbehaved: nothing is said of the faults.
const VOID: u8 = 3;

/// Most of a run with a fault is waiting for what never comes.
const AT_A_TIME: usize = 5;

/// Half of the usual patience is five seconds, some fifty times what the slowest step of a pair that works takes.
const TIMEOUT_SCALE: &str = "0.5";

pub(crate) fn run(names: &[String]) -> ExitCode {
    let begun = Instant::now();
    match tried(names) {
        Ok((count, said)) => {
            for line in &said {
                println!("{line}");
            }
            let seconds = begun.elapsed().as_secs_f64();
            println!("{count} faults in {seconds:.0} s: {} complaints", said.len());
            if said.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask faults: VOID, nothing is said of the faults: {problem}");
            ExitCode::from(VOID)
        }
    }
}

/// How many faults were tried, and every complaint.
fn tried(names: &[String]) -> Result<(usize, Vec<String>), String> {
    let bench = Bench::new()?;
    let files = known::files(&workspace().join("fixtures"))?;
    let mut said = if names.is_empty() { known::gaps(&files, &requirements()) } else { Vec::new() };
    let chosen = |fault: &&Fault| {
        fault.is_here() && (names.is_empty() || names.iter().any(|name| fault.name.contains(name.as_str())))
    };
    let mut count = 0;
    for file in &files {
        let faults: Vec<_> = file.fault.iter().filter(chosen).collect();
        if faults.is_empty() {
            continue;
        }
        if file.pair.is_scripts() && !python_is_there() {
            println!("python3 not found: {} faults are not tried", faults.len());
            continue;
        }
        let canary = file.fault.iter().find(|fault| fault.name == file.canary);
        let whole = bench.try_alone(file, None, &Report::default());
        let canary = bench.try_alone(file, canary, &whole.report);
        for (who, tried) in [("the pair without a fault", &whole), ("the canary", &canary)] {
            if !tried.complaints.is_empty() {
                let told = tried.complaints.join("\n");
                return Err(format!("{who} ({:?}) is judged wrongly:\n{told}", file.pair));
            }
        }
        count += faults.len();
        let tried = side_by_side(AT_A_TIME, &faults, |fault| bench.try_one(file, Some(fault), &whole.report));
        for (fault, tried) in tried {
            said.extend(bench.if_slow_once_more(tried, file, Some(fault), &whole.report).complaints);
        }
    }
    if count == 0 {
        return Err(format!("no fault that shows on this system has {} in its name", names.join(" or ")));
    }
    Ok((count, said))
}

/// What the suite said of a pair, and where it said something else when it judged what was kept.
struct Judged {
    report: Report,
    status: Option<i32>,
    differences: Vec<String>,
}

/// What is wrong with that.
struct Tried {
    report: Report,
    complaints: Vec<String>,
}

impl Tried {
    fn does_not_count(&self) -> bool {
        !self.complaints.is_empty() && self.report.is_too_slow()
    }
}

/// The suite's program, and where broken pairs are made and judged.
struct Bench {
    suite: PathBuf,
    path: OsString,
    folder: PathBuf,
    workshop: Mutex<Workshop>,
}

impl Bench {
    fn new() -> Result<Self, String> {
        suite::build(false)?;
        let built = suite::built_directory()?;
        let folder = built.parent().unwrap_or(&built).join("faults");
        let workshop = Mutex::new(Workshop::new(&workspace(), &folder)?);
        suite::copy_built(&suite::SUITE, &built, &folder)?;
        Ok(Self { suite: folder.join("conformance"), path: path_with_python(), folder, workshop })
    }

    /// Judges the pair with a fault, or without any, and says what is wrong with that, beside what is said of the whole
    /// pair.
    fn try_one(&self, file: &File, fault: Option<&Fault>, whole: &Report) -> Tried {
        let begun = Instant::now();
        let name = fault.map_or("no-fault", |fault| &fault.name);
        let (report, said) = match self.judge(file, fault, name) {
            Ok(Judged { report, status, differences }) => {
                let mut said = complaints(fault, whole, &report, status);
                said.extend(differences);
                (report, said)
            }
            Err(problem) => (Report::default(), vec![problem]),
        };
        let mark = if said.is_empty() { "ok" } else { "WRONG" };
        let breaks = fault.map(|fault| fault.breaks.keys().cloned().collect::<Vec<_>>().join(", "));
        println!("{mark:<6} {:>5.1} s  {name:<34} {}", begun.elapsed().as_secs_f64(), breaks.unwrap_or_default());
        Tried { report, complaints: said.into_iter().map(|problem| format!("{name}: {problem}")).collect() }
    }

    /// What came of it, or of another try with nothing beside it if the machine was too slow for that one.
    fn if_slow_once_more(&self, tried: Tried, file: &File, fault: Option<&Fault>, whole: &Report) -> Tried {
        if !tried.does_not_count() {
            return tried;
        }
        println!("The machine was too slow, so this is tried once more, alone, and only that counts:");
        tried.complaints.iter().for_each(|line| println!("{line}"));
        self.try_one(file, fault, whole)
    }

    fn try_alone(&self, file: &File, fault: Option<&Fault>, whole: &Report) -> Tried {
        self.if_slow_once_more(self.try_one(file, fault, whole), file, fault, whole)
    }

    fn judge(&self, file: &File, fault: Option<&Fault>, name: &str) -> Result<Judged, String> {
        let folder = self.folder.join(format!("{:?}-{name}", file.pair).to_lowercase());
        let pair = folder.join("pair");
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(told)?;
        }
        std::fs::create_dir_all(&pair).map_err(told)?;
        // One at a time: the reference is built in one place.
        self.workshop.lock().expect("nobody panics with it").make(file.pair, fault, &pair)?;
        let profile = match &file.profile {
            Some(profile) => workspace().join("fixtures/profiles").join(profile),
            None => {
                let path = folder.join("graded.toml");
                std::fs::write(&path, graded_only()).map_err(told)?;
                path
            }
        };
        let json = folder.join("report.json");
        // A thousand small files that are read once: where temporary files are fast, so are these.
        let kept = tempfile::tempdir().map_err(|error| format!("a folder for the bundle: {error}"))?;
        let bundle = kept.path().join("bundle");
        // Nobody here has to be kept apart, and what is blamed is to be the same on all machines.
        let output = Command::new(&self.suite)
            .args(["--family", &file.pair.family().to_string(), "--tier", "C", "--bin"])
            .arg(&pair)
            .arg("--profile")
            .arg(profile)
            .arg("--json")
            .arg(&json)
            .arg("--bundle")
            .arg(&bundle)
            .args(["--timeout-scale", TIMEOUT_SCALE])
            .args(fault.into_iter().flat_map(|fault| touched(file.pair, fault)).flat_map(|area| ["--only", area]))
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("{}: {error}", self.suite.display()))?;
        let report = read_report(&json, &output)?;
        // Judged again without the programs, the verdicts are the same.
        let again = folder.join("replayed.json");
        let replayed = Command::new(&self.suite).arg("replay").arg(&bundle).arg("--json").arg(&again).output();
        let replayed = replayed.map_err(|error| format!("{}: {error}", self.suite.display()))?;
        let mut differences = report.differences(&read_report(&again, &replayed)?);
        if replayed.status.code() != output.status.code() {
            differences.push(format!(
                "replayed: status {:?}, it was {:?}",
                replayed.status.code(),
                output.status.code()
            ));
        }
        Ok(Judged { report, status: output.status.code(), differences })
    }
}

/// The areas that judge the program which a fault is in, where each of the two is judged alone: what is said of the other is what
/// is said of it without the fault. Where they are judged together, all.
fn touched(base: Base, fault: &Fault) -> &'static [&'static str] {
    let is_all_in = |name: &str| fault.edit.iter().all(|edit| edit.file == Path::new(name));
    match base.family() {
        Family::Sockets if is_all_in("server") => &["listen", "datagram", "peer"],
        Family::Sockets if is_all_in("watchdog") => &["connect", "resend"],
        _ => &[],
    }
}

fn read_report(json: &Path, output: &Output) -> Result<Report, String> {
    let report = std::fs::read_to_string(json).unwrap_or_default();
    serde_json::from_str(&report).map_err(|_| {
        format!("no report; status {:?}; {}", output.status.code(), String::from_utf8_lossy(&output.stderr))
    })
}

/// A profile that leaves out what is not graded without one and so can blame nobody: it would only wait for words that
/// some pairs never say.
fn graded_only() -> String {
    let ungraded = requirements().into_iter().filter(|r| !matches!(r.source, Source::Assignment(_)));
    let skipped: Vec<_> = ungraded.map(|r| r.id).collect();
    format!("name = 'graded'\nskip = {skipped:?}\n")
}

fn python_is_there() -> bool {
    Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A search path on which the real interpreter comes first: some `python3` are slow scripts that look for one.
fn path_with_python() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let Some(found) = asked.ok().and_then(|asked| String::from_utf8(asked.stdout).ok()) else { return path };
    let Some(first) = Path::new(found.trim_end()).parent().map(Path::to_owned) else { return path };
    std::env::join_paths(std::iter::once(first).chain(std::env::split_paths(&path))).unwrap_or(path)
}

/// Does something with each of many things, so many at a time, and gathers what came of each.
fn side_by_side<T: Sync, R: Send>(at_a_time: usize, all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<(&T, R)> {
    let next = Mutex::new(all.iter());
    let gathered = Mutex::new(Vec::new());
    let work = || {
        while let Some(one) = { next.lock().expect("not poisoned").next() } {
            let came = each(one);
            gathered.lock().expect("not poisoned").push((one, came));
        }
    };
    std::thread::scope(|scope| (0..at_a_time).for_each(|_| drop(scope.spawn(work))));
    gathered.into_inner().expect("not poisoned")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complaint_of_a_slow_machine_does_not_count() {
        let tried = |late_ms, complaints: &[&str]| Tried {
            report: Report { late_ms, ..Report::default() },
            complaints: complaints.iter().map(ToString::to_string).collect(),
        };
        assert!(tried(60_000, &["survives"]).does_not_count());
        assert!(!tried(0, &["survives"]).does_not_count());
        assert!(!tried(60_000, &[]).does_not_count());
    }
}
