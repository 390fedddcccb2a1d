//! A server to which datagrams come, alone, with the suite as its clients.

use super::{TOO_LONG_BYTES, answer, ends_well, missing, request, slow, started};
use crate::cases::seen::{must_end, state, text};
use crate::dialect::datagram::Numbered;
use crate::dialect::find;
use crate::event::{Who, requests};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::probe::caller::Listening;
use crate::probe::datagrams::Datagrams;
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::addressed::{How, Kind};

crate::cases::cases! {
    "datagram.answers" => answers,
    "datagram.whole" => whole,
    "datagram.many" => many,
    "datagram.again" => again,
    "datagram.again-early" => again_early,
    "datagram.order" => order,
    "datagram.sessions" => sessions,
    "datagram.empty" => empty,
    "datagram.strange" => strange,
    "datagram.nameless" => nameless,
    "datagram.slow" => takes_long,
    "datagram.gone" => gone,
    "datagram.stalled" => stalled,
    "datagram.too-long" => too_long,
    "datagram.alarm" => alarm,
}

/// What a client calls its session, if that has a name: all of them alike, since nobody knows what others choose.
pub(super) fn session(client: &Datagrams) -> u64 {
    if client.form.has_session() { 7001 } else { 0 }
}

/// Sends a request with this number that is answered at once. What a case sends before it waits for an answer fits into any
/// queue, so that none of it is lost.
pub(super) async fn ask(stage: &Stage, client: &Datagrams, number: u64, value: u32) {
    client.send(session(client), number, request(stage, value)).await;
}

/// All that came are answers to these requests, whose numbers stand beside their values, in any order.
pub(super) async fn are_answered(stage: &Stage, client: &Datagrams, asked: &[(u64, u32)]) -> Outcome {
    let mut heard = client.messages(asked.len()).await;
    heard.sort();
    let session = session(client);
    let answered = |(number, value): &(u64, u32)| Numbered {
        session,
        number: *number,
        message: answer(stage, *value).into_bytes(),
    };
    let mut expected: Vec<_> = asked.iter().map(answered).collect();
    expected.sort();
    if heard == expected {
        return Ok(());
    }
    let datagrams = expected.iter().map(|one| client.form.datagram(one.session, one.number, &one.message));
    Err(Stop::failure(format!("the datagrams {}", listed(datagrams)), seen(client)))
}

fn listed(datagrams: impl Iterator<Item = Vec<u8>>) -> String {
    datagrams.map(|datagram| text(&datagram)).collect::<Vec<_>>().join(", ")
}

/// What has come, and how its session is.
pub(super) fn seen(client: &Datagrams) -> String {
    let heard = listed(client.run.record.look(|events| client.all_heard(events)).into_iter());
    let heard = if heard.is_empty() { "none".to_owned() } else { heard };
    format!("{heard}, at socket {}; {}", client.number, state(&client.run))
}

/// A client that has asked one thing and was answered.
pub(super) async fn answered(stage: &Stage, server: &Listening<'_>, value: u32) -> Result<Datagrams, Stop> {
    let client = server.datagrams()?;
    ask(stage, &client, 1, value).await;
    are_answered(stage, &client, &[(1, value)]).await?;
    Ok(client)
}

/// The same on the way to a case's point.
async fn up(stage: &Stage, server: &Listening<'_>, value: u32) -> Result<Datagrams, Stop> {
    answered(stage, server, value).await.map_err(missing)
}

/// Others are answered, and still are when all that was under way has come to its end.
async fn still_serves(stage: &Stage, server: &Listening<'_>, value: u32) -> Outcome {
    answered(stage, server, value).await?;
    server.run.asleep(server.run.pid, std::time::Instant::now() + server.run.patience() / 10).await;
    answered(stage, server, value).await.map(drop)
}

/// A request that comes in a datagram is answered in one that goes to where it came from and has its number.
async fn answers(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        answered(stage, &server, 5).await?;
    }
    Ok(())
}

/// Requests that come one after the other are each answered in a datagram of its own.
async fn whole(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = up(stage, &server, 5).await?;
        for (number, value) in [(2, 6), (3, 7), (4, 8)] {
            ask(stage, &client, number, value).await;
        }
        are_answered(stage, &client, &[(1, 5), (2, 6), (3, 7), (4, 8)]).await?;
    }
    Ok(())
}

/// Clients that ask at the same time are all answered, each with its own answers.
async fn many(stage: &Stage) -> Outcome {
    const MANY: u32 = 100;
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let mut clients = Vec::new();
        for value in 0..MANY {
            let client = server.datagrams()?;
            ask(stage, &client, 1, 1000 + value).await;
            clients.push(client);
        }
        for (value, client) in (0..MANY).zip(&clients) {
            are_answered(stage, client, &[(1, 1000 + value)]).await?;
        }
        // All of them are known still.
        for (value, client) in (0..MANY).zip(&clients).rev() {
            ask(stage, client, 2, 2000 + value).await;
            are_answered(stage, client, &[(1, 1000 + value), (2, 2000 + value)]).await?;
        }
    }
    Ok(())
}

/// A request that comes again is answered again, and not done again.
async fn again(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = server.datagrams()?;
        let message = slow(stage, &format!("{}/once", server.run.url))?;
        client.send(session(&client), 1, &message).await;
        if client.messages(1).await.len() != 1 {
            return Err(Stop::Missing(format!("an answer; {}", seen(&client))));
        }
        client.send(session(&client), 1, &message).await;
        let heard = client.messages(2).await;
        if heard.len() != 2 || heard[0] != heard[1] {
            return Err(Stop::failure("the same answer, a second time", seen(&client)));
        }
        let done = server.run.record.look(|events| requests(events).len());
        if done != 1 {
            return Err(Stop::failure("one request at the target", format!("{done}")));
        }
    }
    Ok(())
}

/// A client that is owed an answer which does not come before the target is released.
async fn owed(stage: &Stage, server: &Listening<'_>, rogue: &mut Rogue) -> Result<Datagrams, Stop> {
    let client = server.datagrams()?;
    client.send(session(&client), 1, slow(stage, &rogue.url())?).await;
    if rogue.arrived(&server.run.record, server.run.patience()).await {
        return Ok(client);
    }
    Err(Stop::Missing(format!("a request at the target; {}", seen(&client))))
}

/// The late answer comes.
async fn is_late_answer(client: &Datagrams) -> Outcome {
    let heard = client.messages(1).await;
    if heard.first().is_some_and(|answer| find(&answer.message, Rogue::LATE.as_bytes()).is_some()) {
        return Ok(());
    }
    Err(Stop::failure(format!("an answer with `{}`", Rogue::LATE), seen(client)))
}

/// A request that comes again while it is being done is done once.
async fn again_early(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let client = owed(stage, &server, &mut rogue).await?;
        client.send(session(&client), 1, slow(stage, &rogue.url())?).await;
        still_serves(stage, &server, 5).await.map_err(missing)?;
        let is_done_twice = rogue.has_arrived(&server.run.record);
        rogue.release();
        is_late_answer(&client).await.map_err(missing)?;
        if is_done_twice {
            return Err(Stop::failure("one request at the target", "another one"));
        }
    }
    Ok(())
}

/// A request that comes before an earlier one is done after that.
async fn order(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = server.datagrams()?;
        ask(stage, &client, 2, 6).await;
        still_serves(stage, &server, 7).await.map_err(missing)?;
        let early = server.run.record.look(|events| client.heard(events).len());
        if early > 0 {
            return Err(Stop::failure("nothing, before the request with number 1 has come", seen(&client)));
        }
        ask(stage, &client, 1, 5).await;
        are_answered(stage, &client, &[(1, 5), (2, 6)]).await?;
    }
    Ok(())
}

/// A client that begins anew at the same address counts from 1 again.
async fn sessions(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = up(stage, &server, 5).await?;
        if !client.form.has_session() {
            return Err(Stop::NotApplicable("the profile says that sessions have no numbers".into()));
        }
        let next = session(&client) + 1000;
        client.send(next, 1, request(stage, 6)).await;
        let heard = client.messages(2).await;
        let expected = Numbered { session: next, number: 1, message: answer(stage, 6).into_bytes() };
        if heard.get(1) != Some(&expected) {
            let datagram = client.form.datagram(next, 1, &expected.message);
            return Err(Stop::failure(format!("the datagram {}", text(&datagram)), seen(&client)));
        }
    }
    Ok(())
}

/// An empty datagram is the end of nothing.
async fn empty(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = up(stage, &server, 5).await?;
        client.send_bytes("").await;
        ask(stage, &client, 2, 6).await;
        are_answered(stage, &client, &[(1, 5), (2, 6)]).await?;
        still_serves(stage, &server, 7).await?;
    }
    Ok(())
}

/// What is none of its datagrams keeps nobody from being answered.
async fn strange(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let client = up(stage, &server, 5).await?;
        let long = vec![b'9'; 60_000];
        for bytes in [&b"\0"[..], b"\xff\xfe\xfd", b"#", b"hello", b"-1 -1 -1", &long] {
            client.send_bytes(bytes).await;
        }
        client.send(session(&client), u64::MAX, request(stage, 9)).await;
        still_serves(stage, &server, 6).await?;
    }
    Ok(())
}

/// A client without an address, which cannot be answered, keeps nobody else from being answered.
async fn nameless(stage: &Stage) -> Outcome {
    stage.speaks(Kind::UnixDatagram)?;
    let server = started(stage, Kind::UnixDatagram).await?;
    ask(stage, &server.nameless()?, 1, 5).await;
    still_serves(stage, &server, 6).await
}

/// A client whose answer takes long keeps no other from being answered, and gets it itself.
async fn takes_long(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let client = owed(stage, &server, &mut rogue).await?;
        answered(stage, &server, 5).await?;
        rogue.release();
        is_late_answer(&client).await?;
    }
    Ok(())
}

/// A client that is gone before its answer comes keeps no other from being answered.
async fn gone(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let mut rogue = stage.rogue(Manner::Waits)?;
        let server = started(stage, kind).await?;
        let mut client = owed(stage, &server, &mut rogue).await?;
        client.leave().await;
        up(stage, &server, 5).await?;
        rogue.release();
        still_serves(stage, &server, 6).await?;
    }
    Ok(())
}

/// A client that asks and takes nothing keeps no other from being answered.
async fn stalled(stage: &Stage) -> Outcome {
    // Together more than waits for anybody; and so few at a time that none of them is lost on the way.
    const TIMES: u64 = 40;
    const AT_A_TIME: u64 = 15;
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let mut client = up(stage, &server, 5).await?;
        client.stall();
        let other = server.datagrams()?;
        let mut asked = Vec::new();
        for time in 0..TIMES {
            for n in 0..AT_A_TIME {
                ask(stage, &client, 2 + time * AT_A_TIME + n, 6).await;
            }
            // When this is answered, all that came before has been read.
            ask(stage, &other, 1 + time, 7).await;
            asked.push((1 + time, 7));
            are_answered(stage, &other, &asked).await?;
        }
    }
    Ok(())
}

/// Instead of an answer that no datagram carries comes one that says so, and the next request is answered.
async fn too_long(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let answer = Answer { body: vec![b'a'; TOO_LONG_BYTES], ..Answer::default() };
        let server = Listening::start_so(stage, kind, How { answer, ..How::default() }).await.map_err(missing)?;
        let client = server.datagrams()?;
        client.send(session(&client), 1, slow(stage, &server.run.url)?).await;
        let heard = client.messages(1).await;
        if heard.first().is_none_or(|first| first.number != 1) {
            return Err(Stop::failure("an answer to the request with number 1", seen(&client)));
        }
        ask(stage, &client, 2, 5).await;
        let heard = client.messages(2).await;
        let is_next = |next: &Numbered| next.number == 2 && next.message == super::answer(stage, 5).into_bytes();
        if !heard.get(1).is_some_and(is_next) {
            return Err(Stop::failure("an answer to the request with number 2", seen(&client)));
        }
    }
    Ok(())
}

/// SIGALRM ends a server that has clients, with status 0.
async fn alarm(stage: &Stage) -> Outcome {
    for kind in stage.datagrams()? {
        let server = started(stage, kind).await?;
        let _one = up(stage, &server, 5).await?;
        let _other = up(stage, &server, 6).await?;
        server.run.signal(Who::Listener(0), Signal::SIGALRM)?;
        ends_well(must_end(&server.run, Who::Listener(0), "SIGALRM").await?, "SIGALRM")?;
    }
    Ok(())
}
