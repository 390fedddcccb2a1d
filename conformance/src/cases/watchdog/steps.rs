//! Steps that many cases of a watchdog and its server take, beside those of every family: type a request and see it arrive, leave,
//! look at what was sent and shown.
//!
//! A step that is only the way to a case's point ends in `Missing` when it fails; what is the point itself,
//! the case asks for and judges.

use std::fmt::Display;
use std::time::{Duration, Instant};

pub(super) use crate::cases::seen::{complaints, must_close, must_end, shown_bytes, shows, state, status_text, text};
use crate::dialect::{cut, times};
use crate::event::{Event, Request, Status, What, Who, children, ended, passed, requests, shown};
use crate::observe::rogue::Rogue;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::probe::client::Client;
use crate::probe::lesson::SETTINGS;
use crate::probe::server::Server;
use crate::signal::Signal;
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Hello, Order};

/// Types a request and waits until it arrives; `None` when it does not.
pub(super) async fn request(run: &Run, method: &str, name: &str, body: &str) -> Result<Option<Request>, Stop> {
    let blank = if body.is_empty() { "" } else { " " };
    run.line(&format!("doreq {method} {}/{name}{blank}{body}", run.url)).await?;
    Ok(arrival(run, name).await)
}

/// Waits until a request with this name arrives.
pub(super) async fn arrival(run: &Run, name: &str) -> Option<Request> {
    let path = format!("/{name}");
    run.until(|events| requests(events).into_iter().find(|r| r.path == path).cloned()).await
}

/// Waits until this many requests have arrived, as long as one more comes in time: a slow pair is not a stuck one.
pub(super) async fn arrivals(run: &Run, count: usize) -> bool {
    let mut come = 0;
    while come < count {
        let more = run.until(|events| Some(requests(events).len()).filter(|now| *now > come)).await;
        let Some(now) = more else { return false };
        come = now;
    }
    true
}

/// A request whose arrival shows that everything typed before was handled, and that both sides are up.
pub(super) async fn barrier(run: &Run, name: &str) -> Result<(), Stop> {
    match request(run, "POST", name, "{}").await? {
        Some(_) => Ok(()),
        None => Err(Stop::Missing(format!("a request typed as a barrier never reached the target; {}", state(run)))),
    }
}

/// A session in which a first request has gone through, and the pair is idle again.
pub(super) async fn ready(stage: &Stage) -> Result<Run, Stop> {
    let run = stage.watchdog().await?;
    idle(stage, &run, "ready").await?;
    Ok(run)
}

/// A request that arrives, and its answer shown where answers are: then nothing is under way.
pub(super) async fn idle(stage: &Stage, run: &Run, name: &str) -> Result<(), Stop> {
    barrier(run, name).await?;
    if stage.dialect().prints.body == Some(true) && !shows(run, Answer::BODY).await {
        return Err(Stop::Missing(format!("the answer to a first request was not shown; {}", state(run))));
    }
    Ok(())
}

/// A server alone that has answered a recorded request, so that it is known to be up, and the message that made it.
pub(super) async fn alone(stage: &Stage) -> Result<(Client, Vec<u8>), Stop> {
    let message = stage.replay().ok_or_else(|| not_learned("requests to replay", "[dialect]\nend = \"#\""))?;
    let framed = stage.dialect().framed(message);
    let client = Client::start(stage, stage.replay_slot()).await?;
    client.write(&framed).await?;
    let come = client.run.until(|events| (!requests(events).is_empty()).then_some(())).await;
    come.ok_or_else(|| {
        let why = "a message with a number or a secret of its session cannot be replayed in another";
        Stop::Missing(format!("a replayed request never arrived ({why}); {}", state(&client.run)))
    })?;
    if let (Some(true), Some(fd)) = (stage.dialect().reply.each, client.replies_through()) {
        let replied =
            |events: &[Event]| (!stage.dialect().replies(&passed(events, Who::Watchdog, fd)).is_empty()).then_some(());
        let replied = client.run.until(replied).await;
        replied.ok_or_else(|| Stop::Missing(format!("a replayed request had no reply; {}", state(&client.run))))?;
    }
    Ok((client, framed))
}

/// Waits until a request reaches a target that misbehaves.
pub(super) async fn reached(run: &Run, rogue: &mut Rogue) -> Result<(), Stop> {
    if rogue.arrived(&run.record, run.patience()).await {
        return Ok(());
    }
    Err(Stop::Missing(format!("the request never reached its target; {}", state(run))))
}

/// Waits until so many answers of targets that answer late have been shown, where answers are: such a target goes with
/// its case, and is to have answered by then.
pub(super) async fn answered_late(stage: &Stage, run: &Run, count: usize) {
    if stage.dialect().prints.body == Some(true) {
        let come = |events: &[Event]| times(&shown(events, None), Rogue::LATE.as_bytes()) >= count;
        run.until(|events| come(events).then_some(())).await;
    }
}

/// The server's process, if it was started.
pub(super) fn server_pid(run: &Run) -> Option<i32> {
    run.record.look(|events| children(events).first().copied())
}

/// Lets the server do what it does at once: until it sleeps, or the deadline.
pub(super) async fn server_asleep(run: &Run, deadline: Instant) {
    if let Some(pid) = server_pid(run) {
        run.asleep(pid, deadline).await;
    }
}

/// What the server was given when it was started in the first session.
pub(super) fn hello(stage: &Stage) -> Result<&Hello, Stop> {
    stage.lesson.hello.as_ref().ok_or_else(|| Stop::Missing("no start of the server was seen".into()))
}

/// All that a server wrote through a descriptor until it closed it.
pub(super) async fn last_replies(run: &Run, through: i32) -> Vec<u8> {
    let is_closed = |event: &Event| matches!(event.what, What::Closed { to: Who::Watchdog, fd } if fd == through);
    run.until(|events| events.iter().any(is_closed).then_some(())).await;
    run.record.look(|events| passed(events, Who::Watchdog, through))
}

/// The server that the suite plays ends as it is ordered to, and its pipes only then: a watchdog that sees these end first
/// may do something about a process that lingers, and a machine under load makes it linger.
pub(super) async fn die(run: &Run, server: Server, order: &Order) -> Result<(), Stop> {
    run.order(0, order)?;
    let ended = run.ended(Who::Server(0)).await;
    drop(server);
    ended.map(drop).ok_or_else(|| Stop::TooSlow("for the server that the suite plays to end".into()))
}

/// Types `exit` and waits for both ends.
pub(super) async fn leave(run: &Run) -> Result<(), Stop> {
    run.line("exit").await?;
    both_end(run, "`exit`").await
}

/// Both subjects must end.
pub(super) async fn both_end(run: &Run, after: &str) -> Result<(), Stop> {
    must_end(run, Who::Watchdog, after).await?;
    must_end(run, Who::Server(0), after).await?;
    Ok(())
}

/// A recorded message or reply of which one byte is another: neither one of its end, nor a backslash, which may keep the end
/// that follows from being one.
pub(super) fn with_changed(recorded: &[u8], at: usize, end: &[u8]) -> Vec<u8> {
    let mut changed = recorded.to_vec();
    changed[at] ^= 1;
    if end.contains(&changed[at]) || changed[at] == b'\\' {
        changed[at] ^= 2;
    }
    changed
}

/// The messages that went to the server; `Missing` when they cannot be told apart.
pub(super) fn messages(stage: &Stage, events: &[Event]) -> Result<Vec<Vec<u8>>, Stop> {
    let dialect = stage.dialect();
    let (Some(fd), Some(end)) = (dialect.wiring.read, &dialect.end) else {
        return Err(not_learned("the messages to the server", "[dialect]\nend = \"#\"\n[dialect.wiring]\nread = 3"));
    };
    Ok(cut(&passed(events, Who::Server(0), fd), end).0.into_iter().map(<[u8]>::to_vec).collect())
}

/// The replies that went to the watchdog.
pub(super) fn replies(stage: &Stage, events: &[Event]) -> Result<Vec<Vec<u8>>, Stop> {
    let dialect = stage.dialect();
    let (Some(fd), Some(end)) = (dialect.wiring.write, &dialect.reply.end) else {
        return Err(not_learned("the server's replies", "[dialect.wiring]\nwrite = 4\n[dialect.reply]\nend = \"#\""));
    };
    Ok(cut(&passed(events, Who::Watchdog, fd), end).0.into_iter().map(<[u8]>::to_vec).collect())
}

/// Something was not learned, and a profile could state it.
pub(super) fn not_learned(what: &str, lines: &str) -> Stop {
    Stop::Missing(format!("{what} could not be told apart; a profile can state how, for example\n{lines}"))
}

/// Fails unless the two are the same.
pub(super) fn same<T: PartialEq + Display>(what: &str, expected: T, seen: T) -> Result<(), Stop> {
    if expected == seen { Ok(()) } else { Err(Stop::failure(format!("{what}: {expected}"), seen.to_string())) }
}

/// A session in which the suite plays the server, and has answered a first setting as the server had. The
/// stand-in in the server's place ignores these signals.
pub(super) async fn played(stage: &Stage, ignore: &[Signal]) -> Result<(Run, Server), Stop> {
    played_in(stage, Watchdog::default(), ignore).await
}

/// The same with a watchdog that is started in another way.
pub(super) async fn played_in(stage: &Stage, how: Watchdog, ignore: &[Signal]) -> Result<(Run, Server), Stop> {
    const LINE: usize = SETTINGS[1];
    let lesson = &stage.lesson;
    let line = lesson.typed.get(LINE).ok_or_else(|| Stop::Missing("the first session was too short".into()))?;
    let held = Some(ignore.iter().map(|signal| *signal as i32).collect());
    let run = stage.start(Watchdog { held, ..how }).await?;
    run.line(line).await?;
    let server = Server::join(stage, &run).await?;
    server.message(&run).await?;
    if lesson.learned.dialect.reply.each == Some(true) {
        server.reply(&run, &lesson.learned.replies[LINE]).await?;
    }
    Ok((run, server))
}

/// A session in which the server has first started a process that holds whatever it was handed. That one is the suite's own,
/// and not to be blamed on the pair: it has to be cleared away.
pub(super) async fn with_grandchild(stage: &Stage) -> Result<Run, Stop> {
    let handed = &hello(stage)?.descriptors;
    let is_handed = |fd: Option<i32>| handed.iter().any(|one| one.handed && Some(one.number) == fd);
    let wiring = stage.dialect().wiring;
    if !is_handed(wiring.read) && !is_handed(wiring.write) {
        return Err(Stop::NotApplicable("its server is not started with the ends that the two talk through".into()));
    }
    stage.start(Watchdog { with_grandchild: true, ..Watchdog::default() }).await
}

/// A subject's end, if it comes within so long.
pub(super) async fn ended_within(run: &Run, who: Who, wait: Duration) -> Option<Option<Status>> {
    run.record.until(Instant::now() + wait, |events| ended(events, who)).await
}

/// What a watchdog exits with.
pub(super) fn exits_with(status: Option<Status>, expected: i32, after: &str) -> Result<(), Stop> {
    if status == Some(Status::Exited(expected)) {
        return Ok(());
    }
    Err(Stop::failure(format!("the watchdog exits with status {expected} after {after}"), status_text(status)))
}
