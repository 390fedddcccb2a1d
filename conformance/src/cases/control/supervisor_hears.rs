//! What a supervisor understands of what its service tells, as far as it shows it.

use super::played::{more_shown, played, up};
use crate::cases::seen::{must_end, shown_bytes, shows, state, status_text, text};
use crate::event::{Event, Status, Who, shown};
use crate::message::{LIFETIME, Lifetime, encoded};
use crate::outcome::{Outcome, Stop};
use crate::probe::service::Service;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "supervise.shows" => shows_events,
    "supervise.shows-addresses" => shows_addresses,
    "supervise.bytewise" => bytewise,
    "supervise.coalesced" => coalesced,
    "supervise.unknown-type" => unknown_type,
    "supervise.long-payload" => long_payload,
    "supervise.version" => version,
    "supervise.type-no-text" => type_no_text,
    "supervise.endless-payload" => endless_payload,
    "supervise.malformed" => malformed,
    "supervise.cut-off" => cut_off,
}

/// Each line that says something, without what may differ from one time to another, as the hour does.
fn lines(text: &str) -> Vec<String> {
    let letters = |line: &str| line.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    text.lines().map(letters).filter(|line| !line.is_empty()).collect()
}

fn lines_shown(events: &[Event]) -> Vec<String> {
    lines(&String::from_utf8_lossy(&shown(events, None)))
}

/// Whether a supervisor understands what it does not show, nobody can see.
fn shows_nothing() -> Stop {
    Stop::NotApplicable("it does not show each event that it is told".into())
}

/// A supervisor that has shown all that a service tells up to where it has started, each event before the next, and what it
/// showed then.
async fn shown_up(stage: &Stage, run: &Run, service: &Service) -> Result<String, Stop> {
    let mut all = String::new();
    for event in up(stage) {
        let before = shown_bytes(run);
        service.tell(&event.encoded()).await?;
        let words = more_shown(run, before).await;
        all += &words
            .ok_or_else(|| Stop::failure(format!("words about {event:?} before anything else is told"), state(run)))?;
    }
    Ok(all)
}

/// A supervisor shows what its service tells, each event before the next one comes.
async fn shows_events(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    shown_up(stage, &run, &service).await.map(drop)
}

/// A supervisor shows the addresses that its service tells.
async fn shows_addresses(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    for (kind, address) in [("p2plistenaddr", "127.0.0.1:40123"), ("rpclistenaddr", "127.0.0.1:33957")] {
        service.tell(&encoded(kind.as_bytes(), address.as_bytes())).await?;
        if !shows(&run, address).await {
            return Err(Stop::failure(format!("{address} is shown when it is told in `{kind}`"), state(&run)));
        }
    }
    Ok(())
}

/// What comes in another form is shown as what was told event by event.
async fn shown_alike(stage: &Stage, how: &str, parts: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Outcome {
    let (run, mut service) = played(stage).await?;
    let expected = shown_up(stage, &run, &service).await.map_err(|stop| match stop {
        Stop::Failure { .. } => shows_nothing(),
        other => other,
    })?;
    service.end(Status::Exited(0)).await?;
    let (run, service) = played(stage).await?;
    let told: Vec<u8> = up(stage).into_iter().flat_map(Lifetime::encoded).collect();
    let parts = parts(&told);
    service.tell_apart(parts.iter().map(Vec::as_slice)).await?;
    let is_alike = |events: &[Event]| lines_shown(events).starts_with(&lines(&expected)).then_some(());
    if run.until(is_alike).await.is_some() {
        return Ok(());
    }
    Err(Stop::failure(format!("{} is shown for messages that come {how}", text(expected.as_bytes())), state(&run)))
}

/// A supervisor understands messages that come a byte at a time.
async fn bytewise(stage: &Stage) -> Outcome {
    shown_alike(stage, "a byte at a time", |told| told.iter().map(|byte| vec![*byte]).collect()).await
}

/// A supervisor understands all of several messages that come at once.
async fn coalesced(stage: &Stage) -> Outcome {
    shown_alike(stage, "all at once", |told| vec![told.to_vec()]).await
}

/// A supervisor that was told a first event, that event, and what it showed then.
async fn first_shown(stage: &Stage) -> Result<(Run, Service, Vec<u8>, Option<String>), Stop> {
    let (run, service) = played(stage).await?;
    let event = up(stage)[0].encoded();
    service.tell(&event).await?;
    let first = more_shown(&run, 0).await;
    Ok((run, service, event, first))
}

/// Else there is nothing to compare with.
fn must_be_there<T>(run: &Run, first: Option<T>) -> Result<T, Stop> {
    first.ok_or_else(|| Stop::Missing(format!("words about a first event; {}", state(run))))
}

/// What a first event makes a supervisor show, it shows again for the same event after something else was told.
async fn understood_after(stage: &Stage, what: &str, other: &[u8]) -> Outcome {
    let (run, service, event, first) = first_shown(stage).await?;
    let first = first.ok_or_else(shows_nothing)?;
    service.tell(other).await?;
    shown_again(&run, &service, &event, &first, what).await
}

/// What was shown for an event is shown for it again.
async fn shown_again(run: &Run, service: &Service, event: &[u8], first: &str, after: &str) -> Outcome {
    let count = |events: &[Event]| {
        let line = lines(first);
        lines_shown(events).windows(line.len().max(1)).filter(|some| *some == line).count()
    };
    let before = run.record.look(count);
    service.tell(event).await?;
    if run.until(|events| (count(events) > before).then_some(())).await.is_some() {
        return Ok(());
    }
    let line = text(first.trim().as_bytes());
    Err(Stop::failure(format!("{line} is shown again for the same event after {after}"), state(run)))
}

/// A supervisor passes over messages of types that it does not know, the longest type and an empty payload too, and
/// understands what follows.
async fn unknown_type(stage: &Stage) -> Outcome {
    let others = [encoded(&[b't'; 255], b"payload"), encoded(b"unknown", b""), encoded(b"u", &[1; 4])];
    understood_after(stage, "messages of unknown types", &others.concat()).await
}

/// A supervisor passes over a message of 60,000 bytes, whatever these are, and understands what follows.
async fn long_payload(stage: &Stage) -> Outcome {
    let like_others: Vec<u8> = Lifetime::Complete.encoded().into_iter().cycle().take(60_000).collect();
    understood_after(stage, "a message of 60,000 bytes", &encoded(b"long", &like_others)).await
}

/// A supervisor says that it does not understand, and stops its service.
async fn given_up(stage: &Stage, what: &str, told: &[u8]) -> Outcome {
    let (run, service, _, first) = first_shown(stage).await?;
    must_be_there(&run, first)?;
    let before = shown_bytes(&run);
    service.tell(told).await?;
    if more_shown(&run, before).await.is_none() {
        return Err(Stop::failure(format!("words about {what}"), state(&run)));
    }
    if service.stopped().await.is_none() {
        return Err(Stop::failure(format!("the end of the service's pipe after {what}"), state(&run)));
    }
    Ok(())
}

/// A supervisor that is told something in another version says so, and stops its service.
async fn version(stage: &Stage) -> Outcome {
    let mut told = up(stage)[0].encoded();
    told[0] = 2;
    given_up(stage, "a message of version 2", &told).await
}

/// A supervisor that is told something of a type that is not UTF-8 says so, and stops its service.
async fn type_no_text(stage: &Stage) -> Outcome {
    given_up(stage, "a type that is not UTF-8", &encoded(b"type\xff", b"")).await
}

/// A supervisor that is told of a payload of 4 GiB says so, and stops its service.
async fn endless_payload(stage: &Stage) -> Outcome {
    let told = [&b"\x01\x04long"[..], &u32::MAX.to_le_bytes(), &[0; 100]].concat();
    given_up(stage, "a payload of 4 GiB", &told).await
}

/// A supervisor that is told a lifetime event of three bytes says so, and understands what follows.
async fn malformed(stage: &Stage) -> Outcome {
    let (run, service, event, first) = first_shown(stage).await?;
    let first = must_be_there(&run, first)?;
    let before = shown_bytes(&run);
    let mut payload = [0; 3];
    payload[1] = stage.suite.profile.control.tasks.first().map_or(0, |task| task.id);
    service.tell(&encoded(LIFETIME, &payload)).await?;
    match more_shown(&run, before).await {
        Some(words) if lines(&words) != lines(&first) => {}
        Some(_) => {
            return Err(Stop::failure("words about an event of three bytes", "it is shown as one of two bytes"));
        }
        None => return Err(Stop::failure("words about an event of three bytes", state(&run))),
    }
    shown_again(&run, &service, &event, &first, "one of three bytes").await
}

/// A supervisor whose service ends inside a message says so, and does not exit with status 0.
async fn cut_off(stage: &Stage) -> Outcome {
    let whole = {
        let (run, mut service) = played(stage).await?;
        service.end(Status::Exited(0)).await?;
        must_end(&run, Who::Supervisor, "its service").await?;
        run.outputs_closed().await;
        run.record.look(|events| shown(events, None))
    };
    let (run, mut service) = played(stage).await?;
    let event = up(stage)[0].encoded();
    service.tell(&event[..event.len() - 1]).await?;
    service.end(Status::Exited(0)).await?;
    let status = must_end(&run, Who::Supervisor, "its service").await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| shown(events, None));
    let expected = "other words than for a service that ends after whole messages, and an exit status that is not 0";
    if said != whole && status != Some(Status::Exited(0)) {
        return Ok(());
    }
    Err(Stop::failure(expected, format!("{}; {}", status_text(status), text(&said))))
}
