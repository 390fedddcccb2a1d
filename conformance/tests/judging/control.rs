//! The family `control` as the command line has it: a supervisor and its service, a service alone, others' options, and
//! programs that are neither.

use std::path::Path;

use conformance::subject::place::RunFolder;

use crate::common::{Bench, Judgement, fixtures, has_tier_a, reference, side_by_side, write_program};
use crate::null_programs::PROGRAMS;

fn bench() -> Bench {
    Bench::new(&std::env::var_os("PATH").unwrap_or_default())
}

fn judged(bench: &Bench, bin: &Path, args: &[&str]) -> Judgement {
    bench.judge(bin, &[&["--family", "control"][..], args].concat())
}

/// There are requirements that begin so, and every one's verdict is this.
fn all_are(run: &Judgement, beginning: &str, verdict: &str) {
    let those: Vec<_> = run.report.requirements.iter().filter(|entry| entry.id.starts_with(beginning)).collect();
    assert!(!those.is_empty() && those.iter().all(|entry| entry.verdict == verdict), "{those:#?}");
}

#[test]
fn the_supervisor_and_service_of_the_reference_are_judged_alike() {
    let profile = fixtures().join("profiles/reference.toml");
    let profile = ["--profile", profile.to_str().unwrap()];
    for (tier, is_there) in [("A", has_tier_a()), ("B", RunFolder::grouped().is_ok()), ("C", true)] {
        if !is_there {
            continue;
        }
        let bench = bench();
        let pair = bench.copy_of_programs(&reference(), &["supervisor", "service"]);
        let bundle = bench.folder().join("bundle");
        let kept = ["--tier", tier, "--bundle", bundle.to_str().unwrap()];
        let run = judged(&bench, &pair, &[&profile[..], &kept].concat());
        all_are(&run, "", "pass");
        assert!(run.report.requirements.len() >= 50 && run.status == 0, "{tier}: {}", run.stdout);
        std::fs::remove_dir_all(&pair).unwrap();
        bench.replays(&bundle, run.status);
    }
}

#[test]
fn a_service_is_judged_without_a_supervisor() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["service"]);
    for bin in [pair.join("service"), pair] {
        let run = judged(&bench, &bin, &["--only", "stop.supervisor-killed", "--only", "message.type"]);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        all_are(&run, "supervise.starts", "not_applicable");
        all_are(&run, "message", "pass");
        assert!(run.stdout.starts_with("service   /"), "{}", run.stdout);
    }
}

#[test]
fn options_and_tasks_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["supervisor", "service"]);
    std::fs::rename(pair.join("service"), pair.join("real")).unwrap();
    let real = pair.join("real").display().to_string();
    // The numbers come in two words, and events are told without being asked for.
    let other = format!("#!/bin/sh\nexec '{real}' --piperx \"$2\" ${{4:+--pipetx \"$4\"}} --lifetimeevents\n");
    write_program(&pair.join("service"), &other);
    let profile = bench.folder().join("profile.toml");
    let text = "[control]\nreceive = '--in {fd}'\nsend = '--out {fd}'\nevents = '--tell all'\n\
                tasks = [{ id = 0, name = 'files' }, { id = 1, name = 'network' }]\n";
    std::fs::write(&profile, text).unwrap();
    let args = ["--profile", profile.to_str().unwrap(), "--only", "lifetime.ids", "--only", "stop.end-of-pipe"];
    let run = judged(&bench, &pair, &args);
    all_are(&run, "", "pass");
    std::fs::write(&profile, text.replace("id = 1", "id = 2")).unwrap();
    let run = judged(&bench, &pair, &args);
    let seen = run.report.entry("lifetime.ids").unwrap();
    assert!(seen.verdict == "warn" && seen.expected.as_ref().unwrap().contains("2 (network)"), "{seen}");
}

/// What each side is judged in; a service that ends when its supervisor is killed needs both.
const OF_A_SERVICE: [&str; 3] = ["message", "lifetime", "stop"];

#[test]
fn programs_that_are_neither_pass_nothing_that_judges_them() {
    let sides = [&["supervisor"][..], &["service"], &["supervisor", "service"]];
    let all: Vec<_> = sides.iter().flat_map(|side| PROGRAMS.iter().map(move |program| (*side, program))).collect();
    let programs = reference();
    let said = side_by_side(6, &all, |(replaced, (name, text))| {
        let bench = bench().with_memory(4 << 20);
        let pair = bench.copy_of_programs(&programs, &["supervisor", "service"]);
        for file in *replaced {
            write_program(&pair.join(file), &format!("#!/bin/sh\n{text}\n"));
        }
        let run = bench.try_judge(&pair, &["--family", "control", "--timeout-scale", "0.2"]);
        let judges = |id: &str| {
            let of_a_service = OF_A_SERVICE.contains(&id.split('.').next().unwrap_or_default());
            let who = if of_a_service { "service" } else { "supervisor" };
            replaced.contains(&who) || id == "stop.supervisor-killed"
        };
        let wrong = run.report.requirements.iter().filter(|entry| match entry.verdict.as_str() {
            "pass" => judges(&entry.id),
            "harness_fault" => true,
            _ => false,
        });
        let mut said: Vec<_> = wrong.map(ToString::to_string).collect();
        if !matches!(run.status, 1 | 4) || run.report.requirements.len() < 50 {
            said.push(format!("exit status {}: {}", run.status, run.stderr));
        }
        said.extend(run.left.iter().map(|left| format!("left behind: {left}")));
        said.into_iter().map(|problem| format!("{name} as {}: {problem}", replaced.join(" and "))).collect()
    });
    assert!(said.is_empty(), "{} complaints:\n{}", said.len(), said.join("\n"));
}
