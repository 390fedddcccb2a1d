//! What a service tells of its life, alone, with the suite as its supervisor.

use super::{begun, events, last_words, life, shutdowns, started, startups, told_up, words};
use crate::message::{LIFETIME, Lifetime, Message};
use crate::outcome::{Outcome, Stop};
use crate::probe::supervisor::{Control, Start, Supervisor};
use crate::stage::Stage;

crate::cases::cases! {
    "lifetime.type" => kind,
    "lifetime.size" => size,
    "lifetime.startup" => startup,
    "lifetime.complete" => completed,
    "lifetime.shutdown" => shutdown,
    "lifetime.reverse" => reverse,
    "lifetime.database-first" => database_first,
    "lifetime.ids" => ids,
    "lifetime.only-started" => only_started,
    "lifetime.unasked" => unasked,
}

/// A service that is asked for lifetime events tells of them in messages of the type `lifetimeevent`.
async fn kind(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start::default()).await?;
    let told = |messages: &[Message]| messages.iter().any(|message| message.kind == LIFETIME).then_some(());
    if supervisor.until(told).await.is_some() {
        return Ok(());
    }
    let kinds = supervisor.run.record.look(|events| supervisor.heard(events).0);
    let kinds: Vec<_> = kinds.iter().map(|message| String::from_utf8_lossy(&message.kind).into_owned()).collect();
    let seen =
        if kinds.is_empty() { "no message".to_owned() } else { format!("messages of the types {}", kinds.join(", ")) };
    Err(Stop::failure("a message of the type lifetimeevent", seen))
}

/// The payload of every lifetime event is two bytes long, and the first of them is 0, 1 or 2.
async fn size(stage: &Stage) -> Outcome {
    let (messages, _) = told_up(stage).await?;
    match messages.iter().find_map(|message| message.lifetime()?.err()) {
        None => Ok(()),
        Some(wrong) => Err(Stop::failure("two bytes, the event (0, 1 or 2) and its task", wrong)),
    }
}

/// A service tells of every task that is about to start, once, and of one at least.
async fn startup(stage: &Stage) -> Outcome {
    let told = events(&told_up(stage).await?.0);
    let tasks = startups(&told);
    let is_twice = |task: &u8| tasks.iter().filter(|other| *other == task).count() > 1;
    if tasks.is_empty() || tasks.iter().any(is_twice) {
        return Err(Stop::failure("one startup event for each task, and one at least", words(&told)));
    }
    Ok(())
}

/// A service tells once that all its tasks have started, and after that of no other that starts.
async fn completed(stage: &Stage) -> Outcome {
    let (messages, _) = told_up(stage).await?;
    let told = events(&messages);
    let expected = "startup events, then one complete, then no other startup";
    let after = told.iter().skip_while(|event| **event != Lifetime::Complete).skip(1);
    let is_wrong = |event: &Lifetime| matches!(event, Lifetime::Startup(_) | Lifetime::Complete);
    if !told.contains(&Lifetime::Complete) || after.into_iter().any(is_wrong) {
        return Err(Stop::failure(expected, words(&told)));
    }
    Ok(())
}

/// A service tells of every task that was started, once, that it is about to stop.
async fn shutdown(stage: &Stage) -> Outcome {
    let told = events(&life(stage).await?.0);
    let sorted = |mut tasks: Vec<u8>| {
        tasks.sort_unstable();
        tasks
    };
    if sorted(begun(&told)) == sorted(shutdowns(&told)) {
        return Ok(());
    }
    Err(Stop::failure("a shutdown event for each task that was started", words(&told)))
}

/// A service stops its tasks in the reverse order of their start.
async fn reverse(stage: &Stage) -> Outcome {
    let told = events(&life(stage).await?.0);
    let expected: Vec<_> = begun(&told).into_iter().rev().collect();
    if expected.len() < 2 {
        return Err(Stop::NotApplicable("it has one task, which has no order".into()));
    }
    if shutdowns(&told) == expected {
        return Ok(());
    }
    Err(Stop::failure("shutdown events in the reverse order of the startup events", words(&told)))
}

/// A service starts its tasks in the order in which they are listed: the database first.
async fn database_first(stage: &Stage) -> Outcome {
    let supervisor = started(stage).await?;
    let told = supervisor.run.record.look(|all| events(&supervisor.heard(all).0));
    let place = |task: &u8| stage.suite.profile.control.tasks.iter().position(|listed| listed.id == *task);
    let places: Vec<_> = begun(&told).iter().filter_map(place).collect();
    if places.len() < 2 {
        return Err(Stop::NotApplicable("it tells of fewer than two of the tasks that are listed".into()));
    }
    if places.is_sorted() {
        return Ok(());
    }
    Err(Stop::failure(format!("startup events in this order: {}", listed(stage)), words(&told)))
}

/// The tasks that a service tells of are those that are listed, each by its number.
async fn ids(stage: &Stage) -> Outcome {
    let (messages, _) = told_up(stage).await?;
    let told = events(&messages);
    let tasks = [startups(&told), shutdowns(&told)].concat();
    let is_listed = |task: &u8| stage.suite.profile.control.tasks.iter().any(|listed| listed.id == *task);
    if tasks.iter().all(is_listed) {
        return Ok(());
    }
    Err(Stop::failure(format!("only these tasks: {}", listed(stage)), words(&told)))
}

fn listed(stage: &Stage) -> String {
    let tasks = &stage.suite.profile.control.tasks;
    tasks.iter().map(|task| format!("{} ({})", task.id, task.name)).collect::<Vec<_>>().join(", ")
}

/// A service whose pipe has ended before it was started tells of no task that stops but those that were to start.
async fn only_started(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start { control: Control::Ended, ..Start::default() }).await?;
    let told = events(&last_words(&supervisor).await?.0);
    let started = startups(&told);
    if shutdowns(&told).iter().all(|task| started.contains(task)) {
        return Ok(());
    }
    Err(Stop::failure("shutdown events for none but the tasks that were to start", words(&told)))
}

/// A service that is not asked for lifetime events tells of none.
async fn unasked(stage: &Stage) -> Outcome {
    let mut supervisor = Supervisor::start(stage, Start { unasked: true, ..Start::default() }).await?;
    // It has told all that it had to when it awaits the end of its pipe.
    supervisor.rests().await;
    supervisor.close();
    let (messages, _) = last_words(&supervisor).await?;
    match messages.iter().filter(|message| message.kind == LIFETIME).count() {
        0 => Ok(()),
        count => Err(Stop::failure("no lifetime event", format!("{count} of them"))),
    }
}
