//! The server's machine, driven by hand: every event in every state, and the rules that hold over many events.

use super::*;

const GRACE: Duration = Duration::from_millis(1000);

/// A machine with a clock that moves only when told.
struct Bench {
    machine: Machine,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self { machine: Machine::new(2, GRACE), start: now, now }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = VecDeque::new();
        self.machine.handle(event, self.now, &mut actions);
        actions.into()
    }

    /// What an event leads to, in words.
    fn told(&mut self, event: Event) -> String {
        let actions: Vec<String> = self.on(event).iter().map(told).collect();
        let actions = if actions.is_empty() { "-".into() } else { actions.join(", ") };
        format!("{actions} => {}", self.state())
    }

    fn state(&self) -> String {
        let millis = |until: Instant| until.saturating_duration_since(self.start).as_millis();
        match self.machine.phase {
            Phase::Serving => format!("serving, owes {}", self.machine.owed.len()),
            Phase::Finishing => format!("finishing, owes {}", self.machine.owed.len()),
            Phase::Stopping { until } => format!("stopping until {}, owes {}", millis(until), self.machine.owed.len()),
            Phase::Flushing { until: None } => "flushing".into(),
            Phase::Flushing { until: Some(until) } => format!("flushing until {}", millis(until)),
            Phase::Ended => "ended".into(),
        }
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Reply(op, Reply::Value(value)) => format!("reply {} {value}", char::from(op.0)),
        Action::Reply(op, Reply::Error(why)) => format!("reply {} error \"{why}\"", char::from(op.0)),
        Action::Reply(op, Reply::Http(response)) => format!("reply {} HTTP {}", char::from(op.0), response.status),
        Action::SetProcessors { ticket, count, workers_max } => {
            format!("set processors #{} to {count}, workers to {workers_max}", ticket.0)
        }
        Action::Fetch { ticket, body_limit, workers_max, .. } => {
            format!("fetch #{} up to {} on {workers_max} workers", ticket.0, body_limit.memory_limit_bytes)
        }
        Action::End => "end".into(),
    }
}

fn memory(bytes: i64) -> Event {
    Event::Message(Request::MemoryLimit { bytes })
}

fn processors(count: i64) -> Event {
    Event::Message(Request::Processors { count })
}

fn fetch_with(body: Option<Vec<u8>>) -> Event {
    let request = HttpRequest { method: "GET".into(), url: "http://h".into(), body };
    Event::Message(Request::Http(Box::new(request)))
}

fn fetch() -> Event {
    fetch_with(None)
}

fn done(ticket: u64, status: u16) -> Event {
    let response = crate::codec::op_frame::HttpResponse { status, reason: "".into(), body: Vec::new() };
    Event::Done(Ticket(ticket), Reply::Http(Box::new(response)))
}

type Named<T> = (&'static str, fn() -> T);

#[test]
fn every_event_in_every_state() {
    let after = |events: Vec<Event>| {
        let mut bench = Bench::new();
        for event in events {
            bench.on(event);
        }
        bench.pass(200);
        bench
    };
    let states: [(&str, &dyn Fn() -> Bench); 8] = [
        ("serving, idle", &|| after(vec![])),
        ("serving, one under way", &|| after(vec![fetch()])),
        ("finishing", &|| after(vec![fetch(), Event::RequestsEnded])),
        ("stopping", &|| after(vec![fetch(), Event::Alarm])),
        ("stopping, time is up", &|| {
            let mut bench = after(vec![fetch(), Event::Alarm]);
            bench.pass(800);
            bench
        }),
        ("flushing", &|| after(vec![Event::RequestsEnded])),
        ("flushing after an alarm", &|| after(vec![Event::Alarm])),
        ("ended", &|| after(vec![Event::NobodyReads])),
    ];
    let events: [Named<Event>; 10] = [
        ("a setting", || memory(5)),
        ("a number of processors", || processors(32)),
        ("an HTTP request", fetch),
        ("a malformed message", || Event::Refused(Op(b'9'), Malformed::UnknownOp(Op(b'9')))),
        ("the end of the requests", || Event::RequestsEnded),
        ("nobody reads", || Event::NobodyReads),
        ("an alarm", || Event::Alarm),
        ("the first request is done", || done(0, 200)),
        ("all is sent", || Event::Flushed),
        ("the clock", || Event::Clock),
    ];
    let mut table = String::new();
    for (state, make) in states {
        table.push_str(&format!("{state}\n"));
        for (name, event) in events {
            table.push_str(&format!("  {name:<27}{}\n", make().told(event())));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn replies_keep_the_order_of_the_messages() {
    let mut bench = Bench::new();
    let trace = [
        bench.told(fetch()),
        bench.told(memory(7)),
        bench.told(fetch()),
        bench.told(Event::Refused(Op::NONE, Malformed::Empty)),
        bench.told(done(2, 202)),
        bench.told(done(0, 200)),
        bench.told(memory(8)),
    ];
    insta::assert_snapshot!(trace.join("\n"));
}

#[test]
fn no_more_requests_are_under_way_than_there_are_workers() {
    let mut bench = Bench::new();
    let trace = [
        bench.told(fetch()),
        bench.told(fetch()),
        bench.told(fetch()),
        bench.told(fetch()),
        bench.told(done(1, 201)),
        bench.told(processors(3)),
        bench.told(Event::Done(Ticket(4), Reply::Value(2))),
        bench.told(processors(1)),
        bench.told(fetch()),
        bench.told(done(0, 200)),
        bench.told(done(2, 202)),
        bench.told(Event::Done(Ticket(5), Reply::Value(1))),
        bench.told(done(3, 203)),
        bench.told(done(6, 206)),
    ];
    insta::assert_snapshot!(trace.join("\n"));
}

#[test]
fn a_request_is_held_to_the_limit_of_its_time() {
    let mut bench = Bench::new();
    let too_large = "request body is larger than the memory limit of 3 bytes; setmeml sets another limit";
    assert_eq!(bench.on(memory(3)), [Action::Reply(Op::MEMORY_LIMIT, Reply::Value(3))]);
    assert_eq!(bench.on(fetch_with(Some(vec![0; 4]))), [Action::Reply(Op::HTTP, Reply::Error(too_large.into()))]);
    let fetched = bench.on(fetch_with(Some(vec![0; 3])));
    assert!(matches!(&fetched[..], [Action::Fetch { body_limit, .. }] if body_limit.bytes() == 3), "{fetched:?}");
    bench.on(memory(i64::MAX));
    let fetched = bench.on(fetch());
    let [Action::Fetch { body_limit, .. }] = fetched[..] else { panic!("{fetched:?}") };
    assert_eq!(body_limit.bytes(), RESPONSE_BODY_BYTES_MAX);
    let sentence = "response body is larger than the 67108864 bytes that one message can carry";
    assert_eq!(body_limit.refusal("response"), sentence);
}

#[test]
fn the_backlog_is_bounded_and_empties_again() {
    let mut bench = Bench::new();
    assert!(bench.machine.wants_messages(0));
    assert!(!bench.machine.wants_messages(BACKLOG_BYTES_MAX));
    bench.on(fetch());
    let mut messages = 0_u64;
    while bench.machine.wants_messages(0) {
        bench.on(memory(1));
        messages += 1;
    }
    assert!(messages > 100_000 && messages < 1_000_000, "{messages}");
    assert_eq!(bench.on(done(0, 200)).len() as u64, messages + 1);
    assert!(bench.machine.wants_messages(0));
    assert_eq!(bench.machine.backlog_bytes, 0);
}

#[test]
fn what_was_given_up_is_not_answered_twice() {
    let mut bench = Bench::new();
    bench.on(fetch());
    bench.on(fetch());
    bench.on(Event::Alarm);
    assert_eq!(bench.machine.deadline(), Some(bench.now + GRACE));
    let trace = [
        bench.told(done(1, 201)),
        {
            bench.pass(999);
            bench.told(Event::Clock)
        },
        {
            bench.pass(1);
            bench.told(Event::Clock)
        },
        bench.told(done(0, 200)),
        bench.told(Event::Flushed),
    ];
    insta::assert_snapshot!(trace.join("\n"));
}
