//! The watchdog's machine, driven by hand: every event in every state, and the courses that a session can take.

use super::*;
use crate::codec::op_frame::{HttpRequest, HttpResponse};

const GRACE: Duration = Duration::from_millis(2000);

/// A machine with a clock that moves only when told.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(interactive: bool) -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(Hold::Child, GRACE, interactive), start: now, now }
    }

    /// The machine after these events, a little later.
    fn after(events: impl IntoIterator<Item = Event>) -> Self {
        let mut bench = Self::new(false);
        for event in events {
            bench.told(event);
        }
        bench.now += Duration::from_millis(200);
        bench
    }

    fn later(mut self, millis: u64) -> Self {
        self.now += Duration::from_millis(millis);
        self
    }

    /// What an event leads to, in words.
    fn told(&mut self, event: Event) -> String {
        let mut actions = VecDeque::new();
        self.machine.handle(event, self.now, &mut actions);
        let actions: Vec<String> = actions.iter().map(told).collect();
        let actions = if actions.is_empty() { "-".into() } else { actions.join(", ") };
        format!("{actions} => {}", self.state())
    }

    fn state(&self) -> String {
        let millis = |until: Instant| until.saturating_duration_since(self.start).as_millis();
        match self.machine.phase {
            Phase::Serving => format!("serving, {} unanswered", self.machine.unanswered.len()),
            Phase::Draining { until } => format!("draining until {}", millis(until)),
            Phase::Closing { until } => format!("closing until {}", millis(until)),
            Phase::Alarmed { until } => format!("alarmed until {}", millis(until)),
            Phase::Killed => "killed".into(),
            Phase::Ended => "ended".into(),
        }
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Send(request) => format!("send {}", char::from(request.op().0)),
        Action::Print(text) => format!("print {text:?}"),
        Action::Complain(sentence) => format!("complain {sentence:?}"),
        Action::CloseRequests => "close".into(),
        Action::Alarm => "alarm".into(),
        Action::Kill => "kill".into(),
        Action::End(status) => format!("end {status}"),
    }
}

fn setmeml() -> Event {
    Event::Line(Ok(Command::Send(Request::MemoryLimit { bytes: 5 })))
}

fn doreq() -> Event {
    let request = HttpRequest { method: "GET".into(), url: "http://h".into(), body: None };
    Event::Line(Ok(Command::Send(Request::Http(Box::new(request)))))
}

fn exit() -> Event {
    Event::Line(Ok(Command::Exit))
}

fn value() -> Event {
    Event::Reply(Op::MEMORY_LIMIT, Ok(Reply::Value(5)))
}

fn response(status: u16, reason: &'static str, body: &[u8]) -> Event {
    let response = HttpResponse { status, reason: reason.into(), body: body.into() };
    Event::Reply(Op::HTTP, Ok(Reply::Http(Box::new(response))))
}

fn ended(ending: Ending) -> Event {
    Event::ServerEnded { ending, lines_unread: 0 }
}

fn exited(status: i32) -> Event {
    ended(Ending::Exited(status))
}

fn signal() -> Event {
    Event::Signal(StopSignal::Terminate)
}

fn interrupt() -> Event {
    Event::Signal(StopSignal::Interrupt)
}

type Named<T> = (&'static str, fn() -> T);

/// What each event leads to in each state.
fn table(states: &[(&str, &dyn Fn() -> Bench)], events: &[Named<Event>]) -> String {
    let mut table = String::new();
    for (state, make) in states {
        table.push_str(&format!("{state}\n"));
        for (name, event) in events {
            table.push_str(&format!("  {name:<28}{}\n", make().told(event())));
        }
    }
    table
}

#[test]
fn every_event_in_every_state() {
    let states: [(&str, &dyn Fn() -> Bench); 12] = [
        ("serving, idle", &|| Bench::after([setmeml(), value()])),
        ("serving, one unanswered", &|| Bench::after([setmeml()])),
        ("draining", &|| Bench::after([setmeml(), exit()])),
        ("draining, time is up", &|| Bench::after([setmeml(), exit()]).later(800)),
        ("closing, may be starting", &|| Bench::after([exit()])),
        ("closing, time is up", &|| Bench::after([exit()]).later(300)),
        ("closing, as the server did", &|| Bench::after([setmeml(), Event::ServerClosed])),
        ("alarmed", &|| Bench::after([setmeml(), value(), exit()])),
        ("alarmed, time is up", &|| Bench::after([setmeml(), value(), exit()]).later(1800)),
        ("alarmed after a signal", &|| Bench::after([setmeml(), value(), signal()])),
        ("killed", &|| Bench::after([setmeml(), value(), signal(), interrupt()])),
        ("ended", &|| Bench::after([exit(), exited(0)])),
    ];
    let events: [Named<Event>; 15] = [
        ("a command", doreq),
        ("a mistake", || Event::Line(Err(Mistake("wrong".into())))),
        ("a blank line", || Event::Line(Ok(Command::Nothing))),
        ("exit", exit),
        ("the end of the input", || Event::InputEnded),
        ("a reply", value),
        ("the server closes a pipe", || Event::ServerClosed),
        ("the server exits with 0", || exited(0)),
        ("the server exits with 3", || exited(3)),
        ("the server dies of SIGALRM", || ended(Ending::Signaled(14, "SIGALRM"))),
        ("the server dies of SIGSEGV", || Event::ServerEnded {
            ending: Ending::Signaled(11, "SIGSEGV"),
            lines_unread: 2,
        }),
        ("SIGTERM", signal),
        ("SIGINT", interrupt),
        ("the output fails", || Event::OutputFailed),
        ("the clock", || Event::Clock),
    ];
    insta::assert_snapshot!(table(&states, &events));
}

fn disconnected(why: Option<&str>) -> Event {
    Event::Disconnected { why: why.map(str::to_owned), lines_unread: 0 }
}

/// A server elsewhere gets no signal, and has no end that could be waited for but that of its connection.
#[test]
fn every_event_with_a_server_elsewhere() {
    let after = |events: Vec<Event>| {
        let mut bench = Bench::new(false);
        bench.machine.hold = Hold::Connection;
        events.into_iter().for_each(|event| drop(bench.told(event)));
        bench.now += Duration::from_millis(200);
        bench
    };
    let states: [(&str, &dyn Fn() -> Bench); 6] = [
        ("serving, one unanswered", &|| after(vec![setmeml()])),
        ("draining", &|| after(vec![setmeml(), exit()])),
        ("closing", &|| after(vec![setmeml(), value(), exit()])),
        ("closing, time is up", &|| after(vec![setmeml(), value(), exit()]).later(1800)),
        ("closing after a signal", &|| after(vec![signal()])),
        ("given up", &|| after(vec![signal(), interrupt()])),
    ];
    let events: [Named<Event>; 8] = [
        ("exit", exit),
        ("a reply", value),
        ("nobody reads", || Event::ServerClosed),
        ("it closes the connection", || disconnected(None)),
        ("it resets the connection", || disconnected(Some("the connection was reset"))),
        ("SIGTERM", signal),
        ("SIGINT", interrupt),
        ("the clock", || Event::Clock),
    ];
    insta::assert_snapshot!(table(&states, &events));
}

#[test]
fn what_comes_back_is_printed_or_complained_about() {
    let mut lines = Vec::new();
    let mut tell = |sent: Event, reply: Event| lines.push(Bench::after([sent]).told(reply));
    let long = Malformed::TooLong { bytes_max: 9 };
    tell(setmeml(), value());
    tell(Event::Line(Ok(Command::Send(Request::Processors { count: 9 }))), {
        Event::Reply(Op::PROCESSORS, Ok(Reply::Value(2)))
    });
    tell(doreq(), response(200, "OK", b""));
    tell(doreq(), response(299, "", b"no newline"));
    tell(doreq(), response(200, "O\nK\x1b", b"two\nlines\n\x1b[2J\xff"));
    tell(doreq(), Event::Reply(Op::HTTP, Ok(Reply::Error("\x1b[31mrefused\n".into()))));
    tell(doreq(), value());
    tell(doreq(), Event::Reply(Op(0x1b), Err(Malformed::UnknownOp(Op(0x1b)))));
    tell(doreq(), Event::Reply(Op::HTTP, Err(long)));
    tell(Event::Line(Ok(Command::Nothing)), value());
    insta::assert_snapshot!(lines.join("\n"));
}

/// A session at a terminal: the prompt stands only where a command is due, and nothing is printed behind it.
#[test]
fn a_session_at_a_terminal() {
    let mut bench = Bench::new(true);
    let trace = [
        bench.told(Event::Begin),
        bench.told(Event::Line(Ok(Command::Nothing))),
        bench.told(Event::Line(Err(Mistake("wrong".into())))),
        bench.told(setmeml()),
        bench.told(doreq()),
        bench.told(value()),
        bench.told(response(200, "OK", b"hello")),
        bench.told(Event::InputEnded),
        bench.told(exited(0)),
    ];
    insta::assert_snapshot!(trace.join("\n"));
}

#[test]
fn a_death_while_a_prompt_stands_is_reported_on_a_line_of_its_own() {
    let mut bench = Bench::new(true);
    bench.told(Event::Begin);
    let report = bench.told(ended(Ending::Signaled(9, "SIGKILL")));
    assert_eq!(report, r#"print "\n", complain "server died: killed by signal 9 (SIGKILL)", end 1 => ended"#);
}

#[test]
fn lines_are_not_read_without_bound() {
    let mut bench = Bench::new(false);
    for _ in 0..UNANSWERED_MAX {
        assert!(bench.machine.wants_lines(0));
        bench.told(setmeml());
    }
    assert!(!bench.machine.wants_lines(0));
    bench.told(value());
    assert!(bench.machine.wants_lines(0));
}

#[test]
fn each_signal_has_its_status() {
    for (signal, status) in [(StopSignal::Hangup, 129), (StopSignal::Interrupt, 130), (StopSignal::Terminate, 143)] {
        let mut bench = Bench::after([setmeml(), value(), Event::Signal(signal)]);
        assert_eq!(bench.told(exited(0)), format!("end {status} => ended"));
    }
}
