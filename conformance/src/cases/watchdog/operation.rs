//! Operations whose effect can be seen from outside: the memory limit and the processors.

use std::time::Instant;

use super::steps::{
    answered_late, arrival, barrier, complaints, leave, messages, must_close, reached, ready, request, same,
    server_asleep, server_pid, shows, state,
};
use crate::dialect::find;
use crate::event::{Event, shown};
use crate::observe::process::facts;
use crate::observe::rogue::Manner;
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "operation.memory-request" => memory_request,
    "operation.memory-answer" => memory_answer,
    "operation.memory-edge" => memory_edge,
    "operation.memory-control" => memory_control,
    "operation.processors" => processors,
    "operation.processors-again" => processors_again,
    "operation.processors-requests" => processors_requests,
}

const LIMIT: usize = 1000;

/// Sets the limit, and says how much had been shown when that was done.
async fn limited(stage: &Stage, run: &Run) -> Result<usize, Stop> {
    let length = |events: &[Event]| shown(events, None).len();
    let before = run.record.look(length);
    run.line(&format!("setmeml {LIMIT}")).await?;
    if stage.dialect().prints.setting == Some(true) {
        run.until(|events| (length(events) > before).then_some(())).await;
    }
    barrier(run, "limited").await?;
    Ok(run.record.look(length))
}

/// The refusal names the limit in words after those that were there `before`, and the session goes on.
async fn is_refused(run: &Run, before: usize, what: &str) -> Outcome {
    let named = |events: &[Event]| {
        let words = shown(events, None).split_off(before);
        find(&words, LIMIT.to_string().as_bytes()).and_then(|_| find(&words, b"mem")).map(drop)
    };
    if run.until(named).await.is_none() {
        let expected = format!("{what} is refused with words that name the memory limit {LIMIT}");
        return Err(Stop::failure(expected, state(run)));
    }
    if request(run, "POST", "small", "{}").await?.is_none() {
        return Err(Stop::failure(format!("the session goes on after {what}"), state(run)));
    }
    Ok(())
}

/// A request body over the memory limit is refused with words that name the limit, and the session goes on.
async fn memory_request(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    let before = limited(stage, &run).await?;
    run.line(&format!("doreq POST {}/large {}", run.url, "x".repeat(5 * LIMIT))).await?;
    is_refused(&run, before, "a request body over the limit").await?;
    // The small request came after the large one: what was to arrive has arrived.
    let large = run.record.look(|events| crate::event::requests(events).iter().any(|r| r.path == "/large"));
    if large {
        return Err(Stop::failure("a request body over the limit is not sent", "it arrived"));
    }
    Ok(())
}

/// An answer over the memory limit is refused with words that name the limit, and the session goes on.
async fn memory_answer(stage: &Stage) -> Outcome {
    let answer = Answer { status: 200, body: vec![b'x'; 5 * LIMIT] };
    let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
    let before = limited(stage, &run).await?;
    run.line(&format!("doreq GET {}/large {{}}", run.url)).await?;
    if arrival(&run, "large").await.is_none() {
        return Err(Stop::Missing(format!("the request never arrived; {}", state(&run))));
    }
    is_refused(&run, before, "an answer over the limit").await?;
    // Once both have left, all that was to be shown has been.
    leave(&run).await?;
    must_close(&run).await?;
    let all = run.record.look(|events| shown(events, None).len());
    if all >= 5 * LIMIT {
        return Err(Stop::failure("an answer over the limit is not shown", format!("{all} bytes were shown")));
    }
    Ok(())
}

/// Bodies of exactly the memory limit pass, and those of one byte more do not.
async fn memory_edge(stage: &Stage) -> Outcome {
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let body = "0123456789".repeat(LIMIT / 10 - 1) + "the-end...";
    let answer = Answer { status: 200, body: body.clone().into_bytes() };
    let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
    run.line(&format!("setmeml {LIMIT}")).await?;
    if request(&run, "POST", "full", &body).await?.is_none() {
        return Err(Stop::failure(format!("a request with a body of {LIMIT} bytes, the limit"), state(&run)));
    }
    if !shows(&run, "the-end...").await {
        return Err(Stop::failure(format!("an answer of {LIMIT} bytes, the limit, is shown"), state(&run)));
    }
    for (line, what) in [
        (format!("doreq POST {}/more {body}x", run.url), "a request body of one byte more than the limit"),
        (
            format!("setmeml {}\ndoreq GET {}/less {{}}", LIMIT - 1, run.url),
            "an answer of one byte more than the limit",
        ),
    ] {
        let before = run.record.look(|events| complaints(events).len());
        run.line(&line).await?;
        let more = run.until(|events| (complaints(events).len() > before).then_some(()));
        if more.await.is_none() {
            return Err(Stop::failure(format!("{what} is refused with words"), state(&run)));
        }
    }
    Ok(())
}

/// Settings are never refused for the memory limit.
async fn memory_control(stage: &Stage) -> Outcome {
    let run = stage.watchdog().await?;
    for line in ["setmeml 1", "setproc 1", "setmeml 104857600"] {
        run.line(line).await?;
    }
    if request(&run, "POST", "after", "{}").await?.is_none() {
        return Err(Stop::failure("a tiny limit refuses no setting, so that it can be raised again", state(&run)));
    }
    Ok(())
}

/// How many processors the server may use after this line.
async fn after_line(run: &Run, line: &str, name: &str) -> Result<usize, Stop> {
    run.line(line).await?;
    barrier(run, name).await?;
    let pid = server_pid(run);
    let facts = pid
        .and_then(|pid| run.facts(pid))
        .ok_or_else(|| Stop::Missing("the server's state could not be read".into()))?;
    Ok(facts.processors)
}

/// How many the suite may use, as the server would without a setting.
fn machine(stage: &Stage) -> Result<usize, Stop> {
    let own = || facts(std::process::id().cast_signed());
    let facts = stage
        .notes
        .answer("the state of the suite", own)
        .ok_or_else(|| Stop::Missing("the machine's processors could not be read".into()))?;
    if facts.processors < 2 {
        return Err(Stop::NotApplicable("this machine has one processor".into()));
    }
    Ok(facts.processors)
}

/// After `setproc 1` the server runs on one processor.
async fn processors(stage: &Stage) -> Outcome {
    machine(stage)?;
    let run = ready(stage).await?;
    same("processors of the server after `setproc 1`", 1, after_line(&run, "setproc 1", "one").await?)
}

/// After `setproc 32` the server runs on as many processors as the machine has, up to 32.
async fn processors_again(stage: &Stage) -> Outcome {
    let all = machine(stage)?;
    let run = ready(stage).await?;
    after_line(&run, "setproc 1", "one").await?;
    same("processors of the server after `setproc 32`", all.min(32), after_line(&run, "setproc 32", "all").await?)
}

/// After `setproc 1` one request is under way at a time.
async fn processors_requests(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Waits)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.line("setproc 1").await?;
    barrier(&run, "one").await?;
    for _ in 0..2 {
        run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    }
    reached(&run, &mut rogue).await?;
    // Where messages can be told apart, both have passed.
    let on_the_way = |events: &[Event]| messages(stage, events).is_ok_and(|all| all.len() < 4);
    run.until(|events| (!on_the_way(events)).then_some(())).await;
    server_asleep(&run, Instant::now() + run.patience() / 10).await;
    // What it was to send at once is on its way.
    if rogue.arrived(&run.record, run.patience() / 50).await {
        return Err(Stop::failure(
            "one request at a time after `setproc 1`",
            "a second one before the first was answered",
        ));
    }
    rogue.release();
    reached(&run, &mut rogue).await?;
    rogue.release();
    answered_late(stage, &run, 2).await;
    Ok(())
}
