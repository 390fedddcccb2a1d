//! Cases of the family `sockets`: a server alone, and a client alone.
//!
//! Steps that they share are here.

use std::time::Instant;

use crate::cases::Case;
use crate::cases::seen::{complaints, must_close, must_end, shows, state, text};
use crate::dialect::find;
use crate::event::{Event, Status, Stream as Shown, Who, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::caller::Listening;
use crate::probe::stream::Stream;
use crate::stage::addressed::Kind;
use crate::stage::{Run, Stage};

mod connect;
mod datagram;
mod listen;
mod paths;
mod peer;
mod resend;

/// All of them.
pub(super) const PARTS: &[&[Case]] =
    &[listen::CASES, paths::CASES, connect::CASES, datagram::CASES, resend::CASES, peer::CASES];

/// More than a datagram carries by any protocol, unless its sender asks for that.
const TOO_LONG_BYTES: usize = 300_000;

/// A message that is answered at once, with this number.
fn request(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.request.replace("{number}", &number.to_string())
}

/// Its answer.
fn answer(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.answer.replace("{number}", &number.to_string())
}

/// A message that is answered when this address is.
fn slow(stage: &Stage, url: &str) -> Result<String, Stop> {
    let form = &stage.suite.profile.sockets.slow;
    let none = || Stop::NotApplicable("the profile names no message whose answer takes long".into());
    Some(form).filter(|form| !form.is_empty()).map(|form| form.replace("{url}", url)).ok_or_else(none)
}

/// The messages that come are these answers, in this order.
async fn are_answers(stage: &Stage, stream: &Stream, numbers: &[u32]) -> Outcome {
    let heard = stream.messages(numbers.len()).await;
    let expected: Vec<_> = numbers.iter().map(|number| answer(stage, *number).into_bytes()).collect();
    if heard == expected {
        return Ok(());
    }
    Err(Stop::failure(format!("the answers {}", text(&expected.concat())), seen(stream)))
}

/// What has come over a stream, and how its session is.
fn seen(stream: &Stream) -> String {
    let heard = stream.bytes_heard();
    let heard = if heard.is_empty() { "nothing".to_owned() } else { text(&heard) };
    format!("{heard}, over connection {}; {}", stream.number, state(&stream.run))
}

/// A client that has asked one thing and was answered.
async fn answered(stage: &Stage, server: &Listening<'_>, number: u32) -> Result<Stream, Stop> {
    let stream = server.try_connect().await?.map_err(|error| {
        let expected = format!("the answers {}", text(answer(stage, number).as_bytes()));
        Stop::failure(expected, format!("no connection at {}: {error}", server.kind.name()))
    })?;
    stream.send(request(stage, number)).await;
    are_answers(stage, &stream, &[number]).await?;
    Ok(stream)
}

/// Others are answered, and still are when all that was under way has come to its end.
async fn still_serves(stage: &Stage, server: &Listening<'_>, number: u32) -> Outcome {
    answered(stage, server, number).await?;
    server.run.asleep(server.run.pid, Instant::now() + server.run.patience() / 10).await;
    answered(stage, server, number).await.map(drop)
}

/// It can be reached at its address, whatever kind that is, and answers there.
async fn reached(stage: &Stage, server: &Listening<'_>, number: u32) -> Outcome {
    match server.kind.is_for_datagrams() {
        true => datagram::answered(stage, server, number).await.map(drop),
        false => answered(stage, server, number).await.map(drop),
    }
}

/// The same on the way to a case's point.
async fn up(stage: &Stage, server: &Listening<'_>, number: u32) -> Result<Stream, Stop> {
    answered(stage, server, number).await.map_err(missing)
}

/// What a case needs and is not its point.
fn missing(stop: Stop) -> Stop {
    match stop {
        Stop::Failure { expected, seen } => Stop::Missing(format!("{expected}; seen: {seen}")),
        other => other,
    }
}

/// A server that listens, on the way to a case's point.
async fn started(stage: &Stage, kind: Kind) -> Result<Listening<'_>, Stop> {
    Listening::start(stage, kind).await.map_err(missing)
}

/// It did not exit with 0.
fn ends_badly(status: Option<Status>) -> Outcome {
    match status {
        Some(Status::Exited(0)) => Err(Stop::failure("an exit status that is not 0", "exit status 0")),
        _ => Ok(()),
    }
}

/// The same of what a shell says of it.
fn ends_badly_with(status: &str) -> Outcome {
    ends_badly(status.parse().ok().map(Status::Exited))
}

/// It exited with 0, as far as can be seen.
fn ends_well(status: Option<Status>, after: &str) -> Outcome {
    match status {
        Some(Status::Exited(0)) | None => Ok(()),
        Some(other) => Err(Stop::failure(format!("exit status 0 after {after}"), other.to_string())),
    }
}

/// What is typed to a client for a request.
fn typed(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.typed.replace("{number}", &number.to_string())
}

/// What a client shows for an answer.
fn shown_as(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.shows.replace("{number}", &number.to_string())
}

/// The client shows this answer.
async fn is_shown(stage: &Stage, run: &Run, number: u32) -> Outcome {
    let expected = shown_as(stage, number);
    if shows(run, &expected).await {
        return Ok(());
    }
    Err(Stop::failure(format!("`{expected}` is shown"), state(run)))
}

/// The client has shown these answers in this order.
fn are_in_order(stage: &Stage, run: &Run, numbers: &[u32]) -> Outcome {
    let all = run.record.look(|events| shown(events, None));
    let place = |number: &u32| find(&all, shown_as(stage, *number).as_bytes());
    match numbers.iter().map(place).is_sorted() {
        true => Ok(()),
        false => Err(Stop::failure("the answers in the order of the commands", text(&all))),
    }
}

/// A client ends, says something on standard error, and does not exit with 0.
async fn says_and_ends(run: &Run, after: &str) -> Outcome {
    let status = must_end(run, Who::Client, after).await?;
    has_said_and_ended(run, status, after).await
}

/// A client that has ended with this status said something on standard error, and the status is not 0.
async fn has_said_and_ended(run: &Run, status: Option<Status>, after: &str) -> Outcome {
    must_close(run).await?;
    if run.record.look(complaints).is_empty() {
        return Err(Stop::failure(format!("words on standard error after {after}"), format!("none; {}", state(run))));
    }
    ends_badly(status)
}

/// Waits until a line that begins so is shown on standard error or output, and gives what follows in it.
async fn shown_after(run: &Run, beginning: &str) -> Result<String, Stop> {
    let is_there = |events: &[Event]| {
        [Shown::Stdout, Shown::Stderr].into_iter().find_map(|stream| {
            let shown = String::from_utf8_lossy(&shown(events, Some(stream))).into_owned();
            let mut lines = shown.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            lines.find_map(|line| line.strip_prefix(beginning).map(|rest| rest.trim_end().to_owned()))
        })
    };
    let none = || Stop::failure(format!("a server that ends, and then the line `{beginning}…`"), state(run));
    run.until(is_there).await.ok_or_else(none)
}

/// A text that was expected.
fn is_text(what: &str, expected: &str, seen: &str) -> Outcome {
    if seen == expected { Ok(()) } else { Err(Stop::failure(format!("{what}: `{expected}`"), text(seen.as_bytes()))) }
}
