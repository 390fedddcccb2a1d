//! The command lines of both programs: what they say, and that nothing is started when something is wrong.

#![cfg(unix)]

mod common;

use assert_cmd::Command;
use common::{SERVER, WATCHDOG};
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};

fn watchdog(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::new(WATCHDOG).args(arguments).timeout(common::DEADLINE).write_stdin("setmeml 5\n").assert()
}

/// One line on standard error, status 2, and nothing else.
fn refused(arguments: &[&str], sentence: &str) {
    let one_line = predicate::function(|text: &str| text.lines().count() == 1);
    watchdog(arguments).code(2).stdout(is_empty()).stderr(starts_with("error: ").and(contains(sentence)).and(one_line));
}

#[test]
fn a_server_that_cannot_be_started_is_refused() {
    refused(&[], "-sp is missing");
    refused(&["-sargs", "state=c"], "-sp is missing");
    refused(&["-sp", "server"], "expected -sp to be an absolute path, found server");
    refused(&["-sp="], "found nothing");
    refused(&["-sp", "/no/such/server"], "cannot start the server /no/such/server: No such file");
    refused(&["-sp", "/"], "the directory /");
    refused(&["-sp=/etc/passwd"], "/etc/passwd is not executable");
}

#[test]
fn a_file_that_the_system_cannot_execute_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("server");
    std::fs::write(&path, "no program").expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
    refused(&["-sp", path.to_str().expect("text")], "cannot start the server");
}

#[test]
fn a_command_line_that_is_wrong_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("started");
    let script = format!("echo > {}", trace.display());
    let run = |list: &str, more: &[&str]| {
        let mut arguments = vec!["-sp", "/bin/sh", "-sargs", list];
        arguments.extend(more);
        watchdog(&arguments).code(2).stdout(is_empty()).stderr(starts_with("error: "));
        assert!(!trace.exists(), "{list} {more:?} started the server");
    };
    run(&format!("-c, '{script}"), &[]);
    run(&format!("-c, '{script}'"), &["-unknown"]);
    run(&format!("-c, '{script}'"), &["-grace-ms", "soon"]);
    run(&format!("-c, '{script}'"), &["-grace-ms=600001"]);
    run(&format!("-c, '{script}'"), &["extra"]);
    run(&format!("-c, '{script}'"), &["-sp", "/bin/sh"]);
    // The same without a fault does start it, or this test would prove nothing.
    watchdog(&["-sp", "/bin/sh", "-sargs", &format!("-c, '{script}'")]);
    assert!(trace.exists());
}

#[test]
fn one_dash_and_two_dashes_and_an_equals_sign_are_the_same() {
    let sp = format!("-sp={SERVER}");
    for arguments in [vec!["-sp", SERVER], vec!["--sp", SERVER], vec![&*sp], vec!["-sargs", "state=c", "-sp", SERVER]] {
        watchdog(&arguments).code(0).stdout("memory limit: 5 bytes\n").stderr(is_empty());
    }
}

#[test]
fn arguments_arrive_as_the_quoting_says_and_no_shell_sees_them() {
    let list = r#"-c, 'printf "[%s]" "$0" "$@"; echo', zero, a b , "c, d", "", $HOME;`ls`*"#;
    watchdog(&["-sp", "/bin/sh", "-sargs", list])
        .code(1)
        .stdout("[zero][a b][c, d][][$HOME;`ls`*]\n")
        .stderr(contains("server died: exit status 0"));
}

#[test]
fn help_and_version_are_printed_by_both() {
    let output = |program: &str, argument: &str| {
        let assert = Command::new(program).arg(argument).timeout(common::DEADLINE).assert().code(0).stderr(is_empty());
        String::from_utf8(assert.get_output().stdout.clone()).expect("text")
    };
    insta::assert_snapshot!("watchdog_help", output(WATCHDOG, "--help"));
    insta::assert_snapshot!("server_help", output(SERVER, "--help"));
    assert_eq!(output(WATCHDOG, "-help"), output(WATCHDOG, "--help"));
    assert_eq!(output(WATCHDOG, "-version"), format!("watchdog {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(output(SERVER, "--version"), format!("server {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_server_without_its_pipes_says_so() {
    for script in ["exec \"$0\" 3<&- 4>&-", "exec \"$0\" 3</dev/null 4>/dev/null", ": | exec \"$0\" 3<&0 4>&-"] {
        let sentence = "server: error: expected a pipe to read requests from at descriptor 3";
        Command::new("/bin/sh")
            .args(["-c", script, SERVER])
            .timeout(common::DEADLINE)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(starts_with(sentence).and(contains("start the server with: watchdog -sp")));
    }
}

#[test]
fn a_server_says_which_argument_is_wrong_and_the_watchdog_how_it_died() {
    watchdog(&["-sp", SERVER, "-sargs", "state=c, grace_ms=-5"])
        .code(1)
        .stdout(is_empty())
        .stderr(contains("expected grace_ms to be a number").and(contains("server died: exit status 2")));
}
