//! How sessions end: who ends first, who is told, what is left. Nothing ever is.

#![cfg(unix)]

mod common;

use std::process::Command;

use common::{Peer, SERVER, Session, WATCHDOG};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A session with the real server whose pid is known: a shell says it and then becomes the server.
fn with_pid() -> (Session, Pid) {
    let mut session = Session::script(&format!("echo $$; exec {SERVER}"));
    let pid = session.out().parse().expect("a pid");
    (session, Pid::from_raw(pid))
}

/// The same, once the server has answered.
fn answered() -> (Session, Pid) {
    let (mut session, pid) = with_pid();
    session.send("setmeml 5\n");
    assert_eq!(session.out(), "memory limit: 5 bytes");
    (session, pid)
}

fn complaint(text: &str) -> Vec<String> {
    vec![format!("error: {text}")]
}

#[test]
fn exit_and_the_end_of_the_input_end_a_session_in_order() {
    for text in ["exit\n", "exit", "", "  exit  \nsetmeml 1\n"] {
        let mut session = Session::start("");
        session.send(text);
        session.close_input();
        assert_eq!(session.end(), (0, vec![], vec![]), "{text:?}");
    }
    let (mut session, _) = answered();
    session.send("exit\n");
    assert_eq!(session.end(), (0, vec![], vec![]));
}

#[test]
fn signals_end_a_session_in_order() {
    for (signal, status) in [(Signal::SIGHUP, 129), (Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let (session, _) = answered();
        session.signal(signal);
        assert_eq!(session.end(), (status, vec![], vec![]), "{signal}");
    }
}

#[test]
fn a_request_that_hangs_is_given_up_and_answered_at_the_end() {
    let silent = Peer::new(|_, stream| common::drain(stream));
    let mut session = Session::start("grace_ms=50");
    session.send(format!("setmeml 5\ndoreq GET http://{}/\nsetproc 1\n", silent.address));
    assert_eq!(session.out(), "memory limit: 5 bytes");
    session.close_input();
    let (status, out, err) = session.end();
    assert_eq!((status, &out[..]), (0, &["processors: 1".to_owned()][..]));
    assert_eq!(err, complaint("the server was told to stop before this was done"));
}

#[test]
fn a_killed_watchdog_takes_its_server_with_it() {
    let (session, _) = answered();
    session.signal(Signal::SIGKILL);
    // The end comes only when the server has let go of the output, too.
    assert_eq!(session.end(), (128 + 9, vec![], vec![]));

    // Also while a request is under way that would take half a minute.
    let silent = Peer::silent();
    let (mut session, _) = answered();
    session.send(format!("doreq GET http://{}/\n", silent.address));
    session.signal(Signal::SIGKILL);
    assert_eq!(session.end(), (128 + 9, vec![], vec![]));
}

#[test]
fn a_dead_server_is_noticed_while_nothing_happens() {
    for (signal, text) in [
        (Signal::SIGKILL, "server died: killed by signal 9 (SIGKILL)"),
        (Signal::SIGTERM, "server died: killed by signal 15 (SIGTERM)"),
        (Signal::SIGALRM, "server died: exit status 0"),
    ] {
        let (session, pid) = answered();
        kill(pid, signal).expect("the server lives");
        assert_eq!(session.end(), (1, vec![], complaint(text)), "{signal}");
    }
    let session = Session::script("exit 3");
    assert_eq!(session.end(), (1, vec![], complaint("server died: exit status 3")));
}

#[test]
fn commands_that_a_dead_server_never_got_are_counted() {
    // It takes one request and dies; the lines behind it come while the watchdog may no longer send.
    let mut session = Session::script("head -c 11 <&3; kill -9 $$");
    session.send("setmeml 1\n");
    let (status, out, err) = {
        let (status, out, err) = session.end();
        (status, out.join(""), err)
    };
    assert_eq!((status, &*out), (1, "1{Value: 1}"));
    assert_eq!(err, ["error: server died: killed by signal 9 (SIGKILL)", "error: not answered: 1 command"]);
}

/// The replies that a server sent before it died are heard, then its death.
#[test]
fn last_words_of_a_server_are_printed() {
    let mut session = Session::script("head -c 12 <&3 >/dev/null; printf \"1{Value: 4}\\043\" >&4; exit 7");
    session.send("setmeml 5\n");
    let (status, out, err) = session.end();
    assert_eq!((status, &out[..]), (1, &["memory limit: 4 bytes".to_owned()][..]));
    assert_eq!(err, complaint("server died: exit status 7"));
}

#[test]
fn a_server_that_will_not_end_is_killed() {
    let script = "trap \"\" ALRM TERM; echo ready; exec tail -f /dev/null";
    let arguments = ["-grace-ms", "100", "-sp", "/bin/sh", "-sargs", &format!("-c, '{script}'")];
    let mut session = Session::with(&arguments);
    assert_eq!(session.out(), "ready");
    session.close_input();
    let killed = complaint("the server did not end within 100 ms and is killed");
    assert_eq!(session.end(), (1, vec![], killed.clone()));

    let mut session = Session::with(&arguments);
    assert_eq!(session.out(), "ready");
    session.signal(Signal::SIGTERM);
    assert_eq!(session.end(), (143, vec![], killed));
}

#[test]
fn who_presses_ctrl_c_twice_does_not_wait() {
    let script = "trap \"echo alarm\" ALRM; echo ready; while :; do :; done";
    let mut session = Session::with(&["-grace-ms", "600000", "-sp", "/bin/sh", "-sargs", &format!("-c, '{script}'")]);
    assert_eq!(session.out(), "ready");
    session.signal(Signal::SIGINT);
    assert_eq!(session.out(), "alarm");
    session.signal(Signal::SIGINT);
    assert_eq!(session.end().0, 130);
}

/// A server without a handler ends at the alarm, and that is an ordered end.
#[test]
fn a_server_that_only_the_alarm_ends() {
    let mut session = Session::script("echo ready; exec tail -f /dev/null");
    assert_eq!(session.out(), "ready");
    session.send("exit\n");
    assert_eq!(session.end(), (0, vec![], vec![]));
}

#[test]
fn a_server_that_closes_its_pipes_is_ended() {
    let session = Session::with(&[
        "-grace-ms",
        "100",
        "-sp",
        "/bin/sh",
        "-sargs",
        "-c, 'exec 3<&- 4>&-; exec tail -f /dev/null'",
    ]);
    assert_eq!(session.end(), (1, vec![], complaint("server died: killed by signal 14 (SIGALRM)")));
}

#[test]
fn an_output_that_nobody_reads_ends_the_session() {
    let (mut session, _) = answered();
    session.close_output();
    // The first line may still find the pipe open; of many, one will not.
    session.send_behind("setmeml 1\n".repeat(20_000).into_bytes());
    let complaint = session.err();
    assert_eq!(complaint, "error: standard output cannot be written any more, so the session ends");
    assert_eq!(session.end().0, 1);
}

/// A watchdog that itself inherits descriptors 3 to 9 and ignores signals, with a shell that runs this as its server.
fn burdened(script: &str) -> Vec<String> {
    let mut command = Command::new("/bin/sh");
    let watchdog = format!(
        "trap \"\" HUP USR1; exec {WATCHDOG} -sp /bin/sh -sargs \"-c, '$0'\" 3</dev/null 4</dev/null 5</dev/null \
         6</dev/null 7</dev/null 8</dev/null 9</dev/null"
    );
    command.args(["-c", &watchdog, script]);
    let (status, out, _) = Session::of(command).end();
    assert_eq!(status, 1);
    out
}

#[test]
fn the_server_gets_its_pipes_and_nothing_else() {
    // The shell lists the descriptors without opening one: each number is tried.
    let open = burdened(
        "for fd in 0 1 2 3 4 5 6 7 8 9; do if (: <&$fd) 2>/dev/null || (: >&$fd) 2>/dev/null; then echo $fd; fi; done",
    );
    assert_eq!(open, ["0", "1", "2", "3", "4"]);
    let group = burdened("ps -o pgid= -p $$; echo $$");
    assert_eq!(group[0].trim(), group[1], "the server leads a process group of its own");
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_gets_signals_as_if_nobody_had_touched_them() {
    assert_eq!(burdened("exec readlink /proc/self/fd/0"), ["/dev/null"]);
    let masks = burdened("exec grep -E \"^Sig(Blk|Ign)\" /proc/self/status");
    assert_eq!(masks[0], "SigBlk:\t0000000000000000");
    // glibc ignores its own two signals, 32 and 33, in whatever it spawns.
    let ignored = masks[1].strip_prefix("SigIgn:\t").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    assert_eq!(ignored.map(|mask| mask & !0x1_8000_0000), Some(0), "{masks:?}");
}

#[test]
fn the_environment_arrives_as_it_is() {
    let mut command = Command::new(WATCHDOG);
    command.args(["-sp", "/usr/bin/env"]).env_clear().env("EMPTY", "").env("WORDS", "a b=c\td").env("http_proxy", "x");
    let (_, mut out, _) = Session::of(command).end();
    out.sort();
    assert_eq!(out, ["EMPTY=", "WORDS=a b=c\td", "http_proxy=x"]);
}
