//! A supervisor on the real system: threads listen to the service, wait for its end and for signals, and write what is shown;
//! one loop does what the machine says.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::machine::{Action, Event, Machine};
use super::options::{Options, control_arguments};
use crate::codec::pipe_message::{Frames, Message};
use crate::process::Process;
use crate::stops::Stops;
use crate::transport::inherited::End;
use crate::transport::pump::{News, Reader, Writer};

/// What nobody has taken of what is shown this long after the end is lost. No machine is so slow that it comes to that.
const OUTPUT_WAIT: Duration = Duration::from_secs(5);

/// Why there was nothing to supervise.
#[derive(Debug)]
pub enum Failure {
    /// The service could not be started.
    Start(io::Error),
    /// The system failed us later.
    System(io::Error),
}

enum Happened {
    Said(News),
    Shown(News),
    Complained(News),
    Ended,
    Stop,
}

/// Lives as long as its service does, and returns the exit status.
pub fn run(options: &Options) -> Result<u8, Failure> {
    // Before the service is started, so that a signal from then on ends it in order.
    let stops = Stops::watch().map_err(Failure::System)?;
    let (process, ends) =
        Process::start(&options.service, &options.arguments, control_arguments).map_err(Failure::Start)?;
    let (sender, happened) = channel();
    let (end, stop) = (sender.clone(), sender.clone());
    process.watch(move || drop(end.send(Happened::Ended))).map_err(Failure::System)?;
    stops.forward(move || drop(stop.send(Happened::Stop))).map_err(Failure::System)?;
    let mut saying = Reader::start(File::from(ends.from_child), sender.clone(), Happened::Said);
    saying.allow();
    let supervisor = Supervisor {
        machine: Machine::new(options.grace()),
        actions: VecDeque::new(),
        process,
        control: Some(ends.to_child),
        saying,
        said: Frames::default(),
        output: Writer::start(io::stdout(), sender.clone(), Happened::Shown),
        complaints: Writer::start(io::stderr(), sender, Happened::Complained),
        happened,
    };
    supervisor.live().map_err(Failure::System)
}

struct Supervisor {
    machine: Machine,
    /// What the machine wants done, oldest first.
    actions: VecDeque<Action>,
    process: Process,
    /// Nothing is ever written to it.
    control: Option<End>,
    saying: Reader,
    said: Frames,
    output: Writer,
    complaints: Writer,
    happened: Receiver<Happened>,
}

impl Supervisor {
    fn live(mut self) -> io::Result<u8> {
        loop {
            while let Some(action) = self.actions.pop_front() {
                match action {
                    Action::Show(line) => self.output.put(format!("{line}\n").into_bytes()),
                    Action::Complain(line) => self.complaints.put(format!("error: {line}\n").into_bytes()),
                    Action::Close => self.control = None,
                    Action::Terminate => self.process.terminate(),
                    Action::Kill => self.process.kill(),
                    Action::End(status) => {
                        self.last_words();
                        return Ok(status);
                    }
                }
            }
            match self.next(self.machine.deadline()) {
                Some(news) => self.take(news)?,
                None => self.handle(Event::Clock),
            }
        }
    }

    /// What happens next, unless the deadline comes first.
    fn next(&self, deadline: Option<Instant>) -> Option<Happened> {
        // The thread that waits for signals holds the other side for as long as we live.
        let news = match deadline {
            None => self.happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self.happened.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        news.ok()
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(event, Instant::now(), &mut self.actions);
    }

    fn take(&mut self, news: Happened) -> io::Result<()> {
        match news {
            Happened::Said(News::Bytes(bytes)) => self.heard(&bytes),
            Happened::Said(_) => self.handle(Event::Silent { cut_off: self.said.unfinished().len() }),
            Happened::Shown(News::Sent(bytes)) => self.output.sent(bytes),
            Happened::Shown(_) => self.handle(Event::OutputFailed),
            Happened::Complained(News::Sent(bytes)) => self.complaints.sent(bytes),
            // There is nobody to complain to about that.
            Happened::Complained(_) => {}
            Happened::Stop => self.handle(Event::Stop),
            Happened::Ended => {
                if let Some(ending) = self.process.try_wait()? {
                    self.handle(Event::Ended(ending));
                }
            }
        }
        Ok(())
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.said.push(bytes);
        self.saying.used();
        while let Some(event) = next_event(&mut self.said) {
            let is_last = matches!(event, Event::Lost(_));
            self.handle(event);
            if is_last {
                // Whatever comes after it could not be understood, so it stays where it is.
                return;
            }
        }
        self.saying.allow();
    }

    /// Lets what is shown be taken; whoever does not holds nobody up.
    fn last_words(&mut self) {
        let deadline = Instant::now() + OUTPUT_WAIT;
        while self.output.unsent_bytes() + self.complaints.unsent_bytes() > 0 {
            match self.next(Some(deadline)) {
                Some(Happened::Shown(News::Sent(bytes))) => self.output.sent(bytes),
                Some(Happened::Complained(News::Sent(bytes))) => self.complaints.sent(bytes),
                Some(Happened::Shown(_) | Happened::Complained(_)) | None => return,
                Some(_) => {}
            }
        }
    }
}

/// The next thing that the service said; `None` while it has not come whole.
fn next_event(frames: &mut Frames) -> Option<Event> {
    let frame = match frames.next_frame() {
        Ok(frame) => frame?,
        Err(why) => return Some(Event::Lost(why)),
    };
    let (kind, bytes) = (frame.kind, frame.payload.len());
    Some(match Message::decode(frame) {
        Ok(Some(message)) => Event::Said(message),
        Ok(None) => Event::SaidUnknown { kind: kind.to_owned(), bytes },
        Err(why) => Event::Misunderstood(why),
    })
}
