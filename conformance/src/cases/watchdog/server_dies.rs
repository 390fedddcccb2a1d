//! A watchdog alone, whose server dies: that it notices, and what it tells of it. The suite plays the server.

use std::time::{Duration, Instant};

use super::steps::{
    complaints, die, ended_within, exits_with, idle, must_close, must_end, played, played_in, text, with_grandchild,
};
use crate::dialect::times;
use crate::event::{Event, Who, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::server::Server;
use crate::signal::{self, Signal};
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};
use crate::subject::handover::Order;

crate::cases::cases! {
    "end.death-in-order" => death_in_order,
    "end.losses-told" => losses_told,
    "end.no-losses-told" => no_losses_told,
    "end.death-own-line" => death_own_line,
    "end.server-exits-at-once" => server_exits_at_once,
    "end.death-grandchild" => death_grandchild,
    "end.status-told" => status_told,
    "end.signals-told" => signals_told,
}

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
    // One for all of those that have only a number.
    #[cfg(target_os = "linux")]
    (40, "eal-time signal 6"),
];

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

/// The watchdog notices the death of its server although a process that the server started holds its pipes.
async fn death_grandchild(stage: &Stage) -> Outcome {
    let run = with_grandchild(stage).await?;
    let ended = async {
        idle(stage, &run, "ready").await?;
        run.signal(Who::Server(0), Signal::SIGKILL)?;
        notices(&run, run.patience() / 4).await?;
        must_end(&run, Who::Watchdog, "the death of its server, whose pipes another process holds").await.map(drop)
    };
    let ended = ended.await;
    run.clear().await?;
    ended
}

/// Gives the watchdog something to notice it by that nobody hears it any more, unless it notices by itself within so long.
pub(super) async fn notices(run: &Run, wait: Duration) -> Result<bool, Stop> {
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
        says(&run, &told, &format!("that {} ended the server", signal::name(signal)))?;
        stage.over(&run).await?;
    }
    Ok(())
}
