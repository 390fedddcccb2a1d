//! One program judged once, beside a pair that conforms, and everything looked at that it could have done.
//!
//! It is performed in a process of its own: this one becomes the parent of whatever is orphaned below it, so that it has no
//! child in the end is the proof that nobody is left.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use conformance::subject::limits::Limits;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use serde::{Deserialize, Serialize};

use super::corpus::Program;
use super::keys;
use super::traces::{Traces, groups_of};
use crate::files::read_json;
use crate::{conformance as suite, workspace};

/// What is judged of a hostile program.
const JUDGED: [&str; 5] =
    ["start.server", "command.doreq-post", "command.plain-input", "end.nothing-left", "end.sigalrm"];

/// What is judged of its neighbour: whatever hostile programs could disturb.
const JUDGED_OF_NEIGHBOUR: [&str; 7] =
    ["start", "descriptor", "command.exit", "command.doreq-post", "end.sigalrm", "end.ctrl-c", "end.nothing-left"];

/// Cases at a time.
const JOBS: u16 = 4;

/// A fifth of the usual patience: much of what happens here is waiting for what never comes.
const TIMEOUT_SCALE: f64 = 0.2;

/// The patience of ten seconds, then: so long has who did as he should to come to his own end when his case is over.
const GRACE_MS: u64 = (10_000.0 * TIMEOUT_SCALE) as u64;

/// What the suite has beyond a verdict's deadline, and that.
const OVERDUE_MS_MAX: u64 = 250;

/// Nothing that is judged here takes so long.
const NEVER_ENDS: Duration = Duration::from_secs(300);

/// What is judged, and where.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    suite: PathBuf,
    folder: PathBuf,
    program: Program,
    neighbour: Report,
}

/// A verdict for each requirement.
type Verdicts = BTreeMap<String, String>;

/// What came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) complaints: Vec<String>,
    /// Verdicts that are not as expected, of a machine that was too slow to say more.
    pub(super) unsure: Vec<String>,
    pub(super) seconds: f64,
    pub(super) neighbour_alike: bool,
    pub(super) verdicts_ms: Vec<u64>,
    /// How much later than their deadlines those came that were given up.
    pub(super) overdue_ms: Vec<u64>,
    /// The slowest end of a session's sandbox.
    pub(super) emptied_ms: u64,
    /// How late the suite was woken at most.
    pub(super) late_ms: u64,
    /// The most memory that the judge had in use.
    pub(super) memory_kib: u64,
}

/// The suite's report, as far as it matters here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    requirements: Vec<Entry>,
    /// What of tier A the machine does not give.
    pub(super) lapses: Vec<String>,
    exit_status: u8,
    late_ms: u64,
    memory_kib: u64,
    emptied_ms: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    id: String,
    verdict: String,
    took_ms: u64,
    #[serde(default)]
    too_slow: bool,
    #[serde(default)]
    expected: Option<String>,
    #[serde(default)]
    seen: Option<String>,
    #[serde(default)]
    missing: Option<String>,
}

impl Entry {
    /// Its case did not come to its end before the deadline.
    fn is_given_up(&self) -> bool {
        self.missing.as_ref().is_some_and(|missing| missing.contains("--max-time"))
    }
}

/// A suite that was woken so late is no judge of what came in time.
const LATE_MS: u64 = 100;

impl Report {
    /// What is wrong with it may be the machine's fault: the judge was late, or something did not come in time that may come with
    /// more of it. Whoever keeps the judge from a verdict does so when it is judged alone as well.
    fn may_be_the_machine(&self) -> bool {
        let has_no_verdict = |entry: &Entry| entry.verdict == "inconclusive" && !entry.is_given_up();
        self.late_ms > LATE_MS || self.requirements.iter().any(|entry| entry.too_slow || has_no_verdict(entry))
    }

    fn verdicts(&self) -> Verdicts {
        self.requirements.iter().map(|entry| (entry.id.clone(), entry.verdict.clone())).collect()
    }
}

/// A judge at work.
struct Judge {
    process: Child,
    json: PathBuf,
}

impl Job {
    /// In this folder, which is made anew, with the suite and a neighbour from the other one.
    pub(super) fn new(suite: &Path, folder: &Path, program: &Program, neighbour: &Report) -> Self {
        let (suite, folder) = (suite.to_owned(), folder.to_owned());
        Self { suite, folder, program: program.clone(), neighbour: neighbour.clone() }
    }

    /// Writes it down for another process, and says where.
    pub(super) fn write(&self) -> Result<PathBuf, String> {
        let path = self.folder.with_extension("json");
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = serde_json::to_vec(self).map_err(|error| told(&error))?;
        fs::write(&path, bytes).map_err(|error| told(&error))?;
        Ok(path)
    }

    pub(super) fn read(path: &Path) -> Result<Self, String> {
        read_json(path)
    }

    /// Performs it in this process.
    pub(super) fn perform(&self) -> Result<Finding, String> {
        let begun = Instant::now();
        let told = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        nix::sys::prctl::set_child_subreaper(true).map_err(std::io::Error::from).map_err(told)?;
        let secret = format!("canary-{:016x}", secret());
        keys::plant(secret.as_bytes()).map_err(told)?;
        // Somebody of this machine who is not to be reached from a sandbox.
        let listener = TcpListener::bind("127.0.0.1:0").map_err(told)?;
        let port = listener.local_addr().map_err(told)?.port();
        self.lay_out(&secret, port).map_err(told)?;
        let before = Traces::now(&self.folder.join("guarded"));

        let neighbour = Judge::start_on_neighbour(&self.suite, &self.folder.join("beside"))?;
        let pair = self.folder.join("guarded/submissions/this");
        let secrets = self.folder.join("guarded/secrets");
        let judge = Judge::start(&self.suite, &pair, &JUDGED, &self.folder.join("judge"), |suite| {
            suite.env("JUDGES_SECRET", &secret);
            suite.arg("--hide").arg(self.folder.join("guarded")).args(["--timeout-scale", &TIMEOUT_SCALE.to_string()]);
            suite.args(["--max-scratch", "16", "--max-memory", "256"]);
            suite.args(["--max-time", &self.max_time().to_string()]);
            if !self.program.floods {
                // It holds whatever was shown, which the judge then has in memory.
                suite.arg("--bundle").arg(self.folder.join("judge/bundle"));
            }
            hold_open(suite, &secrets.join("secret"));
        })?;
        let judges = [judge.process.id(), neighbour.process.id()];
        let judge = judge.report();
        let neighbour = neighbour.report();

        let mut complaints = groups_of(judges);
        // Both judges are reaped: whoever is there was orphaned.
        let left = waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT);
        // Of some signals it can say no more than that somebody ended by one.
        if left != Err(nix::Error::ECHILD) {
            complaints.push(format!("a process is left: {left:?}"));
        }
        complaints.extend(Traces::now(&self.folder.join("guarded")).differences(&before));
        for place in ["judge/tmp", "beside/tmp"] {
            let left = fs::read_dir(self.folder.join(place)).map_err(told)?.flatten();
            complaints.extend(left.map(|entry| format!("left: {}", entry.path().display())));
        }
        let mut finding = Finding { seconds: begun.elapsed().as_secs_f64(), ..Finding::default() };
        match neighbour {
            Ok(report) if report.verdicts() == self.neighbour.verdicts() => finding.neighbour_alike = true,
            Ok(report) => {
                let said = if report.may_be_the_machine() { &mut finding.unsure } else { &mut complaints };
                said.extend(different(&self.neighbour.verdicts(), &report));
            }
            Err(problem) => complaints.push(format!("the neighbour: {problem}")),
        }
        match judge {
            Ok(report) => {
                let said = if report.may_be_the_machine() { &mut finding.unsure } else { &mut complaints };
                let shown = self.shown().map_err(told)?;
                said.extend(self.judged_wrongly(&report, &shown));
                complaints.extend(self.kept_wrongly(&report, &shown, &secret).map_err(told)?);
                let given_up = report.requirements.iter().filter(|entry| entry.is_given_up());
                let deadline = self.deadline_ms();
                finding.overdue_ms = given_up.map(|entry| entry.took_ms.saturating_sub(deadline)).collect();
                finding.verdicts_ms = report.requirements.iter().map(|entry| entry.took_ms).collect();
                (finding.emptied_ms, finding.late_ms) = (report.emptied_ms, report.late_ms);
                finding.memory_kib = report.memory_kib;
            }
            Err(problem) => complaints.push(problem),
        }
        finding.complaints = complaints;
        Ok(finding)
    }

    /// What a verdict on it may take, in seconds, before the scale.
    fn max_time(&self) -> u64 {
        self.program.max_time.unwrap_or(Limits::default().max_time)
    }

    /// The same as the suite holds it.
    fn deadline_ms(&self) -> u64 {
        Limits { max_time: self.max_time(), ..Limits::default() }.scaled(TIMEOUT_SCALE).max_time * 1000
    }

    /// What this verdict may have taken.
    fn most_ms(&self, entry: &Entry) -> u64 {
        let grace = if entry.is_given_up() { 0 } else { GRACE_MS };
        self.deadline_ms() + grace + OVERDUE_MS_MAX
    }

    /// The pair with the program in its side's place, a submission beside it, and secrets.
    fn lay_out(&self, secret: &str, port: u16) -> std::io::Result<()> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        let guarded = self.folder.join("guarded");
        let (pair, other, secrets) =
            (guarded.join("submissions/this"), guarded.join("submissions/other"), guarded.join("secrets"));
        for folder in [&pair, &other, &secrets] {
            fs::create_dir_all(folder)?;
        }
        fs::write(other.join("watchdog.toml"), secret)?;
        fs::write(secrets.join("secret"), secret)?;
        fs::set_permissions(secrets.join("secret"), PermissionsExt::from_mode(0o600))?;
        fs::write(secrets.join("cases.toml"), format!("secret = '{secret}'\n"))?;
        fs::write(pair.join("judges-port"), port.to_string())?;
        let fixtures = workspace().join("fixtures");
        fs::copy(fixtures.join("hostile/hostile.py"), pair.join("hostile.py"))?;
        for name in ["watchdog", "server"] {
            let honest = fixtures.join("pairs/python").join(name);
            let place = pair.join(name);
            if name != self.program.side.name() {
                fs::copy(honest, place)?;
                continue;
            }
            fs::copy(honest, pair.join(format!("honest-{name}")))?;
            let script = fixtures.join("hostile").join(&self.program.name).with_extension("py");
            if script.exists() {
                fs::copy(script, &place)?;
                fs::set_permissions(&place, PermissionsExt::from_mode(0o755))?;
            } else {
                let source = script.with_extension("c");
                let built = Command::new("cc").args(["-O1", "-w", "-o"]).arg(&place).arg(source).status()?;
                if !built.success() {
                    return Err(std::io::Error::other(format!("cc could not build {}", self.program.name)));
                }
            }
        }
        Ok(())
    }

    /// What the program showed, or what is told of it.
    fn shown(&self) -> std::io::Result<String> {
        if self.program.floods {
            return fs::read_to_string(self.folder.join("judge/report.json"));
        }
        let mut shown = String::new();
        gather(&self.folder.join("judge/bundle"), &mut shown)?;
        Ok(shown)
    }

    /// What is wrong with the verdicts, with when they came, and with how far the program came.
    fn judged_wrongly(&self, report: &Report, shown: &str) -> Vec<String> {
        let mut complaints = Vec::new();
        let holds = |entry: &Entry| !matches!(entry.verdict.as_str(), "fail" | "warn" | "advice");
        for id in JUDGED {
            let Some(entry) = report.requirements.iter().find(|entry| entry.id == id) else {
                complaints.push(format!("{id} was not judged"));
                continue;
            };
            let (is_to_fail, blocked) = (self.program.fails.iter().any(|f| f == id), entry.verdict == "blocked");
            let is_open = blocked || entry.verdict == "inconclusive";
            let (expected, seen) = (entry.expected.as_deref(), entry.seen.as_deref());
            match (is_to_fail, holds(entry)) {
                (true, true) if self.program.hampers_itself && is_open => {}
                (true, true) => complaints.push(format!("{id} is to fail, and was judged {}", entry.verdict)),
                (false, _) if self.program.hampers_itself => {}
                (false, false) => complaints.push(format!("{id} was judged {}: {expected:?} {seen:?}", entry.verdict)),
                // What comes after something that is to fail is not reached.
                (false, true) if entry.verdict == "pass" || (blocked && !self.program.fails.is_empty()) => {}
                (false, true) => complaints.push(format!("{id} was judged {}", entry.verdict)),
                (true, false) => {}
            }
        }
        for entry in report.requirements.iter().filter(|entry| entry.took_ms > self.most_ms(entry)) {
            complaints.push(format!("{} took {} ms, at most {}", entry.id, entry.took_ms, self.most_ms(entry)));
        }
        if !shown.contains(&self.program.shows) {
            let shows = &self.program.shows;
            complaints.push(format!("expected {shows:?} among what it showed: it did not come to what it is for"));
        }
        complaints
    }

    /// What is wrong with the rest of the report, and with what was kept.
    fn kept_wrongly(&self, report: &Report, shown: &str, secret: &str) -> std::io::Result<Vec<String>> {
        let mut complaints = Vec::new();
        if report.exit_status == 3 {
            complaints.push("the suite itself failed".to_owned());
        }
        if self.program.floods {
            let most = self.neighbour.memory_kib + u64::from(JOBS) * (Limits::default().max_output + 1) * 1024;
            if report.memory_kib > most {
                let used = report.memory_kib;
                complaints.push(format!("the judge had {used} KiB in use, at most {most} KiB are promised"));
            }
        }
        complaints
            .extend(shown.match_indices("ESCAPED").map(|(at, _)| shown[at..].chars().take(120).collect()).take(3));
        let mut told = String::new();
        for file in ["output", "errors", "report.json"] {
            told.push_str(&String::from_utf8_lossy(&fs::read(self.folder.join("judge").join(file))?));
        }
        if shown.contains(secret) || told.contains(secret) {
            complaints.push("it came by the secret".to_owned());
        }
        if let Some(raw) =
            told.chars().find(|c| (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c))
        {
            complaints.push(format!("a raw {raw:?} is in the report"));
        }
        Ok(complaints)
    }
}

/// The report on the neighbour where it has no neighbour.
pub(super) fn neighbour(suite: &Path, folder: &Path) -> Result<Report, String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Judge::start_on_neighbour(suite, folder)?.report()
}

impl Judge {
    /// Starts to judge the reference, which stands beside the suite.
    fn start_on_neighbour(suite: &Path, folder: &Path) -> Result<Self, String> {
        Judge::start(suite, suite, &JUDGED_OF_NEIGHBOUR, folder, |judge| {
            judge.arg("--profile").arg(suite::reference_profile());
        })
    }

    /// Starts to judge a pair in tier A, with whatever `more` adds; the folder keeps what comes of it.
    fn start(
        suite: &Path,
        pair: &Path,
        judged: &[&str],
        folder: &Path,
        more: impl FnOnce(&mut Command),
    ) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("tmp")).map_err(told)?;
        fs::set_permissions(folder.join("tmp"), PermissionsExt::from_mode(0o755)).map_err(told)?;
        let json = folder.join("report.json");
        let mut command = Command::new(suite.join("conformance"));
        command
            .args(["--tier", "A", "--verbose", "--jobs", &JOBS.to_string(), "--bin"])
            .arg(pair)
            .arg("--json")
            .arg(&json);
        command.args(judged.iter().flat_map(|id| ["--only", id])).env("TMPDIR", folder.join("tmp"));
        more(&mut command);
        let output = |name: &str| fs::File::create(folder.join(name)).map(Stdio::from).map_err(told);
        command.stdin(Stdio::null()).stdout(output("output")?).stderr(output("errors")?);
        let process = command.spawn().map_err(|error| format!("{}: {error}", suite.display()))?;
        Ok(Judge { process, json })
    }

    /// Waits for its end, and reads its report.
    fn report(mut self) -> Result<Report, String> {
        let ended = wait(&mut self.process, NEVER_ENDS);
        let status = ended.ok_or_else(|| format!("the judge had not ended after {} s", NEVER_ENDS.as_secs()))?;
        let bytes = fs::read(&self.json).unwrap_or_default();
        serde_json::from_slice(&bytes).map_err(|error| format!("no report, status {status:?}: {error}"))
    }
}

/// The status of a child that ends in time; one that does not is killed.
fn wait(child: &mut Child, within: Duration) -> Option<Option<i32>> {
    let pid = child.id();
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let killer = std::thread::spawn(move || {
        let in_time = is_over.recv_timeout(within) != Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if !in_time {
            let _ = conformance::observe::process::signal(pid.cast_signed(), 9);
        }
        in_time
    });
    let status = child.wait();
    drop(over);
    killer.join().unwrap_or(false).then(|| status.ok().and_then(|status| status.code()))
}

/// Has the judge inherit a descriptor that it knows nothing of.
fn hold_open(suite: &mut Command, file: &Path) {
    let mut held = Command::new("sh");
    held.args(["-c", "exec 9< \"$1\"; shift; exec \"$@\"", "sh"])
        .arg(file)
        .arg(suite.get_program())
        .args(suite.get_args());
    held.envs(suite.get_envs().filter_map(|(name, value)| Some((name, value?))));
    std::mem::swap(suite, &mut held);
}

fn different(before: &Verdicts, report: &Report) -> Vec<String> {
    let is_other = |entry: &&Entry| before.get(&entry.id) != Some(&entry.verdict);
    let told =
        |entry: &Entry| format!("the neighbour: {} {} {:?} {:?}", entry.id, entry.verdict, entry.expected, entry.seen);
    let mut all: Vec<_> = report.requirements.iter().filter(is_other).map(told).collect();
    if all.is_empty() {
        all.push("the neighbour: fewer verdicts than alone".to_owned());
    }
    all
}

/// Everything in a folder as text.
fn gather(folder: &Path, text: &mut String) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, text)?;
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path)?));
        }
    }
    Ok(())
}

/// Another one each time, that nobody can know.
fn secret() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
