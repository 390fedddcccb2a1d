//! `cargo xtask test`: every test there is, in the order in which a failure is cheapest to have.
//!
//! What the tests check is not known here; only how they are started, and what they need beyond Rust.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::steps::{self, OnFailure, Step, cargo};

/// The suite drives pairs by pty, pipes and signals as Unix has them; until it knows Windows, only the reference is
/// tested there.
const PACKAGES: &[&str] = if cfg!(windows) { &["-p", "reference"] } else { &["--workspace"] };

/// The Python that the pair in `fixtures/pairs/python` is written for.
const PYTHON_MIN: (u32, u32) = (3, 8);

/// What is only a slice of something larger is not begun where all that comes before it took longer than this: on a machine
/// so slow, other commits have their slices.
const SLICES_WITHIN: Duration = Duration::from_secs(18 * 60);

/// The tests that run pairs in Python.
const IN_PYTHON: &[&str] = &[
    "a_dialect_that_is_not_spoken_is_a_finding_of_its_own",
    "a_failure_has_the_system_calls_of_both_programs",
    "a_known_failure_does_not_count_and_a_baseline_that_no_longer_fits_does",
    "a_legal_dialect_is_never_failed",
    "a_log_gets_plain_text",
    "a_pair_that_is_long_in_coming_up_is_let_come_up",
    "a_pair_that_cannot_be_tapped_is_judged_alike",
    "a_pair_that_cannot_be_tapped_replayed",
    "a_pair_that_others_keep_from_the_processors_is_not_blamed",
    "pairs_that_never_rest_do_not_excuse_each_other",
    "a_pair_that_does_what_is_asked_conforms",
    "a_pair_with_much_advice_replayed",
    "a_profile_that_was_learned_gives_the_same_verdicts",
    "a_report_that_cannot_be_written_is_the_suites_fault",
    "a_review_leaves_what_differs_and_nothing_else",
    "null_programs_pass_nothing_that_judges_them",
    "signals_that_the_suite_was_started_to_ignore_and_to_block_are_not_so_for_the_pair",
    "the_command_that_shows_it_again_names_the_tier",
    "the_json_report_keeps_its_schema",
    "the_host_and_plugin_in_python_understand_those_of_the_reference",
    "the_pair_in_python",
    "the_plugin_and_its_host_in_python",
    "the_programs_may_be_named_one_by_one",
    "the_report_of_a_pair_that_conforms",
    "the_server_and_watchdog_in_python_over_sockets",
    "what_is_in_a_datagram_is_the_profiles_in_python",
    "the_report_of_a_pair_that_does_not",
    "what_cannot_be_seen_is_inconclusive_and_no_failure",
    "where_all_is_skipped_nothing_ran",
    "where_all_is_untestable_nothing_ran",
];

/// The tests that run pairs in other languages: each with the tool that it needs, and what tells that it is there.
const IN_OTHERS: [(&str, &str, &str, &[&str]); 3] = [
    ("C", "cc", "--version", &["the_pair_in_c"]),
    ("Node", "node", "--version", &["the_pair_in_node"]),
    ("Go", "go", "version", &["the_pair_in_go", "the_supervisor_and_service_in_go"]),
];

/// The tests for which users are lent to somebody.
const IN_LENT_USERS: &[&str] = &["who_is_lent_users_by_the_system_runs_sessions_as_them"];

/// The tests that keep programs apart in namespaces.
const IN_TIER_A: &[&str] = &[
    "a_thousand_clients_need_room_which_is_said",
    "a_device_that_is_open_to_all_is_closed_to_it",
    "all_of_a_session_together_have_a_bound_on_their_memory",
    "each_session_has_a_share_of_the_processors_and_so_has_the_suite",
    "a_pair_that_is_long_in_coming_up_is_let_come_up",
    "a_pair_that_cannot_be_tapped_is_judged_alike",
    "a_program_is_never_process_1_and_so_a_default_sigalrm_ends_it",
    "a_status_is_told_from_a_signal",
    "it_can_write_where_it_is_and_nowhere_else",
    "it_gives_way_to_the_suite_where_priorities_count_among_all_sessions",
    "it_has_no_descriptors_but_its_own",
    "it_has_no_rights_and_can_get_none",
    "its_keys_are_its_own_and_it_does_not_die_with_its_parent",
    "its_network_is_a_loopback_on_which_the_target_is",
    "its_terminal_is_its_own",
    "limits_are_those_that_were_asked_for",
    "memory_has_a_bound",
    "nobody_outlives_a_judge_that_is_killed",
    "of_a_folder_that_is_its_owners_alone_everything_open_is_seen",
    "of_a_hidden_folder_only_its_own_is_seen",
    "only_its_own_processes_are_to_be_seen",
    "signals_that_the_suite_was_started_to_ignore_and_to_block_are_not_so_for_the_pair",
    "the_command_that_shows_it_again_names_the_tier",
    "the_memory_and_the_queues_that_it_shares_are_its_own",
    "the_reference_is_judged_alike",
    "the_supervisor_and_service_of_the_reference_are_judged_alike",
    "the_tier_is_the_strongest_there_is_and_a_weak_one_is_told_of",
    "two_sessions_at_a_time_are_two_users",
    "what_it_says_has_a_bound",
    "what_it_writes_has_a_bound_and_is_gone_with_it",
    "where_tier_a_cannot_be_nothing_is_run_and_the_setting_is_named",
    "who_is_lent_users_by_the_system_runs_sessions_as_them",
    "who_is_root_in_a_container_alone_keeps_programs_apart_as_well",
    "who_multiplies_faster_than_anybody_can_look_goes_with_the_rest",
    "whoever_hides_is_seen_and_goes_with_the_rest",
    "whoever_is_found_at_no_look_is_known_to_be_there",
    "whoever_poses_as_the_servers_stand_in_is_told_from_it",
    "whose_parent_ends_has_process_1_as_its_parent_as_outside_of_a_sandbox",
];

/// Something beyond Rust that is not there.
struct Missing {
    /// What that means, and what to do about it.
    said: String,
    /// The tests that are not run without it.
    tests: &'static [&'static str],
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)?;
        if self.tests.is_empty() { Ok(()) } else { write!(f, " NOT RUN: {}.", self.tests.join(", ")) }
    }
}

pub(crate) fn run(cargo_test_args: Vec<OsString>) -> ExitCode {
    let missing = if cfg!(windows) { Vec::new() } else { missing() };
    if cfg!(windows) {
        eprintln!("On Windows only the reference is tested.");
    }
    for problem in &missing {
        eprintln!("{problem}");
    }
    if is_ci() && !missing.is_empty() {
        eprintln!("In CI nothing may be left out, so this is a failure.");
        return ExitCode::FAILURE;
    }
    // Left out by name, so that none of them looks as if it had passed.
    let left_out: Vec<_> = missing.iter().flat_map(|missing| missing.tests).copied().collect();
    if steps::run(steps(cargo_test_args, &left_out), OnFailure::Stop) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn steps(cargo_test_args: Vec<OsString>, left_out: &[&str]) -> Vec<Step> {
    // With arguments only a part of the tests is asked for.
    let all = cargo_test_args.is_empty();
    let mut clippy = cargo(["clippy", "--quiet", "--all-targets"]);
    clippy.args(PACKAGES).args(["--", "-D", "warnings"]);

    // Tests of one package start programs of another, and `cargo test` builds programs only for their own package. With the
    // tests, since these ask for other features of what all depends on: without them it would be built twice.
    let mut build = cargo(["build", "--quiet", "--bins", "--tests"]);
    build.args(PACKAGES);

    let mut test = cargo(["test", "--quiet"]);
    let has_dashes = cargo_test_args.iter().any(|arg| arg == "--");
    test.args(PACKAGES).args(cargo_test_args);
    if !left_out.is_empty() {
        test.args((!has_dashes).then_some("--"));
        test.args(left_out.iter().flat_map(|name| ["--skip", name]));
    }
    // Most tests wait for what a judged pair does, and a processor has time for two of them.
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        test.env("RUST_TEST_THREADS", (2 * processors).to_string());
    }
    // A forced pass would make this command's success worth nothing.
    test.env_remove("INSTA_FORCE_PASS");
    if is_ci() {
        // A pending snapshot is for a person to review; where there is none, only the difference counts.
        test.env("INSTA_UPDATE", "no");
    }

    let mut doc = cargo(["doc", "--quiet", "--no-deps"]);
    doc.args(PACKAGES).env("RUSTDOCFLAGS", "-D warnings");

    // No parts of the workspace, since they need what nothing else does; so they are looked at here. To check the targets of the
    // fuzzer, neither another compiler nor the fuzzer's own library, which is C++, is needed.
    let beside = |manifest| {
        let mut check =
            cargo(["check", "--quiet", "--locked", "--target-dir", "target/beside", "--manifest-path", manifest]);
        check.current_dir(crate::workspace()).env("CUSTOM_LIBFUZZER_PATH", "none/libnone.a");
        check
    };

    let mut steps = vec![
        Step::new("fmt", cargo(["fmt", "--all", "--check"])),
        Step::new("clippy", clippy),
        Step::new("build", build),
        Step::new("test", test),
        Step::new("doc", doc),
    ];
    if cfg!(unix) && all {
        steps.push(Step::new("fuzz", beside("conformance/fuzz/Cargo.toml")));
        steps.push(Step::new("versus", beside("reference/versus/Cargo.toml")));
        let stability =
            |family, runs, load| vec!["stability", "--no-keep", "--family", family, "--runs", runs, "--load", load];
        let mut further = vec![
            ("faults", vec!["faults"], None),
            ("stability", stability("watchdog", "6", "0"), Some(SLICES_WITHIN)),
            ("under load", stability("watchdog", "3", "4"), Some(SLICES_WITHIN)),
            ("control under load", stability("control", "3", "4"), Some(SLICES_WITHIN)),
            ("plugin under load", stability("plugin", "3", "4"), Some(SLICES_WITHIN)),
            ("sockets under load", stability("sockets", "3", "4"), Some(SLICES_WITHIN)),
        ];
        if cfg!(target_os = "linux") && has_namespaces() {
            if python().is_ok() && is_there("cc", "--version") {
                further.push(("hostile", vec!["hostile", "--slots", "4", "--no-keep"], None));
            }
            further.push(("kills", vec!["kills", "--points", "10"], None));
        }
        for (name, arguments, within) in further {
            // This very program.
            let mut command = Command::new(env::current_exe().unwrap_or_else(|_| "xtask".into()));
            command.args(arguments);
            steps.push(Step { within, ..Step::new(name, command) });
        }
    }
    steps
}

fn is_there(tool: &str, argument: &str) -> bool {
    Command::new(tool).arg(argument).output().is_ok_and(|output| output.status.success())
}

/// Whether programs can be kept apart here.
pub(crate) fn has_namespaces() -> bool {
    let made = Command::new("unshare").args(["--user", "--net", "--map-root-user", "true"]).output();
    made.is_ok_and(|output| output.status.success())
}

/// Whether nobody is watching who could install what is missing.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// What the tests need beyond Rust and is not there.
fn missing() -> Vec<Missing> {
    let mut missing = Vec::new();
    if let Err(problem) = python() {
        let (_, minor) = PYTHON_MIN;
        let said = format!(
            "{problem}: neither are its faults tried, nor hostile programs. Install Python 3.{minor} or later."
        );
        missing.push(Missing { said, tests: IN_PYTHON });
    }
    for (language, tool, argument, tests) in IN_OTHERS {
        if !is_there(tool, argument) {
            missing.push(Missing { said: format!("{tool} not found: install {language}."), tests });
        }
    }
    // It exists nowhere else.
    if cfg!(target_os = "linux") && !is_there("strace", "-V") {
        let said = "strace not found: --strace is not tried. Install strace.".into();
        missing.push(Missing { said, tests: &[] });
    }
    // It says no version.
    if cfg!(target_os = "linux") && Command::new("newuidmap").output().is_err() {
        let said = "newuidmap not found: lent users are not tried. Install it (uidmap, shadow-utils).".into();
        missing.push(Missing { said, tests: IN_LENT_USERS });
    }
    if cfg!(target_os = "linux") && !has_namespaces() {
        let said = "namespaces cannot be made here: neither tier A nor hostile programs are tried; \
                    cargo xtask conformance --tier A names the setting.";
        missing.push(Missing { said: said.into(), tests: IN_TIER_A });
    }
    missing
}

/// Asks python3 for its version, which also tells a mere placeholder of that name from the real program.
fn python() -> Result<(), String> {
    let output = Command::new("python3").arg("--version").output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return Err("python3 not found".to_owned());
    };
    let words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match python_version(&words) {
        Some(version) if version >= PYTHON_MIN => Ok(()),
        _ => Err(format!("python3 is too old or unknown ({words:?})")),
    }
}

/// Major and minor of the line that `python3 --version` prints.
fn python_version(words: &str) -> Option<(u32, u32)> {
    let mut numbers = words.strip_prefix("Python ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn python_versions_are_compared_as_numbers() {
        assert_eq!(python_version("Python 3.11.7"), Some((3, 11)));
        assert_eq!(python_version("Python 3.13.0rc1"), Some((3, 13)));
        assert!(python_version("Python 3.7.16") < Some(PYTHON_MIN));
        assert!(python_version("Python 3.10.0") > Some(PYTHON_MIN));
        for words in ["", "Python", "Python 3", "pyenv: python3: command not found"] {
            assert_eq!(python_version(words), None, "{words}");
        }
    }

    fn words(step: &Step) -> Vec<&str> {
        step.command.get_args().map(|arg| arg.to_str().unwrap()).collect()
    }

    #[test]
    fn further_arguments_reach_cargo_test_alone() {
        for step in steps(vec!["codec".into()], &[]) {
            assert_eq!(words(&step).contains(&"codec"), step.name == "test", "{}", step.name);
        }
    }

    #[test]
    fn what_is_left_out_is_skipped_by_name() {
        for (asked, expected) in [
            (vec![], "-- --skip the_pair_in_go"),
            (vec!["codec"], "codec -- --skip the_pair_in_go"),
            (vec!["codec", "--", "--nocapture"], "codec -- --nocapture --skip the_pair_in_go"),
        ] {
            let steps = steps(asked.into_iter().map(OsString::from).collect(), &["the_pair_in_go"]);
            let test = steps.iter().find(|step| step.name == "test").unwrap();
            assert!(words(test).join(" ").ends_with(&format!("{} {expected}", PACKAGES[0])), "{:?}", words(test));
            assert!(steps.iter().filter(|step| step.name != "test").all(|step| !words(step).contains(&"--skip")));
        }
    }

    /// Every crate that these options select, each with the features with which it is built.
    #[cfg(target_os = "linux")]
    fn crates(options: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        let mut tree = cargo(["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p} [{f}]"]);
        let output = tree.args(options).current_dir(crate::workspace()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut crates = BTreeMap::<_, BTreeSet<_>>::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let Some((package, features)) = line.trim_end_matches(" (*)").split_once(" [") else { continue };
            crates.entry(package.to_owned()).or_default().insert(features.to_owned());
        }
        crates
    }

    /// On one system: elsewhere it may be built twice, which takes longer and changes nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_the_commands_and_the_tests_share_is_built_once() {
        let commands = crates(&["--package", "xtask", "--edges", "normal,build"]);
        let all = crates(&["--workspace", "--edges", "normal,build,dev"]);
        assert!(commands.len() > 50, "{commands:?}");
        for (package, features) in commands {
            assert_eq!(all[&package], features, "{package}: add to xtask/Cargo.toml what the tests turn on");
        }
    }

    /// The tests of the suite and of the reference's programs, each with its text.
    fn tests() -> Vec<(String, String)> {
        let folders = ["conformance/tests/judging", "conformance/tests", "reference/tests"];
        let folders = folders.map(|folder| std::fs::read_dir(crate::workspace().join(folder)).unwrap());
        let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap());
        let mut tests = Vec::new();
        for text in texts {
            for test in text.split("#[test]").skip(1) {
                let name = test.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
                // Up to the end of the function, as rustfmt writes it.
                tests.push((name.to_owned(), test.split("\n}\n").next().unwrap().to_owned()));
            }
        }
        tests
    }

    #[test]
    fn every_test_that_needs_something_is_named() {
        let tests = tests();
        let others = IN_OTHERS.map(|(_, tool, _, names)| (format!("is_there(\"{tool}\""), names));
        let own = [("python_path()", IN_PYTHON), ("tier_a()", IN_TIER_A), ("lends_users()", IN_LENT_USERS)];
        for (call, names) in others.into_iter().chain(own.map(|(call, names)| (call.to_owned(), names))) {
            for (name, text) in &tests {
                let is_named = names.contains(&name.as_str());
                assert!(is_named || !text.contains(&call), "{name} calls {call} and is not named");
            }
            for name in names {
                assert!(tests.iter().any(|(test, _)| test == name), "there is no test {name}");
                // What is skipped is whatever has this in its name.
                let others = tests.iter().filter(|(test, _)| test != name && test.contains(name));
                assert_eq!(others.count(), 0, "{name} is a part of another test's name");
            }
        }
    }
}
