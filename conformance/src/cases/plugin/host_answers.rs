//! What a host answers its plugin, and what it does not, with the suite in the plugin's place.

use super::played::played;
use super::{
    FIRST, WIDE, answered, answered_once, any_bytes, each_is_answered, has_bytes, large, ping_is_answered,
    unknown_is_refused, words,
};
use crate::chunk::{Chunk, ERROR};
use crate::outcome::{Outcome, Stop};
use crate::stage::Stage;

crate::cases::cases! {
    "host.answers" => answers,
    "host.bytes" => bytes,
    "host.wide" => wide,
    "host.large" => large_buffer,
    "host.many" => many,
    "host.unanswered" => unanswered,
    "host.unknown-command" => unknown_command,
    "host.answers-ping" => answers_ping,
}

/// A host answers a request of its plugin once, with a response of the same number and command.
async fn answers(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let repeat = &stage.suite.profile.plugin.repeat;
    let answer = answered(&plugin, FIRST, repeat, "there").await?;
    if answer.command != repeat.as_bytes() && !answer.is_error() {
        return Err(Stop::failure(format!("the command {repeat}, or {ERROR}"), words(&answer)));
    }
    answered(&plugin, FIRST + 1, repeat, "and again").await?;
    plugin.rests().await;
    answered_once(&plugin.chunks())
}

/// A host takes and sends any bytes: NULs, blanks, what is no text, what looks like a chunk.
async fn bytes(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    has_bytes(&answered(&plugin, FIRST, &stage.suite.profile.plugin.repeat, any_bytes()).await?, &any_bytes())
}

/// A host answers a request whose number takes 63 bits under that number.
async fn wide(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    has_bytes(&answered(&plugin, WIDE, &stage.suite.profile.plugin.repeat, "there").await?, b"there")
}

/// A host takes and sends a megabyte at once.
async fn large_buffer(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    has_bytes(&answered(&plugin, FIRST, &stage.suite.profile.plugin.repeat, large()).await?, &large())
}

/// A host answers each of many requests that come at once, under its own number.
async fn many(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    each_is_answered(&plugin, &stage.suite.profile.plugin.repeat).await
}

/// A host does not answer a one-way message.
async fn unanswered(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    let repeat = &stage.suite.profile.plugin.repeat;
    plugin.send(&[Chunk::one_way(FIRST, repeat, "to nobody")]).await?;
    answered(&plugin, FIRST + 1, repeat, "the last").await?;
    plugin.rests().await;
    match plugin.chunks().iter().find(|chunk| chunk.answers(FIRST) || chunk.buffer == b"to nobody") {
        None => Ok(()),
        Some(answer) => Err(Stop::failure("no answer to a one-way message", words(answer))),
    }
}

/// A host answers a request of a command that it does not know with `cmd.error`.
async fn unknown_command(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    unknown_is_refused(&plugin).await
}

/// A host answers `cmd.ping`.
async fn answers_ping(stage: &Stage) -> Outcome {
    let (_run, plugin) = played(stage).await?;
    ping_is_answered(&plugin).await
}
