//! How a host ends its plugin, and what it does when that ends, with the suite in the plugin's place.

use super::played::{call, fails, played, played_in};
use super::{NONSENSE, out_of_range, sent};
use crate::cases::seen::{must_end, shown_bytes, state, status_text};
use crate::chunk::{Direction, STOP};
use crate::event::{Event, Status, What, Who, ended};
use crate::outcome::{Outcome, Stop};
use crate::probe::plugin::Plugin;
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::stated::Parent;

crate::cases::cases! {
    "host.plugin-dies" => plugin_dies,
    "host.nonsense" => nonsense,
    "host.range" => range,
    "host.stop" => stop,
    "host.says-stop" => says_stop,
    "host.waits" => waits,
    "host.stop-in-call" => stop_in_call,
    "host.stubborn" => stubborn,
}

/// A host whose plugin dies while calls are under way says so, and ends with a status other than 0.
async fn plugin_dies(stage: &Stage) -> Outcome {
    let (run, mut plugin) = played(stage).await?;
    for command in ["one", "two", "three"] {
        call(stage, &plugin, command).await?;
    }
    plugin.rests().await;
    let before = shown_bytes(&run);
    plugin.end(Status::Killed(Signal::SIGKILL as i32)).await?;
    fails(&run, "the death of its plugin", before).await
}

/// The plugin hears no more.
fn is_over(event: &Event) -> bool {
    matches!(event.what, What::Closed { to: Who::Plugin(0), .. })
}

/// Waits until the plugin is told to stop, by `cmd.stop` or by the end of what it reads from.
async fn told_to_stop(plugin: &Plugin, after: &str) -> Outcome {
    let told = plugin.until_seen(|events, chunks| {
        let says = chunks.iter().any(|chunk| chunk.command == STOP.as_bytes());
        (says || events.iter().any(is_over)).then_some(())
    });
    let expected = || format!("`{STOP}`, or the end of what the plugin reads from, after {after}");
    told.await.ok_or_else(|| Stop::failure(expected(), sent(plugin)))
}

/// A host that is sent this gives its plugin up and fails.
async fn given_up(stage: &Stage, what: &str, bytes: &[u8]) -> Outcome {
    let (run, mut plugin) = played(stage).await?;
    let before = shown_bytes(&run);
    plugin.send_bytes(bytes).await?;
    told_to_stop(&plugin, what).await?;
    plugin.end(Status::Exited(0)).await?;
    fails(&run, what, before).await
}

/// A host that is sent what is no chunk says so, gives its plugin up, and ends with a status other than 0.
async fn nonsense(stage: &Stage) -> Outcome {
    given_up(stage, "what is no chunk", NONSENSE).await
}

/// A host that is sent a number beyond 64 bits, or a direction that there is not, says so, gives its plugin up, and ends with a
/// status other than 0.
async fn range(stage: &Stage) -> Outcome {
    for (what, bytes) in out_of_range() {
        given_up(stage, what, &bytes).await?;
    }
    Ok(())
}

/// A host whose input ends tells its plugin to stop, by `cmd.stop` or by the end of what that reads from.
async fn stop(stage: &Stage) -> Outcome {
    let (run, plugin) = played(stage).await?;
    run.close_input().await?;
    told_to_stop(&plugin, "the end of its input").await
}

/// A host tells its plugin to stop with `cmd.stop`, as a one-way message, before what that reads from ends.
async fn says_stop(stage: &Stage) -> Outcome {
    let (run, plugin) = played(stage).await?;
    run.close_input().await?;
    told_to_stop(&plugin, "the end of its input").await?;
    let chunks = plugin.chunks();
    match chunks.last() {
        Some(last) if last.command == STOP.as_bytes() && last.direction == Direction::OneWay => Ok(()),
        _ => Err(Stop::failure(format!("a one-way message `{STOP}`"), sent(&plugin))),
    }
}

/// A host that has told its plugin to stop ends after it, and with status 0 if it does too.
async fn waits(stage: &Stage) -> Outcome {
    let (run, mut plugin) = played(stage).await?;
    run.close_input().await?;
    told_to_stop(&plugin, "the end of its input").await?;
    plugin.rests().await;
    if run.is_over() {
        return Err(Stop::failure("a host that ends after its plugin", format!("it has ended; {}", state(&run))));
    }
    plugin.end(Status::Exited(0)).await?;
    let status = must_end(&run, Who::Host, "its plugin").await?;
    if status == Some(Status::Exited(0)) {
        return Ok(());
    }
    Err(Stop::failure("exit status 0 after a plugin that was stopped and ended well", status_text(status)))
}

/// A host that is told to end by SIGTERM while a call has no answer tells its plugin to stop all the same.
async fn stop_in_call(stage: &Stage) -> Outcome {
    let (run, plugin) = played(stage).await?;
    call(stage, &plugin, "one").await?;
    plugin.rests().await;
    run.signal(Who::Host, Signal::SIGTERM)?;
    told_to_stop(&plugin, "SIGTERM, while a call has no answer").await
}

/// A host that is told to end again and again ends a plugin that does not stop, by force if need be.
async fn stubborn(stage: &Stage) -> Outcome {
    let (run, plugin) = played_in(stage, Parent::played_deaf()).await?;
    for _ in 0..3 {
        if run.is_over() {
            break;
        }
        run.signal(Who::Host, Signal::SIGTERM)?;
        plugin.rests().await;
    }
    let killed = run.until(|events| ended(events, Who::Plugin(0)).map(drop)).await;
    killed.ok_or_else(|| Stop::failure("the end of a plugin that does not stop, after three SIGTERM", state(&run)))
}
