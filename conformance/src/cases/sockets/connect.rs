//! A client that connects, alone, with the suite as its server.

use std::time::{Duration, Instant};

use super::{answer, are_in_order, ends_well, is_shown, missing, request, says_and_ends, seen, typed};
use crate::cases::seen::{must_end, text};
use crate::event::Who;
use crate::outcome::{Outcome, Stop};
use crate::probe::callee::{Callee, Does};
use crate::probe::stream::Stream;
use crate::stage::addressed::Kind;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "connect.sends" => sends,
    "connect.shows" => shows_answer,
    "connect.split" => split,
    "connect.joined" => joined,
    "connect.refused" => refused,
    "connect.full" => full,
    "connect.server-gone" => server_gone,
    "connect.reset" => reset,
    "connect.leaves" => leaves,
    "connect.end-of-input" => end_of_input,
    "connect.owed" => owed,
    "connect.not-kept" => not_kept,
}

/// A client that has connected.
async fn connected(stage: &Stage, kind: Kind) -> Result<(Run, Stream), Stop> {
    Callee::start(stage, kind, Does::Listen)?.client(stage).await?.accept(stage).await
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
async fn asking(stage: &Stage, kind: Kind, numbers: &[u32]) -> Result<(Run, Stream), Stop> {
    let (run, stream) = connected(stage, kind).await.map_err(missing)?;
    asked(stage, &run, &stream, numbers).await.map_err(missing)?;
    Ok((run, stream))
}

/// A client connects to the server that listens, and what is typed to it is sent there.
async fn sends(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = connected(stage, kind).await?;
        asked(stage, &run, &stream, &[5]).await?;
    }
    Ok(())
}

/// A client shows the answer that it gets.
async fn shows_answer(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send(answer(stage, 5)).await;
        is_shown(stage, &run, 5).await?;
    }
    Ok(())
}

/// An answer that comes byte by byte is shown as one that comes at once.
async fn split(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send_apart(answer(stage, 5)).await;
        is_shown(stage, &run, 5).await?;
    }
    Ok(())
}

/// Answers that come at once are all shown, in their order.
async fn joined(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5, 6, 7]).await?;
        stream.send([5, 6, 7].map(|number| answer(stage, number)).concat()).await;
        for number in [5, 6, 7] {
            is_shown(stage, &run, number).await?;
        }
        are_in_order(stage, &run, &[5, 6, 7])?;
    }
    Ok(())
}

/// A client that is refused says so and ends, and not with status 0.
async fn refused(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let client = Callee::start(stage, kind, Does::Nothing)?.client(stage).await?;
        says_and_ends(&client.run, "its start with an address at which nobody listens").await?;
    }
    Ok(())
}

/// A client whose connection nobody takes says so after the time that it is told and ends, and not with status 0.
async fn full(stage: &Stage) -> Outcome {
    const TOLD: Duration = Duration::from_millis(1000);
    if !cfg!(target_os = "linux") {
        return Err(Stop::NotApplicable("how a queue is filled is known for Linux alone".into()));
    }
    let mut all = Vec::new();
    for kind in stage.streams()? {
        let callee = Callee::start(stage, kind, Does::Fill)?;
        let begun = Instant::now();
        all.push((callee.impatient_client(stage, TOLD).await?, begun));
    }
    for (client, begun) in &all {
        says_and_ends(&client.run, "its start with an address at which nobody takes its connection").await?;
        let took = stage.notes.answer("how long it has waited", || begun.elapsed());
        // Whoever was refused at once has not met a full queue, or does not wait.
        if took < TOLD / 2 {
            let expected = format!("a client that waits for {} ms", TOLD.as_millis());
            return Err(Stop::failure(expected, format!("its end after {} ms", took.as_millis())));
        }
    }
    Ok(())
}

/// A client whose server closes the connection says so and ends, and not with status 0.
async fn server_gone(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send(answer(stage, 5)).await;
        stream.close().await;
        says_and_ends(&run, "the end of its connection").await?;
    }
    Ok(())
}

/// A client whose connection is reset says so and ends, and not with status 0.
async fn reset(stage: &Stage) -> Outcome {
    // A path knows no such thing.
    stage.speaks(Kind::Tcp)?;
    let (run, stream) = asking(stage, Kind::Tcp, &[5]).await?;
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
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send(answer(stage, 5)).await;
        let leave = &stage.suite.profile.sockets.leave;
        run.line(leave).await?;
        let after = format!("`{leave}`");
        lets_go(stream, &after).await?;
        ends_well(must_end(&run, Who::Client, &after).await?, &after)?;
    }
    Ok(())
}

/// A client whose input ends closes its connection and ends.
async fn end_of_input(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send(answer(stage, 5)).await;
        run.close_input().await?;
        lets_go(stream, "the end of its input").await?;
        must_end(&run, Who::Client, "the end of its input").await?;
    }
    Ok(())
}

/// A client that is to leave shows the answer that it is owed, when that comes soon.
async fn owed(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        run.line(&stage.suite.profile.sockets.leave).await?;
        // Once it has nothing else to do.
        run.asleep(run.pid, std::time::Instant::now() + run.patience() / 10).await;
        stream.send(answer(stage, 5)).await;
        is_shown(stage, &run, 5).await?;
    }
    Ok(())
}

/// A server that never closes does not keep a client that is to leave.
async fn not_kept(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let (run, stream) = asking(stage, kind, &[5]).await?;
        stream.send(answer(stage, 5)).await;
        let leave = &stage.suite.profile.sockets.leave;
        run.line(leave).await?;
        must_end(&run, Who::Client, &format!("`{leave}`, with a server that never closes")).await?;
        drop(stream);
    }
    Ok(())
}
