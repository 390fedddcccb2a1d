//! What a host asks its plugin, and what it makes of the answers, with the suite in the plugin's place.

use super::played::{arrived, call, has_line, line, must_show, played, type_call};
use super::{FIRST, all_is_chunks, answered, differ_in_number, has_bytes, sent, words};
use crate::cases::seen::text;
use crate::chunk::{Chunk, Direction};
use crate::dialect::find;
use crate::event::shown;
use crate::outcome::{Outcome, Stop};
use crate::probe::plugin::Plugin;
use crate::stage::Stage;

crate::cases::cases! {
    "host.chunks" => chunks,
    "host.request" => request,
    "host.one-way" => one_way,
    "host.concurrent" => concurrent,
    "host.numbers" => numbers,
    "host.answer" => answer,
    "host.reversed" => reversed,
    "host.same-numbers" => same_numbers,
    "host.refused" => refused,
    "host.unknown-response" => unknown_response,
    "host.split" => split,
}

/// The commands of three calls.
const THREE: [&str; 3] = ["one", "two", "three"];

/// Whatever a host writes is chunks: numbers in decimal, each with a NUL behind it, a command, and as many bytes as are said.
async fn chunks(stage: &Stage) -> Outcome {
    let (run, plugin) = played(stage).await?;
    type_call(stage, &run, "one", "some text").await?;
    plugin.until_seen(|events, _| find(&plugin.bytes_heard(events), b"some text").map(drop)).await;
    plugin.rests().await;
    all_is_chunks(&plugin)
}

/// A host in which a call is typed sends a request with its command and its text.
async fn request(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    is_sent(&call(stage, &plugin, "one").await?, Direction::Request)
}

/// A host in which a message is typed that is not answered sends it as a one-way message.
async fn one_way(stage: &Stage) -> Outcome {
    let (run, plugin) = played(stage).await?;
    run.line(&line(&stage.suite.profile.plugin.notify, "one", "text of one")).await?;
    is_sent(&arrived(&plugin, "one").await?, Direction::OneWay)
}

fn is_sent(chunk: &Chunk, direction: Direction) -> Outcome {
    const TEXT: &[u8] = b"text of one";
    if chunk.direction == direction && chunk.buffer == TEXT {
        return Ok(());
    }
    Err(Stop::failure(
        format!("{}, as it was typed", words(&Chunk { direction, buffer: TEXT.into(), ..chunk.clone() })),
        words(chunk),
    ))
}

/// Three calls that were typed, none of which has been answered, and the requests.
async fn under_way(stage: &Stage, plugin: &Plugin) -> Result<Vec<Chunk>, Stop> {
    let mut requests = Vec::new();
    for command in THREE {
        requests.push(call(stage, plugin, command).await?);
    }
    Ok(requests)
}

/// A host sends a request while others are not answered yet.
async fn concurrent(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    under_way(stage, &plugin).await.map(drop)
}

/// The requests of a host that are under way at the same time have different numbers.
async fn numbers(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    differ_in_number(&under_way(stage, &plugin).await?)
}

/// A host shows the answer to a call that was typed.
async fn answer(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let request = call(stage, &plugin, "one").await?;
    plugin.send(&[request.response("the answer")]).await?;
    must_show(stage, &plugin, "one", "the answer").await
}

/// A host takes the responses to its requests in any order, each for its own.
async fn reversed(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let requests = under_way(stage, &plugin).await?;
    let answer = |request: &Chunk| format!("answer to {}", String::from_utf8_lossy(&request.command));
    plugin.send(&requests.iter().rev().map(|request| request.response(answer(request))).collect::<Vec<_>>()).await?;
    for (command, request) in THREE.iter().zip(&requests) {
        must_show(stage, &plugin, command, &answer(request)).await?;
    }
    Ok(())
}

/// A host tells a request of its plugin from the response to a request of its own that has the same number.
async fn same_numbers(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let request = call(stage, &plugin, "one").await?;
    let repeated = answered(&plugin, request.id, &stage.suite.profile.plugin.repeat, "a request").await?;
    has_bytes(&repeated, b"a request")?;
    plugin.send(&[request.response("the response")]).await?;
    must_show(stage, &plugin, "one", "the response").await
}

/// A host whose request is answered with `cmd.error` shows the words, and not as an answer.
async fn refused(stage: &Stage) -> Outcome {
    const WHY: &str = "not on a sunday";
    let (_run, plugin) = played(stage).await?;
    let request = call(stage, &plugin, "one").await?;
    plugin.send(&[request.refused(WHY)]).await?;
    let said = plugin.until_seen(|events, _| find(&shown(events, None), WHY.as_bytes()).map(drop)).await;
    said.ok_or_else(|| Stop::failure(format!("{} is shown", text(WHY.as_bytes())), sent(&plugin)))?;
    let as_answer = line(&stage.suite.profile.plugin.shows, "one", WHY);
    plugin.rests().await;
    if plugin.run.record.look(|events| has_line(events, &as_answer)) {
        return Err(Stop::failure("an error is shown in another way than an answer", format!("`{as_answer}`")));
    }
    Ok(())
}

/// A host drops a response that it does not wait for, and goes on.
async fn unknown_response(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let request = call(stage, &plugin, "one").await?;
    plugin.send(&[Chunk { id: FIRST, ..request.response("unasked") }, request.response("the answer")]).await?;
    must_show(stage, &plugin, "one", "the answer").await
}

/// A host understands a chunk that comes a byte at a time.
async fn split(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let request = call(stage, &plugin, "one").await?;
    plugin.send_bytewise(&request.response("the answer")).await?;
    must_show(stage, &plugin, "one", "the answer").await
}
