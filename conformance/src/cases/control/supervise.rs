//! What a supervisor does for its service, with the suite in the service's place.

use std::ffi::OsString;
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::cases::steps::{must_end, shows, state, status_text, text};
use crate::event::{Event, Status, What, Who, children, ended, shown};
use crate::message::{LIFETIME, Lifetime, encoded};
use crate::outcome::{Outcome, Stop};
use crate::probe::service::{Service, numbers};
use crate::stage::control::Supervisor;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Descriptor, Hello, Kind, Order};

crate::cases::cases! {
    "supervise.starts" => starts,
    "supervise.one-way" => one_way,
    "supervise.own-ends" => own_ends,
    "supervise.nothing-else" => nothing_else,
    "supervise.arguments" => arguments,
    "supervise.asks" => asks,
    "supervise.says-nothing" => says_nothing,
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
    "supervise.stop" => stop,
    "supervise.interrupt" => interrupt,
    "supervise.waits" => waits,
    "supervise.status" => status,
    "supervise.death" => death,
    "supervise.reaps" => reaps,
    "supervise.silence" => silence,
    "supervise.stubborn" => stubborn,
    "supervise.missing" => missing,
}

/// A supervisor whose service the suite plays.
async fn played(stage: &Stage) -> Result<(Run, Service), Stop> {
    let run = stage.supervisor(Supervisor::played()).await?;
    let service = Service::join(stage, &run).await?;
    Ok((run, service))
}

/// What the service was given, once the supervisor has started it.
async fn handed(stage: &Stage, how: Supervisor) -> Result<(Run, Hello), Stop> {
    let run = stage.supervisor(how).await?;
    let started = run.until(|events| (!children(events).is_empty()).then_some(())).await;
    let hello = started.and_then(|()| run.hello(0));
    let hello = hello.ok_or_else(|| Stop::failure("a service that is started", state(&run)))?;
    // That is all that it is there for.
    run.drop_ends(0);
    run.order(0, &Order::Exit(0))?;
    Ok((run, hello))
}

/// The arguments of a service as a person reads them.
fn argv(hello: &Hello) -> String {
    hello.argv.iter().skip(1).map(|arg| text(arg)).collect::<Vec<_>>().join(" ")
}

/// A supervisor starts its service and tells it the numbers of two pipes.
async fn starts(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Supervisor::played()).await?;
    let stated = &stage.suite.profile.control;
    match numbers(&hello, stated) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err(Stop::failure(format!("a service with {} and {}", stated.receive, stated.send), argv(&hello))),
    }
}

/// Of the two pipes of a service one can only be read from, and the other only be written to.
async fn one_way(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Supervisor::played()).await?;
    let (control, telling) = both(stage, &hello)?;
    for (number, reads) in [(control, true), (telling, false)] {
        let what = if reads { "read from" } else { "written to" };
        let expected = format!("a pipe that can only be {what} as {number}");
        let Some(end) = hello.descriptors.iter().find(|one| one.number == number) else {
            return Err(Stop::failure(expected, "nothing is open under that number"));
        };
        if end.kind != Kind::Pipe || (end.readable, end.writable) != (reads, !reads) {
            let can = match (end.readable, end.writable) {
                (true, true) => "both",
                (true, false) => "read from",
                _ => "written to",
            };
            return Err(Stop::failure(expected, format!("something of the kind {:?} that can be {can}", end.kind)));
        }
    }
    Ok(())
}

fn both(stage: &Stage, hello: &Hello) -> Result<(i32, i32), Stop> {
    match numbers(hello, &stage.suite.profile.control) {
        (Some(control), Some(telling)) => Ok((control, telling)),
        _ => Err(Stop::Missing("the numbers of two pipes in the service's arguments".into())),
    }
}

/// A supervisor does not hand on its own end of the pipe that its service is stopped by.
async fn own_ends(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Supervisor::played()).await?;
    let (control, _) = both(stage, &hello)?;
    let own = hello.descriptors.iter().find(|one| one.number == control);
    let own = own.ok_or_else(|| Stop::Missing(format!("something that is open as {control}")))?;
    let is_other_end = |one: &&Descriptor| one.number != control && one.identity == own.identity && one.writable;
    match hello.descriptors.iter().find(is_other_end) {
        None => Ok(()),
        Some(other) => Err(Stop::failure(
            format!("no end in the service that what is {control} is written to through"),
            format!("{} is one", other.number),
        )),
    }
}

/// A supervisor hands on its service's two ends, standard input and outputs, and nothing else.
async fn nothing_else(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Supervisor::played()).await?;
    let (control, telling) = both(stage, &hello)?;
    let is_own = |number: i32| (0..=2).contains(&number) || number == control || number == telling;
    let others: Vec<_> = hello.descriptors.iter().filter(|one| !is_own(one.number)).collect();
    if others.is_empty() {
        return Ok(());
    }
    let words = |one: &&Descriptor| {
        let end = hello.descriptors.iter().find(|own| is_own(own.number) && own.identity == one.identity);
        let of = end.map_or_else(String::new, |own| format!(", an end of what is {} as well", own.number));
        format!("{} ({:?}{of})", one.number, one.kind)
    };
    let seen = others.iter().map(words).collect::<Vec<_>>().join(", ");
    Err(Stop::failure(format!("nothing is open in the service but 0 to 2, {control} and {telling}"), seen))
}

/// A supervisor hands the arguments for its service on as they are, blanks and empty ones too.
async fn arguments(stage: &Stage) -> Outcome {
    let given = ["--first", "two words", "", "$HOME", "-x"];
    let how = Supervisor { arguments: given.iter().map(OsString::from).collect(), ..Supervisor::played() };
    let (_run, hello) = handed(stage, how).await?;
    let seen: Vec<_> = hello.argv.iter().skip(1).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    if seen.windows(given.len()).any(|some| some == given) {
        return Ok(());
    }
    Err(Stop::failure(format!("these arguments, one after the other: {given:?}"), argv(&hello)))
}

/// A supervisor asks its service for lifetime events.
async fn asks(stage: &Stage) -> Outcome {
    let (_run, hello) = handed(stage, Supervisor::played()).await?;
    let events = &stage.suite.profile.control.events;
    if hello.argv.iter().skip(1).any(|arg| arg == events.as_bytes()) {
        return Ok(());
    }
    Err(Stop::failure(format!("a service with {events}"), argv(&hello)))
}

/// Each line that says something, without what may differ from one time to another, as the hour does.
fn lines(text: &str) -> Vec<String> {
    let letters = |line: &str| line.chars().filter(|c| c.is_alphabetic()).collect::<String>();
    text.lines().map(letters).filter(|line| !line.is_empty()).collect()
}

fn lines_shown(events: &[Event]) -> Vec<String> {
    lines(&String::from_utf8_lossy(&shown(events, None)))
}

/// Waits until more is shown than before, in words and up to a line's end, and says what.
async fn more_shown(run: &Run, before: usize) -> Option<String> {
    let more = |events: &[Event]| shown(events, None).split_off(before);
    let has_words = |events: &[Event]| more(events).iter().any(u8::is_ascii_alphanumeric).then_some(());
    run.until(has_words).await?;
    // Of a line a part may come first. Who ends no lines is not waited for any longer.
    let is_whole = |events: &[Event]| more(events).ends_with(b"\n").then_some(());
    run.record.until(Instant::now() + run.patience() / 20, is_whole).await;
    Some(run.record.look(|events| String::from_utf8_lossy(&more(events)).into_owned()))
}

fn shown_bytes(run: &Run) -> usize {
    run.record.look(|events| shown(events, None).len())
}

/// The life of a service up to where it has started, and what it tells when it stops.
fn up(stage: &Stage) -> Vec<Lifetime> {
    let tasks = stage.suite.profile.control.tasks.iter();
    tasks.map(|task| Lifetime::Startup(task.id)).chain([Lifetime::Complete]).collect()
}

fn down(stage: &Stage) -> Vec<Lifetime> {
    stage.suite.profile.control.tasks.iter().rev().map(|task| Lifetime::Shutdown(task.id)).collect()
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

/// A supervisor writes nothing to the pipe that its service is stopped by.
async fn says_nothing(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    let told: Vec<u8> = up(stage).into_iter().flat_map(Lifetime::encoded).collect();
    service.tell(&told).await?;
    ready(&run).await;
    // However it stops its service, with its own end that pipe ends too.
    run.signal(Who::Supervisor, Signal::SIGKILL)?;
    let said = service.stopped().await.ok_or_else(|| Stop::Missing(format!("the end of the pipe; {}", state(&run))))?;
    if said.is_empty() {
        return Ok(());
    }
    Err(Stop::failure("the end of the pipe, and nothing before it", text(&said)))
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

/// Whether a supervisor understands what it does not show, nobody can see.
fn shows_nothing() -> Stop {
    Stop::NotApplicable("it does not show each event that it is told".into())
}

/// What comes in another form is shown as what was told event by event.
async fn shown_alike(stage: &Stage, how: &str, parts: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Outcome {
    let (run, service) = played(stage).await?;
    let expected = shown_up(stage, &run, &service).await.map_err(|stop| match stop {
        Stop::Failure { .. } => shows_nothing(),
        other => other,
    })?;
    service.end(Status::Exited(0))?;
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

/// What a first event makes a supervisor show, it shows again for the same event after something else was told.
async fn understood_after(stage: &Stage, what: &str, other: &[u8]) -> Outcome {
    let (run, service) = played(stage).await?;
    let event = up(stage)[0].encoded();
    service.tell(&event).await?;
    let first = more_shown(&run, 0).await.ok_or_else(shows_nothing)?;
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
    let (run, service) = played(stage).await?;
    service.tell(&up(stage)[0].encoded()).await?;
    more_shown(&run, 0).await.ok_or_else(|| Stop::Missing(format!("words about a first event; {}", state(&run))))?;
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
    let (run, service) = played(stage).await?;
    let event = up(stage)[0].encoded();
    service.tell(&event).await?;
    let first = more_shown(&run, 0).await;
    let first = first.ok_or_else(|| Stop::Missing(format!("words about a first event; {}", state(&run))))?;
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
        let (run, service) = played(stage).await?;
        service.end(Status::Exited(0))?;
        must_end(&run, Who::Supervisor, "its service").await?;
        run.outputs_closed().await;
        run.record.look(|events| shown(events, None))
    };
    let (run, service) = played(stage).await?;
    let event = up(stage)[0].encoded();
    service.tell(&event[..event.len() - 1]).await?;
    service.end(Status::Exited(0))?;
    let status = must_end(&run, Who::Supervisor, "its service").await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| shown(events, None));
    let expected = "other words than for a service that ends after whole messages, and an exit status that is not 0";
    if said != whole && status != Some(Status::Exited(0)) {
        return Ok(());
    }
    Err(Stop::failure(expected, format!("{}; {}", status_text(status), text(&said))))
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

/// A supervisor that rests has done all that it does before it waits for anything.
async fn ready(run: &Run) {
    run.asleep(run.pid, Instant::now() + run.patience() / 2).await;
}

/// A supervisor in whose terminal Ctrl-C is typed ends the pipe of its service.
async fn interrupt(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
    ready(&run).await;
    run.write(b"\x03").await?;
    must_stop(&run, &service, "Ctrl-C").await
}

/// A supervisor that has told its service to stop shows what that tells until its end, and ends after it.
async fn waits(stage: &Stage) -> Outcome {
    let (run, service) = played(stage).await?;
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
    service.end(Status::Exited(0))?;
    must_end(&run, Who::Supervisor, "its service").await.map(drop)
}

/// A supervisor exits with status 0 if its service did, and with another if its service exited with status 3 or was killed.
async fn status(stage: &Stage) -> Outcome {
    for end in [Status::Exited(0), Status::Exited(3), Status::Killed(Signal::SIGKILL as i32)] {
        let (run, service) = played(stage).await?;
        service.end(end)?;
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
    let (run, service) = played(stage).await?;
    ready(&run).await;
    let before = shown_bytes(&run);
    service.end(Status::Killed(Signal::SIGKILL as i32))?;
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
    let (run, service) = played(stage).await?;
    ready(&run).await;
    service.end(Status::Exited(0))?;
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
    let (run, service) = played(stage).await?;
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

/// A supervisor whose service cannot be started names it, and does not exit with status 0.
async fn missing(stage: &Stage) -> Outcome {
    const NAME: &str = "no-such-service";
    let run =
        stage.supervisor(Supervisor { service: Some(format!("./{NAME}").into()), ..Supervisor::default() }).await?;
    let status = must_end(&run, Who::Supervisor, "its start, without a service").await?;
    run.outputs_closed().await;
    let said = run.record.look(|events| String::from_utf8_lossy(&shown(events, None)).into_owned());
    let expected = format!("words that name {NAME}, and an exit status that is not 0");
    if said.contains(NAME) && status.is_some() && status != Some(Status::Exited(0)) {
        return Ok(());
    }
    Err(Stop::failure(expected, format!("{}; {}", status_text(status), text(said.as_bytes()))))
}
