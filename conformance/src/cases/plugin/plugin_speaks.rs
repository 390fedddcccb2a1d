//! Where and in what form a plugin speaks, alone, with the suite as its host.

use super::{FIRST, LARGE_BYTES, WIDE, all_is_chunks, answered, any_bytes, has_bytes, large, response, sent, words};
use crate::cases::seen::state;
use crate::chunk::{Chunk, METADATA};
use crate::dialect::find;
use crate::outcome::{Outcome, Stop};
use crate::probe::host::{GREETING, Host, Start};
use crate::stage::Stage;

crate::cases::cases! {
    "plugin.numbers" => numbers,
    "plugin.standard" => standard,
    "plugin.chunks" => chunks,
    "plugin.metadata" => metadata,
    "plugin.id" => id,
    "plugin.direction" => direction,
    "plugin.command" => command,
    "plugin.bytes" => bytes,
    "plugin.empty" => empty,
    "plugin.large" => large_buffer,
    "plugin.split" => split,
    "plugin.full" => full,
    "plugin.wide" => wide,
}

const TEXT: &str = "hello, plugin";

/// A plugin that was sent a request of `echo`, and nothing else.
async fn asked(stage: &Stage, how: Start) -> Result<Host, Stop> {
    let host = Host::start(stage, how).await?;
    host.send(&[Chunk::request(FIRST, &stage.suite.profile.plugin.echo, TEXT)]).await?;
    Ok(host)
}

/// What was sent comes back, in whatever form.
async fn says_it(host: &Host) -> Outcome {
    let comes = host.until_seen(|events, _| find(&host.bytes_heard(events), TEXT.as_bytes()).map(drop)).await;
    let expected = || format!("`{TEXT}`, which it was sent, comes out of descriptor {}", host.from);
    comes.ok_or_else(|| Stop::failure(expected(), sent(host)))
}

/// A plugin that is told two numbers reads from what is open under the first and writes to what is open under the second.
async fn numbers(stage: &Stage) -> Outcome {
    says_it(&asked(stage, Start::default()).await?).await
}

/// A plugin that is told no numbers reads from standard input and writes to standard output.
async fn standard(stage: &Stage) -> Outcome {
    says_it(&asked(stage, Start { standard: true, ..Start::default() }).await?).await
}

/// Whatever a plugin writes is chunks: numbers in decimal, each with a NUL behind it, a command, and as many bytes as are said.
async fn chunks(stage: &Stage) -> Outcome {
    let host = asked(stage, Start::default()).await?;
    says_it(&host).await?;
    host.rests().await;
    all_is_chunks(&host)
}

/// A plugin answers `GetMetadata` with a JSON object of texts.
async fn metadata(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let answer = response(&host, GREETING, &format!("`{METADATA}`")).await?;
    let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&answer.buffer);
    if !answer.is_error() && object.is_ok_and(|object| object.values().all(serde_json::Value::is_string)) {
        return Ok(());
    }
    Err(Stop::failure("a JSON object whose values are texts", words(&answer)))
}

/// The chunk that has what was sent, whatever else it says.
async fn echoed(host: &Host) -> Result<Chunk, Stop> {
    let echoed = host.until(|chunks| chunks.iter().find(|chunk| chunk.buffer == TEXT.as_bytes()).cloned()).await;
    echoed.ok_or_else(|| Stop::failure(format!("a chunk with `{TEXT}`, which it was sent"), sent(host)))
}

/// The response of a plugin has the number of its request.
async fn id(stage: &Stage) -> Outcome {
    let host = asked(stage, Start::default()).await?;
    let answer = echoed(&host).await?;
    if answer.id == FIRST { Ok(()) } else { Err(Stop::failure(format!("number {FIRST}"), words(&answer))) }
}

/// The response of a plugin says that it is one.
async fn direction(stage: &Stage) -> Outcome {
    let host = asked(stage, Start::default()).await?;
    let answer = echoed(&host).await?;
    if answer.answers(FIRST) { Ok(()) } else { Err(Stop::failure("a response, direction 3", words(&answer))) }
}

/// The response of a plugin has the command of its request.
async fn command(stage: &Stage) -> Outcome {
    let host = asked(stage, Start::default()).await?;
    let (answer, echo) = (echoed(&host).await?, &stage.suite.profile.plugin.echo);
    if answer.command == echo.as_bytes() {
        return Ok(());
    }
    Err(Stop::failure(format!("the command {echo}"), words(&answer)))
}

/// A plugin takes and sends any bytes: NULs, blanks, what is no text, what looks like a chunk.
async fn bytes(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let answer = answered(&host, FIRST, &stage.suite.profile.plugin.echo, any_bytes()).await?;
    has_bytes(&answer, &any_bytes())
}

/// A plugin answers a request without bytes.
async fn empty(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let echo = &stage.suite.profile.plugin.echo;
    has_bytes(&answered(&host, FIRST, echo, "").await?, b"")?;
    has_bytes(&answered(&host, FIRST + 1, echo, TEXT).await?, TEXT.as_bytes())
}

/// A plugin takes and sends a megabyte at once.
async fn large_buffer(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let answer = answered(&host, FIRST, &stage.suite.profile.plugin.echo, large()).await?;
    has_bytes(&answer, &large())
}

/// A plugin understands a chunk that comes a byte at a time.
async fn split(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    host.send_bytewise(&Chunk::request(FIRST, &stage.suite.profile.plugin.echo, TEXT)).await?;
    has_bytes(&response(&host, FIRST, "a request that came a byte at a time").await?, TEXT.as_bytes())
}

/// A plugin answers a request whose number takes 63 bits under that number.
async fn wide(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    has_bytes(&answered(&host, WIDE, &stage.suite.profile.plugin.echo, TEXT).await?, TEXT.as_bytes())
}

/// A plugin whose answers nobody reads yet takes further requests, a megabyte of them, and answers each.
async fn full(stage: &Stage) -> Outcome {
    const REQUESTS: usize = 32;
    let mut host = Host::start(stage, Start { unread: true, ..Start::default() }).await?;
    let buffers: Vec<_> = large().chunks(LARGE_BYTES / REQUESTS).map(<[u8]>::to_vec).collect();
    let echo = &stage.suite.profile.plugin.echo;
    let requests = (FIRST..).zip(&buffers).map(|(id, buffer)| Chunk::request(id, echo, buffer.clone()));
    let all: Vec<u8> = requests.flat_map(|request| request.encoded(host.order)).collect();
    if !host.send_bytes(&all).await? {
        let expected = format!("{} bytes of requests are taken before an answer is read", all.len());
        return Err(Stop::failure(expected, format!("it takes no more of them; {}", state(&host.run))));
    }
    host.read()?;
    for (id, buffer) in (FIRST..).zip(&buffers) {
        has_bytes(&response(&host, id, "a request that came while nobody read").await?, buffer)?;
    }
    Ok(())
}
