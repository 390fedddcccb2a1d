//! The wire: what a message is made of, and that a stream of bytes is a stream of bytes.

use std::time::Instant;

use super::steps::{arrivals, barrier, complaints, not_learned, reached, ready, replies, request, shows, state, text};
use crate::dialect::find;
use crate::dialect::payload::{self, Value};
use crate::dialect::{Dialect, Inside};
use crate::event::{Event, Who, passed, requests};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::signal::Signal;
use crate::stage::Stage;
use crate::stage::watchdog::Watchdog;

crate::cases::cases! {
    "wire.end-symbol" => end_symbol,
    "wire.op" => op,
    "wire.no-blanks" => no_blanks,
    "wire.one-message" => one_message,
    "wire.as-stated" => as_stated,
    "wire.end-inside" => end_inside,
    "wire.example" => example,
    "wire.reply-each" => reply_each,
    "wire.reply-order" => reply_order,
    "wire.reply-op" => reply_op,
    "wire.reply-error" => reply_error,
    "wire.no-deadlock" => no_deadlock,
}

/// Every message to the server ends with the same end symbol; which one, and how data that hold it are carried, is
/// free.
async fn end_symbol(stage: &Stage) -> Outcome {
    let learned = &stage.lesson.learned;
    let events = stage.lesson.record.events();
    match &learned.dialect.end {
        Some(_) if learned.rest.is_empty() => Ok(()),
        Some(end) => Err(Stop::failure(
            format!("every message ends with `{end}`"),
            format!("{} at the end", text(&learned.rest)),
        )),
        None => {
            let mut all = Vec::new();
            for fd in 0..64 {
                all.extend(passed(&events, Who::Server(0), fd));
            }
            // What cannot be read at all may well be messages, in a form that was not understood.
            if all.is_empty() || !learned.readable {
                return Err(not_learned(
                    "messages to the server",
                    "[dialect]\nend = \"#\"\n[dialect.wiring]\nread = 3",
                ));
            }
            Err(Stop::failure(
                "messages that end with one and the same symbol, so that each line has its message",
                text(&all),
            ))
        }
    }
}

/// The messages of the first session, each with the line that it was sent for.
fn pairs(stage: &Stage) -> Result<Vec<(&str, &[u8])>, Stop> {
    let lesson = &stage.lesson;
    let pairs = lesson.typed.iter().zip(&lesson.learned.messages);
    let pairs: Vec<_> = pairs.filter_map(|(line, message)| Some((line.as_str(), message.as_deref()?))).collect();
    if pairs.is_empty() { Err(not_learned("messages to the server", "[dialect]\nend = \"#\"")) } else { Ok(pairs) }
}

/// A message begins with one op byte, the same for each message of a command and different for each command; which
/// bytes these are is free.
async fn op(stage: &Stage) -> Outcome {
    let pairs = pairs(stage)?;
    let word = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    for (i, (line, message)) in pairs.iter().enumerate() {
        for (other_line, other) in &pairs[..i] {
            let same_word = word(line) == word(other_line);
            if (message.first() == other.first()) != same_word {
                let expected = if same_word { "the same first byte" } else { "different first bytes" };
                return Err(Stop::failure(
                    format!("{expected} in the messages for `{other_line}` and `{line}`"),
                    format!("{} and {}", text(other), text(message)),
                ));
            }
        }
    }
    Ok(())
}

/// No blank stands between op byte, data and end symbol; what the data look like is free.
async fn no_blanks(stage: &Stage) -> Outcome {
    for (line, message) in pairs(stage)? {
        // The op may be any byte.
        let data = message.get(1..).unwrap_or_default();
        // In data that are no text a byte of that value is a number. A line's end is no blank: some encoders add one.
        let is_text = |b: &u8| !b.is_ascii_control() || b.is_ascii_whitespace();
        if str::from_utf8(data).is_err() || !data.iter().all(is_text) {
            return Err(Stop::NotApplicable("its data are no text".into()));
        }
        if message.first() == Some(&b' ') || data.starts_with(b" ") || data.ends_with(b" ") {
            return Err(Stop::failure(
                format!("no blank between op, data and end symbol in the message for `{line}`"),
                text(message),
            ));
        }
    }
    Ok(())
}

/// Each command is one message; what is sent before the first command and for `exit` is free.
async fn one_message(stage: &Stage) -> Outcome {
    pairs(stage)?;
    // What is sent before the first command, and for `exit`, is free.
    match stage.lesson.learned.between.first() {
        None => Ok(()),
        Some(first) => Err(Stop::failure(
            "one message for each command",
            format!("{} more between them, the first {}", stage.lesson.learned.between.len(), text(first)),
        )),
    }
}

/// The pair speaks the dialect that the profile states.
async fn as_stated(stage: &Stage) -> Outcome {
    let Some(stated) = &stage.suite.profile.dialect else {
        return Err(Stop::NotApplicable("no dialect is stated".into()));
    };
    let differences = Dialect::differences(stated, &stage.lesson.learned.dialect);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Stop::failure(
        format!("the dialect that the profile {} states", stage.suite.profile.name),
        differences.join("; "),
    ))
}

/// A body that holds the end symbol arrives whole.
async fn end_inside(stage: &Stage) -> Outcome {
    let Some(end) = stage.dialect().end.as_ref().filter(|e| e.0.iter().all(u8::is_ascii_graphic)) else {
        return Err(Stop::NotApplicable("the end symbol cannot be typed".into()));
    };
    let body = format!("before{end}after{end}");
    let run = ready(stage).await?;
    let come = request(&run, "POST", "inside", &body).await?.map(|r| r.body);
    if come.as_deref() == Some(body.as_bytes()) {
        return Ok(());
    }
    let how = match &stage.dialect().end_inside {
        Some(Inside::Raw) => "; it is sent as it is, which the assignment permits",
        _ => "",
    };
    let seen = come.map_or_else(|| "no request".to_owned(), |body| format!("the body {}", text(&body)));
    Err(Stop::failure(format!("a request with the body `{body}`"), format!("{seen}{how}")))
}

/// `setmeml 1` is sent as `1{Value: 1}#`.
async fn example(stage: &Stage) -> Outcome {
    let run = stage.watchdog().await?;
    run.line("setmeml 1").await?;
    let fd = stage
        .dialect()
        .wiring
        .read
        .ok_or_else(|| not_learned("messages to the server", "[dialect.wiring]\nread = 3"))?;
    let expected = b"1{Value: 1}#";
    let end = stage.dialect().end.clone();
    let is_whole = |s: &[u8]| s.len() >= expected.len() || end.as_ref().is_some_and(|end| s.ends_with(&end.0));
    let stream = run.until(|events| Some(passed(events, Who::Server(0), fd)).filter(|s| is_whole(s))).await;
    let stream = stream.unwrap_or_else(|| run.record.look(|events| passed(events, Who::Server(0), fd)));
    if stream == expected { Ok(()) } else { Err(Stop::failure(text(expected), text(&stream))) }
}

/// Each message has one reply, in the order of the messages.
async fn reply_each(stage: &Stage) -> Outcome {
    let learned = &stage.lesson.learned;
    let sent = learned.messages.iter().flatten().count();
    match learned.dialect.reply.each {
        Some(true) => Ok(()),
        _ => Err(Stop::failure(format!("{sent} replies to {sent} messages"), format!("{}", learned.replies.len()))),
    }
}

/// Replies come in the order of their messages, also when an earlier request takes longer.
async fn reply_order(stage: &Stage) -> Outcome {
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let mut rogue = stage.rogue(Manner::Waits)?;
    let run = stage.start(Watchdog::on_pipes()).await?;
    barrier(&run, "ready").await?;
    run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    reached(&run, &mut rogue).await?;
    let refused = stage.rogue(Manner::Refuses)?;
    run.line(&format!("doreq GET {} {{}}", refused.url())).await?;
    // A pair that takes one command at a time answers in order anyway: then there is nothing to wait for.
    let early = |events: &[Event]| (!complaints(events).trim_ascii().is_empty()).then_some(());
    let early = run.record.until(Instant::now() + run.patience() / 20, early).await;
    rogue.release();
    let expected = "the answer to the first request before the error of the second";
    if early.is_some() {
        return Err(Stop::failure(expected, state(&run)));
    }
    if !shows(&run, Rogue::LATE).await {
        return Err(Stop::failure("the answer is shown", state(&run)));
    }
    // Where replies cannot be told apart, what is shown is all there is to judge by.
    if replies(stage, &[]).is_err() {
        return Ok(());
    }
    // After that of the first barrier.
    let both = |events: &[Event]| replies(stage, events).ok().filter(|replies| replies.len() > 2);
    match run.until(both).await {
        Some(replies) if find(&replies[1], Rogue::LATE.as_bytes()).is_some() => Ok(()),
        Some(replies) => Err(Stop::failure(expected, format!("the replies {}", text(&replies[1..].join(&b' '))))),
        None => Err(Stop::Missing(format!("a reply to each of three requests; {}", state(&run)))),
    }
}

/// A reply begins with the op byte of its message.
async fn reply_op(stage: &Stage) -> Outcome {
    match stage.lesson.learned.dialect.reply.same_op {
        Some(true) => Ok(()),
        Some(false) => Err(Stop::failure(
            "each reply begins with the op of its message",
            text(&stage.lesson.learned.replies.join(&b' ')),
        )),
        None => Err(not_learned("which reply belongs to which message", "[dialect.reply]\neach = true")),
    }
}

/// The reply to what could not be done holds an `Error` with words.
async fn reply_error(stage: &Stage) -> Outcome {
    let rogue = stage.rogue(Manner::Refuses)?;
    let run = ready(stage).await?;
    run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    replies(stage, &[])?;
    let second = run.until(|events| replies(stage, events).ok()?.into_iter().nth(1)).await;
    let reply = second.ok_or_else(|| Stop::Missing(format!("no reply to the second request; {}", state(&run))))?;
    holds_error(&reply, "a request that was refused")?;
    // The same for what was never begun, since it cannot be read.
    let (client, framed) = super::steps::alone(stage).await?;
    client.write(&[&framed[..1], &stage.dialect().framed(b"{")].concat()).await?;
    let fd = client.replies_through().ok_or_else(|| not_learned("the replies", "[dialect.wiring]\nwrite = 4"))?;
    let second = client.run.until(|events| {
        let stream = passed(events, Who::Watchdog, fd);
        stage.dialect().replies(&stream).get(1).map(|reply| reply.to_vec())
    });
    let reply = second.await.ok_or_else(|| Stop::Missing("no reply to a message that cannot be read".into()))?;
    holds_error(&reply, "a message that cannot be read")
}

fn holds_error(reply: &[u8], what: &str) -> Outcome {
    let object = payload::object(reply.get(1..).unwrap_or_default());
    match object.as_ref().and_then(|object| object.get("Error")) {
        Some(Value::Text(words)) if !words.is_empty() => Ok(()),
        _ => Err(Stop::failure(format!("a reply with an `Error` for {what}"), text(reply))),
    }
}

/// Messages and answers that together exceed what the pipes hold never block the pair for good.
async fn no_deadlock(stage: &Stage) -> Outcome {
    // More than any side buffers before its first answers come, and no more than is kept of what is shown.
    const REQUESTS: usize = 70;
    let body = format!("{{\"arg\": \"{}\"}}", "x".repeat(48 << 10));
    let answer = Answer { status: 200, body: body.clone().into_bytes() };
    let run = stage.start(Watchdog { untapped: true, answer, ..Watchdog::on_pipes() }).await?;
    barrier(&run, "ready").await?;
    let lines: Vec<String> = (0..REQUESTS).map(|n| format!("doreq POST {}/n{n} {body}\n", run.url)).collect();
    let lines = lines.concat().into_bytes();
    // The watchdog is to have much to write when the first answers come: so they come late.
    super::end::stop(&run, Who::Server(0)).await?;
    let taken = run.fill(&lines).await?;
    run.signal(Who::Server(0), Signal::SIGCONT)?;
    run.write(&lines[taken..]).await?;
    arrivals(&run, REQUESTS + 1).await;
    // Lines that were lost are another matter, as long as the pair goes on; and one whose replies are stuck does not.
    if request(&run, "POST", "alive", "{}").await?.is_some() {
        return Ok(());
    }
    let come = run.record.look(|events| requests(events).len());
    Err(Stop::failure(
        format!("{REQUESTS} requests and answers of 48 KiB, written at once, all pass"),
        format!("{come}; {}", state(&run)),
    ))
}
