//! What ends a plugin, alone, with the suite as its host.

use super::{FIRST, NONSENSE, answered, back, out_of_range, sent};
use crate::cases::seen::must_end;
use crate::chunk::{Chunk, STOP};
use crate::event::{Status, Who};
use crate::outcome::{Outcome, Stop};
use crate::probe::host::{Host, Start};
use crate::stage::Stage;

crate::cases::cases! {
    "plugin.stop" => stop,
    "plugin.stop-status" => stop_status,
    "plugin.stop-in-call" => stop_in_call,
    "plugin.host-gone" => host_gone,
    "plugin.host-gone-in-call" => host_gone_in_call,
    "plugin.cut-off" => cut_off,
    "plugin.nonsense" => nonsense,
    "plugin.range" => range,
}

/// A plugin that has come up.
async fn up(stage: &Stage) -> Result<Host, Stop> {
    let host = Host::start(stage, Start::default()).await?;
    let echo = &stage.suite.profile.plugin.echo;
    let missing = |_| Stop::Missing(format!("an answer to `{echo}`; {}", sent(&host)));
    answered(&host, FIRST, echo, "are you there?").await.map_err(missing)?;
    Ok(host)
}

async fn stopped(stage: &Stage) -> Result<Option<Status>, Stop> {
    let host = up(stage).await?;
    host.send(&[Chunk::one_way(FIRST + 1, STOP, "")]).await?;
    must_end(&host.run, Who::Plugin(0), "`cmd.stop`").await
}

/// A plugin ends when it is sent `cmd.stop`.
async fn stop(stage: &Stage) -> Outcome {
    stopped(stage).await.map(drop)
}

/// A plugin that was stopped by `cmd.stop` exits with status 0.
async fn stop_status(stage: &Stage) -> Outcome {
    match stopped(stage).await? {
        Some(Status::Exited(0)) | None => Ok(()),
        Some(other) => Err(Stop::failure("exit status 0", other.to_string())),
    }
}

/// A plugin ends when what it reads from does.
async fn host_gone(stage: &Stage) -> Outcome {
    let mut host = up(stage).await?;
    host.close();
    must_end(&host.run, Who::Plugin(0), "the end of what it reads from").await.map(drop)
}

/// A plugin that has asked its host for something, and has no answer.
async fn waiting(stage: &Stage) -> Result<Host, Stop> {
    let (makes_it_ask, repeat) = (back(stage)?, &stage.suite.profile.plugin.repeat);
    let host = up(stage).await?;
    host.send(&[Chunk::request(FIRST + 1, makes_it_ask, "there")]).await?;
    let asked = host.until(|chunks| chunks.iter().any(|chunk| chunk.is_request(repeat)).then_some(())).await;
    asked.ok_or_else(|| Stop::Missing(format!("a request of `{repeat}`; {}", sent(&host))))?;
    Ok(host)
}

/// A plugin that waits for an answer that never comes ends when it is sent `cmd.stop`.
async fn stop_in_call(stage: &Stage) -> Outcome {
    let host = waiting(stage).await?;
    host.send(&[Chunk::one_way(FIRST + 2, STOP, "")]).await?;
    must_end(&host.run, Who::Plugin(0), "`cmd.stop`, while it waits for an answer").await.map(drop)
}

/// A plugin ends when what it reads from does, while it waits for an answer too.
async fn host_gone_in_call(stage: &Stage) -> Outcome {
    let mut host = waiting(stage).await?;
    host.close();
    must_end(&host.run, Who::Plugin(0), "the end of what it reads from, while it waits for an answer").await.map(drop)
}

/// A plugin whose host is gone in the middle of a chunk ends too.
async fn cut_off(stage: &Stage) -> Outcome {
    let mut host = up(stage).await?;
    let chunk = Chunk::request(FIRST + 1, &stage.suite.profile.plugin.echo, "a whole chunk").encoded(host.order);
    host.send_bytes(&chunk[..chunk.len() / 2]).await?;
    host.close();
    must_end(&host.run, Who::Plugin(0), "half a chunk, and the end of what it reads from").await.map(drop)
}

/// A plugin ends, and fails, when it is sent this, and nothing else is wrong.
async fn given_up(stage: &Stage, what: &str, bytes: &[u8]) -> Outcome {
    let host = up(stage).await?;
    host.send_bytes(bytes).await?;
    match must_end(&host.run, Who::Plugin(0), what).await? {
        Some(Status::Exited(0)) => {
            Err(Stop::failure(format!("an exit status that is not 0 after {what}"), "exit status 0"))
        }
        _ => Ok(()),
    }
}

/// A plugin that is sent what is no chunk ends, and does not exit with status 0.
async fn nonsense(stage: &Stage) -> Outcome {
    given_up(stage, "what is no chunk", NONSENSE).await
}

/// A plugin that is sent a number beyond 64 bits, or a direction that there is not, ends, and does not exit with status 0.
async fn range(stage: &Stage) -> Outcome {
    for (what, bytes) in out_of_range() {
        given_up(stage, what, &bytes).await?;
    }
    Ok(())
}
