//! How a supervisor stops its service, and what it does when that ends.

use super::played::{more_shown, played, ready};
use crate::cases::seen::{must_end, shown_bytes, state, status_text, text};
use crate::event::{Event, Status, What, Who, ended, shown};
use crate::message::Lifetime;
use crate::outcome::{Outcome, Stop};
use crate::probe::service::Service;
use crate::signal::Signal;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "supervise.stop" => stop,
    "supervise.interrupt" => interrupt,
    "supervise.waits" => waits,
    "supervise.status" => status,
    "supervise.death" => death,
    "supervise.reaps" => reaps,
    "supervise.silence" => silence,
    "supervise.stubborn" => stubborn,
}

/// The service's pipe ends after this was done to the supervisor.
async fn must_stop(run: &Run, service: &Service, after: &str) -> Outcome {
    let seen = || format!("it does not end; {}", state(run));
    let stopped = service.stopped().await;
    stopped.map(drop).ok_or_else(|| Stop::failure(format!("the end of the service's pipe after {after}"), seen()))
}

/// A supervisor that is told to end by SIGTERM ends the pipe of its service.
async fn stop(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    ready(&run).await;
    run.signal(Who::Supervisor, Signal::SIGTERM)?;
    must_stop(&run, &service, "SIGTERM").await
}

/// A supervisor in whose terminal Ctrl-C is typed ends the pipe of its service.
async fn interrupt(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    ready(&run).await;
    run.write(b"\x03").await?;
    must_stop(&run, &service, "Ctrl-C").await
}

/// What a service tells when it stops.
fn down(stage: &Stage) -> Vec<Lifetime> {
    stage.suite.profile.control.tasks.iter().rev().map(|task| Lifetime::Shutdown(task.id)).collect()
}

/// A supervisor that has told its service to stop shows what that tells until its end, and ends after it.
async fn waits(stage: &Stage) -> Outcome {
    let (run, mut service) = played(stage).await?;
    ready(&run).await;
    run.signal(Who::Supervisor, Signal::SIGTERM)?;
    service.stopped().await.ok_or_else(|| Stop::Missing(format!("the end of the pipe; {}", state(&run))))?;
    for event in down(stage) {
        let before = shown_bytes(&run);
        service.tell(&event.encoded()).await?;
        if more_shown(&run, before).await.is_none() {
            return Err(Stop::failure(format!("words about {event:?} after the pipe has ended"), state(&run)));
        }
    }
    ready(&run).await;
    if run.is_over() {
        return Err(Stop::failure(
            "a supervisor that ends after its service",
            format!("it has ended; {}", state(&run)),
        ));
    }
    service.end(Status::Exited(0)).await?;
    must_end(&run, Who::Supervisor, "its service").await.map(drop)
}

/// A supervisor exits with status 0 if its service did, and with another if its service exited with status 3 or was killed.
async fn status(stage: &Stage) -> Outcome {
    for end in [Status::Exited(0), Status::Exited(3), Status::Killed(Signal::SIGKILL as i32)] {
        let (run, mut service) = played(stage).await?;
        service.end(end).await?;
        let status = must_end(&run, Who::Supervisor, &format!("its service ({end})")).await?;
        let is_well = status == Some(Status::Exited(0));
        if is_well != (end == Status::Exited(0)) {
            let not = if is_well { "not " } else { "" };
            return Err(Stop::failure(format!("{not}exit status 0 after a service with {end}"), status_text(status)));
        }
    }
    Ok(())
}

/// A supervisor whose service dies unasked says so, and ends.
async fn death(stage: &Stage) -> Outcome {
    let (run, mut service) = played(stage).await?;
    ready(&run).await;
    let before = shown_bytes(&run);
    service.end(Status::Killed(Signal::SIGKILL as i32)).await?;
    must_end(&run, Who::Supervisor, "the death of its service").await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| shown(events, None).split_off(before));
    if said.iter().any(u8::is_ascii_alphanumeric) {
        return Ok(());
    }
    Err(Stop::failure("words about the death of the service", text(&said)))
}

/// A supervisor asks how its service ended.
async fn reaps(stage: &Stage) -> Outcome {
    let (run, mut service) = played(stage).await?;
    ready(&run).await;
    service.end(Status::Exited(0)).await?;
    must_end(&run, Who::Supervisor, "its service").await?;
    let asked = |event: &Event| match event.what {
        What::Waited { who: Who::Supervisor, for_any } => Some(for_any),
        _ => None,
    };
    match run.record.look(|events| events.iter().find_map(asked)) {
        Some(false) => {
            Err(Stop::failure("a supervisor that has asked how its service ended", "it has not when it ends"))
        }
        Some(true) => Ok(()),
        None => Err(Stop::Missing("whether it asked".into())),
    }
}

/// A supervisor whose service tells nothing more, and lives, goes on looking after it.
async fn silence(stage: &Stage) -> Outcome {
    let (run, mut service) = played(stage).await?;
    ready(&run).await;
    service.fall_silent();
    ready(&run).await;
    if run.is_over() || service.is_stopped() {
        let seen = if run.is_over() { "it has ended" } else { "it ends the pipe" };
        let expected = "a supervisor that goes on when its service tells nothing more";
        return Err(Stop::failure(expected, format!("{seen}; {}", state(&run))));
    }
    run.signal(Who::Supervisor, Signal::SIGTERM)?;
    must_stop(&run, &service, "the end of what it tells, and SIGTERM").await
}

/// A supervisor that is told to end again and again ends a service that does not stop, by force if need be.
async fn stubborn(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    ready(&run).await;
    for n in 0..3 {
        run.signal(Who::Supervisor, Signal::SIGTERM)?;
        if n == 0 {
            service.stopped().await.ok_or_else(|| Stop::Missing(format!("the end of the pipe; {}", state(&run))))?;
        }
        ready(&run).await;
    }
    let killed = run.until(|events| ended(events, Who::Service(0)).map(drop)).await;
    killed.ok_or_else(|| Stop::failure("the end of a service that does not stop, after three SIGTERM", state(&run)))
}
