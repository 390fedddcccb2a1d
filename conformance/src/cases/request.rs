//! Requests whose target disagrees: what the user learns of it, and that the session goes on.

use super::steps::{barrier, both_end, complaints, reached, request, shows, state, text};
use crate::dialect::find;
use crate::event::{Stream, shown};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::stage::{Run, Stage, Watchdog};

super::cases! {
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

/// Makes a request of a target, and says whether an error is told: what was told before, for its own sake, is none.
async fn is_told(run: &Run, rogue: &Rogue) -> std::io::Result<bool> {
    let before = run.record.look(|events| complaints(events).len());
    run.line(&format!("doreq GET {}", rogue.url())).await?;
    let told = run.until(|events| (!complaints(events)[before..].trim_ascii().is_empty()).then_some(()));
    Ok(told.await.is_some())
}

/// A target of this manner gives one error, and the next request goes through.
async fn disagrees(stage: &Stage, manner: Manner) -> Outcome {
    let rogue = Rogue::start(manner, &stage.notes)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    barrier(&run, "before").await?;
    if !is_told(&run, &rogue).await? {
        return Err(Stop::failure("an error on standard error", state(&run)));
    }
    if request(&run, "POST", "after", "{}").await?.is_none() {
        return Err(Stop::failure("the next request goes through", state(&run)));
    }
    Ok(())
}

/// A refused connection gives an error on standard error, and the next request goes through.
async fn refused(stage: &Stage) -> Outcome {
    disagrees(stage, Manner::Refuses).await
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
    let rogue = Rogue::start(Manner::EndlessBody, &stage.notes)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.line("setmeml 1000000").await?;
    barrier(&run, "before").await?;
    if !is_told(&run, &rogue).await? {
        return Err(Stop::failure("an error on standard error, after 1,000,000 bytes of a body", state(&run)));
    }
    match request(&run, "POST", "after", "{}").await? {
        Some(_) => Ok(()),
        None => Err(Stop::failure("the next request goes through", state(&run))),
    }
}

/// A target of this manner answers in the end, and its answer is shown whole.
async fn answers(stage: &Stage, manner: Manner, how: &str) -> Outcome {
    let rogue = Rogue::start(manner, &stage.notes)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    barrier(&run, "before").await?;
    run.line(&format!("doreq GET {}", rogue.url())).await?;
    if shows(&run, Rogue::LATE).await {
        return Ok(());
    }
    Err(Stop::failure(format!("`{}`, the answer that comes {how}, is shown", Rogue::LATE), state(&run)))
}

/// An answer that comes one byte at a time is shown whole.
async fn dripped(stage: &Stage) -> Outcome {
    answers(stage, Manner::Drips, "one byte at a time").await
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
    let mut rogue = Rogue::start(Manner::Redirects, &stage.notes)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    barrier(&run, "before").await?;
    run.line(&format!("doreq GET {}", rogue.url())).await?;
    reached(&run, &mut rogue).await?;
    let shown = shows(&run, "302").await;
    if rogue.has_arrived() {
        return Err(Stop::failure("a redirect is not followed", "a request to the place that it names"));
    }
    if shown { Ok(()) } else { Err(Stop::failure("status 302 is shown", state(&run))) }
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
    match request(&run, "POST", "next", "{}").await? {
        Some(_) => Ok(()),
        None => Err(Stop::failure("the next request goes through", state(&run))),
    }
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
    let mut rogue = Rogue::start(Manner::Silent, &stage.notes)?;
    let run = stage.start(Watchdog { untapped: true, ..Watchdog::default() }).await?;
    barrier(&run, "before").await?;
    run.line(&format!("doreq GET {}", rogue.url())).await?;
    reached(&run, &mut rogue).await?;
    run.line("exit").await?;
    both_end(&run, "`exit` while a request is unanswered").await
}
