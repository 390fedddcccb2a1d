//! Endings: every way in which a pair ends, in order or not, and what must not be left.

use std::time::Instant;

use super::steps::{
    alone, both_end, ended_within, exits_with, idle, must_end, reached, ready, server_asleep, server_pid, shows, state,
};
use crate::event::{Event, Status, What, Who, ended};
use crate::observe::process::{Facts, corpse, is_in_foreground};
use crate::observe::rogue::{Manner, Rogue};
use crate::outcome::{Outcome, Stop};
use crate::signal::Signal;
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "end.sigalrm" => sigalrm,
    "end.sigalrm-busy" => sigalrm_busy,
    "end.sigalrm-mid-message" => sigalrm_mid_message,
    "end.exit-server" => exit_server,
    "end.nothing-left" => nothing_left,
    "end.sigalrm-status" => sigalrm_status,
    "end.sigalrm-answer" => sigalrm_answer,
    "end.sigalrm-twice" => sigalrm_twice,
    "end.stopped" => stopped,
    "end.exit-status" => exit_status,
    "end.exit-waited" => exit_waited,
    "end.ctrl-d" => ctrl_d,
    "end.input-closed" => input_closed,
    "end.ctrl-c" => ctrl_c,
    "end.ctrl-c-once" => ctrl_c_once,
    "end.sigint" => sigint,
    "end.sigterm" => sigterm,
    "end.sighup" => sighup,
    "end.watchdog-killed" => watchdog_killed,
    "end.killed-busy" => killed_busy,
    "end.server-alone" => server_alone,
    "end.death-noticed" => death_noticed,
    "end.death-told" => death_told,
    "end.output-closed" => output_closed,
}

/// What the system said of a server before it was to get SIGALRM.
fn before_alarm(run: &Run, pid: Option<i32>) -> Option<Facts> {
    pid.and_then(|pid| run.facts(pid))
}

/// A server must have ended after SIGALRM, and not because nothing was prepared for it.
fn in_order(before: Option<&Facts>, status: Option<Status>) -> Outcome {
    let prepared = before.is_none_or(|facts| facts.expects(libc::SIGALRM));
    let expected = "the server handles SIGALRM and ends";
    match status {
        Some(Status::Killed(libc::SIGALRM)) if before.is_none() => {
            Err(Stop::Missing("whether it handles SIGALRM, which it died of; this system does not tell".into()))
        }
        Some(Status::Killed(libc::SIGALRM)) | None if !prepared => {
            Err(Stop::failure(expected, "it has no handler for SIGALRM: the signal's default action killed it"))
        }
        Some(Status::Killed(signal)) if signal != libc::SIGALRM => {
            Err(Stop::failure(expected, Status::Killed(signal).to_string()))
        }
        _ => Ok(()),
    }
}

/// Sends SIGALRM to a watchdog's server, which must end in order.
async fn alarm(run: &Run, when: &str) -> Outcome {
    let before = alarmed(run).await?;
    ends_in_order(run, before.as_ref(), when).await
}

/// Sends SIGALRM to a watchdog's server, and says what the system said of that before.
async fn alarmed(run: &Run) -> Result<Option<Facts>, Stop> {
    let pid = server_pid(run);
    if let Some(pid) = pid {
        // A server that never pauses gets its signal all the same.
        run.asleep(pid, Instant::now() + run.patience() / 10).await;
    }
    let before = before_alarm(run, pid);
    run.signal(Who::Server(0), Signal::SIGALRM)?;
    Ok(before)
}

async fn ends_in_order(run: &Run, before: Option<&Facts>, when: &str) -> Outcome {
    must_end(run, Who::Server(0), &format!("SIGALRM, {when}")).await?;
    in_order(before, status_of_server(run).await?)
}

/// Why a case that looks at how a server ended says nothing, where the system does not tell one who is not its parent.
pub(super) const STATUS_UNTOLD: &str = "how the server ended, which this system did not tell";

/// How a watchdog's server ended, which is known once the watchdog, or whoever inherits the server, has asked for it.
pub(super) async fn status_of_server(run: &Run) -> Result<Option<Status>, Stop> {
    let reaped = |events: &[Event]| {
        events.iter().find_map(|e| match e.what {
            What::Reaped { who: Who::Server(0), status } => Some(status),
            _ => None,
        })
    };
    let soon = Instant::now() + run.patience() / 20;
    if let Some(status) = run.record.until(soon, reaped).await {
        return Ok(status);
    }
    if let Some(pid) = server_pid(run)
        && let Some(status) = run.record.answer("how the server ended, which nobody has asked", || corpse(pid))
    {
        return Ok(Some(status));
    }
    run.signal(Who::Watchdog, Signal::SIGKILL)?;
    Ok(run.until(reaped).await.flatten())
}

/// The server ends in order when it gets SIGALRM while idle; with which status is free.
async fn sigalrm(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    alarm(&run, "idle").await
}

/// A session whose server has a request under way that is not answered.
async fn busy(stage: &Stage, rogue: &mut Rogue) -> Result<Run, Stop> {
    let run = stage.start(Watchdog { untapped: true, ..Watchdog::default() }).await?;
    idle(stage, &run, "ready").await?;
    run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    reached(&run, rogue).await?;
    Ok(run)
}

/// The server ends when it gets SIGALRM while a request is under way, at the latest when no answer to that can come any
/// more.
async fn sigalrm_busy(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Silent)?;
    let run = busy(stage, &mut rogue).await?;
    let before = alarmed(&run).await?;
    if ended_within(&run, Who::Server(0), run.patience() / 2).await.is_none() {
        drop(rogue);
    }
    ends_in_order(&run, before.as_ref(), "with a request under way").await
}

/// The server ends when it gets SIGALRM in the middle of a message.
async fn sigalrm_mid_message(stage: &Stage) -> Outcome {
    let (client, framed) = alone(stage).await?;
    let before = before_alarm(&client.run, Some(client.run.pid));
    client.write(&framed[..framed.len() / 2]).await?;
    client.idle().await?;
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    let status = must_end(&client.run, Who::Server(0), "SIGALRM in the middle of a message").await?;
    in_order(before.as_ref(), status)
}

/// A session on plain pipes, where the pair works there: in a terminal the system itself hangs up on whatever its leader
/// leaves behind.
async fn without_terminal(stage: &Stage) -> Result<Run, Stop> {
    let run = stage.start(Watchdog::on_pipes()).await?;
    match idle(stage, &run, "ready").await {
        Ok(()) => Ok(run),
        Err(Stop::Missing(_)) => ready(stage).await,
        Err(other) => Err(other),
    }
}

/// The server has ended when the watchdog has ended after `exit`, or does so without further help.
async fn exit_server(stage: &Stage) -> Outcome {
    let run = without_terminal(stage).await?;
    run.line("exit").await?;
    if run.ended(Who::Watchdog).await.is_none() {
        return Err(Stop::Missing("the watchdog did not end after `exit`".into()));
    }
    match run.ended(Who::Server(0)).await {
        Some(_) => Ok(()),
        None => Err(Stop::failure("the server ends when the watchdog has ended after `exit`", "it was still running")),
    }
}

/// No process of the pair is left after `exit`.
async fn nothing_left(stage: &Stage) -> Outcome {
    let run = without_terminal(stage).await?;
    run.line("exit").await?;
    run.ended(Who::Watchdog).await;
    let left = run.left_for_long().await?;
    match left.first() {
        None => Ok(()),
        Some(first) => Err(Stop::failure(
            "no process of the pair is left after `exit`",
            format!("{} (`{}`)", left.len(), first.command),
        )),
    }
}

/// The server exits with status 0 after SIGALRM.
async fn sigalrm_status(stage: &Stage) -> Outcome {
    let (client, _) = alone(stage).await?;
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    let status = must_end(&client.run, Who::Server(0), "SIGALRM").await?;
    match status {
        Some(Status::Exited(0)) => Ok(()),
        other => Err(Stop::failure("the server exits with status 0 after SIGALRM", told(other))),
    }
}

fn told(status: Option<Status>) -> String {
    status.map_or_else(|| "a status that could not be seen".to_owned(), |s| s.to_string())
}

/// A request under way at SIGALRM is still answered when its answer comes soon.
async fn sigalrm_answer(stage: &Stage) -> Outcome {
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let mut rogue = stage.rogue(Manner::Waits)?;
    let run = busy(stage, &mut rogue).await?;
    let begun = Instant::now();
    run.signal(Who::Server(0), Signal::SIGALRM)?;
    // Else the answer might be there before the signal is.
    server_asleep(&run, begun + run.patience() / 50).await;
    rogue.release();
    let in_time = || begun.elapsed() <= run.patience() / 20;
    if !run.record.answer("the answer was released in time", in_time) {
        return Err(Stop::TooSlow("for an answer to come soon".into()));
    }
    if shows(&run, Rogue::LATE).await {
        return must_end(&run, Who::Server(0), "SIGALRM").await.map(drop);
    }
    Err(Stop::failure("a request under way at SIGALRM is still answered when its answer comes soon", state(&run)))
}

/// A second SIGALRM ends the server all the more.
async fn sigalrm_twice(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Silent)?;
    let run = busy(stage, &mut rogue).await?;
    run.signal(Who::Server(0), Signal::SIGALRM)?;
    alarm(&run, "for the second time").await
}

/// Stops a subject, and comes back when it stands still: a signal to go on would else take the other back.
pub(super) async fn stop(run: &Run, who: Who) -> Result<(), Stop> {
    run.signal(who, Signal::SIGSTOP)?;
    match run.stopped(who).await {
        true => Ok(()),
        false => Err(Stop::Missing(format!("the {who} was not seen to stop"))),
    }
}

/// A server that was stopped and continued goes on.
async fn stopped(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    let goes_on = |run: &Run| Stop::failure("a server that was stopped and continued goes on", state(run));
    if let Err(unseen) = stop(&run, Who::Server(0)).await {
        // Whoever takes a stop for an end may have ended it already.
        let is_gone = run.record.look(|events| ended(events, Who::Server(0)).is_some());
        return Err(if is_gone { goes_on(&run) } else { unseen });
    }
    run.line(&format!("doreq POST {}/while-stopped {{}}", run.url)).await?;
    run.signal(Who::Server(0), Signal::SIGCONT)?;
    super::steps::arrival(&run, "while-stopped").await.map(drop).ok_or_else(|| goes_on(&run))
}

/// The watchdog exits with status 0 after `exit`.
async fn exit_status(stage: &Stage) -> Outcome {
    match super::command::first_end(stage) {
        Some(status) => exits_with(status, 0, "`exit`"),
        None => Err(Stop::Missing("the watchdog did not end after `exit`".into())),
    }
}

/// When the watchdog ends after `exit` it has waited for its server.
async fn exit_waited(stage: &Stage) -> Outcome {
    let waited = |event: &Event| match event.what {
        What::Waited { who: Who::Watchdog, for_any } => Some(for_any),
        _ => None,
    };
    match stage.lesson.record.events().iter().find_map(waited) {
        Some(true) => Ok(()),
        Some(false) => Err(Stop::failure("the watchdog waits for the server that it started", "it never did")),
        None => Err(Stop::Missing("whether it waited for its server, which the system did not tell".into())),
    }
}

/// Ctrl-D in a terminal ends both.
async fn ctrl_d(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    run.close_input().await?;
    both_end(&run, "Ctrl-D").await
}

/// The end of its input ends both.
async fn input_closed(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    idle(stage, &run, "ready").await?;
    run.close_input().await?;
    both_end(&run, "the end of its input").await
}

/// Ctrl-C in a terminal ends both.
async fn ctrl_c(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    run.write(b"\x03").await?;
    both_end(&run, "Ctrl-C").await
}

/// Ctrl-C reaches the server through the watchdog alone.
async fn ctrl_c_once(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    // A watchdog that stands still does nothing about its server, so that it does not depend on who is faster how that ends.
    stop(&run, Who::Watchdog).await?;
    run.write(b"\x03").await?;
    if !run.pending(Who::Watchdog, Signal::SIGINT).await {
        return Err(Stop::Missing("the terminal's SIGINT did not reach the watchdog, which stood still".into()));
    }
    if let Some(pid) = server_pid(&run)
        && run.record.answer("the server has the terminal's signals too", || is_in_foreground(pid)) != Some(false)
        && ended_within(&run, Who::Server(0), run.patience() / 20).await.is_none()
    {
        // One that dies of it does not sleep before it is dead.
        run.asleep(pid, Instant::now() + run.patience()).await;
    }
    run.signal(Who::Watchdog, Signal::SIGCONT)?;
    both_end(&run, "Ctrl-C").await?;
    match status_of_server(&run).await? {
        Some(Status::Killed(libc::SIGINT)) => {
            let expected = "the terminal's SIGINT goes to the watchdog, which ends its server in order";
            Err(Stop::failure(expected, "the server was killed by SIGINT"))
        }
        None => Err(Stop::Missing(STATUS_UNTOLD.into())),
        Some(_) => Ok(()),
    }
}

/// A signal to the watchdog stops both, and its status says which.
async fn signalled(stage: &Stage, signal: Signal) -> Outcome {
    let run = ready(stage).await?;
    run.signal(Who::Watchdog, signal)?;
    let status = must_end(&run, Who::Watchdog, signal.as_str()).await?;
    must_end(&run, Who::Server(0), signal.as_str()).await?;
    exits_with(status, 128 + signal as i32, signal.as_str())
}

/// SIGINT to the watchdog ends both, and its status is 130.
async fn sigint(stage: &Stage) -> Outcome {
    signalled(stage, Signal::SIGINT).await
}

/// SIGTERM to the watchdog ends both, and its status is 143.
async fn sigterm(stage: &Stage) -> Outcome {
    signalled(stage, Signal::SIGTERM).await
}

/// SIGHUP to the watchdog ends both, and its status is 129.
async fn sighup(stage: &Stage) -> Outcome {
    signalled(stage, Signal::SIGHUP).await
}

/// The server ends when the watchdog is killed.
async fn watchdog_killed(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    run.signal(Who::Watchdog, Signal::SIGKILL)?;
    must_end(&run, Who::Server(0), "SIGKILL to the watchdog").await.map(drop)
}

/// The server ends when the watchdog is killed while a request is under way.
async fn killed_busy(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Silent)?;
    let run = busy(stage, &mut rogue).await?;
    run.signal(Who::Watchdog, Signal::SIGKILL)?;
    let after = "SIGKILL to the watchdog, with a request under way";
    must_end(&run, Who::Server(0), after).await.map(drop)
}

/// The server exits with status 0 at the end of its pipe.
async fn server_alone(stage: &Stage) -> Outcome {
    let (mut client, _) = alone(stage).await?;
    client.close();
    match must_end(&client.run, Who::Server(0), "the end of its pipe").await? {
        Some(Status::Exited(0)) => Ok(()),
        other => Err(Stop::failure("the server exits with status 0 at the end of its pipe", told(other))),
    }
}

/// The watchdog notices the death of its server while idle, and exits with status 1.
async fn death_noticed(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    run.signal(Who::Server(0), Signal::SIGKILL)?;
    // Nothing is typed from here on.
    let status = must_end(&run, Who::Watchdog, "the death of its server, while idle").await?;
    exits_with(status, 1, "the death of its server")
}

/// The watchdog tells which signal killed its server.
async fn death_told(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    run.signal(Who::Server(0), Signal::SIGKILL)?;
    super::server_dies::learns(&run).await?;
    super::server_dies::says(
        &run,
        &["SIGKILL", "signal 9", "signal: 9", "-9", "killed"],
        "the signal that killed the server",
    )
}

/// A closed output does not kill the watchdog before it has ended its server.
async fn output_closed(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    idle(stage, &run, "ready").await?;
    run.close_output().await;
    run.line(&format!("doreq POST {}/unseen {{}}", run.url)).await?;
    // Some end because nobody sees what they show.
    if ended_within(&run, Who::Watchdog, run.patience() / 4).await.is_none() {
        run.line("exit").await?;
    }
    let status = must_end(&run, Who::Watchdog, "`exit`, with its output closed").await?;
    must_end(&run, Who::Server(0), "`exit`, with its output closed").await?;
    match status {
        Some(Status::Killed(libc::SIGPIPE)) => {
            Err(Stop::failure("a closed output does not kill the watchdog", "killed by SIGPIPE"))
        }
        _ => Ok(()),
    }
}
