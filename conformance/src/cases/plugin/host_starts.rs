//! How a host starts its plugin, with the suite in the plugin's place.

use std::time::Instant;

use super::played::fails;
use super::{sent, words};
use crate::cases::handed::{handed, missing_is_named, nothing_but};
use crate::cases::seen::shown_bytes;
use crate::chunk::METADATA;
use crate::event::Status;
use crate::outcome::{Outcome, Stop};
use crate::probe::plugin::{Plugin, numbers};
use crate::stage::Stage;
use crate::stage::stated::Parent;
use crate::subject::handover::{Descriptor, Kind};

crate::cases::cases! {
    "host.starts" => starts,
    "host.pipes" => pipes,
    "host.own-ends" => own_ends,
    "host.nothing-else" => nothing_else,
    "host.metadata-first" => metadata_first,
    "host.missing" => missing,
    "host.early-end" => early_end,
}

/// A host starts its plugin.
async fn starts(stage: &Stage) -> Outcome {
    handed(stage, Parent::played()).await.map(drop)
}

/// A plugin can read from the one and write to the other of two pipes, whose numbers it is told or which are its standard input
/// and output.
async fn pipes(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played()).await?;
    let (reads, writes) = numbers(&hello, &stage.suite.profile.plugin);
    for (number, is_read) in [(reads, true), (writes, false)] {
        let what = if is_read { "read from" } else { "written to" };
        let expected = format!("a pipe that can be {what} as {number}");
        let Some(end) = hello.descriptors.iter().find(|one| one.number == number) else {
            return Err(Stop::failure(expected, format!("nothing is open as {number}")));
        };
        let can = if is_read { end.readable } else { end.writable };
        if !can || !matches!(end.kind, Kind::Pipe | Kind::Socket) {
            let not = if can { "" } else { ", that cannot be" };
            return Err(Stop::failure(expected, format!("something of the kind {:?}{not}", end.kind)));
        }
    }
    Ok(())
}

/// A host does not hand on its own ends of the pipes.
async fn own_ends(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Parent::played()).await?;
    let (reads, writes) = numbers(&hello, &stage.suite.profile.plugin);
    let of = |number: i32| hello.descriptors.iter().find(|one| one.number == number && one.kind == Kind::Pipe);
    for (number, is_read) in [(reads, true), (writes, false)] {
        let Some(own) = of(number) else { continue };
        let is_other_end = |one: &&Descriptor| {
            let is_other = if is_read { one.writable } else { one.readable };
            one.number != number && one.identity == own.identity && is_other
        };
        if let Some(other) = hello.descriptors.iter().find(is_other_end) {
            let expected = format!("the other end of what is {number} is open in the host alone");
            return Err(Stop::failure(expected, format!("{} in the plugin is it too", other.number)));
        }
    }
    Ok(())
}

/// A host hands on its plugin's two ends, standard input and outputs, and nothing else.
async fn nothing_else(stage: &Stage) -> Outcome {
    let (run, hello) = handed(stage, Parent::played()).await?;
    let (reads, writes) = numbers(&hello, &stage.suite.profile.plugin);
    nothing_but(&run, &hello, [reads, writes])
}

/// A host asks its plugin what it is, with `GetMetadata`, before it asks anything else.
async fn metadata_first(stage: &Stage) -> Outcome {
    let run = stage.stated_parent(Parent::played()).await?;
    let plugin = Plugin::join(stage, &run).await?;
    let first = plugin.until(|chunks| chunks.first().cloned()).await;
    match first {
        Some(chunk) if chunk.is_request(METADATA) => Ok(()),
        Some(other) => Err(Stop::failure(format!("a request of `{METADATA}`"), words(&other))),
        None => Err(Stop::failure(format!("a request of `{METADATA}`"), sent(&plugin))),
    }
}

/// A host whose plugin cannot be started names it, and does not exit with status 0.
async fn missing(stage: &Stage) -> Outcome {
    missing_is_named(stage, "no-such-plugin").await
}

/// A host whose plugin ends before it has said what it is says so, and does not exit with status 0.
async fn early_end(stage: &Stage) -> Outcome {
    let run = stage.stated_parent(Parent::played()).await?;
    let mut plugin = Plugin::join(stage, &run).await?;
    plugin.run.until(|events| (!plugin.bytes_heard(events).is_empty()).then_some(())).await;
    // What it has to say before that it says before that.
    run.asleep(run.pid, Instant::now() + run.patience() / 2).await;
    let before = shown_bytes(&run);
    plugin.end(Status::Exited(0)).await?;
    fails(&run, "the early end of its plugin", before).await
}
