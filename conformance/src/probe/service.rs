//! The suite in the service's place: a stand-in holds the service's process, the suite its ends of the pipes.

use crate::event::{Event, Status, What, Who, passed};
use crate::forks;
use crate::observe::ends::{Input, Reader, is_gone, read_passing};
use crate::outcome::Stop;
use crate::profile::Control;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Hello, Order};

/// A service that tells what the suite tells.
pub struct Service {
    run: Run,
    /// The number of the pipe whose end is the order to stop.
    control: i32,
    /// The number of the pipe that it tells of itself through.
    telling: i32,
    /// None when it is gone.
    reader: Option<Reader>,
    /// None when it tells nothing more.
    told: Option<Input>,
}

impl Service {
    /// Takes the held service's ends once the supervisor has started it.
    pub async fn join(stage: &Stage, run: &Run) -> Result<Self, Stop> {
        let missing = |what: &str| Stop::Missing(format!("{what} where the suite should play it"));
        let hello = run.first_child().await.ok_or_else(|| missing("no service was started"))?;
        let stated = &stage.suite.profile.control;
        let (Some(control), Some(telling)) = numbers(&hello, stated) else {
            return Err(missing("the service was not told the numbers of two pipes"));
        };
        let ends = (run.take_end(0, control), run.take_end(0, telling));
        run.drop_ends(0);
        let (Some(hears), Some(tells)) = ends else { return Err(missing("the service was given no such pipes")) };
        let reader = read_passing(run.record.clone(), hears, Who::Service(0), control)?;
        Ok(Service { run: run.clone(), control, telling, reader: Some(reader), told: Some(Input::new(tells)?) })
    }

    /// Tells something, as far as the supervisor takes it.
    pub async fn tell(&self, bytes: &[u8]) -> Result<(), Stop> {
        self.tell_apart([bytes]).await
    }

    /// Tells something in parts that are read apart.
    pub async fn tell_apart<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Stop> {
        let parts: Vec<_> = parts.into_iter().collect();
        let bytes = parts.concat();
        self.run.record.push(What::Passed { to: Who::Supervisor, fd: self.telling, bytes });
        let Some(told) = &self.told else { return Ok(()) };
        match tokio::time::timeout(self.run.patience(), told.write_apart(parts)).await {
            Ok(Err(error)) if !is_gone(&error) => Err(error.into()),
            // What is not taken in time, or by nobody, shows in what does not happen.
            _ => Ok(()),
        }
    }

    /// Tells nothing more.
    pub fn fall_silent(&mut self) {
        self.run.record.push(What::Closed { to: Who::Supervisor, fd: self.telling });
        forks::close(self.told.take());
    }

    /// Waits for the order to stop, and says what was said over that pipe before; `None` if it does not come.
    pub async fn stopped(&self) -> Option<Vec<u8>> {
        let over = |event: &Event| matches!(event.what, What::Closed { to: Who::Service(0), fd } if fd == self.control);
        let said = |events: &[Event]| passed(events, Who::Service(0), self.control);
        self.run.until(|events| events.iter().any(over).then(|| said(events))).await
    }

    /// The order to stop has come, be it noted yet or not.
    pub fn is_stopped(&self) -> bool {
        let has_ended = || self.reader.as_ref().is_none_or(Reader::is_over);
        self.run.record.answer("whether its pipe has ended", has_ended)
    }

    /// Ends so, as a service does that has told all: both its pipes end with it.
    pub async fn end(&mut self, status: Status) -> Result<(), Stop> {
        self.fall_silent();
        self.run.order(0, &Order::end(status))?;
        let ended = self.run.ended(Who::Service(0)).await;
        if let Some(reader) = self.reader.take() {
            reader.close().await;
        }
        ended.map(drop).ok_or_else(|| Stop::TooSlow("for the service that the suite plays to end".into()))
    }
}

impl Drop for Service {
    /// A supervisor whose case is done sees its service end.
    fn drop(&mut self) {
        forks::close(self.told.take());
        let _ = self.run.order(0, &Order::Exit(0));
    }
}

/// The numbers that a service was told: of the pipe that it hears its end through, and of the one that it tells through.
pub fn numbers(hello: &Hello, stated: &Control) -> (Option<i32>, Option<i32>) {
    let args: Vec<_> = hello.argv.iter().skip(1).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    (number(&args, &stated.receive), number(&args, &stated.send))
}

/// The number in an option, which may be parted from the option's name.
fn number(args: &[String], option: &str) -> Option<i32> {
    let (before, after) = option.split_once("{fd}")?;
    let together = |arg: &String| arg.strip_prefix(before)?.strip_suffix(after)?.parse().ok();
    let name = before.trim_end_matches(['=', ' ']);
    let parted = || args.windows(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok());
    args.iter().find_map(together).or_else(parted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_the_option_or_behind_it() {
        let found = |words: &str| number(&words.split(' ').map(str::to_owned).collect::<Vec<_>>(), "--piperx={fd}");
        assert_eq!(found("run --piperx=3 --pipetx=4"), Some(3));
        assert_eq!(found("--piperx 12 --pipetx 4"), Some(12));
        for none in ["--piperx", "--piperx=", "--pipetx=4", "--piperx=x", "piperx=3"] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
