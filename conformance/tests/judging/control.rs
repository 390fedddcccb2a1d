//! The family `control` as the command line has it: a supervisor and its service, a service alone, others' options, and
//! programs that are neither.

use conformance::family::Family;

use crate::common::{reference, write_program};
use crate::families::{all_are, bench, judged, null_programs_pass_nothing, the_reference_is_judged_alike};

#[test]
fn the_supervisor_and_service_of_the_reference_are_judged_alike() {
    the_reference_is_judged_alike(Family::Control);
}

#[test]
fn a_service_is_judged_without_a_supervisor() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["service"]);
    for bin in [pair.join("service"), pair] {
        let run =
            judged(Family::Control, &bench, &bin, &["--only", "stop.supervisor-killed", "--only", "message.type"]);
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
    let run = judged(Family::Control, &bench, &pair, &args);
    all_are(&run, "", "pass");
    std::fs::write(&profile, text.replace("id = 1", "id = 2")).unwrap();
    let run = judged(Family::Control, &bench, &pair, &args);
    let seen = run.report.entry("lifetime.ids").unwrap();
    assert!(seen.verdict == "warn" && seen.expected.as_ref().unwrap().contains("2 (network)"), "{seen}");
}

#[test]
fn programs_that_are_neither_pass_nothing_that_judges_them() {
    null_programs_pass_nothing(Family::Control, &[], |id| match id.split('.').next().unwrap_or_default() {
        // A service that ends when its supervisor is killed needs both.
        "message" | "lifetime" | "stop" => (id == "stop.supervisor-killed", true),
        _ => (true, false),
    });
}
