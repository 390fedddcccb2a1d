//! A service together with its supervisor.

use std::time::Instant;

use super::events;
use crate::cases::seen::state;
use crate::event::{Event, What, Who, children, passed};
use crate::message::{Lifetime, cut};
use crate::outcome::{Outcome, Stop};
use crate::probe::service::numbers;
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::stated::Parent;

crate::cases::cases! {
    "stop.supervisor-killed" => supervisor_killed,
}

/// A service ends when its supervisor is killed.
async fn supervisor_killed(stage: &Stage) -> Outcome {
    let run = stage.stated_parent(Parent { on_pipes: true, ..Parent::default() }).await?;
    let up = run.until(|events| children(events).first().copied()).await;
    let pid = up.ok_or_else(|| Stop::Missing(format!("a service that was started; {}", state(&run))))?;
    // It has come up when it says so, if it is asked to, or else when it rests.
    let telling = run.hello(0).and_then(|hello| numbers(&hello, &stage.suite.profile.control).1).unwrap_or(-1);
    let told = |all: &[Event]| events(&cut(&passed(all, Who::Supervisor, telling)).0).contains(&Lifetime::Complete);
    let soon = Instant::now() + run.patience() / 5;
    run.record.until(soon, |all| told(all).then_some(())).await;
    run.asleep(pid, Instant::now() + run.patience() / 2).await;
    run.signal(Who::Supervisor, Signal::SIGKILL)?;
    let over = |event: &Event| matches!(event.what, What::Ended { who: Who::Service(0), .. });
    if run.until(|events| events.iter().any(over).then_some(())).await.is_some() {
        return Ok(());
    }
    Err(Stop::failure("the service ends after its supervisor was killed", state(&run)))
}
