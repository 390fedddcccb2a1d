//! What a watchdog does about what happens to it: state and event in, actions out.
//!
//! No clock, no descriptor, no process: time is an argument, and [`Machine::deadline`] says when to call again.
//!
//! ```text
//! Serving --exit, end of input--> Draining --all replies, or 1 s--+
//!    |  +--signal, output failed---------------------------------+-> (pipe closed)
//!    |                                                           |
//!    +--server closed its pipe--> Closing --grace--+             +-- has answered before --> Alarmed
//!                                                  |             +-- may still be starting --> Closing (0.5 s)
//!                                                  +--> Alarmed --grace--> Killed
//! Any of them --server ended--> Ended          Closing, Alarmed --Ctrl-C after a signal--> Killed
//! ```
//!
//! A server that somebody else started gets no signal from here: after the grace in Closing it is Killed, and that means that its
//! connection is given up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::command::{Command, Mistake};
use super::printable::{printable, printable_line};
use crate::codec::malformed::Malformed;
use crate::codec::op_frame::{Op, Reply, Request};
use crate::ending::Ending;

/// After `exit` or the end of the input, replies that are due get this long.
pub const REPLIES_WAIT: Duration = Duration::from_secs(1);

/// A server that has not answered yet gets this long to end before an alarm that it may not be ready for.
pub const STARTING_WAIT: Duration = Duration::from_millis(500);

/// While this many requests are unanswered, no further line is read.
pub const UNANSWERED_MAX: usize = 65_536;

/// While this many bytes of requests have not been sent, no further line is read.
pub const UNSENT_BYTES_MAX: usize = 1024 * 1024;

/// The state of a watchdog.
#[derive(Debug)]
pub struct Machine {
    phase: Phase,
    reason: Reason,
    hold: Hold,
    grace: Duration,
    interactive: bool,
    /// The prompt is what was printed last, so anything else first needs a new line.
    prompting: bool,
    /// What was sent and not answered yet, oldest first.
    unanswered: VecDeque<Op>,
    /// The server has answered something, so it has started and its handlers stand.
    heard: bool,
}

/// What a watchdog has of its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is its own child.
    Child,
    /// Somebody else started it, and there is a connection.
    Connection,
}

/// Where a watchdog is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Takes commands.
    Serving,
    /// Takes no more commands; replies that are due may still come.
    Draining { until: Instant },
    /// The server's pipe is closed; it may end by itself before it gets an alarm.
    Closing { until: Instant },
    /// The server got its alarm.
    Alarmed { until: Instant },
    /// The server got SIGKILL.
    Killed,
    /// The server is gone.
    Ended,
}

/// Why the session ends; it decides about the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// `exit`, or the end of the input.
    Ordered,
    /// Somebody sent a signal.
    Signal(StopSignal),
    /// The server closed a pipe by itself.
    ServerClosed,
    /// Nobody takes what is printed.
    OutputFailed,
}

/// The signals that end a session in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl StopSignal {
    /// The status that a shell would show for a program that died of it.
    fn status(self) -> u8 {
        match self {
            StopSignal::Hangup => 129,
            StopSignal::Interrupt => 130,
            StopSignal::Terminate => 143,
        }
    }
}

/// Whether a server that was asked to end has done so as it should: a server without a handler dies of SIGALRM.
fn is_ordered(ending: &Ending) -> bool {
    matches!(ending, Ending::Exited(0) | Ending::Signaled(_, "SIGALRM"))
}

/// What happens to a watchdog.
#[derive(Debug)]
pub enum Event {
    /// The session begins.
    Begin,
    /// A line was read.
    Line(Result<Command, Mistake>),
    /// The input has ended.
    InputEnded,
    /// A message came from the server.
    Reply(Op, Result<Reply, Malformed>),
    /// The server closed one of its pipes.
    ServerClosed,
    /// The server is gone, and all that it sent before has been handled.
    ServerEnded {
        /// How it ended.
        ending: Ending,
        /// How many lines have been typed that nobody read.
        lines_unread: usize,
    },
    /// The connection to a server elsewhere is over, and all that it sent before has been handled.
    Disconnected {
        /// What went wrong, in a sentence, if the server did not just close it.
        why: Option<String>,
        /// How many lines have been typed that nobody read.
        lines_unread: usize,
    },
    /// A signal came that ends the session.
    Signal(StopSignal),
    /// Standard output cannot be written any more.
    OutputFailed,
    /// The deadline may have come.
    Clock,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to the server.
    Send(Request),
    /// Print this on standard output, as it is.
    Print(String),
    /// Print `error: ` and this sentence on standard error, as a line.
    Complain(String),
    /// Close the pipe to the server.
    CloseRequests,
    /// Send the server SIGALRM.
    Alarm,
    /// Send the server SIGKILL, or give up the connection to one elsewhere.
    Kill,
    /// End the process with this status, once all is printed.
    End(u8),
}

impl Machine {
    /// A watchdog that gives its server `grace` to end; an interactive one prompts.
    pub fn new(hold: Hold, grace: Duration, interactive: bool) -> Self {
        Self {
            phase: Phase::Serving,
            reason: Reason::Ordered,
            hold,
            grace,
            interactive,
            prompting: false,
            unanswered: VecDeque::new(),
            heard: false,
        }
    }

    /// Whether a line may be read.
    pub fn wants_lines(&self, unsent_bytes: usize) -> bool {
        self.phase == Phase::Serving && self.unanswered.len() < UNANSWERED_MAX && unsent_bytes < UNSENT_BYTES_MAX
    }

    /// Whether a line that was not read would have been sent, had the server lived.
    pub fn misses_lines(&self) -> bool {
        self.phase == Phase::Serving || self.reason == Reason::ServerClosed
    }

    /// Whether the server owes a reply.
    pub fn awaits_reply(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// When to come back with [`Event::Clock`], if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Draining { until } | Phase::Closing { until } | Phase::Alarmed { until } => Some(until),
            Phase::Serving | Phase::Killed | Phase::Ended => None,
        }
    }

    /// Takes in what happened, and appends what is to be done about it.
    pub fn handle(&mut self, event: Event, now: Instant, actions: &mut VecDeque<Action>) {
        use Phase::{Alarmed, Closing, Draining, Ended, Killed, Serving};
        match (self.phase, event) {
            (Ended, _) => return,

            (_, Event::Begin) => {}
            (Serving, Event::Line(line)) => self.line(line, now, actions),
            (Serving, Event::InputEnded) => self.leave(now, actions),
            // The session is over; nothing more is taken.
            (_, Event::Line(_) | Event::InputEnded) => {}

            (_, Event::Reply(op, reply)) => {
                self.reply(op, reply, actions);
                if matches!(self.phase, Draining { .. }) && self.unanswered.is_empty() {
                    self.stop(now, actions);
                }
            }

            (Serving | Draining { .. }, Event::ServerClosed) => {
                // Most likely it has just died, which will be known in a moment.
                self.reason = Reason::ServerClosed;
                self.phase = Closing { until: now + self.grace };
                actions.push_back(Action::CloseRequests);
            }
            (Closing { .. } | Alarmed { .. } | Killed, Event::ServerClosed) => {}

            (_, Event::ServerEnded { ending, lines_unread }) => {
                self.ended(is_ordered(&ending), format!("server died: {ending}"), lines_unread, actions);
            }
            (_, Event::Disconnected { why, lines_unread }) => {
                let is_ordered = why.is_none();
                let sentence = why.unwrap_or_else(|| "the server closed the connection".into());
                self.ended(is_ordered, sentence, lines_unread, actions);
            }

            (Serving | Draining { .. }, Event::Signal(signal)) => {
                self.reason = Reason::Signal(signal);
                self.stop(now, actions);
            }
            (Closing { .. } | Alarmed { .. }, Event::Signal(signal)) => {
                // A hangup often comes twice, but who presses Ctrl-C twice is in a hurry.
                let again = matches!(self.reason, Reason::Signal(_));
                if again && signal == StopSignal::Interrupt {
                    self.phase = Killed;
                    actions.push_back(Action::Kill);
                }
                if !again {
                    self.reason = Reason::Signal(signal);
                }
            }
            (Killed, Event::Signal(_)) => {}

            (Serving | Draining { .. }, Event::OutputFailed) => {
                self.reason = Reason::OutputFailed;
                self.complain("standard output cannot be written any more, so the session ends".into(), actions);
                self.stop(now, actions);
            }
            (Closing { .. } | Alarmed { .. } | Killed, Event::OutputFailed) => {}

            (Draining { until }, Event::Clock) if until <= now => self.stop(now, actions),
            (Closing { until }, Event::Clock) if until <= now => match self.hold {
                Hold::Child => self.alarm(now, actions),
                Hold::Connection => self.give_up("did not close the connection", "is given up", actions),
            },
            (Alarmed { until }, Event::Clock) if until <= now => self.give_up("did not end", "is killed", actions),
            (Serving | Draining { .. } | Closing { .. } | Alarmed { .. } | Killed, Event::Clock) => {}
        }
        self.prompt(actions);
    }

    fn line(&mut self, line: Result<Command, Mistake>, now: Instant, actions: &mut VecDeque<Action>) {
        // The terminal has echoed the end of the line.
        self.prompting = false;
        match line {
            Ok(Command::Nothing) => {}
            Ok(Command::Send(request)) => {
                self.unanswered.push_back(request.op());
                actions.push_back(Action::Send(request));
            }
            Ok(Command::Exit) => self.leave(now, actions),
            Err(Mistake(sentence)) => self.complain(sentence, actions),
        }
    }

    fn leave(&mut self, now: Instant, actions: &mut VecDeque<Action>) {
        self.new_line(actions);
        if self.unanswered.is_empty() {
            self.stop(now, actions);
        } else {
            self.phase = Phase::Draining { until: now + REPLIES_WAIT };
        }
    }

    /// The beginning of the end: the pipe is closed, and the alarm follows at once if the server is ready for it.
    fn stop(&mut self, now: Instant, actions: &mut VecDeque<Action>) {
        self.new_line(actions);
        actions.push_back(Action::CloseRequests);
        match (self.hold, self.heard) {
            (Hold::Child, true) => self.alarm(now, actions),
            (Hold::Child, false) => self.phase = Phase::Closing { until: now + STARTING_WAIT },
            (Hold::Connection, _) => self.phase = Phase::Closing { until: now + self.grace },
        }
    }

    fn give_up(&mut self, failed_to: &str, fate: &str, actions: &mut VecDeque<Action>) {
        self.phase = Phase::Killed;
        let millis = self.grace.as_millis();
        self.complain(format!("the server {failed_to} within {millis} ms and {fate}"), actions);
        actions.push_back(Action::Kill);
    }

    fn alarm(&mut self, now: Instant, actions: &mut VecDeque<Action>) {
        self.phase = Phase::Alarmed { until: now + self.grace };
        actions.push_back(Action::Alarm);
    }

    fn reply(&mut self, op: Op, reply: Result<Reply, Malformed>, actions: &mut VecDeque<Action>) {
        self.heard = true;
        let Some(due) = self.unanswered.pop_front() else {
            let op = printable_line(&[op.0]);
            return self
                .complain(format!("the server sent a message with op byte {op} that nobody asked for"), actions);
        };
        match reply {
            Err(why) => self.complain(format!("the reply of the server cannot be understood: {why}"), actions),
            Ok(_) if op != due => {
                let (due, op) = (printable_line(&[due.0]), printable_line(&[op.0]));
                self.complain(format!("expected a reply with op byte {due}, but the server sent {op}"), actions);
            }
            Ok(Reply::Error(why)) => self.complain(printable_line(why.as_bytes()), actions),
            Ok(Reply::Value(bytes)) if op == Op::MEMORY_LIMIT => {
                self.print(format!("memory limit: {bytes} bytes\n"), actions);
            }
            Ok(Reply::Value(count)) => self.print(format!("processors: {count}\n"), actions),
            Ok(Reply::Http(response)) => {
                let reason = printable_line(response.reason.as_bytes());
                let blank = if reason.is_empty() { "" } else { " " };
                let mut text = format!("HTTP {}{blank}{reason}\n", response.status);
                text.push_str(&printable(&response.body));
                if !text.ends_with('\n') {
                    text.push('\n');
                }
                self.print(text, actions);
            }
        }
    }

    /// The server is gone: in order, or as the sentence says.
    fn ended(&mut self, is_ordered: bool, sentence: String, lines_unread: usize, actions: &mut VecDeque<Action>) {
        let misses_lines = self.misses_lines();
        let asked =
            !matches!(self.phase, Phase::Serving | Phase::Draining { .. }) && self.reason != Reason::ServerClosed;
        let killed = self.phase == Phase::Killed;
        self.phase = Phase::Ended;
        let well = asked && (killed || is_ordered);
        if !well {
            self.complain(sentence, actions);
        }
        if !self.unanswered.is_empty() {
            let count = self.unanswered.len();
            self.complain(format!("not answered: {count} {}", commands(count)), actions);
        }
        if misses_lines && lines_unread > 0 {
            self.complain(format!("not sent: {lines_unread} {}", commands(lines_unread)), actions);
        }
        actions.push_back(Action::End(match self.reason {
            // 1. Whoever sent a signal is told that it was heeded, however the server took it.
            Reason::Signal(signal) => signal.status(),
            // 2. What went wrong.
            Reason::ServerClosed | Reason::OutputFailed => 1,
            Reason::Ordered if killed || !well => 1,
            // 3. All is well.
            Reason::Ordered => 0,
        }));
    }

    fn print(&mut self, text: String, actions: &mut VecDeque<Action>) {
        self.new_line(actions);
        actions.push_back(Action::Print(text));
    }

    fn complain(&mut self, sentence: String, actions: &mut VecDeque<Action>) {
        self.new_line(actions);
        actions.push_back(Action::Complain(sentence));
    }

    fn new_line(&mut self, actions: &mut VecDeque<Action>) {
        if std::mem::take(&mut self.prompting) {
            actions.push_back(Action::Print("\n".into()));
        }
    }

    fn prompt(&mut self, actions: &mut VecDeque<Action>) {
        let ready = self.phase == Phase::Serving && self.unanswered.is_empty();
        if self.interactive && ready && !self.prompting {
            self.prompting = true;
            actions.push_back(Action::Print("> ".into()));
        }
    }
}

fn commands(count: usize) -> &'static str {
    if count == 1 { "command" } else { "commands" }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
