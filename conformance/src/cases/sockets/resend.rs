//! A client that asks in datagrams, some of which are lost, come twice or come out of order; alone, with the suite as its
//! server.

use std::time::{Duration, Instant};

use super::datagram::seen;
use super::{
    TOO_LONG_BYTES, answer, are_in_order, ends_well, has_said_and_ended, is_shown, missing, request, shown_as, typed,
};
use crate::cases::seen::{must_end, state, text};
use crate::dialect::datagram::Numbered;
use crate::event::{Event, Status, Who, ended, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::callee::{Callee, Does};
use crate::probe::datagrams::Datagrams;
use crate::stage::addressed::Kind;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "resend.sends" => sends,
    "resend.shows" => shows_answer,
    "resend.named" => named,
    "resend.again" => again,
    "resend.given-up" => given_up,
    "resend.nobody" => nobody,
    "resend.once" => once,
    "resend.order" => order,
    "resend.strange" => strange,
    "resend.too-long" => too_long,
    "resend.leaves" => leaves,
    "resend.end-lost" => end_lost,
}

/// A client that was told where the suite waits for datagrams.
async fn waited_for(stage: &Stage, kind: Kind) -> Result<(Run, Datagrams), Stop> {
    Callee::start(stage, kind, Does::Listen)?.client(stage).await?.datagrams(stage)
}

/// A client that was made to ask this, and has asked it.
async fn asked(stage: &Stage, kind: Kind, value: u32) -> Result<(Run, Datagrams, Numbered), Stop> {
    let (run, exchange) = waited_for(stage, kind).await?;
    run.line(&typed(stage, value)).await?;
    let first = exchange.messages(1).await.into_iter().next();
    let expected = request(stage, value).into_bytes();
    match first {
        Some(asked) if asked.number == 1 && asked.message == expected => Ok((run, exchange, asked)),
        _ => {
            let datagram = exchange.form.datagram(first.map_or(0, |first| first.session), 1, &expected);
            let expected = format!("after `{}`, a datagram like {}", typed(stage, value), text(&datagram));
            Err(Stop::failure(expected, seen(&exchange)))
        }
    }
}

/// The same on the way to a case's point, where the suite can answer.
async fn asking(stage: &Stage, kind: Kind, value: u32) -> Result<(Run, Datagrams, Numbered), Stop> {
    let (run, exchange, asked) = asked(stage, kind, value).await.map_err(missing)?;
    if !exchange.is_reachable() {
        let why = "its address is a name that leads nowhere from another network namespace, and not a path";
        return Err(Stop::Missing(format!("a client that can be answered: {why}")));
    }
    Ok((run, exchange, asked))
}

/// Waits for a further request, which has this value, and gives it.
async fn next(stage: &Stage, exchange: &Datagrams, value: u32) -> Result<Numbered, Stop> {
    let expected = request(stage, value).into_bytes();
    let it = |events: &[Event]| exchange.heard(events).into_iter().find(|heard| heard.message == expected);
    let none = || Stop::Missing(format!("a request {}; {}", text(&expected), seen(exchange)));
    exchange.run.until(it).await.ok_or_else(none)
}

/// Answers a request with this value.
async fn reply(stage: &Stage, exchange: &Datagrams, asked: &Numbered, value: u32) {
    exchange.send(asked.session, asked.number, answer(stage, value)).await;
}

/// How often it is shown.
fn times_shown(run: &Run, words: &str) -> usize {
    let shown = run.record.look(|events| shown(events, None));
    String::from_utf8_lossy(&shown).matches(words).count()
}

/// It ends within the time that the profile gives a client which is not answered.
async fn must_give_up(stage: &Stage, run: &Run, begun: Instant, after: &str) -> Result<Option<Status>, Stop> {
    let time = Duration::from_millis(stage.suite.profile.sockets.gives_up_ms);
    let gone = run.until_by(begun + time + run.patience(), |events| ended(events, Who::Client)).await;
    gone.ok_or_else(|| Stop::failure(format!("it ends within {} ms after {after}", time.as_millis()), state(run)))
}

/// What is typed to a client is sent in a datagram with the number 1.
async fn sends(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        asked(stage, kind, 5).await?;
    }
    Ok(())
}

/// A client shows the answer that comes in a datagram.
async fn shows_answer(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await?;
    }
    Ok(())
}

/// A client whose server is at a path has an address of its own, to which that can answer.
async fn named(stage: &Stage) -> Outcome {
    stage.speaks(Kind::UnixDatagram)?;
    let (_run, exchange, _) = asked(stage, Kind::UnixDatagram, 5).await.map_err(missing)?;
    exchange.answerable().map_err(|why| Stop::failure("datagrams from an address", why))
}

/// A request that is not answered is sent again, the same, and its answer shown.
async fn again(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        let heard = exchange.messages(2).await;
        if heard.get(1) != Some(&asked) {
            return Err(Stop::failure("the same datagram, a second time", seen(&exchange)));
        }
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await?;
    }
    Ok(())
}

/// A client that is never answered says so within the time that the profile states and ends, and not with status 0.
async fn given_up(stage: &Stage) -> Outcome {
    let mut all = Vec::new();
    for kind in stage.datagrams()? {
        all.push(asking(stage, kind, 5).await?);
    }
    let begun = Instant::now();
    for (run, ..) in &all {
        let status = must_give_up(stage, run, begun, "a request that nobody answers").await?;
        has_said_and_ended(run, status, "a request that nobody answers").await?;
    }
    Ok(())
}

/// A client at whose server's address nobody is says so and ends, and not with status 0.
async fn nobody(stage: &Stage) -> Outcome {
    let mut all = Vec::new();
    for kind in stage.datagrams()? {
        let client = Callee::start(stage, kind, Does::Nothing)?.client(stage).await?;
        // One that has found out already does not read it.
        client.run.line(&typed(stage, 5)).await?;
        all.push(client);
    }
    let begun = Instant::now();
    for client in &all {
        let status = must_give_up(stage, &client.run, begun, "a request where nobody is").await?;
        has_said_and_ended(&client.run, status, "a request where nobody is").await?;
    }
    Ok(())
}

/// An answer that comes twice is shown once.
async fn once(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        reply(stage, &exchange, &asked, 5).await;
        reply(stage, &exchange, &asked, 5).await;
        run.line(&typed(stage, 6)).await?;
        let asked = next(stage, &exchange, 6).await?;
        reply(stage, &exchange, &asked, 6).await;
        let next_is_shown = is_shown(stage, &run, 6).await;
        let times = times_shown(&run, &shown_as(stage, 5));
        if times > 1 {
            let seen = format!("{times} times; {}", state(&run));
            return Err(Stop::failure(format!("`{}`, once", shown_as(stage, 5)), seen));
        }
        next_is_shown.map_err(missing)?;
    }
    Ok(())
}

/// Answers that come out of order are shown in the order of the requests.
async fn order(stage: &Stage) -> Outcome {
    if !stage.suite.profile.sockets.asks_ahead {
        return Err(Stop::NotApplicable("the profile says that it asks nothing more before it is answered".into()));
    }
    for kind in stage.datagrams()? {
        let (run, exchange, first) = asking(stage, kind, 5).await?;
        run.line(&typed(stage, 6)).await?;
        let second = next(stage, &exchange, 6).await?;
        reply(stage, &exchange, &second, 6).await;
        reply(stage, &exchange, &first, 5).await;
        is_shown(stage, &run, 5).await.map_err(missing)?;
        is_shown(stage, &run, 6).await.map_err(missing)?;
        are_in_order(stage, &run, &[5, 6])?;
    }
    Ok(())
}

/// What answers none of its requests is neither shown nor the end of anything.
async fn strange(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        for bytes in [&b""[..], b"\0", b"\xff\xfe", b"hello", b"#"] {
            exchange.send_bytes(bytes).await;
        }
        exchange.send(asked.session, asked.number + 5, answer(stage, 8)).await;
        if exchange.form.has_session() {
            exchange.send(asked.session ^ 1, asked.number, answer(stage, 9)).await;
        }
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await?;
        for other in [8, 9].map(|value| shown_as(stage, value)) {
            if times_shown(&run, &other) > 0 {
                return Err(Stop::failure(format!("no `{other}`"), state(&run)));
            }
        }
    }
    Ok(())
}

/// A request that no datagram carries is refused with a word, and the next one is sent.
async fn too_long(stage: &Stage) -> Outcome {
    let form = &stage.suite.profile.sockets.typed_long;
    if form.is_empty() {
        return Err(Stop::NotApplicable("the profile names no request that can be that long".into()));
    }
    let line = form.replace("{text}", &"a".repeat(TOO_LONG_BYTES));
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await.map_err(missing)?;
        let before = run.record.look(|events| shown(events, None).len());
        run.line(&line).await?;
        run.line(&typed(stage, 6)).await?;
        let Ok(asked) = next(stage, &exchange, 6).await else {
            let expected = format!("after a request of {} bytes, {}", line.len(), text(request(stage, 6).as_bytes()));
            return Err(Stop::failure(expected, seen(&exchange)));
        };
        reply(stage, &exchange, &asked, 6).await;
        is_shown(stage, &run, 6).await?;
        // They may be on another stream, which is read on its own.
        let answer = shown_as(stage, 6).len() + 1;
        let has_words = |events: &[Event]| (shown(events, None).len() > before + answer).then_some(());
        if run.until(has_words).await.is_none() {
            return Err(Stop::failure("words on what cannot be sent", state(&run)));
        }
    }
    Ok(())
}

/// A client that is to leave ends with status 0.
async fn leaves(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await.map_err(missing)?;
        let leave = &stage.suite.profile.sockets.leave;
        run.line(leave).await?;
        exchange.let_go().await;
        let after = format!("`{leave}`");
        ends_well(must_end(&run, Who::Client, &after).await?, &after)?;
    }
    Ok(())
}

/// A client that is to leave ends also when nothing is said to that.
async fn end_lost(stage: &Stage) -> Outcome {
    let leave = &stage.suite.profile.sockets.leave;
    let mut all = Vec::new();
    for kind in stage.datagrams()? {
        let (run, exchange, asked) = asking(stage, kind, 5).await?;
        reply(stage, &exchange, &asked, 5).await;
        is_shown(stage, &run, 5).await.map_err(missing)?;
        run.line(leave).await?;
        all.push((run, exchange));
    }
    let begun = Instant::now();
    for (run, _) in &all {
        must_give_up(stage, run, begun, &format!("`{leave}`, to which nobody says anything")).await?;
    }
    Ok(())
}
