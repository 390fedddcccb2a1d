//! What a plugin asks its host, alone, with the suite as its host.

use super::{FIRST, answered, differ_in_number, has_bytes, response, sent, words};
use crate::chunk::{Chunk, PING};
use crate::event::{Who, ended};
use crate::outcome::{Outcome, Stop};
use crate::probe::host::{Host, Start};
use crate::stage::Stage;

crate::cases::cases! {
    "plugin.back" => back,
    "plugin.own-numbers" => own_numbers,
    "plugin.meanwhile" => meanwhile,
    "plugin.same-numbers" => same_numbers,
    "plugin.reversed" => reversed,
    "plugin.refused" => refused,
    "plugin.pings" => pings,
    "plugin.ping-refused" => ping_refused,
}

/// A plugin that was made to ask its host with each of these texts, and its requests, in the order of the texts.
async fn asking(stage: &Stage, texts: &[&str]) -> Result<(Host, Vec<Chunk>), Stop> {
    let (makes_it_ask, repeat) = (super::back(stage)?, &stage.suite.profile.plugin.repeat);
    let host = Host::start(stage, Start::default()).await?;
    let requests: Vec<_> = (FIRST..).zip(texts).map(|(id, text)| Chunk::request(id, makes_it_ask, *text)).collect();
    host.send(&requests).await?;
    let is_with = |chunk: &Chunk, text: &str| chunk.is_request(repeat) && chunk.buffer == text.as_bytes();
    let of = |chunks: &[Chunk], text: &str| chunks.iter().find(|chunk| is_with(chunk, text)).cloned();
    let asked = host.until(|chunks| texts.iter().map(|text| of(chunks, text)).collect::<Option<Vec<_>>>()).await;
    if let Some(asked) = asked {
        return Ok((host, asked));
    }
    if host.chunks().iter().any(|chunk| chunk.is_request(repeat)) {
        return Err(Stop::NotApplicable("it asks its host for one thing after the other".into()));
    }
    let expected = format!("{} of `{repeat}`, with what was sent with `{makes_it_ask}`", texts.len());
    Err(Stop::failure(expected, sent(&host)))
}

/// A plugin may ask its host, and answers with what it was answered.
async fn back(stage: &Stage) -> Outcome {
    let (host, asked) = asking(stage, &["there"]).await?;
    host.send(&[asked[0].response("and back")]).await?;
    has_bytes(&response(&host, FIRST, "what made it ask").await?, b"and back")
}

/// The requests of a plugin that are under way at the same time have different numbers.
async fn own_numbers(stage: &Stage) -> Outcome {
    let (_host, asked) = asking(stage, &["one", "two", "three", "four"]).await?;
    differ_in_number(&asked)
}

/// A plugin answers one request while it is at work on another.
async fn meanwhile(stage: &Stage) -> Outcome {
    let (host, _asked) = asking(stage, &["later"]).await?;
    let last = FIRST + 1;
    has_bytes(&answered(&host, last, &stage.suite.profile.plugin.echo, "meanwhile").await?, b"meanwhile")
}

/// A plugin tells a request of its host from the response to a request of its own that has the same number.
async fn same_numbers(stage: &Stage) -> Outcome {
    let (host, asked) = asking(stage, &["there"]).await?;
    let answer = answered(&host, asked[0].id, &stage.suite.profile.plugin.echo, "a request").await?;
    has_bytes(&answer, b"a request")?;
    host.send(&[asked[0].response("the response")]).await?;
    has_bytes(&response(&host, FIRST, "what made it ask").await?, b"the response")
}

/// A plugin takes the responses to its requests in any order, each for its own.
async fn reversed(stage: &Stage) -> Outcome {
    let (host, asked) = asking(stage, &["one", "two", "three"]).await?;
    let answer = |request: &Chunk| request.response([&request.buffer[..], b" answered"].concat());
    host.send(&asked.iter().rev().map(answer).collect::<Vec<_>>()).await?;
    for (id, request) in (FIRST..).zip(&asked) {
        has_bytes(&response(&host, id, "what made it ask").await?, &answer(request).buffer)?;
    }
    Ok(())
}

/// A plugin whose request is answered with `cmd.error` takes it for an error: what it was asked for fails.
async fn refused(stage: &Stage) -> Outcome {
    let (host, asked) = asking(stage, &["there"]).await?;
    host.send(&[asked[0].refused("not today")]).await?;
    let answer = response(&host, FIRST, "what made it ask").await?;
    if answer.is_error() { Ok(()) } else { Err(Stop::failure("an error, as its host answered", words(&answer))) }
}

/// A plugin asks its host again and again whether it is there, with `cmd.ping`.
async fn pings(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let pings = |chunks: &[Chunk]| chunks.iter().filter(|chunk| chunk.is_request(PING)).count();
    for which in ["a request", "a second request"] {
        let before = pings(&host.chunks());
        let asked = host.until(|chunks| (pings(chunks) > before).then_some(())).await;
        asked.ok_or_else(|| Stop::failure(format!("{which} of `{PING}`"), sent(&host)))?;
    }
    Ok(())
}

/// A plugin whose `cmd.ping` is answered with an error ends.
async fn ping_refused(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start { refuses_pings: true, ..Start::default() }).await?;
    let over = host.until_seen(|events, _| ended(events, Who::Plugin(0)).map(drop)).await;
    over.ok_or_else(|| Stop::failure("the end of the plugin", sent(&host)))
}
