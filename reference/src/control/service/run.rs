//! A service on the real system: one thread that starts and stops its tasks as the machine says, and listens in between.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::database::Database;
use super::machine::{Action, Event, Machine};
use super::network::Network;
use super::options::Options;
use crate::codec::pipe_message::{Message, Task};
use crate::stops::Stops;
use crate::transport::inherited::End;
use crate::transport::pump::{News, Reader, Writer};

/// What a supervisor has not taken this long after all has stopped, it does not get. No machine is so slow that one which
/// listens loses anything.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(2);

enum Happened {
    Control(News),
    Told(News),
    Stop,
}

/// Lives until a stop is asked for, and returns the exit status.
pub fn run(options: &Options, control: Option<End>, telling: Option<End>, stops: Stops) -> io::Result<u8> {
    let (sender, happened) = channel();
    let stop = sender.clone();
    stops.forward(move || drop(stop.send(Happened::Stop)))?;
    let control = control.map(|end| {
        let mut control = Reader::start(File::from(end), sender.clone(), Happened::Control);
        control.allow();
        control
    });
    let telling = telling.map(|end| Writer::start(File::from(end), sender.clone(), Happened::Told));
    let service = Service {
        options,
        machine: Machine::new(),
        actions: VecDeque::new(),
        happened,
        control,
        telling,
        database: None,
        network: None,
    };
    Ok(service.live())
}

struct Service<'a> {
    options: &'a Options,
    machine: Machine,
    /// What the machine wants done, oldest first.
    actions: VecDeque<Action>,
    happened: Receiver<Happened>,
    control: Option<Reader>,
    telling: Option<Writer>,
    database: Option<Database>,
    network: Option<Network>,
}

impl Service<'_> {
    fn live(mut self) -> u8 {
        self.handle(Event::Begin);
        loop {
            while let Some(action) = self.actions.pop_front() {
                match action {
                    Action::Tell(message) => self.tell(&message),
                    Action::Complain(why) => eprintln!("service: error: {why}"),
                    Action::Start(task) => {
                        let event = self.start(task).map_or_else(Event::NotStarted, Event::Started);
                        // A stop that was asked for meanwhile counts before anything else is started.
                        self.catch_up();
                        self.handle(event);
                    }
                    Action::Stop(task) => {
                        let event = Event::Stopped(self.stop(task));
                        self.handle(event);
                    }
                    Action::End(status) => {
                        self.last_words();
                        return status;
                    }
                }
            }
            // The thread that waits for signals holds the other side for as long as we live.
            let Ok(news) = self.happened.recv() else { continue };
            self.take(news);
        }
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, &mut self.actions);
    }

    fn catch_up(&mut self) {
        while let Ok(news) = self.happened.try_recv() {
            self.take(news);
        }
    }

    fn take(&mut self, news: Happened) {
        match (news, &mut self.control, &mut self.telling) {
            // Nothing that could be said to a service has a meaning yet.
            (Happened::Control(News::Bytes(_)), Some(control), _) => {
                control.used();
                control.allow();
            }
            (Happened::Control(_) | Happened::Stop, ..) => self.handle(Event::Stop),
            (Happened::Told(News::Sent(bytes)), _, Some(telling)) => telling.sent(bytes),
            // Nobody listens; that is no reason to end.
            (Happened::Told(_), ..) => self.telling = None,
        }
    }

    fn tell(&mut self, message: &Message) {
        let wanted = self.options.lifetimeevents || !matches!(message, Message::Lifetime(_));
        if let Some(telling) = self.telling.as_mut().filter(|_| wanted) {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            telling.put(bytes);
        }
    }

    /// Returns what there is to tell of a task that has started.
    fn start(&mut self, task: Task) -> Result<Vec<Message>, String> {
        if task == Task::DATABASE {
            self.database = Some(Database::open(self.options.data.as_deref())?);
            return Ok(Vec::new());
        }
        let lines = self.database.as_ref().map_or(0, |database| database.lines);
        let network = self.network.insert(Network::start(self.options.listen, self.options.rpclisten, lines)?);
        let (peers, calls) = (network.peers_at().to_string(), network.calls_at().to_string());
        Ok(vec![Message::PeersAt(peers), Message::CallsAt(calls)])
    }

    fn stop(&mut self, task: Task) -> Result<(), String> {
        if task == Task::DATABASE {
            return self.database.take().map_or(Ok(()), Database::close);
        }
        if let (Some(network), Some(database)) = (self.network.take(), &mut self.database) {
            database.lines = network.stop();
        }
        Ok(())
    }

    /// Lets the supervisor hear the rest; one that does not listen holds nobody up.
    fn last_words(&mut self) {
        let deadline = Instant::now() + LAST_WORDS_WAIT;
        while self.telling.as_ref().is_some_and(|telling| telling.unsent_bytes() > 0) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(news) = self.happened.recv_timeout(left) else { return };
            self.take(news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use clap::Parser;

    use super::*;
    use crate::codec::pipe_message::{Frames, LifetimeEvent};

    #[test]
    fn a_stop_that_came_while_a_task_was_starting_counts_before_the_next_one_starts() {
        let (mut told, telling) = os_pipe::pipe().unwrap();
        let (sender, happened) = channel();
        // It is there before anything starts, so whoever looks after the first task finds it.
        sender.send(Happened::Stop).unwrap();
        let options = Options::parse_from(["service", "--lifetimeevents"]);
        let telling = Writer::start(telling, sender.clone(), Happened::Told);
        let service = Service {
            options: &options,
            machine: Machine::new(),
            actions: VecDeque::new(),
            happened,
            control: None,
            telling: Some(telling),
            database: None,
            network: None,
        };
        assert_eq!(service.live(), 0);
        let mut bytes = Vec::new();
        told.read_to_end(&mut bytes).unwrap();
        let mut frames = Frames::default();
        frames.push(&bytes);
        for expected in [LifetimeEvent::Startup(Task::DATABASE), LifetimeEvent::Shutdown(Task::DATABASE)] {
            let message = Message::decode(frames.next_frame().unwrap().unwrap());
            assert_eq!(message, Ok(Some(Message::Lifetime(expected))));
        }
        assert_eq!(frames.unfinished(), b"");
    }
}
