//! A host and its plugin together.

use super::played::{ends_a_line, line};
use crate::cases::seen::{must_end, state, status_text};
use crate::event::{Status, Who};
use crate::outcome::{Outcome, Stop};
use crate::signal::Signal;
use crate::stage::stated::Parent;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "connection.call" => call,
    "connection.back" => back,
    "connection.stop" => stop,
    "connection.host-killed" => host_killed,
}

/// Types a call, and waits until its answer is shown, which is what was sent.
async fn shows(stage: &Stage, run: &Run, command: &str, text: &str) -> Outcome {
    let stated = &stage.suite.profile.plugin;
    run.line(&line(&stated.call, command, text)).await?;
    let expected = line(&stated.shows, command, text);
    let shown = run.until(|events| ends_a_line(events, &expected).then_some(())).await;
    shown.ok_or_else(|| Stop::failure(format!("a line `{expected}` is shown"), state(run)))
}

/// A host and its plugin, one call between which has been answered.
async fn talking(stage: &Stage, how: Parent) -> Result<Run, Stop> {
    let run = stage.stated_parent(how).await?;
    shows(stage, &run, &stage.suite.profile.plugin.echo, "hello there").await?;
    Ok(run)
}

/// A call that is typed to a host is answered by its plugin, and the answer shown.
async fn call(stage: &Stage) -> Outcome {
    talking(stage, Parent::default()).await.map(drop)
}

/// A plugin that is called asks its host, and its answer is what the host answered.
async fn back(stage: &Stage) -> Outcome {
    let makes_it_ask = super::back(stage)?;
    let run = stage.stated_parent(Parent::default()).await?;
    shows(stage, &run, makes_it_ask, "there and back").await
}

/// A host and its plugin both end when the host's input does, and with status 0.
async fn stop(stage: &Stage) -> Outcome {
    let run = talking(stage, Parent::default()).await?;
    run.close_input().await?;
    for who in [Who::Host, Who::Plugin(0)] {
        let status = must_end(&run, who, "the end of the input").await?;
        if status != Some(Status::Exited(0)) && status.is_some() {
            return Err(Stop::failure(format!("exit status 0 of the {who}"), status_text(status)));
        }
    }
    Ok(())
}

/// A plugin ends when its host is killed.
async fn host_killed(stage: &Stage) -> Outcome {
    let run = talking(stage, Parent { on_pipes: true, ..Parent::default() }).await?;
    run.signal(Who::Host, Signal::SIGKILL)?;
    must_end(&run, Who::Plugin(0), "its host was killed").await.map(drop)
}
