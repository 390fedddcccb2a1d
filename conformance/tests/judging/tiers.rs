//! The tier as the command line has it: the strongest by default, told of, and the same verdicts in each.
//!
//! What a session is kept from, `isolation` tries.
#![cfg(target_os = "linux")]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use conformance::observe::process;
use conformance::subject::place::RunFolder;

use crate::common::{
    Bench, fixtures, forgetful, graded_only, has_tier_a, python_path, reference, strongest_tier, write_program,
};

/// Generous: what is waited for comes.
const WITHIN: Duration = Duration::from_secs(60);

#[test]
fn nobody_outlives_a_judge_that_is_killed() {
    if !has_tier_a() {
        return;
    }
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let pair = bench.folder().join("pair");
    std::fs::create_dir(&pair).unwrap();
    for program in ["watchdog", "server"] {
        write_program(&pair.join(program), "#!/bin/sh\ntrap '' TERM HUP ALRM INT\nsleep 1000 & wait\n");
    }
    let mut judge = bench.suite();
    let mut judge = judge.args(["--tier", "A", "--bin"]).arg(&pair).stdout(Stdio::null()).spawn().unwrap();
    let id = judge.id().cast_signed();
    let deadline = Instant::now() + WITHIN;
    while below(id).iter().filter(|(_, command)| command.contains("sleep")).count() == 0 {
        assert!(Instant::now() < deadline, "the pair is started");
        std::thread::yield_now();
    }
    let all = below(id);
    judge.kill().unwrap();
    assert_eq!(judge.wait().unwrap().signal(), Some(libc::SIGKILL));
    while let Some((pid, command)) = all.iter().find(|(pid, _)| Path::new(&format!("/proc/{pid}")).exists()) {
        assert!(Instant::now() < deadline, "process {pid}, `{command}`, is still there");
        std::thread::yield_now();
    }
}

/// Judges the reference where namespaces are forbidden.
fn judged_without_namespaces(args: &[&str]) -> Output {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let forbidding = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
    let mut suite = bench.suite_under(&["unshare", "--user", "--map-root-user", "sh", "-c", forbidding, "sh"]);
    suite.args(["--only", "start.server", "--bin"]).arg(reference()).args(args).output().unwrap()
}

#[test]
fn where_tier_a_cannot_be_nothing_is_run_and_the_setting_is_named() {
    if !has_tier_a() {
        return;
    }
    for asked in [["--tier", "A"], ["--require-tier", "A"], ["--hide", "/var"]] {
        let refused = judged_without_namespaces(&asked);
        let words = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(3), "{asked:?}: {words}");
        assert!(words.contains("/proc/sys/user/max_user_namespaces is 0"), "{asked:?}: {words}");
        assert!(refused.stdout.is_empty(), "{asked:?}");
    }
}

#[test]
fn the_tier_is_the_strongest_there_is_and_a_weak_one_is_told_of() {
    if !has_tier_a() {
        return;
    }
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    for (asked, tier) in [(&[][..], "A, in"), (&["--require-tier", "C"], "A, in"), (&["--tier", "C"], "C, unsafe")] {
        let judged = bench.suite().args(["--only", "start.server", "--bin"]).arg(reference()).args(asked).output();
        let judged = judged.unwrap();
        let words = String::from_utf8_lossy(&judged.stdout);
        assert!(judged.status.success() && words.contains(&format!("\ntier      {tier}")), "{asked:?}: {words}");
        assert!(judged.stderr.is_empty(), "{asked:?}: {}", String::from_utf8_lossy(&judged.stderr));
    }
    let judged = judged_without_namespaces(&[]);
    let [words, warning] = [&judged.stdout, &judged.stderr].map(|text| String::from_utf8_lossy(text));
    let tier = if RunFolder::grouped().is_ok() { "B, in control groups" } else { "C, unsafe" };
    assert!(judged.status.success() && words.contains(&format!("\ntier      {tier}")), "{words}{warning}");
    assert!(warning.contains("kept apart from nothing") && warning.contains("max_user_namespaces is 0"), "{warning}");
}

/// So many descriptors a program has on macOS, unless it asks for more.
#[test]
fn a_run_does_with_few_descriptors() {
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    for tier in ["C", strongest_tier()] {
        let mut suite = bench.suite_under(&["sh", "-c", "ulimit -n 256; exec \"$@\"", "sh"]);
        let profile = fixtures().join("profiles/reference.toml");
        let judged =
            suite.args(["--tier", tier, "--bin"]).arg(reference()).arg("--profile").arg(profile).output().unwrap();
        assert!(judged.status.success(), "{tier}: {}", String::from_utf8_lossy(&judged.stdout));
    }
}

/// Everybody below a process, with their command lines.
fn below(pid: i32) -> Vec<(i32, String)> {
    let command = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    process::descendants(pid).into_iter().skip(1).map(|pid| (pid, command(pid).replace('\0', " "))).collect()
}

#[test]
fn the_command_that_shows_it_again_names_the_tier() {
    let (true, Some(path)) = (has_tier_a(), python_path()) else { return };
    let bench = Bench::new(&path);
    let pair = forgetful(&bench);
    let run = bench.judge(&pair, &["--tier", "A", "--timeout-scale", "0.2", "--only", "command.url-as-typed"]);
    assert_eq!(run.status, 1, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("pair --tier A --only command.url-as-typed"), "{}", run.stdout);
}

/// The verdicts on a pair, each with its id.
fn verdicts(bench: &Bench, pair: &Path, args: &[&str], tier: &str) -> Vec<(String, String)> {
    let all = [&["--tier", tier][..], args].concat();
    let run = bench.judge(pair, &all);
    assert!(run.stdout.contains(&format!("\ntier      {tier}, ")), "{}{}", run.stdout, run.stderr);
    run.report.requirements.into_iter().map(|entry| (entry.id, entry.verdict)).collect()
}

#[test]
fn the_reference_is_judged_alike() {
    if !has_tier_a() {
        return;
    }
    let bench = Bench::new(&std::env::var_os("PATH").unwrap_or_default());
    let profile = fixtures().join("profiles/reference.toml");
    let args = ["--profile", profile.to_str().unwrap()];
    let [a, c] = ["A", "C"].map(|tier| verdicts(&bench, &reference(), &args, tier));
    assert_eq!(a, c);
    match RunFolder::grouped() {
        Ok(_) => assert_eq!(a, verdicts(&bench, &reference(), &args, "B")),
        Err(error) => println!("{error}: tier B is not tried"),
    }
    assert!(a.iter().all(|(_, verdict)| verdict == "pass" || verdict == "untestable"), "{a:?}");
}

/// Whether this machine can lend users to somebody here: only root can have it do so for a test.
fn lends_users() -> bool {
    if Command::new("newuidmap").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "newuidmap not found: in CI it must be there");
        println!("newuidmap not found: not run");
        return false;
    }
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("only root can have users lent to somebody else: not run");
    }
    is_root
}

/// Somebody who is not root, to whom the system lends users in `/etc/subuid`: sessions run as them, as they do where root is the
/// suite. Where a program is his alone, they run as he, which is said.
#[test]
fn who_is_lent_users_by_the_system_runs_sessions_as_them() {
    if !has_tier_a() || !lends_users() {
        return;
    }
    // Of folders that are there for everybody.
    let path = "/usr/bin:/bin:/usr/sbin:/sbin";
    let bench = Bench::new(&path.into());
    let pair = bench.copy_of(&reference());
    let suite = Path::new(env!("CARGO_BIN_EXE_conformance")).parent().unwrap();
    let copied = Command::new("cp").args(["conformance", "conformance-standin"]).arg(&pair).current_dir(suite).status();
    assert!(copied.unwrap().success());
    std::fs::write(pair.join("lent"), "65534:200000:65536\n").unwrap();
    let json = pair.join("report.json");
    let judged = |way: &str, user: &str| {
        // Both files are others only below this process.
        let script = "set -e; cd \"$0\"; for file in subuid subgid; do touch /etc/$file; mount --bind lent /etc/$file; done\n\
                      chown -R \"$1\":\"$1\" .; eval \"$2\"; export TMPDIR=\"$0\"\n\
                      exec setpriv --reuid \"$1\" --regid \"$1\" --clear-groups -- ./conformance --tier A --bin . \\\n\
                      --only start --only descriptor --only end.sigalrm --only wire.buffered --json report.json";
        let mut suite = Command::new("unshare");
        suite.args(["--mount", "sh", "-c", script]).arg(&pair).args([user, way]).env("PATH", path);
        let output = suite.stdin(Stdio::null()).output().unwrap();
        let words = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert_eq!(output.status.code(), Some(0), "{way:?}, {user}: {words}");
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        let verdict = |entry: &serde_json::Value| (entry["id"].to_string(), entry["verdict"].to_string());
        let verdicts: Vec<_> = report["requirements"].as_array().unwrap().iter().map(verdict).collect();
        (report["lapses"].to_string(), verdicts)
    };
    let as_root = judged("", "0");
    let (lapses, verdicts) = judged("", "65534");
    assert!(!lapses.contains("as the suite's user"), "{lapses}");
    assert_eq!(verdicts, as_root.1);
    let (lapses, verdicts) = judged("chmod go-rwx watchdog", "65534");
    assert!(lapses.contains("watchdog is closed to other users: programs run as the suite's user"), "{lapses}");
    assert_eq!(verdicts, as_root.1);
    let (lapses, _) =
        judged("umount /etc/subuid; : > none; mount --bind none /etc/subuid; chmod +rx watchdog", "65534");
    assert!(lapses.contains("is lent no users"), "{lapses}");
}

/// Of which much cannot be seen, in no tier.
#[test]
fn a_pair_that_cannot_be_tapped_is_judged_alike() {
    let (true, Some(path)) = (has_tier_a(), python_path()) else { return };
    let bench = Bench::new(&path);
    let pair = fixtures().join("pairs/python-fifo");
    let graded = bench.folder().join("graded.toml");
    std::fs::write(&graded, graded_only()).unwrap();
    let args = ["--timeout-scale", "0.5", "--profile", graded.to_str().unwrap()];
    let [a, c] = ["A", "C"].map(|tier| verdicts(&bench, &pair, &args, tier));
    assert_eq!(a, c);
    let passed = a.iter().filter(|(_, verdict)| verdict == "pass").count();
    assert!(passed >= 10, "only {passed} requirements passed: {a:?}");
}

/// Both survive an exec, and whoever starts the suite may have set them.
#[test]
fn signals_that_the_suite_was_started_to_ignore_and_to_block_are_not_so_for_the_pair() {
    let (true, Some(path)) = (has_tier_a(), python_path()) else { return };
    let bench = Bench::new(&path);
    let pair = bench.copy_of(&reference());
    std::fs::rename(pair.join("watchdog"), pair.join("real")).unwrap();
    // Not in sh: some shells block nothing, whatever they were started with. Python itself ignores SIGPIPE and SIGXFSZ.
    let script = format!(
        "#!/usr/bin/env python3\nimport os, re, sys\nsignals = open('/proc/self/status').read()\n\
         blocked, ignored = (int(re.search(name + r':\\s+(\\w+)', signals)[1], 16) for name in ('SigBlk', 'SigIgn'))\n\
         if blocked or ignored & ~0x1001000: sys.exit(9)\nos.execv({0:?}, [{0:?}, *sys.argv[1:]])\n",
        pair.join("real")
    );
    write_program(&pair.join("watchdog"), &script);
    for dirty in ["--ignore-signal=ALRM", "--block-signal=ALRM"] {
        let mut alone = Command::new("env");
        let status = alone.arg(dirty).arg(pair.join("watchdog")).env("PATH", &path).status();
        assert_eq!(status.unwrap().code(), Some(9), "it is to tell");
    }
    for tier in ["A", "C"] {
        let deaf = ["env", "--ignore-signal=ALRM,HUP,USR1", "--block-signal=ALRM,TERM,USR2"];
        let mut suite = bench.suite_under(&deaf);
        suite.args(["--tier", tier, "--only", "start.server", "--bin"]).arg(&pair);
        let judged = suite.output().unwrap();
        assert!(judged.status.success(), "{tier}: {}", String::from_utf8_lossy(&judged.stdout));
    }
}
