//! Cases of the family `control`: a service alone, a supervisor alone, and the two together.
//!
//! Steps of the cases of a service alone are here.

use crate::cases::Case;
use crate::cases::seen::{must_end, state};
use crate::event::{Status, Who};
use crate::message::{Lifetime, Message, Tail};
use crate::outcome::Stop;
use crate::probe::supervisor::{Start, Supervisor};
use crate::stage::Stage;

mod lifetime;
mod message;
#[cfg(unix)]
mod played;
mod stop;
#[cfg(unix)]
mod supervisor_ends;
#[cfg(unix)]
mod supervisor_hears;
#[cfg(unix)]
mod supervisor_starts;
#[cfg(unix)]
mod together;

/// All of them, as far as they can be performed on this system.
pub(super) const PARTS: &[&[Case]] = &[
    message::CASES,
    lifetime::CASES,
    stop::CASES,
    #[cfg(unix)]
    supervisor_starts::CASES,
    #[cfg(unix)]
    supervisor_hears::CASES,
    #[cfg(unix)]
    supervisor_ends::CASES,
    #[cfg(unix)]
    together::CASES,
];

/// A service that was asked for lifetime events and has told that it has started.
async fn started(stage: &Stage) -> Result<Supervisor, Stop> {
    let supervisor = Supervisor::start(stage, Start::default()).await?;
    complete(&supervisor).await?;
    Ok(supervisor)
}

/// Waits until a service tells that it has started.
async fn complete(supervisor: &Supervisor) -> Result<(), Stop> {
    let told = |messages: &[Message]| events(messages).contains(&Lifetime::Complete).then_some(());
    let missing = || Stop::Missing(format!("the service never told that it has started; {}", state(&supervisor.run)));
    supervisor.until(told).await.ok_or_else(missing)
}

/// All that a service tells from its start until its end, which comes with that of its pipe.
async fn life(stage: &Stage) -> Result<(Vec<Message>, Tail), Stop> {
    let mut supervisor = started(stage).await?;
    supervisor.close();
    last_words(&supervisor).await
}

/// What a service tells up to where it has started, and nothing follows; whether it was understood to have started is another
/// question.
async fn told_up(stage: &Stage) -> Result<(Vec<Message>, Tail), Stop> {
    let supervisor = Supervisor::start(stage, Start::default()).await?;
    let _ = complete(&supervisor).await;
    supervisor.rests().await;
    Ok(supervisor.run.record.look(|events| supervisor.heard(events)))
}

/// All that a service has told, once it can tell nothing more.
async fn last_words(supervisor: &Supervisor) -> Result<(Vec<Message>, Tail), Stop> {
    let missing = || Stop::Missing(format!("the service did not come to its end; {}", state(&supervisor.run)));
    supervisor.all_heard().await.ok_or_else(missing)
}

/// The lifetime events among messages, but for those that are none.
fn events(messages: &[Message]) -> Vec<Lifetime> {
    messages.iter().filter_map(|message| message.lifetime()?.ok()).collect()
}

/// The tasks that were to start.
fn startups(events: &[Lifetime]) -> Vec<u8> {
    events.iter().filter_map(|event| if let Lifetime::Startup(task) = event { Some(*task) } else { None }).collect()
}

/// The tasks that were to start, each once.
fn begun(events: &[Lifetime]) -> Vec<u8> {
    let all = startups(events);
    let is_first = |(at, task): &(usize, &u8)| !all[..*at].contains(task);
    all.iter().enumerate().filter(is_first).map(|(_, task)| *task).collect()
}

/// The tasks that were to stop.
fn shutdowns(events: &[Lifetime]) -> Vec<u8> {
    events.iter().filter_map(|event| if let Lifetime::Shutdown(task) = event { Some(*task) } else { None }).collect()
}

/// Events as a person reads them.
fn words(events: &[Lifetime]) -> String {
    let word = |event: &Lifetime| match event {
        Lifetime::Startup(task) => format!("startup {task}"),
        Lifetime::Complete => "complete".to_owned(),
        Lifetime::Shutdown(task) => format!("shutdown {task}"),
    };
    match events {
        [] => "no lifetime event".to_owned(),
        events => events.iter().map(word).collect::<Vec<_>>().join(", "),
    }
}

/// The service ends, and with status 0.
async fn ends_well(supervisor: &Supervisor, after: &str) -> Result<(), Stop> {
    let status = must_end(&supervisor.run, Who::Service(0), after).await?;
    match status {
        Some(Status::Exited(0)) | None => Ok(()),
        Some(other) => Err(Stop::failure(format!("exit status 0 after {after}"), other.to_string())),
    }
}
