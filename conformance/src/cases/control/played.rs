//! Steps of cases in which the suite plays the service of a supervisor.

use std::time::Instant;

use crate::event::{Event, shown};
use crate::message::Lifetime;
use crate::outcome::Stop;
use crate::probe::service::Service;
use crate::stage::stated::Parent;
use crate::stage::{Run, Stage};

/// A supervisor whose service the suite plays.
pub(super) async fn played(stage: &Stage) -> Result<(Run, Service), Stop> {
    let run = stage.stated_parent(Parent::played_deaf()).await?;
    let service = Service::join(stage, &run).await?;
    Ok((run, service))
}

/// A supervisor that rests has done all that it does before it waits for anything.
pub(super) async fn ready(run: &Run) {
    run.asleep(run.pid, Instant::now() + run.patience() / 2).await;
}

/// The life of a service up to where it has started.
pub(super) fn up(stage: &Stage) -> Vec<Lifetime> {
    let tasks = stage.suite.profile.control.tasks.iter();
    tasks.map(|task| Lifetime::Startup(task.id)).chain([Lifetime::Complete]).collect()
}

/// Waits until more is shown than before, in words and up to a line's end, and says what.
pub(super) async fn more_shown(run: &Run, before: usize) -> Option<String> {
    let more = |events: &[Event]| shown(events, None).split_off(before);
    let has_words = |events: &[Event]| more(events).iter().any(u8::is_ascii_alphanumeric).then_some(());
    run.until(has_words).await?;
    // Of a line a part may come first. Who ends no lines is not waited for any longer.
    let is_whole = |events: &[Event]| more(events).ends_with(b"\n").then_some(());
    run.record.until(Instant::now() + run.patience() / 20, is_whole).await;
    Some(run.record.look(|events| String::from_utf8_lossy(&more(events)).into_owned()))
}
