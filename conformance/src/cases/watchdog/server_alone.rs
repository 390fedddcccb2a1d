//! A server alone, and how it ends: at the end of its pipe, at SIGALRM and SIGTERM, whatever it is about. The suite plays the
//! watchdog.

use std::time::{Duration, Instant};

use super::end::stop;
use super::steps::{alone, ended_within, last_replies, must_end, not_learned, state, status_text, text};
use super::to_server::recorded_setting;
use crate::event::{Status, Who, passed, requests};
use crate::observe::looking::Looking;
use crate::observe::process::{asleep, facts};
use crate::outcome::{Outcome, Stop};
use crate::probe::client::Client;
use crate::signal::Signal;
use crate::stage::Stage;

crate::cases::cases! {
    "end.pending-done" => pending_done,
    "end.sigalrm-early" => sigalrm_early,
    "end.sigalrm-stopped" => sigalrm_stopped,
    "end.sigalrm-unread" => sigalrm_unread,
    "end.sigalrm-whole" => sigalrm_whole,
    "end.sigalrm-at-once" => sigalrm_at_once,
    "end.sigalrm-flushing" => sigalrm_flushing,
    "end.server-sigterm" => server_sigterm,
    "end.pipe-ends-early" => pipe_ends_early,
    "end.pipe-ends-stopped" => pipe_ends_stopped,
    "end.replies-unread" => replies_unread,
}

/// What was written before the end of the pipe is done, and then the server exits with status 0.
async fn pending_done(stage: &Stage) -> Outcome {
    const COPIES: usize = 40;
    let (mut client, framed) = alone(stage).await?;
    client.write(&framed.repeat(COPIES)).await?;
    client.close();
    let status = must_end(&client.run, Who::Server(0), "the end of its pipe").await?;
    let come = client.run.record.look(|events| requests(events).len());
    let expected = format!("{} requests and exit status 0", 1 + COPIES);
    match status {
        Some(Status::Exited(0)) if come == 1 + COPIES => Ok(()),
        status => Err(Stop::failure(expected, format!("{come} requests and {}", status_text(status)))),
    }
}

/// The server ends when it gets SIGALRM before its first message.
async fn sigalrm_early(stage: &Stage) -> Outcome {
    let client = Client::start(stage, stage.replay_slot()).await?;
    // It has come up when it sleeps and says that it expects the signal; a server that never says so gets it all the
    // same.
    let deadline = Instant::now() + client.run.patience() / 10;
    let pid = client.run.pid;
    let up = async {
        let looking = Looking::begin();
        while asleep(pid, deadline).await && facts(pid).is_some_and(|facts| !facts.expects(libc::SIGALRM)) {
            looking.again().await;
        }
    };
    client.run.record.ask("the server has come up", up).await;
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    must_end(&client.run, Who::Server(0), "SIGALRM before its first message").await.map(drop)
}

/// A server that was stopped ends when it gets SIGALRM and is continued.
async fn sigalrm_stopped(stage: &Stage) -> Outcome {
    let (client, _) = alone(stage).await?;
    stop(&client.run, Who::Server(0)).await?;
    for signal in [Signal::SIGALRM, Signal::SIGCONT] {
        client.run.signal(Who::Server(0), signal)?;
    }
    must_end(&client.run, Who::Server(0), "SIGALRM while it was stopped").await.map(drop)
}

/// A server that has far more to say than a pipe holds, to somebody who does not read it.
async fn unread(stage: &Stage) -> Result<Client, Stop> {
    if stage.dialect().reply.each != Some(true) {
        return Err(Stop::NotApplicable("it does not reply to each message".into()));
    }
    let message = recorded_setting(stage)?;
    let (client, _) = alone(stage).await?;
    client.stop_reading();
    client.fill(&stage.dialect().framed(&message).repeat(40_000)).await;
    if client.run.record.answer("no reply waits to be read", || client.waiting() == 0) {
        return Err(Stop::Missing(format!("no reply that could stay unread; {}", state(&client.run))));
    }
    Ok(client)
}

/// A server whose replies nobody reads ends when it gets SIGALRM.
async fn sigalrm_unread(stage: &Stage) -> Outcome {
    let client = unread(stage).await?;
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    must_end(&client.run, Who::Server(0), "SIGALRM while nobody reads its replies").await.map(drop)
}

/// A server whose pipe has ended, and whose replies nobody reads, ends when it gets SIGALRM.
async fn sigalrm_flushing(stage: &Stage) -> Outcome {
    let mut client = unread(stage).await?;
    client.close();
    client.run.asleep(client.run.pid, Instant::now() + client.run.patience() / 10).await;
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    let after = "the end of its pipe and SIGALRM, while nobody reads its replies";
    must_end(&client.run, Who::Server(0), after).await.map(drop)
}

/// A server that gets SIGALRM with unread replies sends the last one whole to whoever reads them soon.
async fn sigalrm_whole(stage: &Stage) -> Outcome {
    // What fits into a pipe may end with a whole reply by chance, and then nothing can be torn.
    const ATTEMPTS: usize = 4;
    for has_ended in [false, true] {
        for _ in 0..ATTEMPTS {
            if last_whole(stage, has_ended).await? == Cut::Within {
                break;
            }
        }
    }
    Ok(())
}

/// What whoever waits for a reader at all waits for it.
const ANY_TIME: Duration = Duration::from_millis(450);

/// Where the replies that fit into the pipe end.
#[derive(PartialEq)]
enum Cut {
    Within,
    Between,
}

async fn last_whole(stage: &Stage, has_ended: bool) -> Result<Cut, Stop> {
    let (Some(true), Some(end)) = (stage.dialect().reply.each, &stage.dialect().reply.end) else {
        return Err(Stop::NotApplicable("it does not reply to each message".into()));
    };
    let mut client = unread(stage).await?;
    let through = client.replies_through().ok_or_else(|| not_learned("the replies", "[dialect.wiring]\nwrite = 4"))?;
    let (pid, patience) = (client.run.pid, client.run.patience());
    if has_ended {
        client.close();
        client.run.asleep(pid, Instant::now() + patience / 10).await;
    }
    let read = client.run.record.look(|events| passed(events, Who::Watchdog, through).len());
    let fits = client.run.record.answer("how many bytes of replies fit", || read as u64 + client.waiting());
    let begun = Instant::now();
    client.run.signal(Who::Server(0), Signal::SIGALRM)?;
    // Else there might be readers again before the signal is there.
    client.run.asleep(pid, begun + patience / 50).await;
    client.read_again();
    if !client.run.record.answer("they were read in time", || begun.elapsed() <= patience / 20) {
        return Err(Stop::TooSlow("to read the replies soon".into()));
    }
    must_end(&client.run, Who::Server(0), "SIGALRM with unread replies").await?;
    let stream = last_replies(&client.run, through).await;
    if !stream.ends_with(&end.0) {
        if !client.run.record.answer("all of it was read in time", || begun.elapsed() <= ANY_TIME) {
            return Err(Stop::TooSlow("to read all replies soon".into()));
        }
        let last = text(&stream[stream.len().saturating_sub(60)..]);
        let when = if has_ended { ", and the end of its pipe" } else { "" };
        let expected = format!("whole replies up to the end, after SIGALRM with unread replies{when}");
        return Err(Stop::failure(expected, format!("{} bytes, the last of them {last}", stream.len())));
    }
    Ok(if stream.len() as u64 == fits { Cut::Between } else { Cut::Within })
}

/// An idle server ends at once when it gets SIGALRM.
async fn sigalrm_at_once(stage: &Stage) -> Outcome {
    // A slow machine may delay one of them, and not each.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let (client, _) = alone(stage).await?;
        client.idle().await?;
        client.run.signal(Who::Server(0), Signal::SIGALRM)?;
        if ended_within(&client.run, Who::Server(0), client.run.patience() / 10).await.is_some() {
            return Ok(());
        }
    }
    Err(Stop::failure("an idle server ends at once when it gets SIGALRM", "it waited, for nothing"))
}

/// A server ends when it gets SIGTERM.
async fn server_sigterm(stage: &Stage) -> Outcome {
    let (client, _) = alone(stage).await?;
    client.run.signal(Who::Server(0), Signal::SIGTERM)?;
    must_end(&client.run, Who::Server(0), "SIGTERM").await.map(drop)
}

/// The server must exit with status 0.
async fn exits_well(client: &Client, after: &str) -> Outcome {
    match must_end(&client.run, Who::Server(0), after).await? {
        Some(Status::Exited(0)) => Ok(()),
        status => Err(Stop::failure(format!("the server exits with status 0 after {after}"), status_text(status))),
    }
}

/// A server whose pipe ends before its first message exits with status 0.
async fn pipe_ends_early(stage: &Stage) -> Outcome {
    let mut client = Client::start(stage, stage.replay_slot()).await?;
    client.close();
    exits_well(&client, "the end of its pipe before its first message").await
}

/// A server whose pipe ends while it is stopped exits with status 0 when it is continued.
async fn pipe_ends_stopped(stage: &Stage) -> Outcome {
    let (mut client, _) = alone(stage).await?;
    stop(&client.run, Who::Server(0)).await?;
    client.close();
    client.run.signal(Who::Server(0), Signal::SIGCONT)?;
    exits_well(&client, "the end of its pipe while it was stopped").await
}

/// A server ends when it has a reply and nobody is left to read it.
async fn replies_unread(stage: &Stage) -> Outcome {
    if stage.dialect().reply.each != Some(true) {
        return Err(Stop::NotApplicable("it does not reply to each message".into()));
    }
    if stage.dialect().wiring.both().is_some_and(|(read, write)| read == write) {
        return Err(Stop::NotApplicable("one socket carries both directions".into()));
    }
    let (mut client, framed) = alone(stage).await?;
    client.close_replies().await;
    // Some notice before they have anything to say.
    if ended_within(&client.run, Who::Server(0), client.run.patience() / 20).await.is_none() {
        client.write(&framed).await?;
    }
    must_end(&client.run, Who::Server(0), "a reply that nobody is left to read").await.map(drop)
}
