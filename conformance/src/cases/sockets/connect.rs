//! A client that connects, alone, with the suite as its server.

use super::{answer, ends_badly, missing, request, seen};
use crate::cases::steps::{complaints, must_close, must_end, shows, state, text};
use crate::event::{Status, Who};
use crate::outcome::{Outcome, Stop};
use crate::probe::callee::Callee;
use crate::probe::stream::Stream;
use crate::stage::addressed::Kind;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "connect.sends" => sends,
    "connect.shows" => shows_answer,
    "connect.split" => split,
    "connect.joined" => joined,
    "connect.refused" => refused,
    "connect.server-gone" => server_gone,
    "connect.reset" => reset,
    "connect.leaves" => leaves,
    "connect.end-of-input" => end_of_input,
    "connect.owed" => owed,
    "connect.not-kept" => not_kept,
}

/// The port at which the suite listens, or keeps anybody from listening.
fn callee(stage: &Stage, listens: bool) -> Result<Callee, Stop> {
    stage.speaks(Kind::Tcp)?;
    Callee::start(stage, listens)
}

/// A client that has connected.
async fn connected(stage: &Stage) -> Result<(Run, Stream), Stop> {
    let callee = callee(stage, true)?;
    let run = stage.client_at(callee.port).await?;
    let stream = callee.accept(stage, &run).await?;
    Ok((run, stream))
}

fn typed(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.typed.replace("{number}", &number.to_string())
}

fn shown_as(stage: &Stage, number: u32) -> String {
    stage.suite.profile.sockets.shows.replace("{number}", &number.to_string())
}

/// Types what makes the client send these, and waits for them.
async fn asked(stage: &Stage, run: &Run, stream: &Stream, numbers: &[u32]) -> Outcome {
    for number in numbers {
        run.line(&typed(stage, *number)).await?;
    }
    let expected: Vec<_> = numbers.iter().map(|number| request(stage, *number).into_bytes()).collect();
    if stream.messages(numbers.len()).await == expected {
        return Ok(());
    }
    Err(Stop::failure(format!("after `{}`, {}", typed(stage, numbers[0]), text(&expected.concat())), seen(stream)))
}

/// The same on the way to a case's point.
async fn asking(stage: &Stage, numbers: &[u32]) -> Result<(Run, Stream), Stop> {
    let (run, stream) = connected(stage).await.map_err(missing)?;
    asked(stage, &run, &stream, numbers).await.map_err(missing)?;
    Ok((run, stream))
}

/// The client shows this answer.
async fn is_shown(stage: &Stage, run: &Run, number: u32) -> Outcome {
    let expected = shown_as(stage, number);
    if shows(run, &expected).await {
        return Ok(());
    }
    Err(Stop::failure(format!("`{expected}` is shown"), state(run)))
}

/// A client connects to the server that listens, and what is typed to it is sent there.
async fn sends(stage: &Stage) -> Outcome {
    let (run, stream) = connected(stage).await?;
    asked(stage, &run, &stream, &[5]).await
}

/// A client shows the answer that it gets.
async fn shows_answer(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send(answer(stage, 5)).await;
    is_shown(stage, &run, 5).await
}

/// An answer that comes byte by byte is shown as one that comes at once.
async fn split(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send_apart(answer(stage, 5)).await;
    is_shown(stage, &run, 5).await
}

/// Answers that come at once are all shown, in their order.
async fn joined(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5, 6, 7]).await?;
    stream.send([5, 6, 7].map(|number| answer(stage, number)).concat()).await;
    for number in [5, 6, 7] {
        is_shown(stage, &run, number).await?;
    }
    let all = run.record.look(|events| crate::event::shown(events, None));
    let places = [5, 6, 7].map(|number| crate::dialect::find(&all, shown_as(stage, number).as_bytes()));
    if places.is_sorted() { Ok(()) } else { Err(Stop::failure("the answers in the order of the commands", text(&all))) }
}

/// Ends, says something on standard error, and not with status 0.
async fn says_and_ends(run: &Run, after: &str) -> Outcome {
    let status = must_end(run, Who::Client, after).await?;
    must_close(run).await?;
    if run.record.look(complaints).is_empty() {
        return Err(Stop::failure(format!("words on standard error after {after}"), format!("none; {}", state(run))));
    }
    ends_badly(status)
}

/// A client that is refused says so and ends, and not with status 0.
async fn refused(stage: &Stage) -> Outcome {
    let callee = callee(stage, false)?;
    let run = stage.client_at(callee.port).await?;
    says_and_ends(&run, "its start with an address at which nobody listens").await
}

/// A client whose server closes the connection says so and ends, and not with status 0.
async fn server_gone(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send(answer(stage, 5)).await;
    stream.close().await;
    says_and_ends(&run, "the end of its connection").await
}

/// A client whose connection is reset says so and ends, and not with status 0.
async fn reset(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.reset().await;
    says_and_ends(&run, "a reset of its connection").await
}

/// The client has closed its connection, whose other end is then closed too.
async fn lets_go(stream: Stream, after: &str) -> Outcome {
    if !stream.ends().await {
        return Err(Stop::failure(format!("the end of the connection after {after}"), seen(&stream)));
    }
    stream.close().await;
    Ok(())
}

/// A client that is to leave closes its connection, and exits with status 0.
async fn leaves(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send(answer(stage, 5)).await;
    let leave = &stage.suite.profile.sockets.leave;
    run.line(leave).await?;
    let after = format!("`{leave}`");
    lets_go(stream, &after).await?;
    match must_end(&run, Who::Client, &after).await? {
        Some(Status::Exited(0)) | None => Ok(()),
        Some(other) => Err(Stop::failure(format!("exit status 0 after {after}"), other.to_string())),
    }
}

/// A client whose input ends closes its connection and ends.
async fn end_of_input(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send(answer(stage, 5)).await;
    run.close_input().await?;
    lets_go(stream, "the end of its input").await?;
    must_end(&run, Who::Client, "the end of its input").await.map(drop)
}

/// A client that is to leave shows the answer that it is owed, when that comes soon.
async fn owed(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    run.line(&stage.suite.profile.sockets.leave).await?;
    // Once it has nothing else to do.
    run.asleep(run.pid, std::time::Instant::now() + run.patience() / 10).await;
    stream.send(answer(stage, 5)).await;
    is_shown(stage, &run, 5).await
}

/// A server that never closes does not keep a client that is to leave.
async fn not_kept(stage: &Stage) -> Outcome {
    let (run, stream) = asking(stage, &[5]).await?;
    stream.send(answer(stage, 5)).await;
    let leave = &stage.suite.profile.sockets.leave;
    run.line(leave).await?;
    must_end(&run, Who::Client, &format!("`{leave}`, with a server that never closes")).await?;
    drop(stream);
    Ok(())
}
