//! A watchdog alone, and how it ends a server that lives on: one that falls silent, floods it, takes nothing more, closes a
//! pipe or will not end. The suite plays it.

use std::time::{Duration, Instant};

use super::server_dies::notices;
use super::steps::{
    both_end, die, ended_within, exits_with, idle, leave, must_end, played, played_in, state, with_grandchild,
};
use super::to_watchdog::{answers_shown, recorded};
use crate::event::{Status, Who};
use crate::outcome::{Outcome, Stop};
use crate::probe::server::Server;
use crate::signal::Signal;
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};
use crate::subject::handover::Order;

crate::cases::cases! {
    "end.exit-answer" => exit_answer,
    "end.starting-server" => starting_server,
    "end.exit-alarm" => exit_alarm,
    "end.ignored-signals" => signals,
    "end.exit-failed" => exit_failed,
    "end.slow-server" => slow_server,
    "end.sigint-twice" => sigint_twice,
    "end.sigint-after-exit" => sigint_after_exit,
    "end.never-answers" => never_answers,
    "end.half-a-reply" => half_a_reply,
    "end.sigterm-untaken" => sigterm_untaken,
    "end.flooding-server" => flooding_server,
    "end.pipes-closed" => pipes_closed,
    "end.pipes-closed-moment" => pipes_closed_moment,
    "end.replies-closed" => replies_closed,
    "end.messages-closed" => messages_closed,
    "end.stubborn-server" => stubborn_server,
    "end.grandchild" => grandchild,
}

/// What nobody who waits for an answer would call waiting, however slow the machine is said to be.
const MOMENT: Duration = Duration::from_millis(150);

/// What whoever gives a server any time to end gives it.
const ANY_TIME: Duration = Duration::from_millis(400);

/// What whoever waits for an answer at all waits for it.
const SOON: Duration = Duration::from_millis(700);

/// Answers that come soon after `exit` are still shown.
async fn exit_answer(stage: &Stage) -> Outcome {
    let (line, reply) = recorded(stage)?;
    let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    for n in 0..2 {
        run.line(line).await?;
        match server.message(&run).await {
            Err(Stop::Missing(_)) if n > 0 => {
                return Err(Stop::NotApplicable("it awaits each reply before it sends the next message".into()));
            }
            message => _ = message?,
        }
    }
    let begun = Instant::now();
    run.line("exit").await?;
    // Else a reply might be there before the command is. What is written into a pipe wakes its reader at once.
    run.asleep(run.pid, begun + run.patience() / 100).await;
    // The first one is no reason to leave without the second.
    for times in 1..=2 {
        lives_on(stage, &run, begun).await?;
        server.reply(&run, reply).await?;
        if !run.record.answer("the reply came soon", || begun.elapsed() <= SOON) {
            return Err(Stop::TooSlow("for a reply to come soon".into()));
        }
        answers_shown(&run, times, "although `exit` was typed before it came").await?;
    }
    drop(server);
    must_end(&run, Who::Watchdog, "`exit`").await.map(drop)
}

/// For a moment the server is left alone, in a session whose end has `begun` then.
async fn lives_on(stage: &Stage, run: &Run, begun: Instant) -> Outcome {
    if ended_within(run, Who::Server(0), MOMENT).await.is_none() {
        return Ok(());
    }
    // Whoever looks late may find it ended after it had all the time that anybody gives it.
    let in_time = || stage.suite.lateness.worst_since(begun) <= ANY_TIME / 2;
    match run.record.answer("the suite was in time", in_time) {
        true => Err(Stop::failure("the server lives until it has had time to do what it has to", state(run))),
        false => Err(Stop::TooSlow("to see when the server ended".into())),
    }
}

/// A server that has not said anything yet has a moment to end by itself after `exit`.
async fn starting_server(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog { held: Some(Vec::new()), ..Watchdog::on_pipes() }).await?;
    run.line(&stage.lesson.typed[0]).await?;
    let server = Server::join(stage, &run).await?;
    let (begun, wait) = (Instant::now(), run.patience() / 2);
    run.line("exit").await?;
    // The message, and the end of the messages; one that hears of no end has had its moment by then.
    let mut asked = begun;
    while server.message_within(&run, wait).await.is_some() {
        asked = Instant::now();
    }
    if run.record.answer("the messages ended", || asked.elapsed() < wait) {
        lives_on(stage, &run, begun).await?;
    }
    die(&run, server, &Order::Exit(0)).await?;
    must_end(&run, Who::Watchdog, "`exit`").await.map(drop)
}

/// `exit` ends a server that heeds nothing but SIGALRM, and the watchdog's status is 0.
async fn exit_alarm(stage: &Stage) -> Outcome {
    let (run, _server) = played(stage, &[]).await?;
    run.line("exit").await?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 0, "`exit`, with a server that heeds nothing but SIGALRM")
}

/// A signal that the watchdog was started to ignore, or not to get, reaches the server.
async fn signals(stage: &Stage) -> Outcome {
    let how = Watchdog { deaf_to: vec![Signal::SIGALRM as i32], ..Watchdog::default() };
    let (run, _server) = played_in(stage, how, &[]).await?;
    run.line("exit").await?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 0, "`exit`, started with SIGALRM ignored and blocked, which its server is to get")
}

/// The watchdog exits with status 1 when its server ended badly after `exit`, or had to be killed.
async fn exit_failed(stage: &Stage) -> Outcome {
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let (run, server) = played(stage, &deaf).await?;
    run.line("exit").await?;
    // The end of the messages, or whatever else the watchdog has to say.
    server.message_within(&run, run.patience() / 5).await;
    run.order(0, &Order::Exit(3))?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 1, "`exit`, whose server then exited with status 3")?;
    drop(server);
    let (run, _server) = played(stage, &deaf).await?;
    run.line("exit").await?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 1, "`exit`, with a server that ignores every signal it can")
}

/// A server that takes a moment to end after `exit` is not killed.
async fn slow_server(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT]).await?;
    let begun = Instant::now();
    let soon = begun + run.patience() / 50;
    run.line("exit").await?;
    server.message_within(&run, run.patience() / 50).await;
    // Something happens meanwhile, and whatever the watchdog does about it at once it has done. Some read nothing any more.
    if let Some(reply) = stage.lesson.learned.replies.first() {
        server.reply(&run, reply).await?;
        server.all_read(soon.saturating_duration_since(Instant::now())).await?;
    }
    run.asleep(run.pid, soon).await;
    run.order(0, &Order::Exit(0))?;
    if !run.record.answer("the server ended soon", || begun.elapsed() <= run.patience() / 20) {
        return Err(Stop::TooSlow("for a server to end soon".into()));
    }
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 0, "`exit`, whose server then took a moment to exit with status 0")
}

/// A second SIGINT does not wait for a server that ignores every signal it can.
async fn sigint_twice(stage: &Stage) -> Outcome {
    // A slow machine may delay one of them, and not each.
    const ATTEMPTS: usize = 3;
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let mut in_time = true;
    for _ in 0..ATTEMPTS {
        let (run, server) = played(stage, &deaf).await?;
        let begun = Instant::now();
        run.signal(Who::Watchdog, Signal::SIGINT)?;
        // Whatever it does first, so that it has heard the one when the other comes.
        server.message_within(&run, MOMENT).await;
        run.signal(Who::Watchdog, Signal::SIGINT)?;
        let ended = ended_within(&run, Who::Watchdog, 2 * MOMENT).await;
        // Later it may have ended for having waited long enough, as after a single one.
        let is_in_time = || match ended {
            Some(_) => begun.elapsed() <= SOON,
            None => stage.suite.lateness.worst_since(begun) <= MOMENT / 2,
        };
        let is_in_time = run.record.answer("the signals came soon and the suite was in time", is_in_time);
        if let (Some(status), true) = (ended, is_in_time) {
            return exits_with(status, 128 + Signal::SIGINT as i32, "SIGINT");
        }
        in_time &= is_in_time;
    }
    match in_time {
        true => Err(Stop::failure("a second SIGINT ends both at once", "the watchdog went on waiting")),
        false => Err(Stop::TooSlow("to see that a second SIGINT is heard at once".into())),
    }
}

/// SIGINT after `exit` lets the server end, and makes the status 130.
async fn sigint_after_exit(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT]).await?;
    let begun = Instant::now();
    run.line("exit").await?;
    // The end of the messages: what is typed from here on comes after `exit`.
    server.message_within(&run, run.patience() / 50).await;
    run.signal(Who::Watchdog, Signal::SIGINT)?;
    run.asleep(run.pid, begun + run.patience() / 50).await;
    run.order(0, &Order::Exit(0))?;
    if !run.record.answer("the server ended soon", || begun.elapsed() <= run.patience() / 20) {
        return Err(Stop::TooSlow("for a server to end soon".into()));
    }
    let status = must_end(&run, Who::Watchdog, "`exit` and SIGINT").await?;
    exits_with(status, 128 + Signal::SIGINT as i32, "`exit` and SIGINT")?;
    match super::end::status_of_server(&run).await? {
        Some(Status::Killed(signal)) => {
            let expected = "the server ends by itself after `exit` and one SIGINT";
            Err(Stop::failure(expected, Status::Killed(signal).to_string()))
        }
        None => Err(Stop::Missing(super::end::STATUS_UNTOLD.into())),
        Some(_) => Ok(()),
    }
}

/// `exit` ends both while the server answers nothing.
async fn never_answers(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    run.line(&stage.lesson.typed[0]).await?;
    server.message(&run).await?;
    leave(&run).await
}

/// `exit` ends both while a reply is unfinished.
async fn half_a_reply(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    run.line(&stage.lesson.typed[0]).await?;
    server.message(&run).await?;
    // More than a pipe holds: when all of it is taken, the watchdog has begun to read it.
    if !server.is_taken(&run, &vec![b'x'; 1 << 20], run.patience()).await {
        return Err(Stop::Missing(format!("the watchdog did not take the first MiB of a reply; {}", state(&run))));
    }
    leave(&run).await
}

/// SIGTERM to the watchdog ends both although its server takes no more messages.
async fn sigterm_untaken(stage: &Stage) -> Outcome {
    let (run, _server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    let line = format!("doreq POST {}/untaken {}\n", run.url, "x".repeat(900 << 10));
    // More than any pipe holds, and nobody reads it: what is left of it stands in the watchdog's way. No more lines than whoever
    // buffers takes, so that how many does not depend on how fast they come.
    run.fill(line.repeat(2).as_bytes()).await?;
    run.asleep(run.pid, Instant::now() + run.patience() / 10).await;
    run.signal(Who::Watchdog, Signal::SIGTERM)?;
    both_end(&run, "SIGTERM").await
}

/// `exit` ends both while the server sends without end.
async fn flooding_server(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    // More than a pipe holds: from here on the watchdog reads, or the pipe is full.
    server.is_taken(&run, &b"an endless reply".repeat(8 << 10), run.patience() / 20).await;
    tokio::select! {
        left = leave(&run) => left,
        never = server.flood(b"an endless reply") => match never {},
    }
}

/// The ends of the server that the suite plays, one for each direction.
async fn apart(stage: &Stage) -> Result<(Run, (impl Sized, impl Sized)), Stop> {
    let (run, server) = played(stage, &[]).await?;
    match stage.dialect().wiring.both() {
        Some((read, write)) if read == write => Err(Stop::NotApplicable("one socket carries both directions".into())),
        _ => Ok((run, server.ends())),
    }
}

/// The watchdog ends both when its server closes the pipe for its replies and lives on.
async fn replies_closed(stage: &Stage) -> Outcome {
    let (run, (_reads, writes)) = apart(stage).await?;
    drop(writes);
    both_end(&run, "its server closed the pipe for its replies").await
}

/// The watchdog ends both when its server closes the pipe for the messages and lives on.
async fn messages_closed(stage: &Stage) -> Outcome {
    let (run, (reads, _writes)) = apart(stage).await?;
    drop(reads);
    notices(&run, run.patience() / 4).await?;
    both_end(&run, "its server closed the pipe for the messages").await
}

/// The watchdog ends both when its server closes its pipes and lives on.
async fn pipes_closed(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    drop(server);
    both_end(&run, "its server closed its pipes").await
}

/// A server that closes its pipes has a moment to end by itself.
async fn pipes_closed_moment(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    let begun = Instant::now();
    drop(server);
    lives_on(stage, &run, begun).await?;
    run.order(0, &Order::Exit(3))?;
    both_end(&run, "its server closed its pipes and exited").await
}

/// `exit` ends a server that ignores every signal it can.
async fn stubborn_server(stage: &Stage) -> Outcome {
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let (run, _server) = played(stage, &deaf).await?;
    leave(&run).await
}

/// `exit` ends both although a process that the server started holds its pipes.
async fn grandchild(stage: &Stage) -> Outcome {
    let run = with_grandchild(stage).await?;
    let left = async {
        idle(stage, &run, "ready").await?;
        leave(&run).await
    };
    let left = left.await;
    run.clear().await?;
    left
}
