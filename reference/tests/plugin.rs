//! The built host and plugin: the pair, and each of them alone.

#![cfg(unix)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Session, ending, in_time};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reference::codec::chunk::{Chunk, Chunks, Direction, Order};
use reference::ending::Ending;
use reference::process::Process;

const HOST: &str = env!("CARGO_BIN_EXE_plugin-host");
const PLUGIN: &str = env!("CARGO_BIN_EXE_plugin");

fn host(arguments: &[&str]) -> Session {
    let mut command = Command::new(HOST);
    command.args(arguments);
    Session::of(command)
}

/// So long may a plugin take to end that ends: no machine is so slow.
const PATIENT: [&str; 2] = ["--stop-ms", "60000"];

/// A host with its plugin, which have told each other what they are.
fn pair(before: &[&str], after: &[&str]) -> Session {
    let mut host = host(&[&PATIENT, before, &[PLUGIN], after].concat());
    assert_eq!(host.out(), "Cmd: plugin");
    assert_eq!(host.out(), "Help: echo, fail, wait, back, load, crash");
    host
}

const CONNECTED: &str = "plugin: connected to plugin-host 0.1.0";

#[test]
fn what_is_typed_is_done_and_answers_are_shown_as_they_come() {
    for (before, after) in [(&[][..], &[][..]), (&["--standard"], &[]), (&["--described"], &["--described"])] {
        let mut host = pair(before, after);
        assert_eq!(host.err(), CONNECTED);
        // It never comes to an end while the others do.
        host.send("call wait 86400000\ncall echo hello there\n");
        assert_eq!(host.out(), "echo: hello there");
        host.send("call back \x1b[31mred\n");
        assert_eq!(host.out(), "back: \\x1b[31mred");
        host.send("call fail as it is\n");
        assert_eq!(host.err(), "error: fail: as it is");
        host.send("what is this\n");
        assert_eq!(host.err(), "error: expected call, notify, load or stop, found \"what\"");
        host.send("notify echo nobody answers\ncall nothing\n");
        assert_eq!(host.err(), "error: nothing: there is no command nothing");
        host.send("call crash\n");
        let over = "the connection is over: the other side closed it";
        let (status, shown, said) = host.end();
        assert_eq!((status, shown), (1, Vec::new()));
        let (last, mut calls) = said.split_last().map(|(last, calls)| (last.clone(), calls.to_vec())).expect("words");
        calls.sort();
        assert_eq!(calls, [format!("error: crash: {over}"), format!("error: wait: {over}")]);
        assert_eq!(last, "error: the plugin ended by itself: the other side closed it; its end: exit status 3");
    }
}

#[test]
fn both_may_have_thousands_of_calls_under_way() {
    for more in [&[][..], &["--standard"], &["--handlers", "1"]] {
        let mut host = pair(more, more.strip_prefix(&["--standard"]).unwrap_or(more));
        host.send("load 5000\nload 300 20000\n");
        host.close_input();
        let (status, mut shown, said) = host.end();
        shown.sort();
        assert_eq!((status, shown.len(), said), (0, 2, vec![CONNECTED.to_owned()]), "{shown:?}");
        assert!(shown[0].starts_with("load: 300 calls each way, 20000 bytes each, in "), "{shown:?}");
        assert!(shown[1].starts_with("load: 5000 calls each way, 100 bytes each, in "), "{shown:?}");
    }
}

#[test]
fn a_stop_ends_the_plugin_and_is_obeyed_when_the_answers_are_there() {
    let mut host = pair(&[], &[]);
    host.send("call wait 50\ncall echo x\nstop\ncall echo after\n");
    let (status, mut shown, said) = host.end();
    shown.sort();
    assert_eq!((status, shown), (0, vec!["echo: x".to_owned(), "wait: 50".to_owned()]));
    assert_eq!(said, [CONNECTED]);
}

#[test]
fn a_call_that_takes_too_long_is_given_up_and_no_other() {
    let mut host = pair(&["--call-ms", "200"], &[]);
    assert_eq!(host.err(), CONNECTED);
    host.send("call wait 86400000\n");
    assert_eq!(host.err(), "error: wait: expected an answer within 200ms, and none came");
    host.send("notify echo\n");
    host.close_input();
    // The plugin is held up by what it is still at work on for as long as it may be, and no longer.
    assert_eq!(host.end(), (1, Vec::new(), Vec::new()));
}

#[test]
fn a_signal_ends_the_plugin_at_once_and_another_one_kills_it() {
    let mut host = pair(&[], &[]);
    assert_eq!(host.err(), CONNECTED);
    host.send("call wait 86400000\n");
    host.signal(Signal::SIGTERM);
    // The plugin has ended as well: it has the outputs.
    assert_eq!(host.end(), (1, Vec::new(), Vec::new()));
    let script = "trap '' TERM; printf '1\\0003\\000GetMetadata 8\\000{\"a\":\"\"}' >&4; echo $$; exec sleep 86400";
    let mut host = self::host(&["--stop-ms", "86400000", "/bin/sh", "-c", script]);
    let mut lines = [host.out(), host.out()];
    lines.sort_by_key(|line| line.starts_with('a'));
    host.signal(Signal::SIGINT);
    // It is not known when the first has been taken, and one more than it takes does no harm.
    let pid = Pid::from_raw(lines[0].parse().expect("a number"));
    while kill(pid, None).is_ok() {
        let _ = kill(Pid::from_raw(host.pid), Signal::SIGINT);
        std::thread::yield_now();
    }
    assert_eq!(host.end(), (1, Vec::new(), Vec::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_that_was_started_to_ignore_its_children_knows_how_its_plugin_ended() {
    let mut command = Command::new("env");
    command.args(["--ignore-signal=CHLD", HOST]).args(PATIENT).arg(PLUGIN);
    let mut host = Session::of(command);
    // A plugin whose host stops before it has said what it is says so.
    assert_eq!(host.err(), CONNECTED);
    host.send("call echo x\n");
    host.close_input();
    let (status, mut shown, said) = host.end();
    assert_eq!((status, shown.pop(), said), (0, Some("echo: x".to_owned()), vec![]));
}

#[test]
fn an_input_that_cannot_be_read_is_said_to_be_so_once() {
    let output = Command::new(HOST).arg(PLUGIN).stdin(File::open("/").expect("a folder")).output().expect("a host");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(said.matches("error: cannot read the input: Is a directory").count(), 1, "{said}");
}

#[test]
fn a_plugin_whose_host_is_killed_ends() {
    let mut host = pair(&[], &[]);
    assert_eq!(host.err(), CONNECTED);
    host.signal(Signal::SIGKILL);
    // It has the outputs, so they do not end before it does.
    let (status, shown, said) = host.end();
    assert_eq!((status, shown, said), (137, Vec::new(), vec!["plugin: error: the other side closed it".to_owned()]));
}

#[test]
fn what_is_no_plugin_is_said_to_be_none() {
    for (program, status, said) in [
        (
            &["/no/such/plugin"][..],
            2,
            "cannot start the plugin /no/such/plugin: No such file or directory (os error 2)",
        ),
        (
            &["/bin/sh", "-c", "exit 7"],
            1,
            "the plugin does not say what it is: the connection is over: the other side closed it; its end: exit status 7",
        ),
        (
            &["/bin/sh", "-c", "printf hello >&4; exec cat <&3 >/dev/null"],
            1,
            "the plugin does not say what it is: the connection is over: expected digits and a NUL as the number of a \
             chunk, found hello; its end: exit status 0",
        ),
        (
            &["/bin/sh", "-c", "printf '1\\0003\\000GetMetadata 4\\000text' >&4; exec cat <&3 >/dev/null"],
            1,
            "expected a JSON object of texts as the answer to GetMetadata: expected ident at line 1 column 2",
        ),
    ] {
        assert_eq!(host(program).end(), (status, Vec::new(), vec![format!("error: {said}")]), "{program:?}");
    }
}

#[test]
fn a_plugin_that_does_not_stop_is_made_to() {
    let answer = "printf '1\\0003\\000GetMetadata 2\\000{}' >&4";
    for (script, stop_ms, said) in [
        ("exec cat <&3 >/dev/null", PATIENT[1], None),
        ("trap 'exit 5' TERM; while :; do sleep 0.1; done", "10000", Some("exit status 5")),
        ("trap '' TERM; while :; do sleep 0.1; done", "300", Some("killed by signal 9 (SIGKILL)")),
    ] {
        let mut host = host(&["--stop-ms", stop_ms, "/bin/sh", "-c", &format!("{answer}; {script}")]);
        host.send("stop\n");
        let said = said.map(|end| format!("error: the plugin was stopped, and its end: {end}"));
        let status = i32::from(said.is_some());
        assert_eq!(host.end(), (status, Vec::new(), said.into_iter().collect()), "{script}");
    }
}

#[test]
fn a_pipe_that_outlives_its_plugin_does_not_hold_up_the_host() {
    let script = "printf '1\\0003\\000GetMetadata 2\\000{}' >&4; sleep 86400 >/dev/null 2>&1 & echo $! ; exit 0";
    let mut host = host(&["/bin/sh", "-c", script]);
    host.send("call echo x\n");
    let sleeper = host.out().parse().expect("a number");
    let (status, _, said) = host.end();
    kill(Pid::from_raw(sleeper), Signal::SIGKILL).expect("it lives");
    let gone = "the other side has ended";
    let ended = format!("error: the plugin ended by itself: {gone}; its end: exit status 0");
    assert_eq!((status, said), (1, vec![format!("error: echo: the connection is over: {gone}"), ended]));
}

/// Where there are a host and a plugin in Python.
fn python_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pairs/python-plugin")
}

#[test]
fn the_host_and_plugin_in_python_understand_those_of_the_reference() {
    let python = python_path();
    let (their_host, their_plugin) = (python.join("plugin-host"), python.join("plugin"));
    let sides = [(Path::new(HOST), &PATIENT[..], &*their_plugin), (&their_host, &[], Path::new(PLUGIN))];
    for (host, options, plugin) in sides {
        let mut command = Command::new(host);
        command.args(options).arg(plugin);
        let mut session = Session::of(command);
        session.send("call echo hello\ncall back and forth\ncall fail on purpose\nload 200 2000\nnotify echo x\n");
        session.close_input();
        let (status, mut shown, mut said) = session.end();
        shown.sort();
        said.sort();
        assert_eq!(
            shown[..4],
            ["Cmd: plugin", "Help: echo, fail, wait, back, load, crash", "back: and forth", "echo: hello"]
        );
        assert!(shown[4].starts_with("load: 200 calls each way") && shown.len() == 5, "{shown:?}");
        assert_eq!((status, &*said[0]), (1, "error: fail: on purpose"));
        assert!(said[1].starts_with("plugin: connected to plugin-host ") && said.len() == 2, "{said:?}");
    }
}

/// A plugin with the ends of its pipes in our hands.
struct Plugin {
    process: Process,
    to: Option<File>,
    from: File,
    chunks: Chunks,
}

impl Plugin {
    fn start(more: &[&str]) -> Self {
        let arguments: Vec<_> = more.iter().map(Into::into).collect();
        let numbers = |reads: usize, writes: usize| vec![reads.to_string().into(), writes.to_string().into()];
        let (process, ends) = Process::start(Path::new(PLUGIN), &arguments, numbers).expect("the plugin");
        Self { process, to: Some(ends.to_child.into()), from: ends.from_child.into(), chunks: Chunks::default() }
    }

    fn say(&mut self, id: u64, direction: Direction, command: &str, buffer: &str) {
        let mut bytes = Vec::new();
        let chunk = Chunk { id, direction, command, buffer: buffer.as_bytes() };
        chunk.encode(Order::Published, &mut bytes).expect("a chunk");
        self.to.as_mut().expect("open").write_all(&bytes).expect("it reads");
    }

    /// The next chunk, or none when nothing comes any more.
    fn hear(&mut self) -> Option<(u64, Direction, String, String)> {
        loop {
            if let Some(chunk) = self.chunks.next_chunk().expect("chunks") {
                let buffer = String::from_utf8(chunk.buffer.to_vec()).expect("text");
                return Some((chunk.id, chunk.direction, chunk.command.to_owned(), buffer));
            }
            let mut from = self.from.try_clone().expect("a descriptor");
            let (read, bytes) = in_time("something to read", move || {
                let mut bytes = [0; 4096];
                (from.read(&mut bytes), bytes)
            });
            match read.expect("read") {
                0 => return None,
                read => self.chunks.push(&bytes[..read]),
            }
        }
    }

    /// The next request of this command; others are answered, as a host would.
    fn asked(&mut self, awaited: &str) -> u64 {
        loop {
            let (id, direction, command, _) = self.hear().expect("a request");
            if direction == Direction::Request && command == awaited {
                return id;
            }
            if direction == Direction::Request {
                self.say(id, Direction::Response, &command, "");
            }
        }
    }
}

#[test]
fn a_plugin_asks_whether_its_host_is_there_and_ends_when_it_is_not() {
    let mut refused = Plugin::start(&[]);
    let id = refused.asked("cmd.ping");
    refused.say(id, Direction::Response, "cmd.ping", "");
    // Again after a while.
    let id = refused.asked("cmd.ping");
    refused.say(id, Direction::Response, "cmd.error", "not for you");
    let mut unanswered = Plugin::start(&["--ping-ms", "100"]);
    unanswered.asked("cmd.ping");
    for plugin in [refused, unanswered] {
        assert_eq!(ending(plugin.process), Ending::Exited(1));
    }
}

#[test]
fn a_plugin_ends_in_order_when_it_is_told_to_and_not_when_nobody_is_there() {
    let mut stopped = Plugin::start(&[]);
    stopped.say(1, Direction::Request, "wait", "50");
    stopped.say(2, Direction::OneWay, "cmd.stop", "");
    let mut answers = Vec::new();
    while let Some((id, direction, command, _)) = stopped.hear() {
        if direction == Direction::Response {
            answers.push((id, command));
        }
    }
    assert_eq!(answers, [(1, "wait".to_owned())]);
    assert_eq!(ending(stopped.process), Ending::Exited(0));
    let mut left = Plugin::start(&[]);
    left.to = None;
    while left.hear().is_some() {}
    assert_eq!(ending(left.process), Ending::Exited(1));
}

#[test]
fn neither_takes_what_it_does_not_know() {
    for (program, arguments) in
        [(HOST, &[][..]), (HOST, &["--x", PLUGIN]), (PLUGIN, &["3"]), (PLUGIN, &["x", "y"]), (PLUGIN, &["77", "78"])]
    {
        let output = Command::new(program).args(arguments).output().expect("a program");
        assert_eq!(output.status.code(), Some(2), "{program} {arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

fn help(program: &str) -> String {
    let output = Command::new(program).arg("--help").output().expect("a program");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn host_help() {
    insta::assert_snapshot!(help(HOST));
}

#[test]
fn plugin_help() {
    insta::assert_snapshot!(help(PLUGIN));
}
