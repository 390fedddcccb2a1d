//! A watchdog alone, whose server dies, falls silent, floods it, closes a pipe or will not end: the suite plays it.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::steps::{
    both_end, complaints, die, ended_within, exits_with, leave, must_close, must_end, played, played_in, state, text,
};
use super::to_watchdog::{answers_shown, recorded};
use crate::dialect::times;
use crate::event::{Event, Status, Who, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::server::Server;
use crate::stage::{Run, Stage, Watchdog};
use crate::subject::handover::Order;

super::cases! {
    "end.exit-answer" => exit_answer,
    "end.starting-server" => starting_server,
    "end.exit-alarm" => exit_alarm,
    "end.ignored-signals" => signals,
    "end.exit-failed" => exit_failed,
    "end.slow-server" => slow_server,
    "end.sigint-twice" => sigint_twice,
    "end.sigint-after-exit" => sigint_after_exit,
    "end.death-in-order" => death_in_order,
    "end.losses-told" => losses_told,
    "end.no-losses-told" => no_losses_told,
    "end.death-own-line" => death_own_line,
    "end.never-answers" => never_answers,
    "end.half-a-reply" => half_a_reply,
    "end.sigterm-untaken" => sigterm_untaken,
    "end.flooding-server" => flooding_server,
    "end.pipes-closed" => pipes_closed,
    "end.replies-closed" => replies_closed,
    "end.messages-closed" => messages_closed,
    "end.server-exits-at-once" => server_exits_at_once,
    "end.status-told" => status_told,
    "end.signals-told" => signals_told,
    "end.stubborn-server" => stubborn_server,
    "end.grandchild" => grandchild,
}

/// What nobody who waits for an answer would call waiting, however slow the machine is said to be.
const MOMENT: Duration = Duration::from_millis(150);

/// What whoever gives a server any time to end gives it.
const ANY_TIME: Duration = Duration::from_millis(400);

/// What whoever waits for an answer at all waits for it.
const SOON: Duration = Duration::from_millis(700);

/// Every signal that ends a process unless it prepares for it, with a part of what systems call it.
const SIGNALS: &[(i32, &str)] = &[
    (libc::SIGTERM, "erminated"),
    (libc::SIGKILL, "illed"),
    (libc::SIGSEGV, "egmentation"),
    (libc::SIGABRT, "bort"),
    (libc::SIGUSR2, "ser defined signal 2"),
    (libc::SIGHUP, "angup"),
    (libc::SIGINT, "nterrupt"),
    (libc::SIGQUIT, "uit"),
    (libc::SIGILL, "llegal instruction"),
    (libc::SIGTRAP, "breakpoint trap"),
    (libc::SIGBUS, "us error"),
    (libc::SIGFPE, "loating point exception"),
    (libc::SIGUSR1, "ser defined signal 1"),
    (libc::SIGPIPE, "roken pipe"),
    (libc::SIGALRM, "larm clock"),
    (libc::SIGXCPU, "time limit exceeded"),
    (libc::SIGXFSZ, "ile size limit exceeded"),
    (libc::SIGVTALRM, "irtual timer expired"),
    (libc::SIGPROF, "rofiling timer expired"),
    (libc::SIGSYS, "ad system call"),
    #[cfg(target_os = "linux")]
    (libc::SIGIO, "/O possible"),
    #[cfg(target_os = "linux")]
    (libc::SIGSTKFLT, "tack fault"),
    #[cfg(target_os = "linux")]
    (libc::SIGPWR, "ower fail"),
];

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

/// For a moment the server is left alone, in a session in which `exit` was typed when this `begun`.
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

/// A server that exits by itself with status 0 is told too, and the watchdog's status is 1.
async fn death_in_order(stage: &Stage) -> Outcome {
    let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    die(&run, server, &Order::Exit(0)).await?;
    let status = must_end(&run, Who::Watchdog, "the exit of its server").await?;
    exits_with(status, 1, "the exit of its server, with status 0 and unasked")?;
    must_close(&run).await?;
    let said = run.record.look(complaints);
    if said.trim_ascii().is_empty() {
        return Err(Stop::failure("words about the exit of its server", "nothing on standard error"));
    }
    Ok(())
}

/// The whole numbers in what was said.
fn numbers(said: &[u8]) -> Vec<usize> {
    let words = String::from_utf8_lossy(said);
    words.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// When its server dies, the watchdog tells how many commands were not answered, and how many not sent.
async fn losses_told(stage: &Stage) -> Outcome {
    // A few long lines: how many fit on the way is then the same, however fast they come.
    const LINES: usize = 6;
    let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    let line = format!("doreq POST {}/lost {}\n", run.url, "x".repeat(900 << 10));
    // Nobody reads the messages: the pipe fills, and so does whatever stands before it.
    let taken = run.fill(line.repeat(LINES).as_bytes()).await?;
    // A status that is no part of any sum.
    die(&run, server, &Order::Exit(251)).await?;
    must_end(&run, Who::Watchdog, "the death of its server").await?;
    must_close(&run).await?;
    // The last one was only begun.
    let typed = taken.div_ceil(line.len());
    let said = run.record.look(complaints);
    let numbers = numbers(&said);
    let pairs = numbers.iter().enumerate().flat_map(|(at, a)| numbers[at + 1..].iter().map(move |b| a + b));
    let words = String::from_utf8_lossy(&said);
    let agrees = words.contains("command") && !words.contains("1 commands");
    if agrees && numbers.iter().copied().chain(pairs).any(|sum| sum == typed) {
        return Ok(());
    }
    Err(Stop::failure(format!("words that account for all {typed} commands"), text(&said)))
}

/// When its server dies and nothing was lost, the watchdog tells of no losses.
async fn no_losses_told(stage: &Stage) -> Outcome {
    let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    die(&run, server, &Order::Exit(251)).await?;
    must_end(&run, Who::Watchdog, "the death of its server").await?;
    must_close(&run).await?;
    let said = run.record.look(complaints);
    if !numbers(&said).iter().all(|number| *number == 251) {
        return Err(Stop::failure("no number but the status, 251", text(&said)));
    }
    // What stands after `exit` was not to be sent.
    let (run, _server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    run.write(b"exit\nsetproc 251\nsetproc 251\n").await?;
    must_end(&run, Who::Watchdog, "`exit`").await?;
    must_close(&run).await?;
    let said = run.record.look(complaints);
    match numbers(&said).is_empty() {
        true => Ok(()),
        false => Err(Stop::failure("no losses after `exit`", text(&said))),
    }
}

/// What is told while a prompt stands begins a line of its own.
async fn death_own_line(stage: &Stage) -> Outcome {
    let prompt = match stage.dialect().prints.prompt.as_deref() {
        Some("") | None => return Err(Stop::NotApplicable("it shows no prompt".into())),
        Some(prompt) => prompt.as_bytes().to_vec(),
    };
    let (run, server) = played(stage, &[]).await?;
    let prompted = |events: &[Event]| {
        let out = shown(events, None);
        (times(&out, &prompt) >= 2 && out.ends_with(&prompt)).then_some(out.len())
    };
    let Some(before) = run.until(prompted).await else {
        return Err(Stop::Missing("no prompt stood after the first command".into()));
    };
    die(&run, server, &Order::Exit(251)).await?;
    learns(&run).await?;
    let said = run.record.look(|events| shown(events, None).split_off(before));
    if said.starts_with(b"\n") || said.starts_with(b"\r\n") || said.is_empty() {
        return Ok(());
    }
    Err(Stop::failure("a line of its own for what is told while a prompt stands", text(&said)))
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

/// The watchdog notices a server that exits before it reads anything, and exits with status 1.
async fn server_exits_at_once(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog { held: Some(Vec::new()), ..Watchdog::on_pipes() }).await?;
    run.line(&stage.lesson.typed[0]).await?;
    let server = Server::join(stage, &run).await?;
    run.asleep(run.pid, Instant::now() + run.patience() / 10).await;
    die(&run, server, &Order::Exit(3)).await?;
    let status = must_end(&run, Who::Watchdog, "the exit of its server").await?;
    exits_with(status, 1, "the exit of its server")
}

/// Gives the watchdog something to notice it by that nobody hears it any more, unless it notices by itself within so long.
async fn notices(run: &Run, wait: Duration) -> Result<bool, Stop> {
    let by_itself = ended_within(run, Who::Watchdog, wait).await.is_some();
    if !by_itself {
        run.line("setproc 2").await?;
    }
    Ok(by_itself)
}

/// The watchdog must end because its server is gone.
pub(super) async fn learns(run: &Run) -> Outcome {
    learns_again(run, true).await.map(drop)
}

/// The same, and whether it noticed by itself. One that did not at an earlier time is not waited for.
pub(super) async fn learns_again(run: &Run, by_itself: bool) -> Result<bool, Stop> {
    let by_itself = notices(run, if by_itself { run.patience() / 4 } else { Duration::ZERO }).await?;
    must_end(run, Who::Watchdog, "the death of its server").await?;
    must_close(run).await?;
    Ok(by_itself)
}

pub(super) fn says(run: &Run, words: &[&str], what: &str) -> Outcome {
    let out = run.record.look(|events| shown(events, None));
    let said = String::from_utf8_lossy(&out);
    if words.iter().any(|word| said.contains(word)) {
        return Ok(());
    }
    Err(Stop::failure(format!("the watchdog tells {what}"), text(&out)))
}

/// The watchdog tells the status that its server exited with.
async fn status_told(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    die(&run, server, &Order::Exit(87)).await?;
    learns(&run).await?;
    says(&run, &["87"], "the status that the server exited with")
}

/// The watchdog tells which signal ended its server, whichever it was.
async fn signals_told(stage: &Stage) -> Outcome {
    let mut by_itself = true;
    // As the system describes them, in part: it may say `Terminated` or `terminated`.
    for &(signal, words) in SIGNALS {
        let (run, server) = played(stage, &[]).await?;
        die(&run, server, &Order::Raise(signal)).await?;
        by_itself = learns_again(&run, by_itself).await?;
        let forms = [format!("signal {signal}"), format!("signal: {signal}"), format!("-{signal}")];
        let name = Signal::try_from(signal).map_or("", Signal::as_str);
        let told = [words, &forms[0], &forms[1], &forms[2]];
        let told: Vec<_> = told.into_iter().chain((!name.is_empty()).then_some(name)).collect();
        says(&run, &told, &format!("that {name} ended the server"))?;
    }
    Ok(())
}

/// `exit` ends a server that ignores every signal it can.
async fn stubborn_server(stage: &Stage) -> Outcome {
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let (run, _server) = played(stage, &deaf).await?;
    leave(&run).await
}

/// `exit` ends both although a process that the server started holds its pipes.
async fn grandchild(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog { with_grandchild: true, ..Watchdog::default() }).await?;
    super::steps::idle(stage, &run, "ready").await?;
    let left = leave(&run).await;
    // It is the suite's own, and not to be blamed on the pair.
    run.clear().await?;
    left
}
