//! A server that listens, alone, with the suite as its clients.

use super::{answered, are_answers, ends_badly, missing, request, seen, slow, started, still_serves, up};
use crate::cases::seen::must_end;
use crate::descriptors;
use crate::dialect::find;
use crate::event::{Status, Who};
use crate::observe::channel::listens_at;
use crate::observe::rogue::{Manner, Rogue};
use crate::outcome::{Outcome, Stop};
use crate::probe::callee::{Callee, Does};
use crate::probe::caller::Listening;
use crate::probe::stream::Stream;
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::addressed::Kind;
use crate::subject::session::Size;

crate::cases::cases! {
    "listen.answers" => answers,
    "listen.listens" => listens,
    "listen.many" => many,
    "listen.thousand" => thousand,
    "listen.queued" => queued,
    "listen.next" => next,
    "listen.split" => split,
    "listen.joined" => joined,
    "listen.stalled" => stalled,
    "listen.slow" => takes_long,
    "listen.half-close" => half_close,
    "listen.closes" => closes,
    "listen.cut-off" => cut_off,
    "listen.reset" => reset,
    "listen.reset-owed" => reset_owed,
    "listen.order" => order,
    "listen.alarm" => alarm,
    "listen.alarm-told" => alarm_told,
    "listen.in-use" => in_use,
    "listen.loopback" => loopback,
}

/// A client that connects to a server and asks is answered.
async fn answers(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        answered(stage, &server, 5).await?;
    }
    Ok(())
}

/// A server listens at the address that it is told, and shows that as the profile states.
async fn listens(stage: &Stage) -> Outcome {
    for kind in stage.all_kinds()? {
        let server = Listening::start(stage, kind).await?;
        if !kind.is_for_datagrams() {
            server.connect().await?;
        }
    }
    Ok(())
}

/// Clients that are connected at the same time are all answered, each with its own answers.
async fn many(stage: &Stage) -> Outcome {
    const MANY: u32 = 100;
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let streams = connected(stage, &server, MANY, || Ok(())).await?;
        // All of them are there still, and ask at once.
        for (number, stream) in (0..MANY).zip(&streams) {
            stream.send(request(stage, 2000 + number)).await;
        }
        for (number, stream) in (0..MANY).zip(&streams) {
            are_answers(stage, stream, &[FIRST + number, 2000 + number]).await?;
        }
    }
    Ok(())
}

/// What the first of many clients asks for; the others count from there.
const FIRST: u32 = 1000;

/// So many clients, each of which has asked and was answered before the next one comes, so that no queue is too short for them.
/// When a few of them are there it is looked whether there is room for the others.
async fn connected(
    stage: &Stage,
    server: &Listening<'_>,
    clients: u32,
    room: impl Fn() -> Outcome,
) -> Result<Vec<Stream>, Stop> {
    let mut streams = Vec::new();
    for number in 0..clients {
        let stream = server.connect().await?;
        stream.send(request(stage, FIRST + number)).await;
        are_answers(stage, &stream, &[FIRST + number]).await?;
        streams.push(stream);
        if streams.len() == FEW {
            room()?;
        }
    }
    Ok(streams)
}

/// After so many it shows what a server needs for each.
const FEW: usize = 50;

/// A thousand clients and more that are connected at the same time are all answered.
async fn thousand(stage: &Stage) -> Outcome {
    // More than a set of descriptors holds.
    const CLIENTS: u32 = 1100;
    // Each has two of the suite's, which has others beside them.
    if descriptors::allowed() < 3 * u64::from(CLIENTS) {
        return Err(Stop::Missing(format!("open files for {CLIENTS} connections: raise the limit (ulimit -Hn)")));
    }
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let alone = server.run.size()?;
        let room = || has_room(stage, alone, server.run.size()?, u64::from(CLIENTS));
        let streams = connected(stage, &server, CLIENTS, room).await?;
        for (number, stream) in (0..CLIENTS).zip(&streams).rev().take(FEW) {
            stream.send(request(stage, 3000 + number)).await;
            are_answers(stage, stream, &[FIRST + number, 3000 + number]).await?;
        }
    }
    Ok(())
}

/// A server has room for so many clients by the limits on it, if it goes on as it did for the first of them.
fn has_room(stage: &Stage, before: Size, after: Size, clients: u64) -> Outcome {
    // Half as much again, for what it keeps in reserve.
    let needs = |before: u64, after: u64| after + after.saturating_sub(before) * clients / FEW as u64 * 3 / 2;
    let (threads, files) = (needs(before.threads, after.threads), needs(before.files, after.files));
    let processes = stage.bound_on_processes().unwrap_or(u64::MAX);
    if threads <= processes && files <= after.files_max {
        return Ok(());
    }
    let needs =
        format!("{threads} processes and threads (--max-processes) and {files} open files (--max-files, ulimit -n)");
    Err(Stop::NotApplicable(format!("by its limits it has no room for {clients} clients, which needs {needs}")))
}

/// Connections that come while a server is held up are taken when it goes on.
async fn queued(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        up(stage, &server, 5).await?;
        server.run.signal(Who::Listener(0), Signal::SIGSTOP)?;
        let mut streams = Vec::new();
        for number in [6, 7, 8, 9] {
            let stream = server.connect().await?;
            stream.send(request(stage, number)).await;
            streams.push((number, stream));
        }
        server.run.signal(Who::Listener(0), Signal::SIGCONT)?;
        for (number, stream) in &streams {
            are_answers(stage, stream, &[*number]).await?;
        }
    }
    Ok(())
}

/// When a client has gone, the next one is answered.
async fn next(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        up(stage, &server, 5).await?.close().await;
        answered(stage, &server, 6).await?;
    }
    Ok(())
}

/// A message that comes byte by byte is answered as one that comes at once.
async fn split(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let stream = up(stage, &server, 5).await?;
        stream.send_apart(request(stage, 6)).await;
        are_answers(stage, &stream, &[5, 6]).await?;
    }
    Ok(())
}

/// Messages that come at once are all answered, in their order.
async fn joined(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let stream = up(stage, &server, 5).await?;
        let three = [6, 7, 8].map(|number| request(stage, number)).concat();
        stream.send(three).await;
        are_answers(stage, &stream, &[5, 6, 7, 8]).await?;
    }
    Ok(())
}

/// A client that sends and takes nothing keeps no other from being answered.
async fn stalled(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let mut stream = up(stage, &server, 5).await?;
        stream.stall();
        // As much as is taken; the rest waits.
        stream.fill(request(stage, 6).repeat(100_000)).await;
        answered(stage, &server, 7).await?;
    }
    Ok(())
}

/// A client that is owed an answer which does not come before the target is released.
async fn owed(stage: &Stage, server: &Listening<'_>, rogue: &mut Rogue) -> Result<Stream, Stop> {
    let stream = server.connect().await.map_err(missing)?;
    stream.send(slow(stage, &rogue.url())?).await;
    if rogue.arrived(&server.run.record, server.run.patience()).await {
        return Ok(stream);
    }
    Err(Stop::Missing(format!("a request at the target; {}", seen(&stream))))
}

/// The late answer is among what comes.
async fn is_late_answer(stream: &Stream, count: usize) -> Outcome {
    let heard = stream.messages(count).await;
    if heard.get(count - 1).is_some_and(|message| find(message, Rogue::LATE.as_bytes()).is_some()) {
        return Ok(());
    }
    Err(Stop::failure(format!("an answer with `{}`", Rogue::LATE), seen(stream)))
}

/// A client whose answer takes long keeps no other from being answered.
async fn takes_long(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let stream = owed(stage, &server, &mut rogue).await?;
        answered(stage, &server, 5).await?;
        rogue.release();
        is_late_answer(&stream, 1).await.map_err(missing)?;
    }
    Ok(())
}

/// A client that says no more still gets the answers that it is owed.
async fn half_close(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let mut stream = owed(stage, &server, &mut rogue).await?;
        stream.end();
        // Long enough for who takes it for the end of all: another client is answered meanwhile.
        up(stage, &server, 5).await?;
        rogue.release();
        is_late_answer(&stream, 1).await?;
    }
    Ok(())
}

/// When a client says no more and has its answers, the server closes the connection.
async fn closes(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let mut stream = up(stage, &server, 5).await?;
        stream.end();
        if !stream.ends().await {
            return Err(Stop::failure("the end of the connection", seen(&stream)));
        }
    }
    Ok(())
}

/// A client that is gone inside a message keeps no other from being answered.
async fn cut_off(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let stream = up(stage, &server, 5).await?;
        let message = request(stage, 6);
        stream.send(&message[..message.len() / 2]).await;
        stream.close().await;
        still_serves(stage, &server, 7).await?;
    }
    Ok(())
}

/// A client that resets its connection keeps no other from being answered.
async fn reset(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let other = up(stage, &server, 5).await?;
        up(stage, &server, 6).await?.reset().await;
        still_serves(stage, &server, 7).await?;
        other.send(request(stage, 8)).await;
        are_answers(stage, &other, &[5, 8]).await?;
    }
    Ok(())
}

/// A client that resets its connection while it is owed an answer keeps no other from being answered.
async fn reset_owed(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        owed(stage, &server, &mut rogue).await?.reset().await;
        let other = owed(stage, &server, &mut rogue).await?;
        rogue.release();
        // The target answers in the order in which it was asked: when this one has its answer, the other one's was there before.
        rogue.release();
        is_late_answer(&other, 1).await?;
        still_serves(stage, &server, 5).await?;
    }
    Ok(())
}

/// The answers to one client come in the order of its messages, also when the first takes longest.
async fn order(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let stream = owed(stage, &server, &mut rogue).await?;
        stream.send(request(stage, 5)).await;
        // Who answers that first has done so when another client is answered.
        up(stage, &server, 6).await?;
        rogue.release();
        let heard = stream.messages(2).await;
        let is_late = |message: &Vec<u8>| find(message, Rogue::LATE.as_bytes()).is_some();
        if heard.len() != 2 || !is_late(&heard[0]) || is_late(&heard[1]) {
            return Err(Stop::failure(
                format!("first the answer with `{}`, then the other", Rogue::LATE),
                seen(&stream),
            ));
        }
    }
    Ok(())
}

/// SIGALRM ends a server to which clients are connected.
async fn alarm(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let _one = up(stage, &server, 5).await?;
        let _other = up(stage, &server, 6).await?;
        server.run.signal(Who::Listener(0), Signal::SIGALRM)?;
        must_end(&server.run, Who::Listener(0), "SIGALRM").await?;
    }
    Ok(())
}

/// When SIGALRM ends a server, its clients see their connections end in order, and it exits with status 0.
async fn alarm_told(stage: &Stage) -> Outcome {
    for kind in stage.streams()? {
        let server = started(stage, kind).await?;
        let stream = up(stage, &server, 5).await?;
        server.run.signal(Who::Listener(0), Signal::SIGALRM)?;
        let status = must_end(&server.run, Who::Listener(0), "SIGALRM").await.map_err(missing)?;
        if !stream.ends().await {
            return Err(Stop::failure("the end of the connection", seen(&stream)));
        }
        if !matches!(status, Some(Status::Exited(0)) | None) {
            let seen = status.map_or_else(String::new, |status| status.to_string());
            return Err(Stop::failure("exit status 0 after SIGALRM", seen));
        }
    }
    Ok(())
}

/// A server that is to listen at a port at which another does exits with a status that is not 0.
async fn in_use(stage: &Stage) -> Outcome {
    stage.speaks(Kind::Tcp)?;
    let callee = Callee::start(stage, Kind::Tcp, Does::Listen)?;
    let run = stage.server_at_port(callee.port).await?;
    ends_badly(must_end(&run, Who::Listener(0), "its start at a port that is in use").await?)
}

/// A server that is to listen on the loopback listens on nothing else.
async fn loopback(stage: &Stage) -> Outcome {
    for kind in stage.ports()? {
        let server = started(stage, kind).await?;
        let (pid, port) = (server.run.pid, server.port());
        let protocol = if kind.is_for_datagrams() { "udp" } else { "tcp" };
        let at = server.run.record.answer("the addresses at which it listens", || listens_at(pid, protocol, port));
        if at.is_empty() {
            return Err(Stop::Missing("where it listens is not seen".into()));
        }
        if let Some(other) = at.iter().find(|at| !at.starts_with("127.") && *at != "::1") {
            return Err(Stop::failure("127.0.0.1", other.clone()));
        }
    }
    Ok(())
}
