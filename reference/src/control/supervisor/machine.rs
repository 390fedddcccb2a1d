//! What a supervisor does about what happens to it: state and event in, actions out.
//!
//! No clock, no pipe, no process: time is an argument, and [`Machine::deadline`] says when to call again.
//!
//! ```text
//! Watching --stop, nobody to show it to, lost--> Closed --grace, stop--> Terminated --grace, stop--> Killed
//! Any of them --service ended--> Listening --end of its pipe, or 5 s--> Ended
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::codec::pipe_message::{LifetimeEvent, Malformed, Message, Unframed};
use crate::ending::Ending;

/// What a service said last is waited for this long after its end: somebody else may hold its pipe. No machine is so slow that
/// it takes as long to hear it.
pub const LAST_WORDS_WAIT: Duration = Duration::from_secs(5);

/// What happens to a supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The service said something.
    Said(Message),
    /// The service said something of a type that is not known here.
    SaidUnknown {
        /// The type.
        kind: String,
        /// The length of its payload.
        bytes: usize,
    },
    /// The service said something of a known type that means nothing.
    Misunderstood(Malformed),
    /// The service said something after which nothing can be read.
    Lost(Unframed),
    /// The service says nothing more; so many bytes of a message had come.
    Silent {
        /// The bytes of the message that was cut off.
        cut_off: usize,
    },
    /// Somebody wants the service stopped.
    Stop,
    /// Nobody takes what is shown.
    OutputFailed,
    /// The service has ended.
    Ended(Ending),
    /// The deadline may have come.
    Clock,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Show a person this line.
    Show(String),
    /// Tell a person what went wrong.
    Complain(String),
    /// Close the control pipe.
    Close,
    /// Ask the service to end: SIGTERM.
    Terminate,
    /// End the service: SIGKILL.
    Kill,
    /// Exit with this status.
    End(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Watching,
    Closed { until: Instant },
    Terminated { until: Instant },
    Killed,
    Listening { until: Instant },
    Ended,
}

/// The state of a supervisor.
#[derive(Debug)]
pub struct Machine {
    grace: Duration,
    phase: Phase,
    /// The service says nothing more, or nothing that can be read.
    silent: bool,
    /// How the service ended, once it has.
    ending: Option<Ending>,
    failed: bool,
}

impl Machine {
    /// A supervisor that gives its service this long to stop.
    pub fn new(grace: Duration) -> Self {
        Self { grace, phase: Phase::Watching, silent: false, ending: None, failed: false }
    }

    /// When to call with [`Event::Clock`], if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Closed { until } | Phase::Terminated { until } | Phase::Listening { until } => Some(until),
            Phase::Watching | Phase::Killed | Phase::Ended => None,
        }
    }

    /// Takes in an event and appends what follows.
    pub fn handle(&mut self, event: Event, now: Instant, actions: &mut VecDeque<Action>) {
        match event {
            Event::Said(message) => actions.push_back(Action::Show(shown(&message))),
            Event::SaidUnknown { kind, bytes } => {
                let kind = kind.escape_debug();
                actions.push_back(Action::Show(format!("says {kind} ({bytes} bytes), which is not known here")));
            }
            Event::Misunderstood(why) => self.fail(format!("the service cannot be understood: {why}"), actions),
            Event::Lost(why) => {
                self.silent = true;
                self.fail(format!("the service speaks another language: {why}"), actions);
                self.close(now, actions);
                self.end_listening(actions);
            }
            Event::Silent { cut_off } => {
                if cut_off > 0 && !self.silent {
                    self.fail(
                        format!("the service stopped inside a message, of which {cut_off} bytes had come"),
                        actions,
                    );
                }
                self.silent = true;
                self.end_listening(actions);
            }
            Event::Stop => match self.phase {
                Phase::Watching => self.close(now, actions),
                Phase::Closed { .. } => self.terminate(now, actions),
                Phase::Terminated { .. } => self.kill(actions),
                Phase::Killed | Phase::Listening { .. } | Phase::Ended => {}
            },
            Event::OutputFailed => {
                self.failed = true;
                self.close(now, actions);
            }
            Event::Ended(ending) => self.ended(ending, now, actions),
            Event::Clock => match self.phase {
                Phase::Closed { until } if now >= until => self.terminate(now, actions),
                Phase::Terminated { until } if now >= until => self.kill(actions),
                Phase::Listening { until } if now >= until => {
                    self.silent = true;
                    self.end_listening(actions);
                }
                _ => {}
            },
        }
    }

    fn close(&mut self, now: Instant, actions: &mut VecDeque<Action>) {
        if self.phase == Phase::Watching {
            self.phase = Phase::Closed { until: now + self.grace };
            actions.push_back(Action::Close);
        }
    }

    fn terminate(&mut self, now: Instant, actions: &mut VecDeque<Action>) {
        self.phase = Phase::Terminated { until: now + self.grace };
        actions.push_back(Action::Complain("the service does not stop; it gets SIGTERM".into()));
        actions.push_back(Action::Terminate);
    }

    fn kill(&mut self, actions: &mut VecDeque<Action>) {
        self.phase = Phase::Killed;
        self.fail("the service does not stop; it is killed".into(), actions);
        actions.push_back(Action::Kill);
    }

    fn ended(&mut self, ending: Ending, now: Instant, actions: &mut VecDeque<Action>) {
        self.ending = Some(ending);
        self.phase = Phase::Listening { until: now + LAST_WORDS_WAIT };
        self.end_listening(actions);
    }

    /// Comes to the end if the service has, and nothing more is to be heard of it.
    fn end_listening(&mut self, actions: &mut VecDeque<Action>) {
        let Some(ending) = self.ending.take_if(|_| self.silent) else { return };
        self.phase = Phase::Ended;
        if ending == Ending::Exited(0) {
            actions.push_back(Action::Show(format!("ended: {ending}")));
        } else {
            self.fail(format!("the service ended: {ending}"), actions);
        }
        actions.push_back(Action::End(u8::from(self.failed)));
    }

    fn fail(&mut self, why: String, actions: &mut VecDeque<Action>) {
        self.failed = true;
        actions.push_back(Action::Complain(why));
    }
}

/// What a person reads of a message.
fn shown(message: &Message) -> String {
    match message {
        Message::Lifetime(LifetimeEvent::Startup(task)) => format!("starts {task}"),
        Message::Lifetime(LifetimeEvent::StartupComplete) => "has started".to_owned(),
        Message::Lifetime(LifetimeEvent::Shutdown(task)) => format!("stops {task}"),
        Message::PeersAt(address) => format!("answers peers at {}", address.escape_debug()),
        Message::CallsAt(address) => format!("answers calls at {}", address.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::pipe_message::Task;

    const GRACE: Duration = Duration::from_secs(10);

    /// A machine with a clock that moves only when told.
    struct Bench {
        machine: Machine,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { machine: Machine::new(GRACE), now: Instant::now() }
        }

        /// What follows from an event.
        fn told(&mut self, event: Event) -> Vec<Action> {
            let mut actions = VecDeque::new();
            self.machine.handle(event, self.now, &mut actions);
            actions.into()
        }

        /// What follows when the deadline comes, before which nothing does.
        fn waited(&mut self, expected: Duration) -> Vec<Action> {
            let deadline = self.machine.deadline().expect("a deadline");
            assert_eq!(deadline - self.now, expected);
            self.now = deadline - Duration::from_nanos(1);
            assert_eq!(self.told(Event::Clock), []);
            self.now = deadline;
            self.told(Event::Clock)
        }
    }

    fn show(line: &str) -> Action {
        Action::Show(line.into())
    }

    fn complain(line: &str) -> Action {
        Action::Complain(line.into())
    }

    fn exited(status: i32) -> Event {
        Event::Ended(Ending::Exited(status))
    }

    const SILENT: Event = Event::Silent { cut_off: 0 };

    #[test]
    fn a_service_that_stops_when_it_should_ends_well() {
        let mut bench = Bench::new();
        assert_eq!(bench.told(Event::Said(Message::Lifetime(LifetimeEvent::StartupComplete))), [show("has started")]);
        assert_eq!(bench.machine.deadline(), None);
        assert_eq!(bench.told(Event::Stop), [Action::Close]);
        let stopping = Event::Said(Message::Lifetime(LifetimeEvent::Shutdown(Task::DATABASE)));
        assert_eq!(bench.told(stopping), [show("stops the database")]);
        assert_eq!(bench.told(SILENT), []);
        assert_eq!(bench.told(exited(0)), [show("ended: exit status 0"), Action::End(0)]);
    }

    #[test]
    fn what_is_said_last_is_shown_before_the_end() {
        let mut bench = Bench::new();
        assert_eq!(bench.told(exited(0)), []);
        assert_eq!(bench.told(Event::Said(Message::PeersAt("a\u{1b}b".into()))), [show("answers peers at a\\u{1b}b")]);
        assert_eq!(bench.told(SILENT), [show("ended: exit status 0"), Action::End(0)]);
    }

    #[test]
    fn whoever_else_holds_its_pipe_does_not_hold_up_the_end() {
        let mut bench = Bench::new();
        assert_eq!(bench.told(exited(0)), []);
        assert_eq!(bench.waited(LAST_WORDS_WAIT), [show("ended: exit status 0"), Action::End(0)]);
    }

    #[test]
    fn a_service_that_does_not_stop_is_asked_again_and_then_killed() {
        let mut bench = Bench::new();
        assert_eq!(bench.told(Event::Stop), [Action::Close]);
        let asked = [complain("the service does not stop; it gets SIGTERM"), Action::Terminate];
        assert_eq!(bench.waited(GRACE), asked);
        let killed = [complain("the service does not stop; it is killed"), Action::Kill];
        assert_eq!(bench.waited(GRACE), killed);
        assert_eq!(bench.machine.deadline(), None);
        assert_eq!(bench.told(SILENT), []);
        let ended = bench.told(Event::Ended(Ending::Signaled(9, "SIGKILL")));
        assert_eq!(ended, [complain("the service ended: killed by signal 9 (SIGKILL)"), Action::End(1)]);
    }

    #[test]
    fn whoever_asks_again_does_not_wait_for_the_grace() {
        let mut bench = Bench::new();
        let last = |actions: Vec<Action>| actions.last().cloned();
        assert_eq!(last(bench.told(Event::Stop)), Some(Action::Close));
        assert_eq!(last(bench.told(Event::Stop)), Some(Action::Terminate));
        assert_eq!(last(bench.told(Event::Stop)), Some(Action::Kill));
        assert_eq!(last(bench.told(Event::Stop)), None);
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_told_by_its_status() {
        for (status, expected) in [(0, 0), (3, 1)] {
            let mut bench = Bench::new();
            bench.told(SILENT);
            assert_eq!(bench.told(exited(status)).last(), Some(&Action::End(expected)));
        }
    }

    #[test]
    fn what_means_nothing_is_told_and_the_service_lives_on() {
        let mut bench = Bench::new();
        let unknown = bench.told(Event::SaidUnknown { kind: "news\n".into(), bytes: 3 });
        assert_eq!(unknown, [show("says news\\n (3 bytes), which is not known here")]);
        let why = complain("the service cannot be understood: expected event 0, 1 or 2, found 9");
        assert_eq!(bench.told(Event::Misunderstood(Malformed::UnknownEvent(9))), [why]);
        bench.told(Event::Stop);
        bench.told(SILENT);
        assert_eq!(bench.told(exited(0)), [show("ended: exit status 0"), Action::End(1)]);
    }

    #[test]
    fn a_service_that_speaks_another_language_is_ended_in_order() {
        let mut bench = Bench::new();
        let why = complain("the service speaks another language: expected a message of version 1, found version 2");
        assert_eq!(bench.told(Event::Lost(Unframed::Version(2))), [why, Action::Close]);
        assert_eq!(bench.told(exited(0)), [show("ended: exit status 0"), Action::End(1)]);
    }

    #[test]
    fn a_message_that_was_cut_off_is_told() {
        let mut bench = Bench::new();
        let why = complain("the service stopped inside a message, of which 5 bytes had come");
        assert_eq!(bench.told(Event::Silent { cut_off: 5 }), [why]);
    }

    #[test]
    fn if_nobody_sees_what_it_says_the_service_is_ended() {
        let mut bench = Bench::new();
        assert_eq!(bench.told(Event::OutputFailed), [Action::Close]);
        assert_eq!(bench.told(Event::OutputFailed), []);
        bench.told(SILENT);
        assert_eq!(bench.told(exited(0)).last(), Some(&Action::End(1)));
    }
}
