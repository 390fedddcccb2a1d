//! `cargo xtask kills`: the suite is killed in the middle of a run, again and again, and each time goes on from its journal.
//! In the end the verdicts are those of a run that nobody disturbed, each is there once, and nobody outlived a kill.
//!
//! Whoever is orphaned becomes a child of this process: so it is known when nobody is left.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use conformance::family::Family;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::Deserialize;

use crate::conformance as suite;
use crate::files::read_json;

#[derive(Args)]
pub(crate) struct Options {
    /// How often the suite is killed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    points: u64,
}

/// Far more than anybody takes to end.
const NEVER_GONE: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &Options) -> ExitCode {
    match killed(options.points) {
        Ok((said, complaints)) => {
            println!("{said}");
            complaints.iter().for_each(|complaint| println!("{complaint}"));
            if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            eprintln!("cargo xtask kills: {problem}");
            ExitCode::from(3)
        }
    }
}

/// The report, as far as it matters here.
#[derive(Deserialize)]
struct Report {
    requirements: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    verdict: String,
}

type Verdicts = BTreeMap<String, String>;

/// The folder in which copies of the suite and the reference are, and the suite judges the other.
struct Bench {
    folder: PathBuf,
}

fn killed(points: u64) -> Result<(String, Vec<String>), String> {
    suite::build(true)?;
    let built = suite::built_directory()?;
    let folder = built.parent().unwrap_or(&built).join("kills");
    let told = |error: std::io::Error| error.to_string();
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(told)?;
    }
    std::fs::create_dir_all(folder.join("tmp")).map_err(told)?;
    nix::sys::prctl::set_child_subreaper(true).map_err(std::io::Error::from).map_err(told)?;
    suite::copy_built(&suite::SUITE, &built, &folder)?;
    suite::copy_built(&Family::Watchdog.file_names(), &built, &folder)?;
    let bench = Bench { folder };
    let begun = Instant::now();
    bench.start()?.wait().map_err(told)?;
    let (undisturbed, whole) = (begun.elapsed(), bench.verdicts()?);

    let (mut kills, mut runs, mut complaints, mut gone) = (0, 0, Vec::new(), Vec::new());
    while kills < points {
        let _ = std::fs::remove_file(bench.journal());
        loop {
            let after = undisturbed.mul_f64(fraction());
            let mut judge = bench.start()?;
            let is_over = kills == points || ends_before(&judge, Instant::now() + after).map_err(told)?;
            if is_over {
                judge.wait().map_err(told)?;
                break;
            }
            kills += 1;
            judge.kill().and_then(|()| judge.wait()).map_err(told)?;
            match all_gone() {
                Some(took) => gone.push(took),
                None => complaints.push(format!("killed after {after:?}: somebody lives on")),
            }
        }
        runs += 1;
        let verdicts = bench.verdicts()?;
        if verdicts != whole {
            complaints.push(format!("run {runs}: expected {whole:?}, found {verdicts:?}"));
        }
        complaints.extend(bench.each_once(&whole)?.into_iter().map(|complaint| format!("run {runs}: {complaint}")));
    }
    // Whoever is killed between making a folder and locking it leaves an empty one.
    let holds_something =
        |entry: &std::fs::DirEntry| std::fs::read_dir(entry.path()).is_ok_and(|mut in_it| in_it.next().is_some());
    let left = std::fs::read_dir(bench.folder.join("tmp")).map_err(told)?.flatten();
    let left: Vec<_> = left.filter(holds_something).collect();
    complaints.extend(left.iter().map(|entry| format!("left: {}", entry.path().display())));
    gone.sort_unstable();
    let (median, most) =
        (gone.get(gone.len() / 2).copied().unwrap_or_default(), gone.last().copied().unwrap_or_default());
    let said = format!(
        "killed {kills} times in {runs} runs of {} verdicts, each the same in the end as undisturbed in {:.1} s; nobody was left \
         {median:.1?} (median) to {most:.1?} after a kill; {} complaints",
        whole.len(),
        undisturbed.as_secs_f64(),
        complaints.len()
    );
    Ok((said, complaints))
}

impl Bench {
    fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn json(&self) -> PathBuf {
        self.folder.join("report.json")
    }

    /// Starts a run, or goes on with one that had begun a journal when it was killed.
    fn start(&self) -> Result<Child, String> {
        let resumes = self.journal().exists();
        let _ = std::fs::remove_file(self.json());
        let mut command = Command::new(self.folder.join("conformance"));
        command.args(["--tier", "A", "--bin"]).arg(&self.folder).arg("--profile").arg(suite::reference_profile());
        command.arg("--json").arg(self.json()).arg("--journal").arg(self.journal());
        command.args(resumes.then_some("--resume")).env("TMPDIR", self.folder.join("tmp"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().map_err(|error| format!("the suite: {error}"))
    }

    fn verdicts(&self) -> Result<Verdicts, String> {
        let report: Report = read_json(&self.json())?;
        Ok(report.requirements.into_iter().map(|entry| (entry.id, entry.verdict)).collect())
    }

    /// What the journal holds other than one verdict for each requirement.
    fn each_once(&self, whole: &Verdicts) -> Result<Vec<String>, String> {
        let text = std::fs::read_to_string(self.journal()).map_err(|error| error.to_string())?;
        let mut times: BTreeMap<String, usize> = whole.keys().map(|id| (id.clone(), 0)).collect();
        // After what is judged, and what was learned.
        for line in text.lines().skip(2) {
            let entry: Entry = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
            *times.entry(entry.id).or_default() += 1;
        }
        let others = times.into_iter().filter(|(_, times)| *times != 1);
        Ok(others.map(|(id, times)| format!("{id} is in the journal {times} times")).collect())
    }
}

/// Whether a child ends by itself before a moment comes.
fn ends_before(child: &Child, moment: Instant) -> std::io::Result<bool> {
    let watch = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let left = moment.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    Ok(poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], timeout)? > 0)
}

/// How long it took until every orphan had ended.
fn all_gone() -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < NEVER_GONE {
        // Each that ends is reaped, and those that it leaves come here.
        match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG) {
            Err(nix::Error::ECHILD) => return Some(begun.elapsed()),
            _ => std::thread::yield_now(),
        }
    }
    None
}

/// From 0 to 1, another one each time.
fn fraction() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}
