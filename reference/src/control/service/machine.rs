//! What a service does about what happens to it: state and event in, actions out.
//!
//! No clock, no pipe, no task: whoever performs an action tells of what came of it. However a stop is asked for, and at
//! whatever moment, all that was started is stopped in the reverse order, and nothing else is.
//!
//! ```text
//! Starting --task started--> Starting --the last one--> Serving --stop asked for--> Stopping --the first one--> Ended
//!     +--stop asked for, or a task failed: once the task at work is done----------->
//! ```

use std::collections::VecDeque;

use crate::codec::pipe_message::{LifetimeEvent, Message, Task};

/// What a service starts, in this order.
pub const TASKS: [Task; 2] = [Task::DATABASE, Task::NETWORK];

/// What happens to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its life begins.
    Begin,
    /// The task that was to start has started, and has this to tell.
    Started(Vec<Message>),
    /// The task that was to start could not.
    NotStarted(String),
    /// The control pipe has ended or failed, or a signal came.
    Stop,
    /// The task that was to stop has stopped, or failed to for this reason.
    Stopped(Result<(), String>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell the supervisor, if there is one that listens.
    Tell(Message),
    /// Start a task, and say what came of it.
    Start(Task),
    /// Stop a task, and say what came of it.
    Stop(Task),
    /// Tell a person what went wrong.
    Complain(String),
    /// Exit with this status.
    End(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Stopping,
    Ended,
}

/// The state of a service.
#[derive(Debug)]
pub struct Machine {
    phase: Phase,
    // Invariant: the first `started` of TASKS have started and not stopped.
    started: usize,
    /// A stop was asked for while a task was starting.
    stop_asked: bool,
    failed: bool,
}

impl Machine {
    /// A service before its life begins.
    pub fn new() -> Self {
        Self { phase: Phase::Starting, started: 0, stop_asked: false, failed: false }
    }

    /// Takes in an event and appends what follows.
    pub fn handle(&mut self, event: Event, actions: &mut VecDeque<Action>) {
        match (self.phase, event) {
            (Phase::Starting, Event::Begin) => self.start_next(actions),
            (Phase::Starting, Event::Started(told)) => {
                self.started += 1;
                actions.extend(told.into_iter().map(Action::Tell));
                self.start_next(actions);
            }
            (Phase::Starting, Event::NotStarted(why)) => {
                self.fail(why, actions);
                self.stop_next(actions);
            }
            (Phase::Starting, Event::Stop) => self.stop_asked = true,
            (Phase::Serving, Event::Stop) => self.stop_next(actions),
            (Phase::Stopping, Event::Stopped(result)) => {
                // What does not stop as it should keeps nobody else from it.
                if let Err(why) = result {
                    self.fail(why, actions);
                }
                self.started -= 1;
                self.stop_next(actions);
            }
            // It is on its way.
            (Phase::Stopping | Phase::Ended, Event::Stop) => {}
            (phase, event) => unreachable!("nobody was asked for {event:?} in {phase:?}"),
        }
    }

    fn start_next(&mut self, actions: &mut VecDeque<Action>) {
        if self.stop_asked {
            return self.stop_next(actions);
        }
        match TASKS.get(self.started) {
            Some(&task) => {
                actions.push_back(tell(LifetimeEvent::Startup(task)));
                actions.push_back(Action::Start(task));
            }
            None => {
                self.phase = Phase::Serving;
                actions.push_back(tell(LifetimeEvent::StartupComplete));
            }
        }
    }

    fn stop_next(&mut self, actions: &mut VecDeque<Action>) {
        self.phase = Phase::Stopping;
        match TASKS[..self.started].last() {
            Some(&task) => {
                actions.push_back(tell(LifetimeEvent::Shutdown(task)));
                actions.push_back(Action::Stop(task));
            }
            None => {
                self.phase = Phase::Ended;
                actions.push_back(Action::End(u8::from(self.failed)));
            }
        }
    }

    fn fail(&mut self, why: String, actions: &mut VecDeque<Action>) {
        self.failed = true;
        actions.push_back(Action::Complain(why));
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

fn tell(event: LifetimeEvent) -> Action {
    Action::Tell(Message::Lifetime(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a life of these events comes to, a line for each action.
    fn life(events: impl IntoIterator<Item = Event>) -> Vec<String> {
        let mut machine = Machine::new();
        let mut actions = VecDeque::new();
        events.into_iter().for_each(|event| machine.handle(event, &mut actions));
        let line = |action| match action {
            Action::Tell(Message::Lifetime(LifetimeEvent::Startup(task))) => format!("startup {}", task.0),
            Action::Tell(Message::Lifetime(LifetimeEvent::StartupComplete)) => "complete".into(),
            Action::Tell(Message::Lifetime(LifetimeEvent::Shutdown(task))) => format!("shutdown {}", task.0),
            Action::Tell(Message::PeersAt(address) | Message::CallsAt(address)) => address,
            Action::Start(task) => format!("start {}", task.0),
            Action::Stop(task) => format!("stop {}", task.0),
            Action::Complain(why) => why,
            Action::End(status) => format!("end {status}"),
        };
        actions.into_iter().map(line).collect()
    }

    fn started() -> Event {
        Event::Started(Vec::new())
    }

    fn stopped() -> Event {
        Event::Stopped(Ok(()))
    }

    const UP: [&str; 5] = ["startup 0", "start 0", "startup 1", "start 1", "complete"];
    const DOWN: [&str; 5] = ["shutdown 1", "stop 1", "shutdown 0", "stop 0", "end 0"];

    #[test]
    fn what_started_stops_in_the_reverse_order() {
        let lived = life([Event::Begin, started(), started(), Event::Stop, stopped(), stopped()]);
        assert_eq!(lived, [UP, DOWN].concat());
    }

    #[test]
    fn what_a_task_has_to_tell_is_told_before_the_next_one() {
        let addresses = Event::Started(vec![Message::PeersAt("p".into()), Message::CallsAt("c".into())]);
        assert_eq!(life([Event::Begin, started(), addresses])[4..], ["p", "c", "complete"]);
    }

    #[test]
    fn a_stop_while_a_task_starts_stops_what_has_started_and_nothing_else() {
        let first = life([Event::Begin, Event::Stop, started(), stopped()]);
        assert_eq!(first, ["startup 0", "start 0", "shutdown 0", "stop 0", "end 0"]);
        let second = life([Event::Begin, started(), Event::Stop, started(), stopped(), stopped()]);
        assert_eq!(second, [&UP[..4], &DOWN].concat());
    }

    #[test]
    fn a_task_that_does_not_start_stops_the_ones_before_it() {
        let lived = life([Event::Begin, started(), Event::NotStarted("in use".into()), stopped()]);
        assert_eq!(lived[4..], ["in use", "shutdown 0", "stop 0", "end 1"]);
        let at_once = life([Event::Begin, Event::NotStarted("broken".into())]);
        assert_eq!(at_once[2..], ["broken", "end 1"]);
    }

    #[test]
    fn a_task_that_does_not_stop_keeps_no_other_from_it() {
        let failed = Event::Stopped(Err("disk full".into()));
        let lived = life([Event::Begin, started(), started(), Event::Stop, failed, stopped()]);
        assert_eq!(lived[5..], ["shutdown 1", "stop 1", "disk full", "shutdown 0", "stop 0", "end 1"]);
    }

    #[test]
    fn a_second_stop_changes_nothing() {
        let stops = [Event::Stop, stopped(), Event::Stop, stopped(), Event::Stop];
        let lived = life([Event::Begin, started(), started()].into_iter().chain(stops));
        assert_eq!(lived, [UP, DOWN].concat());
    }
}
