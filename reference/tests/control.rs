//! The built supervisor and service: the pair, and each of them alone.

#![cfg(unix)]

mod common;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use common::{DEADLINE, ending, in_time};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reference::codec::pipe_message::{Frames, Message};
use reference::control::supervisor::options::control_arguments;
use reference::ending::Ending;
use reference::process::Process;

const SUPERVISOR: &str = env!("CARGO_BIN_EXE_supervisor");
const SERVICE: &str = env!("CARGO_BIN_EXE_service");

/// A service with the ends of its pipes in our hands.
struct Service {
    process: Process,
    control: Option<File>,
    telling: Option<File>,
}

impl Service {
    fn start(more: &[&str]) -> Self {
        Self::told_by(control_arguments, more)
    }

    fn told_by(tell: impl FnOnce(usize, usize) -> Vec<OsString>, more: &[&str]) -> Self {
        let arguments: Vec<_> = more.iter().map(Into::into).collect();
        let (process, ends) = Process::start(Path::new(SERVICE), &arguments, tell).expect("the service");
        Self { process, control: Some(ends.to_child.into()), telling: Some(ends.from_child.into()) }
    }

    /// All that it tells until it says no more.
    fn told(&mut self) -> Vec<String> {
        let mut telling = self.telling.take().expect("nobody has listened yet");
        let bytes = in_time("the service to fall silent", move || {
            let mut bytes = Vec::new();
            telling.read_to_end(&mut bytes).map(|_| bytes)
        });
        let mut frames = Frames::default();
        frames.push(&bytes.expect("a pipe"));
        let mut told = Vec::new();
        while let Some(frame) = frames.next_frame().expect("messages") {
            told.push(word(&Message::decode(frame).expect("a meaning").expect("a known type")));
        }
        assert_eq!(frames.unfinished(), b"");
        told
    }

    /// The next thing that it tells.
    fn next(&mut self) -> Message {
        let mut telling = self.telling.take().expect("nobody listens");
        let (telling, message) = in_time("a message", move || {
            let message = message_from(&mut telling);
            (telling, message)
        });
        self.telling = Some(telling);
        message
    }

    fn next_until(&mut self, last: &str) {
        while word(&self.next()) != last {}
    }

    fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    fn ended(self) -> Ending {
        ending(self.process)
    }
}

/// The next message, and no byte more.
fn message_from(telling: &mut impl Read) -> Message {
    let mut frames = Frames::default();
    loop {
        let mut byte = [0];
        telling.read_exact(&mut byte).expect("a byte");
        frames.push(&byte);
        if let Some(frame) = frames.next_frame().expect("a message") {
            return Message::decode(frame).expect("a meaning").expect("a known type");
        }
    }
}

/// One word, or two, for each message; what an address is differs each time.
fn word(message: &Message) -> String {
    match message {
        Message::Lifetime(event) => format!("{event:?}").replace("Task(", "").replace("))", ")"),
        Message::PeersAt(_) => "PeersAt".into(),
        Message::CallsAt(_) => "CallsAt".into(),
    }
}

const UP: [&str; 5] = ["Startup(0)", "Startup(1)", "PeersAt", "CallsAt", "StartupComplete"];
const DOWN: [&str; 2] = ["Shutdown(1)", "Shutdown(0)"];

#[test]
fn it_tells_its_life_in_order_and_ends_when_the_control_pipe_is_closed() {
    let mut service = Service::start(&[]);
    UP.iter().for_each(|expected| assert_eq!(word(&service.next()), *expected));
    service.control = None;
    assert_eq!(service.told(), DOWN);
    assert_eq!(service.ended(), Ending::Exited(0));
}

#[test]
fn it_answers_where_it_says_and_keeps_what_it_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data={}", folder.path().display());
    let mut service = Service::start(&[&data]);
    let mut at = || loop {
        if let Message::PeersAt(address) | Message::CallsAt(address) = service.next() {
            return address;
        }
    };
    let (peers, calls) = (at(), at());
    assert_eq!([say(&peers, "a line"), say(&peers, ""), say(&calls, "lines")], ["a line", "", "2"]);
    service.control = None;
    assert_eq!(service.ended(), Ending::Exited(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("lines")).expect("a file"), "2\n");
}

fn say(address: &str, line: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time");
    stream.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    answer.trim_end().to_owned()
}

#[test]
fn of_its_life_it_tells_only_if_it_is_asked_to() {
    let tell = |control: usize, telling: usize| {
        vec![format!("--piperx={control}").into(), format!("--pipetx={telling}").into()]
    };
    let mut service = Service::told_by(tell, &[]);
    service.next_until("CallsAt");
    service.control = None;
    assert_eq!(service.told(), [""; 0]);
    assert_eq!(service.ended(), Ending::Exited(0));
}

#[test]
fn a_pipe_that_was_left_not_to_wait_does_not_end_it() {
    let (control, ours) = os_pipe::pipe().expect("a pipe");
    set_flags(&control, OFlag::O_NONBLOCK);
    let mut child = Command::new(SERVICE)
        .args(["--piperx=0", "--pipetx=1", "--lifetimeevents"])
        .stdin(control)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the service");
    let mut telling = child.stdout.take().expect("piped");
    UP.iter().for_each(|expected| assert_eq!(word(&message_from(&mut telling)), *expected));
    // One that had taken it for the end would read no more.
    drop(say_more_than_it_holds(ours));
    DOWN.iter().for_each(|expected| assert_eq!(word(&message_from(&mut telling)), *expected));
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

fn set_flags(pipe: &impl AsFd, flags: OFlag) {
    fcntl(pipe, FcntlArg::F_SETFL(flags)).expect("a pipe");
}

#[test]
fn signals_end_it_in_the_same_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut service = Service::start(&[]);
        service.next_until("StartupComplete");
        service.signal(signal);
        assert_eq!(service.told(), DOWN, "{signal}");
        assert_eq!(service.ended(), Ending::Exited(0), "{signal}");
    }
}

#[test]
fn whatever_has_started_by_then_stops_in_the_reverse_order() {
    let mut service = Service::start(&[]);
    service.control = None;
    let told = service.told();
    let started: Vec<_> = told.iter().filter_map(|word| word.strip_prefix("Startup(")).collect();
    let stopped: Vec<_> = told.iter().filter_map(|word| word.strip_prefix("Shutdown(")).rev().collect();
    assert_eq!(started, stopped, "{told:?}");
    assert_eq!(service.ended(), Ending::Exited(0));
}

#[test]
fn what_arrives_over_the_control_pipe_is_discarded() {
    let mut service = Service::start(&[]);
    let control = say_more_than_it_holds(service.control.take().expect("open"));
    service.next_until("StartupComplete");
    drop(control);
    assert_eq!(service.told(), DOWN);
    assert_eq!(service.ended(), Ending::Exited(0));
}

/// Writes more than any pipe holds, so it is read and not left where it is.
fn say_more_than_it_holds<Pipe: Write + Send + 'static>(mut pipe: Pipe) -> Pipe {
    let written = in_time("the service to read on", move || pipe.write_all(&vec![0xff; 4 << 20]).map(|()| pipe));
    written.expect("the service reads on")
}

#[test]
fn nobody_who_does_not_listen_keeps_it_from_ending() {
    let closed = |service: &mut Service| service.telling = None;
    let unread = |_: &mut Service| {};
    for (what, before) in [("closed", &closed as &dyn Fn(&mut Service)), ("unread", &unread)] {
        let mut service = Service::start(&[]);
        before(&mut service);
        service.control = None;
        let held = service.telling.take();
        assert_eq!(service.ended(), Ending::Exited(0), "{what}");
        drop(held);
    }
}

#[test]
fn a_full_pipe_does_not_keep_it_from_ending() {
    // What fills the pipe is there before the service is: it inherits this very pipe as its standard output.
    let (unread, full) = os_pipe::pipe().expect("a pipe");
    fill(&full);
    let mut child = Command::new(SERVICE)
        .args(["--piperx=0", "--pipetx=1", "--lifetimeevents"])
        .stdin(Stdio::piped())
        .stdout(full)
        .spawn()
        .expect("the service");
    drop(child.stdin.take());
    let status = in_time("the service to end", move || child.wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    drop(unread);
}

/// Fills a pipe to the last byte. Whoever inherits it finds it as it was made: waiting.
fn fill(pipe: &os_pipe::PipeWriter) {
    set_flags(pipe, OFlag::O_NONBLOCK);
    for piece in [&[0; 512][..], &[0]] {
        while nix::unistd::write(pipe, piece).is_ok() {}
    }
    set_flags(pipe, OFlag::empty());
}

#[test]
fn without_a_supervisor_it_tells_nothing_and_runs_until_a_signal_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data={}", folder.path().display());
    let mut command = Command::new(SERVICE);
    command.args(["--lifetimeevents", &data]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the service");
    // What it begins with shows that it listens to signals by then.
    while !folder.path().join("lock").exists() {
        assert_eq!(child.try_wait().expect("a child"), None);
        thread::yield_now();
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).expect("it lives");
    let mut output = Vec::new();
    child.stdout.take().expect("piped").read_to_end(&mut output).expect("a pipe");
    assert_eq!(output, b"");
    assert_eq!(child.wait().expect("a child").code(), Some(0));
}

#[test]
fn a_pipe_that_is_not_there_is_named() {
    for (arguments, expected) in [
        (&["--piperx=77"][..], "--piperx: expected a pipe to read from at descriptor 77, which is not open"),
        (
            &["--pipetx=0"],
            "--pipetx: expected a pipe to write to at descriptor 0, which is open in the wrong direction",
        ),
        (
            &["--pipetx=99999999999"],
            "--pipetx: expected a pipe to write to at descriptor 99999999999, which is no descriptor",
        ),
    ] {
        let output = Command::new(SERVICE).args(arguments).stdin(Stdio::piped()).output().expect("the service");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("service: error: {expected}\n"));
    }
}

#[test]
fn a_folder_is_for_one_service_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data={}", folder.path().display());
    let mut first = Service::start(&[&data]);
    first.next_until("StartupComplete");
    let mut second = Command::new(SERVICE);
    second.args(["--pipetx=1", "--lifetimeevents", &data]).stdin(Stdio::null());
    let second = second.output().expect("the service");
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(second.stdout, b"\x01\x0dlifetimeevent\x02\0\0\0\0\0", "nothing was started, and so nothing stops");
    let why = format!("cannot open the database: another service is at work in {}", folder.path().display());
    assert_eq!(String::from_utf8_lossy(&second.stderr), format!("service: error: {why}\n"));
    first.control = None;
    assert_eq!(first.ended(), Ending::Exited(0));
}

const FOREVER: &str = "--grace-ms=600000";

/// A supervisor whose output is in our hands.
struct Supervisor {
    child: Child,
    lines: BufReader<ChildStdout>,
    left: Left,
}

/// Whoever would be left by a test that fails.
struct Left(Option<Pid>);

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

impl Supervisor {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(SUPERVISOR)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the supervisor");
        let left = Left(Some(Pid::from_raw(child.id().cast_signed())));
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines, left }
    }

    /// One whose service is a shell that runs this script, and has longer to stop than anybody waits here.
    fn script(script: &str) -> Self {
        Self::start(&[FOREVER, "/bin/sh", "-c", script])
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it lives");
    }

    /// Status (128 and the signal that it was killed by), and the rest of both outputs.
    fn end(self) -> (i32, String, String) {
        let Supervisor { mut child, mut lines, mut left } = self;
        let ended = in_time("the supervisor to end", move || {
            let (mut shown, mut said) = (String::new(), String::new());
            lines.read_to_string(&mut shown).expect("text");
            child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
            let status = child.wait().expect("a child");
            (status.code().unwrap_or_else(|| 128 + status.signal().expect("a signal")), shown, said)
        });
        left.0 = None;
        ended
    }
}

#[test]
fn the_pair_lives_and_ends_in_order() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut supervisor = Supervisor::start(&[FOREVER, SERVICE]);
        assert_eq!(supervisor.line(), "starts the database");
        while supervisor.line() != "has started" {}
        supervisor.signal(signal);
        let shown = "stops the peer-to-peer server\nstops the database\nended: exit status 0\n";
        assert_eq!(supervisor.end(), (0, shown.into(), String::new()), "{signal}");
    }
}

#[test]
fn a_service_whose_supervisor_is_killed_ends_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = format!("--data={}", folder.path().display());
    let mut supervisor = Supervisor::start(&[SERVICE, &data]);
    while supervisor.line() != "has started" {}
    supervisor.signal(Signal::SIGKILL);
    // Both outputs close when nobody holds them any more, the service included.
    let (status, ..) = supervisor.end();
    assert_eq!(status, 128 + 9);
    assert_eq!(std::fs::read_to_string(folder.path().join("lines")).expect("a file"), "0\n");
}

/// What says in a script that a service has started, and that it is about to stop.
const HAS_STARTED: &str = r"printf '\1\15lifetimeevent\2\0\0\0\1\0' >&4";
const IS_TO_STOP: &str = r"printf '\1\15lifetimeevent\2\0\0\0\2\0' >&4";

#[test]
fn whoever_asks_again_has_a_signal_sent_at_once() {
    let mut supervisor =
        Supervisor::script(&format!("trap 'exit 0' TERM; {HAS_STARTED}; cat <&3; {IS_TO_STOP}; while :; do :; done"));
    assert_eq!(supervisor.line(), "has started");
    supervisor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.line(), "stops the database");
    supervisor.signal(Signal::SIGTERM);
    let said = "error: the service does not stop; it gets SIGTERM\n";
    assert_eq!(supervisor.end(), (0, "ended: exit status 0\n".into(), said.into()));
}

#[test]
fn a_service_that_does_not_stop_is_killed() {
    let script = format!("trap '' TERM; {HAS_STARTED}; while :; do :; done");
    let mut supervisor = Supervisor::start(&["--grace-ms=200", "/bin/sh", "-c", &script]);
    assert_eq!(supervisor.line(), "has started");
    supervisor.signal(Signal::SIGTERM);
    let said = "error: the service does not stop; it gets SIGTERM\nerror: the service does not stop; it is killed\n\
                error: the service ended: killed by signal 9 (SIGKILL)\n";
    assert_eq!(supervisor.end(), (1, String::new(), said.into()));
}

#[test]
fn whoever_holds_the_pipe_of_a_service_that_ended_does_not_hold_up_its_supervisor() {
    // A while after the end the supervisor has heard enough; who is left has no end of its outputs, and goes with it.
    let supervisor = Supervisor::script("cat <&3 > /dev/null 2> /dev/null & exit 0");
    assert_eq!(supervisor.end(), (0, "ended: exit status 0\n".into(), String::new()));
}

#[test]
fn what_is_not_a_message_ends_the_service_in_order() {
    let supervisor = Supervisor::script("printf '\\2' >&4; cat <&3; exit 7");
    let said = "error: the service speaks another language: expected a message of version 1, found version 2\n\
                error: the service ended: exit status 7\n";
    assert_eq!(supervisor.end(), (1, String::new(), said.into()));
}

#[test]
fn a_service_that_is_not_there_is_named() {
    let (status, shown, said) = Supervisor::start(&["/no/such/service"]).end();
    assert_eq!((status, shown.as_str()), (2, ""));
    assert_eq!(said, "error: cannot start the service /no/such/service: No such file or directory (os error 2)\n");
}

#[test]
fn neither_takes_what_it_does_not_know() {
    for (program, arguments) in
        [(SERVICE, &["--pipe"][..]), (SERVICE, &["x"]), (SUPERVISOR, &[]), (SUPERVISOR, &["--x"])]
    {
        let output = Command::new(program).args(arguments).output().expect("a program");
        assert_eq!(output.status.code(), Some(2), "{program} {arguments:?}");
    }
}

fn help(program: &str) -> String {
    let output = Command::new(program).arg("--help").output().expect("a program");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn supervisor_help() {
    insta::assert_snapshot!(help(SUPERVISOR));
}

#[test]
fn service_help() {
    insta::assert_snapshot!(help(SERVICE));
}

#[test]
fn the_help_names_the_limit_that_holds() {
    use reference::codec::pipe_message::PAYLOAD_BYTES_MAX;
    assert!(help(SUPERVISOR).contains(&format!("at most {PAYLOAD_BYTES_MAX} bytes")));
}
