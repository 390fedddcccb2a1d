//! The pair of the reference over what else can be between a watchdog and the server that it starts: all that is asked of it over its
//! pipes, with the profile that says what does not make sense there.

use conformance::family::Family;

use crate::common::{fixtures, reference, write_program};
use crate::families::{bench, judged};

/// Over one thing: what does not make sense is left out or says so, and all else holds, as far as anybody can see it.
fn holds_over(what: &str, makes_no_sense: &[&str]) {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Watchdog.file_names());
    let real = pair.join("real");
    std::fs::rename(pair.join("watchdog"), &real).unwrap();
    write_program(&pair.join("watchdog"), &format!("#!/bin/sh\nexec '{}' -over {what} \"$@\"\n", real.display()));
    let profile = fixtures().join(format!("profiles/reference-{what}.toml"));
    let run = judged(Family::Watchdog, &bench, &pair, &["--profile", profile.to_str().unwrap()]);
    assert_eq!(run.status, 0, "{}", run.stdout);
    let odd = run.report.requirements.iter().filter(|entry| match entry.verdict.as_str() {
        "pass" | "untestable" => makes_no_sense.contains(&entry.id.as_str()),
        "not_applicable" => !makes_no_sense.contains(&entry.id.as_str()),
        _ => true,
    });
    let odd: Vec<_> = odd.map(ToString::to_string).collect();
    assert!(odd.is_empty(), "{odd:#?}");
    assert!(run.report.requirements.len() > 190);
}

#[test]
fn the_pair_over_standard_input_and_output() {
    // Every program has those.
    holds_over("stdio", &["descriptor.without-pipes"]);
}

#[test]
fn the_pair_over_one_local_socket() {
    // One end carries both directions, and is no pipe.
    let none = ["descriptor.watchdog-ends", "end.messages-closed", "end.replies-closed", "end.replies-unread"];
    holds_over("socketpair", &none);
}
