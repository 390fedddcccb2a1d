//! How a supervisor starts its service: what that is told and handed, and what is said to it later, which is nothing.

use std::ffi::OsString;

use super::played::{played, ready, up};
use crate::cases::handed::{handed, missing_is_named, nothing_but};
use crate::cases::seen::{state, text};
use crate::event::Who;
use crate::message::Lifetime;
use crate::outcome::{Outcome, Stop};
use crate::probe::service::numbers;
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::stated::Parent;
use crate::subject::handover::{Descriptor, Hello, Kind};

crate::cases::cases! {
    "supervise.starts" => starts,
    "supervise.one-way" => one_way,
    "supervise.own-ends" => own_ends,
    "supervise.nothing-else" => nothing_else,
    "supervise.arguments" => arguments,
    "supervise.asks" => asks,
    "supervise.says-nothing" => says_nothing,
    "supervise.missing" => missing,
}

/// The arguments of a service as a person reads them.
fn argv(hello: &Hello) -> String {
    hello.argv.iter().skip(1).map(|arg| text(arg)).collect::<Vec<_>>().join(" ")
}

fn both(stage: &Stage, hello: &Hello) -> Result<(i32, i32), Stop> {
    match numbers(hello, &stage.suite.profile.control) {
        (Some(control), Some(telling)) => Ok((control, telling)),
        _ => Err(Stop::Missing("the numbers of two pipes in the service's arguments".into())),
    }
}

/// A supervisor starts its service and tells it the numbers of two pipes.
async fn starts(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played_deaf()).await?;
    let stated = &stage.suite.profile.control;
    match numbers(&hello, stated) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err(Stop::failure(format!("a service with {} and {}", stated.receive, stated.send), argv(&hello))),
    }
}

/// Of the two pipes of a service one can only be read from, and the other only be written to.
async fn one_way(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played_deaf()).await?;
    let (control, telling) = both(stage, &hello)?;
    for (number, reads) in [(control, true), (telling, false)] {
        let what = if reads { "read from" } else { "written to" };
        let expected = format!("a pipe that can only be {what} as {number}");
        let Some(end) = hello.descriptors.iter().find(|one| one.number == number) else {
            return Err(Stop::failure(expected, "nothing is open under that number"));
        };
        if end.kind != Kind::Pipe || (end.readable, end.writable) != (reads, !reads) {
            let can = match (end.readable, end.writable) {
                (true, true) => "both",
                (true, false) => "read from",
                _ => "written to",
            };
            return Err(Stop::failure(expected, format!("something of the kind {:?} that can be {can}", end.kind)));
        }
    }
    Ok(())
}

/// A supervisor does not hand on its own end of the pipe that its service is stopped by.
async fn own_ends(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played_deaf()).await?;
    let (control, _) = both(stage, &hello)?;
    let own = hello.descriptors.iter().find(|one| one.number == control);
    let own = own.ok_or_else(|| Stop::Missing(format!("something that is open as {control}")))?;
    let is_other_end = |one: &&Descriptor| one.number != control && one.identity == own.identity && one.writable;
    match hello.descriptors.iter().find(is_other_end) {
        None => Ok(()),
        Some(other) => Err(Stop::failure(
            format!("no end in the service that what is {control} is written to through"),
            format!("{} is one", other.number),
        )),
    }
}

/// A supervisor hands on its service's two ends, standard input and outputs, and nothing else.
async fn nothing_else(stage: &Stage) -> Outcome {
    let (run, hello) = handed(stage, Parent::played_deaf()).await?;
    let (control, telling) = both(stage, &hello)?;
    nothing_but(&run, &hello, [control, telling])
}

/// A supervisor hands the arguments for its service on as they are, blanks and empty ones too.
async fn arguments(stage: &Stage) -> Outcome {
    let given = ["--first", "two words", "", "$HOME", "-x"];
    let how = Parent { arguments: given.iter().map(OsString::from).collect(), ..Parent::played_deaf() };
    let (_run, hello) = handed(stage, how).await?;
    let seen: Vec<_> = hello.argv.iter().skip(1).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    if seen.windows(given.len()).any(|some| some == given) {
        return Ok(());
    }
    Err(Stop::failure(format!("these arguments, one after the other: {given:?}"), argv(&hello)))
}

/// A supervisor asks its service for lifetime events.
async fn asks(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played_deaf()).await?;
    let events = &stage.suite.profile.control.events;
    let asked: Vec<_> = events.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
    if hello.argv[1..].windows(asked.len().max(1)).any(|some| some == asked) {
        return Ok(());
    }
    Err(Stop::failure(format!("a service with {events}"), argv(&hello)))
}

/// A supervisor writes nothing to the pipe that its service is stopped by.
async fn says_nothing(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    let told: Vec<u8> = up(stage).into_iter().flat_map(Lifetime::encoded).collect();
    service.tell(&told).await?;
    ready(&run).await;
    // However it stops its service, with its own end that pipe ends too.
    run.signal(Who::Supervisor, Signal::SIGKILL)?;
    let said = service.stopped().await.ok_or_else(|| Stop::Missing(format!("the end of the pipe; {}", state(&run))))?;
    if said.is_empty() {
        return Ok(());
    }
    Err(Stop::failure("the end of the pipe, and nothing before it", text(&said)))
}

/// A supervisor whose service cannot be started names it, and does not exit with status 0.
async fn missing(stage: &Stage) -> Outcome {
    missing_is_named(stage, "no-such-service").await
}
