//! The family `sockets` as the command line has it: a server and a client that meet at an address, a server alone, others'
//! addresses and messages, and programs that are neither.

use conformance::family::Family;

use crate::common::{Bench, fixtures, has_tier_a, python_path, reference, write_program};
use crate::families::{all_are, bench, judged, null_programs_pass_nothing, the_reference_is_judged_alike};

#[test]
fn the_server_and_watchdog_of_the_reference_are_judged_alike_over_sockets() {
    the_reference_is_judged_alike(Family::Sockets);
}

#[test]
fn a_server_is_judged_without_a_client() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["server"]);
    for bin in [pair.join("server"), pair] {
        let run = judged(Family::Sockets, &bench, &bin, &["--only", "listen.many", "--only", "connect.sends"]);
        assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
        all_are(&run, "connect.sends", "not_applicable");
        all_are(&run, "listen.many", "pass");
        assert!(run.stdout.starts_with("server    /"), "{}", run.stdout);
    }
}

/// By default what the chapter says is graded, and what it leaves open is advice.
#[test]
fn only_what_the_chapter_says_is_graded() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Sockets.file_names());
    let real = pair.join("server").display().to_string().replace("server", "real");
    std::fs::rename(pair.join("server"), &real).unwrap();
    // It exits with another status after an alarm, which is a rule of the house.
    let script = format!("#!/bin/sh\n'{real}' \"$@\" &\ntrap 'kill -ALRM $!; wait $!; exit 3' ALRM\nwait $!\n");
    write_program(&pair.join("server"), &script);
    let only = ["--only", "listen.alarm-told", "--timeout-scale", "0.3"];
    let run = judged(Family::Sockets, &bench, &pair, &only);
    assert_eq!(run.status, 0, "{}", run.stdout);
    assert_eq!(run.report.entry("listen.alarm-told").unwrap().verdict, "advice", "{}", run.stdout);
    all_are(&run, "listen.many", "pass");
}

#[test]
fn addresses_and_messages_are_those_of_the_profile() {
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &Family::Sockets.file_names());
    let text = "[sockets]\nunix = ''\nrequest = '2{Value: {number}}#'\nanswer = '2{Value: {number}}#'\ntyped = 'setproc {number}'\n\
                shows = 'processors: {number}'\n";
    let profile = bench.folder().join("profile.toml");
    let with = |text: &str, more: &[&str]| {
        std::fs::write(&profile, text).unwrap();
        let args = [&["--profile", profile.to_str().unwrap(), "--timeout-scale", "0.3"][..], more].concat();
        judged(Family::Sockets, &bench, &pair, &args)
    };
    let run = with(text, &["--only", "connect.shows"]);
    assert_eq!(run.report.entry("connect.shows").unwrap().verdict, "pass", "{}", run.stdout);
    let run = with("[sockets]\nunix = ''\n", &["--only", "listen.stale"]);
    assert_eq!(run.report.entry("listen.stale").unwrap().verdict, "not_applicable", "{}", run.stdout);
    for (line, problem) in [
        ("tcp = 'tcp:4000'", "[sockets] tcp: expected {port} in it"),
        ("request = 'ask'", "[sockets] request: expected {number} in it"),
        ("end = ''", "[sockets] end: expected"),
        ("answer = '1#{number}#'", "[sockets] answer: expected # at its end and nowhere else"),
        ("udp = 'udp:4000'", "[sockets] udp: expected {port} in it"),
        ("datagram = '{session} {message}'", "[sockets] datagram: expected {number} and {message} in it"),
        ("client_that_waits = ['{address}']", "[sockets] client_that_waits: expected {ms} in it"),
        ("peer = ['{own}']", "[sockets] peer: expected {other} in it"),
    ] {
        std::fs::write(&profile, format!("[sockets]\n{line}\n")).unwrap();
        let run = bench.judge(&pair, &["--family", "sockets", "--profile", profile.to_str().unwrap()]);
        assert!(run.status == 2 && run.stderr.contains(problem), "{line}: {}", run.stderr);
    }
}

#[test]
fn the_server_and_watchdog_in_python_over_sockets() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let pair = bench.copy_of_programs(&fixtures().join("pairs/python-sockets"), &Family::Sockets.file_names());
    let profile = fixtures().join("profiles/reference.toml");
    let run = judged(Family::Sockets, &bench, &pair, &["--profile", profile.to_str().unwrap()]);
    all_are(&run, "", "pass");
}

/// Who answers without regard to what was lost, by a form of datagrams that has no sessions. A request is `NUMBER:MESSAGE`.
const ECHO: &str = r#"#!/usr/bin/env -S python3 -S
import signal, socket, sys
signal.signal(signal.SIGALRM, lambda *_: sys.exit(0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
print("listening on udp:127.0.0.1:%d" % udp.getsockname()[1], flush=True)
while True:
    datagram, client = udp.recvfrom(70000)
    if datagram.split(b":")[0].isdigit():
        udp.sendto(datagram, client)
"#;

#[test]
fn what_is_in_a_datagram_is_the_profiles_in_python() {
    let Some(path) = python_path() else { return };
    let bench = Bench::new(&path);
    let server = bench.folder().join("server");
    write_program(&server, ECHO);
    let profile = bench.folder().join("profile.toml");
    let text = "grades = ['sockets', 'house']\n[sockets]\nunix = ''\ntcp = ''\nudp = 'udp:127.0.0.1:{port}'\n\
                datagram = '{number}:{message}'\nslow = ''\n";
    std::fs::write(&profile, text).unwrap();
    let args = ["--profile", profile.to_str().unwrap(), "--timeout-scale", "0.3"];
    let run = judged(Family::Sockets, &bench, &server, &args);
    let of = |verdict: &str| -> Vec<_> {
        let has = run.report.requirements.iter().filter(|entry| entry.verdict == verdict);
        has.map(|entry| entry.id.as_str()).filter(|id| id.starts_with("datagram.")).collect()
    };
    let passed =
        ["answers", "whole", "many", "empty", "strange", "stalled", "alarm"].map(|name| format!("datagram.{name}"));
    assert_eq!(of("pass"), passed, "{}", run.stdout);
    // It does what comes first first.
    assert_eq!(of("warn"), ["datagram.order"], "{}", run.stdout);
    assert_eq!(of("fail"), Vec::<&str>::new(), "{}", run.stdout);
}

#[test]
fn a_thousand_clients_need_room_which_is_said() {
    if !has_tier_a() {
        return;
    }
    let bench = bench();
    let pair = bench.copy_of_programs(&reference(), &["server"]);
    let with = |limits: &[&str]| {
        let only = ["--only", "listen.thousand", "--tier", "A", "--verbose"];
        judged(Family::Sockets, &bench, &pair, &[&only[..], limits].concat())
    };
    let run = with(&[]);
    all_are(&run, "listen.thousand", "not_applicable");
    assert!(run.stdout.contains(" processes and threads (--max-processes) and "), "{}", run.stdout);
    all_are(&with(&["--max-processes", "2000", "--max-files", "12000"]), "listen.thousand", "pass");
}

#[test]
fn programs_that_are_neither_pass_nothing_that_judges_them_over_sockets() {
    // By default no datagrams are exchanged.
    let profile = fixtures().join("profiles/reference.toml");
    let profile = ["--profile", profile.to_str().unwrap()];
    null_programs_pass_nothing(Family::Sockets, &profile, |id| match id.split('.').next().unwrap_or_default() {
        "listen" | "datagram" | "peer" => (false, true),
        _ => (true, false),
    });
}
