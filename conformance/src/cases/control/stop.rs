//! What ends a service, and what does not, with the suite as its supervisor.

use super::{begun, complete, ends_well, events, last_words, shutdowns, started, words};
use crate::cases::seen::{complaints, must_end, state, text};
use crate::event::{Event, Status, Who};
use crate::message::encoded;
use crate::outcome::{Outcome, Stop};
use crate::probe::supervisor::{Control, Start, Supervisor, Telling};
use crate::signal::Signal;
use crate::stage::Stage;

crate::cases::cases! {
    "stop.end-of-pipe" => end_of_pipe,
    "stop.status" => status,
    "stop.before-start" => before_start,
    "stop.unreadable" => unreadable,
    "stop.discards" => discards,
    "stop.mid-message" => mid_message,
    "stop.sigterm" => sigterm,
    "stop.sigint" => sigint,
    "stop.again" => again,
    "stop.unread" => unread,
    "stop.unheard" => unheard,
    "stop.untold" => untold,
    "stop.uncontrolled" => uncontrolled,
    "stop.no-such-pipe" => no_such_pipe,
}

/// The order to stop, in the words of a report.
const END: &str = "the end of its pipe";

/// Messages that nobody knows yet, as many as there may be some day: more than a pipe holds, and than a program reads at once.
/// What is no message at all might be taken for an error of reading one, which is a reason to stop.
fn of_another_day() -> Vec<u8> {
    encoded(b"of-another-day", &[7; 1000]).repeat(200)
}

/// A service ends when its pipe does.
async fn end_of_pipe(stage: &Stage) -> Outcome {
    let mut supervisor = started(stage).await?;
    supervisor.close();
    must_end(&supervisor.run, Who::Service(0), END).await.map(drop)
}

/// A service that was stopped by the end of its pipe exits with status 0.
async fn status(stage: &Stage) -> Outcome {
    let mut supervisor = started(stage).await?;
    supervisor.close();
    ends_well(&supervisor, END).await
}

/// A service whose pipe has ended before it was started ends too.
async fn before_start(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start { control: Control::Ended, ..Start::default() }).await?;
    must_end(&supervisor.run, Who::Service(0), "its start, with a pipe that has ended").await.map(drop)
}

/// A service that cannot read from its pipe does not run on.
async fn unreadable(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start { control: Control::Unreadable, ..Start::default() }).await?;
    must_end(&supervisor.run, Who::Service(0), "its start, with a pipe that it cannot read from").await.map(drop)
}

/// A service takes whatever messages come over its pipe, more than a pipe holds too, and runs on until the pipe ends.
async fn discards(stage: &Stage) -> Outcome {
    let mut supervisor = started(stage).await?;
    let messages = of_another_day();
    let expected = format!("{} bytes of unknown messages are read from its pipe, and it runs on", messages.len());
    let reads = supervisor.is_taken(&messages).await;
    runs_on(&supervisor, &expected, reads, "it does not read").await?;
    supervisor.close();
    must_end(&supervisor.run, Who::Service(0), END).await.map(drop)
}

/// Once it rests, the service has not ended, nor told that it is about to, and has done what was expected of it, if it `did`; else
/// it is said what it does not do.
async fn runs_on(supervisor: &Supervisor, expected: &str, did: bool, does_not: &str) -> Outcome {
    supervisor.rests().await;
    let tells = |all: &[Event]| !shutdowns(&events(&supervisor.heard(all).0)).is_empty();
    let stops = supervisor.run.is_over() || supervisor.run.record.look(tells);
    if did && !stops {
        return Ok(());
    }
    let seen = if stops { "it stops" } else { does_not };
    let said = supervisor.run.record.look(complaints);
    Err(Stop::failure(expected, format!("{seen}; {}; {}", state(&supervisor.run), text(&said))))
}

/// A service whose pipe ends inside what might be a message ends too.
async fn mid_message(stage: &Stage) -> Outcome {
    let mut supervisor = started(stage).await?;
    if !supervisor.is_taken(b"\x01\x0dlifetime").await {
        return Err(Stop::Missing(format!("a service that reads from its pipe; {}", state(&supervisor.run))));
    }
    supervisor.close();
    must_end(&supervisor.run, Who::Service(0), "the end of its pipe inside a message").await.map(drop)
}

/// At SIGTERM a service stops as at the end of its pipe: it tells of all that stops, and exits with status 0.
async fn sigterm(stage: &Stage) -> Outcome {
    stops_at(stage, Signal::SIGTERM).await
}

/// At SIGINT a service stops as at the end of its pipe: it tells of all that stops, and exits with status 0.
async fn sigint(stage: &Stage) -> Outcome {
    stops_at(stage, Signal::SIGINT).await
}

async fn stops_at(stage: &Stage, signal: Signal) -> Outcome {
    let supervisor = started(stage).await?;
    supervisor.run.signal(Who::Service(0), signal)?;
    ends_well(&supervisor, signal.as_str()).await?;
    let told = events(&last_words(&supervisor).await?.0);
    if begun(&told).len() == shutdowns(&told).len() {
        return Ok(());
    }
    Err(Stop::failure(format!("a shutdown event for each task after {signal}"), words(&told)))
}

/// A service that is told to stop while it does so goes on with it, and exits with status 0.
async fn again(stage: &Stage) -> Outcome {
    // What it has to tell keeps it from its end for as long as it likes: there is time to be told once more.
    let mut supervisor = Supervisor::start(stage, Start { telling: Telling::Full, ..Start::default() }).await?;
    supervisor.rests().await;
    supervisor.close();
    supervisor.rests().await;
    supervisor.run.signal(Who::Service(0), Signal::SIGTERM)?;
    supervisor.rests().await;
    supervisor.read()?;
    ends_well(&supervisor, "the end of its pipe, and then SIGTERM").await
}

/// A service whose messages nobody reads ends when its pipe does.
async fn unread(stage: &Stage) -> Outcome {
    let mut supervisor = Supervisor::start(stage, Start { telling: Telling::Full, ..Start::default() }).await?;
    supervisor.rests().await;
    supervisor.close();
    must_end(&supervisor.run, Who::Service(0), "the end of its pipe, while nobody reads what it tells").await.map(drop)
}

/// A service whose messages nobody can read any more runs on until its pipe ends, and then ends too.
async fn unheard(stage: &Stage) -> Outcome {
    lives_until_its_end(stage, Telling::Broken).await
}

/// A service that has no pipe to tell through runs on until its other pipe ends, and then ends too.
async fn untold(stage: &Stage) -> Outcome {
    lives_until_its_end(stage, Telling::None).await
}

async fn lives_until_its_end(stage: &Stage, telling: Telling) -> Outcome {
    let mut supervisor = Supervisor::start(stage, Start { telling, ..Start::default() }).await?;
    // Whoever reads from its pipe listens; and when all of it rests, nothing is left that could end it.
    let reads = supervisor.is_taken(&of_another_day()).await;
    let expected = "a service that reads from its pipe, and runs on until that ends";
    runs_on(&supervisor, expected, reads, "it does not read").await?;
    supervisor.close();
    must_end(&supervisor.run, Who::Service(0), END).await.map(drop)
}

/// A service that has no pipe to be stopped by runs until it is told to stop by a signal.
async fn uncontrolled(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start { control: Control::None, ..Start::default() }).await?;
    let expected = "a service that starts without a pipe to be stopped by, and runs on";
    let runs = complete(&supervisor).await.is_ok();
    runs_on(&supervisor, expected, runs, "it never tells that it has started").await?;
    supervisor.run.signal(Who::Service(0), Signal::SIGTERM)?;
    must_end(&supervisor.run, Who::Service(0), "SIGTERM").await.map(drop)
}

/// A service that is told the number of a pipe that it was not given says so and fails.
async fn no_such_pipe(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start { control: Control::Nothing, ..Start::default() }).await?;
    let status = must_end(&supervisor.run, Who::Service(0), "its start, with the number of no pipe").await?;
    supervisor.run.outputs_closed().await;
    let said = supervisor.run.record.look(complaints);
    let expected = "words on standard error, and an exit status that is not 0";
    match status {
        Some(Status::Exited(1..)) if said.iter().any(u8::is_ascii_alphanumeric) => Ok(()),
        Some(status) => Err(Stop::failure(expected, format!("{status}; {}", text(&said)))),
        None => Err(Stop::Missing("how it ended".into())),
    }
}
