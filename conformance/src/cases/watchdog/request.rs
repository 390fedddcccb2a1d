//! Requests whose target disagrees: what the user learns of it, and that the session goes on.

use std::time::Instant;

use super::steps::{barrier, both_end, complaints, idle, reached, request, server_asleep, shows, state, text};
use crate::dialect::find;
use crate::event::{Event, Stream, shown};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "request.refused" => refused,
    "request.reset" => reset,
    "request.closed" => closed,
    "request.truncated" => truncated,
    "request.garbage" => garbage,
    "request.half-closed" => half_closed,
    "request.endless-header" => endless_header,
    "request.endless-body" => endless_body,
    "request.dripped" => dripped,
    "request.chunked" => chunked,
    "request.unmeasured" => unmeasured,
    "request.interim" => interim,
    "request.redirect" => redirect,
    "request.status" => status,
    "request.answer-symbol" => answer_symbol,
    "request.large-answer" => large_answer,
    "request.silent-exit" => silent_exit,
}

/// A session in which a request has reached a target, which has not behaved in any way yet.
async fn asked(stage: &Stage, rogue: &mut Rogue, method: &str) -> Result<Run, Stop> {
    let run = stage.start(Watchdog::on_pipes()).await?;
    idle(stage, &run, "before").await?;
    run.line(&format!("doreq {method} {} {{}}", rogue.url())).await?;
    reached(&run, rogue).await?;
    Ok(run)
}

/// How many bytes were said on standard error so far, about whatever.
fn said(run: &Run) -> usize {
    run.record.look(|events| complaints(events).len())
}

/// An error is told after what had been said `before`.
async fn told(run: &Run, before: usize, after: &str) -> Outcome {
    let told = run.until(|events| (!complaints(events)[before..].trim_ascii().is_empty()).then_some(())).await;
    told.ok_or_else(|| Stop::failure(format!("an error on standard error{after}"), state(run)))
}

async fn goes_on(run: &Run) -> Outcome {
    match request(run, "POST", "after", "{}").await? {
        Some(_) => Ok(()),
        None => Err(Stop::failure("the next request goes through", state(run))),
    }
}

/// A target of this manner gives one error, and the next request goes through.
async fn disagrees(stage: &Stage, manner: Manner) -> Outcome {
    let mut rogue = stage.rogue(manner)?;
    let run = asked(stage, &mut rogue, "POST").await?;
    let before = said(&run);
    rogue.release();
    told(&run, before, "").await?;
    goes_on(&run).await
}

/// A refused connection gives an error on standard error, and the next request goes through.
async fn refused(stage: &Stage) -> Outcome {
    // The same line but for the port has gone through: an error is one of the connection.
    let rogue = stage.rogue(Manner::Refuses)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    idle(stage, &run, "before").await?;
    let before = said(&run);
    run.line(&format!("doreq POST {} {{}}", rogue.url())).await?;
    told(&run, before, "").await?;
    goes_on(&run).await
}

/// A connection that is reset gives an error on standard error, and the next request goes through.
async fn reset(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::Resets).await
}

/// A connection that is closed without an answer gives an error on standard error, and the next request goes through.
async fn closed(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::Closes).await
}

/// An answer that ends in the middle of its body gives an error on standard error, and the next request goes through.
async fn truncated(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::Truncates).await
}

/// An answer that is not HTTP gives an error on standard error, and the next request goes through.
async fn garbage(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::Garbage).await
}

/// A peer that stops sending before it has answered gives an error on standard error, and the next request goes through.
async fn half_closed(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::HalfCloses).await
}

/// An answer whose header never ends gives an error on standard error, and the next request goes through.
async fn endless_header(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::EndlessHeader).await
}

/// An answer whose body never ends is refused once it is over the memory limit, and the session goes on.
async fn endless_body(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::EndlessBody)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.line("setmeml 1000000").await?;
    idle(stage, &run, "before").await?;
    run.line(&format!("doreq POST {} {{}}", rogue.url())).await?;
    reached(&run, &mut rogue).await?;
    let before = said(&run);
    rogue.release();
    told(&run, before, ", after 1,000,000 bytes of a body").await?;
    goes_on(&run).await
}

/// A target of this manner answers in the end, and its answer is shown whole.
async fn answers(stage: &Stage, manner: Manner, how: &str) -> Outcome {
    let mut rogue = stage.rogue(manner)?;
    let run = asked(stage, &mut rogue, "POST").await?;
    rogue.release();
    late(&run, how).await
}

async fn late(run: &Run, how: &str) -> Outcome {
    if shows(run, Rogue::LATE).await {
        return Ok(());
    }
    Err(Stop::failure(format!("`{}`, the answer that comes {how}, is shown", Rogue::LATE), state(run)))
}

/// An answer that comes one byte at a time is shown whole.
async fn dripped(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Drips)?;
    let run = asked(stage, &mut rogue, "POST").await?;
    let begun = Instant::now();
    rogue.release();
    // A slow reader finds much of it at once, but never both halves.
    reached(&run, &mut rogue).await?;
    server_asleep(&run, begun + run.patience() / 20).await;
    rogue.release();
    late(&run, "one byte at a time").await
}

/// An answer that comes in chunks is shown whole.
async fn chunked(stage: &Stage) -> Outcome {
    answers(stage, Manner::Chunks, "in chunks").await
}

/// An answer without a length, which ends with its connection, is shown whole.
async fn unmeasured(stage: &Stage) -> Outcome {
    answers(stage, Manner::Unmeasured, "without a length").await
}

/// An interim answer is passed over, and the answer after it is shown.
async fn interim(stage: &Stage) -> Outcome {
    answers(stage, Manner::Interim, "after an interim answer").await
}

/// A redirect is shown and not followed.
async fn redirect(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Redirects)?;
    let run = asked(stage, &mut rogue, "GET").await?;
    let address = rogue.address().to_string();
    rogue.release();
    // The port may hold these digits too.
    let is_shown = |events: &[Event]| {
        let out = String::from_utf8_lossy(&shown(events, None)).replace(&address, "");
        out.contains("302").then_some(())
    };
    let is_shown = run.until(is_shown).await.is_some();
    if rogue.has_arrived(&run.record) {
        return Err(Stop::failure("a redirect is not followed", "a request to the place that it names"));
    }
    if is_shown { Ok(()) } else { Err(Stop::failure("status 302 is shown", state(&run))) }
}

/// An answer of any status is shown and is no error.
async fn status(stage: &Stage) -> Outcome {
    let answer = Answer { status: 404, body: b"nothing-of-that-name".to_vec() };
    let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
    barrier(&run, "missing").await?;
    if !shows(&run, "nothing-of-that-name").await || !shows(&run, "404").await {
        return Err(Stop::failure("status 404 and the answer's body are shown", state(&run)));
    }
    let complaint = run.record.look(complaints);
    if complaint.is_empty() {
        Ok(())
    } else {
        Err(Stop::failure("an answer of any status is no error", text(&complaint)))
    }
}

/// An answer whose body holds the end symbol is shown as it came, and the next request goes through.
async fn answer_symbol(stage: &Stage) -> Outcome {
    // The wire may have one symbol for messages and another for replies.
    let (messages, replies) = (&stage.dialect().end, &stage.dialect().reply.end);
    let symbols: Vec<_> = [messages, replies].into_iter().flatten().filter(|end| is_printable(&end.0)).collect();
    if symbols.is_empty() {
        return Err(Stop::NotApplicable("the end symbol cannot be shown".into()));
    }
    let body: String = symbols.iter().map(|end| format!("before{end}between{end}")).collect::<String>() + "after";
    let answer = Answer { status: 200, body: body.clone().into_bytes() };
    let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
    barrier(&run, "symbol").await?;
    if !shows(&run, &body).await {
        return Err(Stop::failure(format!("`{body}` is shown"), state(&run)));
    }
    goes_on(&run).await
}

fn is_printable(symbol: &[u8]) -> bool {
    symbol.iter().all(u8::is_ascii_graphic)
}

/// An answer of 2 MB is shown whole.
async fn large_answer(stage: &Stage) -> Outcome {
    let mut body: Vec<u8> = (0..2_000_001u32).map(|n| b'a' + u8::try_from(n % 23).unwrap_or_default()).collect();
    body.extend_from_slice(b"-the-end");
    let run = stage
        .start(Watchdog { answer: Answer { status: 200, body: body.clone() }, untapped: true, ..Watchdog::on_pipes() })
        .await?;
    barrier(&run, "large").await?;
    if !shows(&run, "-the-end").await {
        return Err(Stop::failure(format!("an answer of {} bytes is shown", body.len()), state(&run)));
    }
    let out = run.record.look(|events| shown(events, Some(Stream::Stdout)));
    if find(&out, &body).is_some() {
        return Ok(());
    }
    Err(Stop::failure(
        format!("an answer of {} bytes is shown whole", body.len()),
        format!("{} bytes in all", out.len()),
    ))
}

/// `exit` ends both while a request is unanswered.
async fn silent_exit(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Silent)?;
    let run = stage.start(Watchdog { untapped: true, ..Watchdog::default() }).await?;
    barrier(&run, "before").await?;
    run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    reached(&run, &mut rogue).await?;
    run.line("exit").await?;
    both_end(&run, "`exit` while a request is unanswered").await
}
