//! What the tests that run the suite as a program share: the program, a Python to run pairs with, the pair in
//! Python, the JSON report, and a look at whether anything was left running.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use conformance::spec::{Source, requirements};
use serde::Deserialize;
use tempfile::TempDir;

/// The fixtures' folder.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The pair in Python.
pub fn python_pair() -> PathBuf {
    fixtures().join("pairs/python")
}

/// The pair in Python, whose server forgets the query of a URL.
pub fn forgetful(bench: &Bench) -> PathBuf {
    let pair = bench.folder().join("pair");
    std::fs::create_dir(&pair).unwrap();
    for file in ["watchdog", "server"] {
        let good = std::fs::read_to_string(python_pair().join(file)).unwrap();
        write_program(
            &pair.join(file),
            &good.replace(r#"Request(fields["url"],"#, r#"Request(fields["url"].split("?")[0],"#),
        );
    }
    pair
}

/// Builds the reference, and says where cargo put it: beside the folder of this test's own program.
pub fn reference() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--package", "reference", "--bins"]).status().unwrap();
    assert!(built.success(), "the reference could not be built");
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// A search path on which the real interpreter comes first: some `python3` are slow scripts that look for one.
/// Without Python there is nothing to run: that is said, and in CI it is a failure.
pub fn python_path() -> Option<OsString> {
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let Some(found) = asked.ok().filter(|asked| asked.status.success()) else {
        assert!(std::env::var_os("CI").is_none(), "python3 not found: in CI it must be there");
        println!("python3 not found: not run");
        return None;
    };
    let interpreter = PathBuf::from(String::from_utf8(found.stdout).expect("a path in UTF-8").trim_end());
    let first = interpreter.parent().expect("an interpreter lives in a folder").to_owned();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(first).chain(std::env::split_paths(&others));
    Some(std::env::join_paths(all).expect("these were entries of a search path"))
}

/// Whether the machine has tier A. Where it has not, that is said, and in CI it is a failure.
pub fn has_tier_a() -> bool {
    let made = Command::new("unshare").args(["--user", "--net", "--map-root-user", "true"]).output();
    let is_there = made.is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "namespaces cannot be made: in CI tier A must be there");
    if !is_there {
        println!("namespaces cannot be made: tier A is not tried");
    }
    is_there
}

/// The tier that keeps sessions apart, where there is one.
pub fn strongest_tier() -> &'static str {
    if has_tier_a() { "A" } else { "C" }
}

/// A profile that differs from none only in what it skips: what is not graded without a profile, and so can blame
/// nobody. It would only wait for words that some pairs never say.
pub fn graded_only() -> String {
    let ungraded = requirements().into_iter().filter(|r| !matches!(r.source, Source::Assignment(_)));
    let skipped: Vec<_> = ungraded.map(|r| r.id).collect();
    format!("name = 'graded'\nskip = {skipped:?}\n")
}

/// Writes a program that may be executed. Another process writes it: one that is open for writing cannot be executed, and
/// whatever another thread starts meanwhile has it open too.
pub fn write_program(path: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("there is a shell");
    writer.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads all of it");
    assert!(writer.wait().is_ok_and(|status| status.success()), "{} could not be written", path.display());
}

/// A run of the suite in a temporary folder of its own, where its subjects have their homes.
pub struct Bench {
    folder: TempDir,
    path: OsString,
    memory_kib_max: Option<u64>,
}

/// What came of a run.
pub struct Judgement {
    /// The exit status.
    pub status: i32,
    /// The JSON report; empty when there was no run.
    pub report: Report,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Processes and files that outlived the run.
    pub left: Vec<String>,
}

impl Bench {
    /// With this search path for the suite and its subjects.
    pub fn new(path: &OsString) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        std::fs::create_dir(folder.path().join("tmp")).expect("the folder is new");
        Bench { folder, path: path.clone(), memory_kib_max: None }
    }

    /// Bounds what the suite and each of its subjects may take, where the system lets one.
    pub fn with_memory(self, memory_kib_max: u64) -> Self {
        Bench { memory_kib_max: Some(memory_kib_max), ..self }
    }

    /// A place for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of a pair's two programs, which can be taken away.
    pub fn copy_of(&self, bin: &Path) -> PathBuf {
        self.copy_of_programs(bin, &["watchdog", "server"])
    }

    /// A copy of programs in a folder, likewise.
    pub fn copy_of_programs(&self, bin: &Path, programs: &[impl AsRef<OsStr>]) -> PathBuf {
        let pair = self.folder().join("pair");
        std::fs::create_dir(&pair).expect("the folder is new");
        // Another process writes them, as in `write_program`.
        let copied = Command::new("cp").args(programs).arg(&pair).current_dir(bin).status();
        assert!(copied.is_ok_and(|status| status.success()), "{} could not be copied", bin.display());
        pair
    }

    /// The suite, to be given arguments.
    pub fn suite(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_conformance");
        let mut command = match self.memory_kib_max {
            None => Command::new(program),
            Some(kib) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -v {kib} 2>/dev/null; exec \"$0\" \"$@\""), program]);
                shell
            }
        };
        std::os::unix::process::CommandExt::arg0(&mut command, "cargo xtask conformance");
        command.env("PATH", &self.path).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    /// The suite, to be given arguments, started by a program that becomes it.
    pub fn suite_under(&self, starter: &[&str]) -> Command {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_conformance"));
        command.env("PATH", &self.path).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    /// Where the suite keeps what it needs during a run.
    fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Judges a pair, and holds that nothing outlives the run. With the little patience that a test may ask for, a busy
    /// machine can be too slow to tell; then the pair is judged once more, with more, and only that counts.
    pub fn judge(&self, bin: &Path, args: &[&str]) -> Judgement {
        let mut judgement = self.try_judge(bin, args);
        if judgement.report.requirements.iter().any(|entry| entry.too_slow) {
            println!(
                "The machine was too slow, so this is judged once more, with more patience:\n{}",
                judgement.stdout
            );
            if let Some(["--bundle", bundle]) = args.windows(2).find(|pair| pair[0] == "--bundle") {
                std::fs::remove_dir_all(bundle).expect("the first run kept it");
            }
            judgement = self.try_judge(bin, &patient(args));
        }
        assert!(judgement.left.is_empty(), "the run left something behind: {:?}", judgement.left);
        judgement
    }

    /// Judges a pair, in tier C unless another is asked for: so it is judged alike on all machines. What outlives the run is
    /// told of.
    pub fn try_judge(&self, bin: &Path, args: &[&str]) -> Judgement {
        let tier: &[&str] = if args.contains(&"--tier") { &[] } else { &["--tier", "C"] };
        let file = self.folder.path().join("report.json");
        // One of an earlier run says nothing of this one, which may be refused.
        let _ = std::fs::remove_file(&file);
        let Output { status, stdout, stderr } = self
            .suite()
            .arg("--bin")
            .arg(bin)
            .arg("--json")
            .arg(&file)
            .args(tier)
            .args(args)
            .output()
            .expect("the suite was built");
        let report = std::fs::read_to_string(&file).unwrap_or_default();
        Judgement {
            status: status.code().unwrap_or(-1),
            report: serde_json::from_str(&report).unwrap_or_default(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            left: self.left(),
        }
    }

    /// The run that this bench judged last, kept in this folder, comes out the same without its programs: the status,
    /// and all of the report but for times.
    pub fn replays(&self, bundle: &Path, status: i32) {
        let again = self.folder().join("again.json");
        let replayed = self.suite().arg("replay").arg(bundle).arg("--json").arg(&again).output().unwrap();
        assert_eq!(replayed.status.code(), Some(status), "{}", String::from_utf8_lossy(&replayed.stderr));
        let [first, second] = [self.folder().join("report.json"), again].map(|path| {
            let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            for time in ["total_ms", "learning_ms", "late_ms", "emptied_ms", "memory_kib"] {
                report[time] = 0.into();
            }
            for requirement in report["requirements"].as_array_mut().unwrap() {
                requirement["took_ms"] = 0.into();
                requirement["waited"] = false.into();
            }
            report
        });
        assert_eq!(first, second);
    }

    /// What is left of the run. Processes end here, if not earlier.
    pub fn left(&self) -> Vec<String> {
        let processes = processes_of(&self.temporary());
        for (pid, _) in &processes {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
        }
        let files = std::fs::read_dir(self.temporary()).expect("still there").flatten();
        let files = files.map(|entry| format!("the file {}", entry.path().display()));
        processes.into_iter().map(|(pid, command)| format!("process {pid}, `{command}`")).chain(files).collect()
    }
}

/// The same arguments, with three times the patience that the suite has of itself.
fn patient<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let mut kept = args.to_vec();
    if let Some(at) = kept.iter().position(|arg| *arg == "--timeout-scale") {
        kept.drain(at..at + 2);
    }
    kept.extend(["--timeout-scale", "3"]);
    kept
}

/// The processes whose home is below a folder. Only Linux lists other processes' environments.
fn processes_of(folder: &Path) -> Vec<(i32, String)> {
    let home = format!("HOME={}/", folder.display());
    let belongs = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|entry| entry.starts_with(home.as_bytes()))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(belongs);
    let command = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.map(|pid| (pid, String::from_utf8_lossy(&command(pid)).replace('\0', " "))).collect()
}

/// The JSON report, as far as tests look at it.
#[derive(Debug, Default, Deserialize)]
pub struct Report {
    /// One for each requirement that was selected.
    pub requirements: Vec<Entry>,
}

/// A requirement's entry in the JSON report.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// It counts.
    pub graded: bool,
    /// `pass`, `fail`, `warn` and so on.
    pub verdict: String,
    /// What blocks it.
    pub by: Option<String>,
    /// What was expected of it, where it does not hold.
    pub expected: Option<String>,
    /// What was seen instead.
    pub seen: Option<String>,
    /// What was missing, where it could not be judged.
    pub missing: Option<String>,
    /// How the suite failed.
    pub error: Option<String>,
    /// Why it could not be judged is that the machine was too slow.
    #[serde(default)]
    pub too_slow: bool,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.id, self.verdict)?;
        for (name, value) in [
            ("expected", &self.expected),
            ("seen", &self.seen),
            ("by", &self.by),
            ("missing", &self.missing),
            ("error", &self.error),
        ] {
            if let Some(value) = value {
                write!(f, "; {name}: {value}")?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The requirement of this id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.requirements.iter().find(|entry| entry.id == id)
    }

    /// Every requirement's verdict.
    pub fn verdicts(&self) -> BTreeMap<&str, &str> {
        self.requirements.iter().map(|entry| (entry.id.as_str(), entry.verdict.as_str())).collect()
    }
}

/// Does something with each of many things, so many at a time, and gathers the complaints.
pub fn side_by_side<T: Sync>(at_a_time: usize, all: &[T], each: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let next = Mutex::new(all.iter());
    let complaints = Mutex::new(Vec::new());
    let work = || {
        while let Some(one) = { next.lock().expect("not poisoned").next() } {
            let said = each(one);
            complaints.lock().expect("not poisoned").extend(said);
        }
    };
    std::thread::scope(|scope| (0..at_a_time).for_each(|_| drop(scope.spawn(work))));
    complaints.into_inner().expect("not poisoned")
}
