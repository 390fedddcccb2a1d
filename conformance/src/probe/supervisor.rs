//! The suite in the supervisor's place: a service started alone, with its pipes as a case wants them.

use std::sync::Arc;
use std::time::Instant;

use crate::event::{Event, What, Who, passed};
use crate::forks;
use crate::message::{Message, Tail, cut};
use crate::observe::ends::{End, Input, Ours, pipe, read_passing, stuff, told};
use crate::observe::process;
use crate::outcome::Stop;
use crate::stage::{Run, Stage};

/// The number under which a service has the pipe whose end ends it.
const CONTROL: i32 = 3;

/// The number under which it has the one that it tells of itself through.
const TELLING: i32 = 4;

/// A number under which a service has nothing.
const NOTHING: i32 = 9;

/// The pipe whose end ends the service, when it is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Control {
    /// It is open, and nothing has been written to it.
    #[default]
    Open,
    /// It has ended.
    Ended,
    /// It cannot be read: it is the end that is written to.
    Unreadable,
    /// The service is told a number under which it has nothing.
    Nothing,
    /// The service is told of none.
    None,
}

/// The pipe that the service tells of itself through, when it is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// The suite reads from it.
    #[default]
    Read,
    /// It is full, and the suite does not read from it.
    Full,
    /// Nobody can read from it any more.
    Broken,
    /// The service is told of none.
    None,
}

/// How a service is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start {
    /// The one pipe.
    pub control: Control,
    /// The other.
    pub telling: Telling,
    /// It is not asked for lifetime events.
    pub unasked: bool,
}

/// A service without a supervisor.
pub struct Supervisor {
    /// Its session.
    pub run: Run,
    control: Option<Input>,
    told: Option<End>,
    /// What stood in the pipe before the service was started.
    stuffed: usize,
}

impl Supervisor {
    /// Starts the service.
    pub async fn start(stage: &Stage, how: Start) -> Result<Self, Stop> {
        let stated = &stage.suite.profile.control;
        let (mut args, mut ends) = (Vec::new(), Vec::new());
        let mut give = |option: &str, number: i32, end: Option<End>| {
            let number_told = end.as_ref().map_or(number, |end| told(end, number)).to_string();
            args.extend(option.split_whitespace().map(|word| word.replace("{fd}", &number_told)));
            ends.extend(end.map(|end| (number, Arc::new(end))));
        };
        let (read, write) = pipe(Ours::Writer)?;
        let control = match how.control {
            Control::Open => {
                give(&stated.receive, CONTROL, Some(read));
                Some(write)
            }
            Control::Ended => {
                give(&stated.receive, CONTROL, Some(read));
                forks::close(write);
                None
            }
            Control::Unreadable => {
                give(&stated.receive, CONTROL, Some(write));
                None
            }
            Control::Nothing => {
                give(&stated.receive, NOTHING, None);
                None
            }
            Control::None => None,
        };
        let (read, write) = pipe(Ours::Reader)?;
        let mut stuffed = 0;
        let told = match how.telling {
            Telling::None => None,
            Telling::Broken => {
                forks::close(read);
                give(&stated.send, TELLING, Some(write));
                None
            }
            Telling::Full | Telling::Read => {
                if how.telling == Telling::Full {
                    stuffed = stuff(&read, &write)?;
                }
                give(&stated.send, TELLING, Some(write));
                Some(read)
            }
        };
        if !how.unasked {
            args.extend(stated.events.split_whitespace().map(str::to_owned));
        }
        let run = stage.stated_child(args, ends).await?;
        let stuffed = run.record.answer("what stood in the pipe before", || stuffed);
        let control = control.map(Input::new).transpose()?;
        let mut supervisor = Supervisor { run, control, told, stuffed };
        if how.telling == Telling::Read {
            supervisor.read()?;
        }
        Ok(supervisor)
    }

    /// From here on what the service tells is read.
    pub fn read(&mut self) -> Result<(), Stop> {
        if let Some(told) = self.told.take() {
            let record = self.run.record.clone();
            // It goes on by itself until the other end is closed.
            read_passing(record, told, Who::Supervisor, TELLING)?;
        }
        Ok(())
    }

    /// What it has told, and what follows that.
    pub fn heard(&self, events: &[Event]) -> (Vec<Message>, Tail) {
        let all = passed(events, Who::Supervisor, TELLING);
        cut(all.get(self.stuffed..).unwrap_or_default())
    }

    /// Waits for what the service tells.
    pub async fn until<T>(&self, mut see: impl FnMut(&[Message]) -> Option<T>) -> Option<T> {
        self.run.until(|events| see(&self.heard(events).0)).await
    }

    /// Waits until the service can tell nothing more, and says what it told in all.
    pub async fn all_heard(&self) -> Option<(Vec<Message>, Tail)> {
        let over = |event: &Event| matches!(event.what, What::Closed { to: Who::Supervisor, fd: TELLING });
        self.run.until(|events| events.iter().any(over).then(|| self.heard(events))).await
    }

    /// Writes over the pipe that nothing is ever said through, and says whether all of it is taken.
    pub async fn is_taken(&self, bytes: &[u8]) -> bool {
        let Some(control) = &self.control else { return false };
        self.run.record.push(What::Passed { to: Who::Service(0), fd: CONTROL, bytes: bytes.to_vec() });
        let written = tokio::time::timeout(self.run.patience(), control.write_apart([bytes]));
        let taken = self.run.record.ask("the service takes all of it", async { matches!(written.await, Ok(Ok(()))) });
        let taken = taken.await;
        if !taken {
            self.run.record.run_out();
        }
        taken
    }

    /// Lets the service come to rest: until all its threads sleep, or it has ended, or for long.
    pub async fn rests(&self) {
        let (pid, deadline) = (self.run.pid, Instant::now() + self.run.patience() / 2);
        self.run.record.ask("the service rests", process::asleep(pid, deadline)).await;
    }

    /// Ends the pipe, which is the order to stop.
    pub fn close(&mut self) {
        self.run.record.push(What::Closed { to: Who::Service(0), fd: CONTROL });
        forks::close(self.control.take());
    }
}

impl Drop for Supervisor {
    /// A service whose case is done comes to its own end.
    fn drop(&mut self) {
        forks::close(self.control.take());
    }
}
