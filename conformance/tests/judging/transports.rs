//! The pair of the reference over what else can be between a watchdog and the server that it starts: all that is asked of it over its
//! pipes, with the profile that says what does not make sense there.

use conformance::family::Family;

use crate::common::{fixtures, reference};
use crate::families::{bench, judged};

/// Over one thing: what does not make sense is left out or says so, and all else holds, as far as anybody can see it.
fn holds_over(what: &str, makes_no_sense: &[&str]) {
    let profile = fixtures().join(format!("profiles/reference-{what}.toml"));
    let run = judged(Family::Watchdog, &bench(), &reference(), &["--profile", profile.to_str().unwrap()]);
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

/// One end carries both directions, and is no pipe.
const OF_ONE_END: [&str; 4] =
    ["descriptor.watchdog-ends", "end.messages-closed", "end.replies-closed", "end.replies-unread"];

#[test]
fn the_pair_over_one_local_socket() {
    holds_over("socketpair", &OF_ONE_END);
}

/// Who is there on other systems is not known, and so not who has the other end.
#[cfg(target_os = "linux")]
#[test]
fn the_pair_over_a_connection_of_the_network() {
    holds_over("tcp", &OF_ONE_END);
}

/// The assignment speaks of pipes.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_of_the_network_is_no_pipe() {
    let bench = bench();
    let profile = bench.folder().join("profile.toml");
    std::fs::write(&profile, "watchdog = ['-over', 'tcp']").unwrap();
    let args = ["--profile", profile.to_str().unwrap(), "--only", "descriptor.pipe"];
    let run = judged(Family::Watchdog, &bench, &reference(), &args);
    let entry = run.report.entry("descriptor.pipe").unwrap();
    assert_eq!((run.status, entry.verdict.as_str()), (1, "fail"), "{entry}");
    assert!(entry.seen.as_ref().is_some_and(|seen| seen.contains("3 (Connection)")), "{entry}");
}
