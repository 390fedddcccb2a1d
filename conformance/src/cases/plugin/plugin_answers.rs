//! What a plugin answers, and what it does not, alone, with the suite as its host.

use super::{FIRST, answered, answered_once, each_is_answered, has_bytes, ping_is_answered, unknown_is_refused, words};
use crate::cases::seen::text;
use crate::chunk::{Chunk, Direction, ERROR};
use crate::dialect::find;
use crate::outcome::{Outcome, Stop};
use crate::probe::host::{Host, Start};
use crate::stage::Stage;

crate::cases::cases! {
    "plugin.once" => once,
    "plugin.one-way" => one_way,
    "plugin.concurrent" => concurrent,
    "plugin.error" => error,
    "plugin.error-one-way" => error_one_way,
    "plugin.unknown-command" => unknown_command,
    "plugin.unknown-response" => unknown_response,
    "plugin.answers-ping" => answers_ping,
}

/// A plugin has answered a request that came after others, and does nothing more.
async fn all_done(stage: &Stage, host: &Host) -> Result<Vec<Chunk>, Stop> {
    let last = FIRST + 9;
    has_bytes(&answered(host, last, &stage.suite.profile.plugin.echo, "the last").await?, b"the last")?;
    host.rests().await;
    Ok(host.chunks())
}

/// A plugin answers a request once.
async fn once(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    answered(&host, FIRST, &stage.suite.profile.plugin.echo, "once").await?;
    answered_once(&all_done(stage, &host).await?)
}

/// A plugin does not answer a one-way message.
async fn one_way(stage: &Stage) -> Outcome {
    const TEXT: &str = "to nobody";
    let host = Host::start(stage, Start::default()).await?;
    host.send(&[Chunk::one_way(FIRST, &stage.suite.profile.plugin.echo, TEXT)]).await?;
    let all = all_done(stage, &host).await?;
    match all.iter().find(|chunk| chunk.answers(FIRST) || find(&chunk.buffer, TEXT.as_bytes()).is_some()) {
        None => Ok(()),
        Some(answer) => Err(Stop::failure("no answer to a one-way message", words(answer))),
    }
}

/// A plugin answers each of many requests that come at once, under its own number.
async fn concurrent(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    each_is_answered(&host, &stage.suite.profile.plugin.echo).await
}

/// A plugin answers a request that fails with `cmd.error` and the words of the error.
async fn error(stage: &Stage) -> Outcome {
    const WHY: &str = "there is a reason";
    let host = Host::start(stage, Start::default()).await?;
    let answer = answered(&host, FIRST, failing(stage)?, WHY).await?;
    if answer.is_error() && find(&answer.buffer, WHY.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Stop::failure(format!("the command {ERROR}, and {}", text(WHY.as_bytes())), words(&answer)))
}

/// What a plugin answers with an error.
fn failing(stage: &Stage) -> Result<&str, Stop> {
    let fail = &stage.suite.profile.plugin.fail;
    let none = || Stop::NotApplicable("the profile names no command that it answers with an error".into());
    Some(fail.as_str()).filter(|fail| !fail.is_empty()).ok_or_else(none)
}

/// A plugin does not answer a one-way message that fails, nor one of a command that it does not know, and goes on.
async fn error_one_way(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    let unknown = Chunk::one_way(FIRST + 1, "no.such.command", "to nobody");
    host.send(&[Chunk::one_way(FIRST, failing(stage)?, "to nobody"), unknown]).await?;
    let all = all_done(stage, &host).await?;
    match all.iter().find(|chunk| chunk.is_error() && chunk.direction != Direction::Request) {
        None => Ok(()),
        Some(answer) => Err(Stop::failure("no answer to a one-way message that fails", words(answer))),
    }
}

/// A plugin answers a request of a command that it does not know with `cmd.error`.
async fn unknown_command(stage: &Stage) -> Outcome {
    unknown_is_refused(&*Host::start(stage, Start::default()).await?).await
}

/// A plugin drops a response that it does not wait for, and goes on.
async fn unknown_response(stage: &Stage) -> Outcome {
    let host = Host::start(stage, Start::default()).await?;
    host.send(&[Chunk::request(FIRST, "echo", "").response("unasked")]).await?;
    let all = all_done(stage, &host).await?;
    match all.iter().find(|chunk| chunk.answers(FIRST) || find(&chunk.buffer, b"unasked").is_some()) {
        None => Ok(()),
        Some(answer) => Err(Stop::failure("nothing is said to a response that nobody waits for", words(answer))),
    }
}

/// A plugin answers `cmd.ping`.
async fn answers_ping(stage: &Stage) -> Outcome {
    ping_is_answered(&*Host::start(stage, Start::default()).await?).await
}
