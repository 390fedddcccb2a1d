//! The wire: what a message is made of, and that a stream of bytes is a stream of bytes.

use super::steps::{alone, arrivals, barrier, not_learned, played, ready, replies, request, shows, state, text};
use crate::dialect::payload::{self, Form, Value};
use crate::dialect::{Dialect, Inside};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::probe::client::Client;
use crate::record::{Who, passed, requests};
use crate::stage::{Stage, Watchdog};

super::cases! {
    "wire.end-symbol" => end_symbol,
    "wire.op" => op,
    "wire.no-blanks" => no_blanks,
    "wire.one-message" => one_message,
    "wire.bytewise" => bytewise,
    "wire.split-anywhere" => split_anywhere,
    "wire.coalesced" => coalesced,
    "wire.as-stated" => as_stated,
    "wire.end-inside" => end_inside,
    "wire.example" => example,
    "wire.reply-each" => reply_each,
    "wire.reply-op" => reply_op,
    "wire.reply-error" => reply_error,
    "wire.unknown-op" => unknown_op,
    "wire.malformed-payload" => malformed_payload,
    "wire.quoted-names" => quoted_names,
    "wire.reply-bytewise" => reply_bytewise,
    "wire.no-deadlock" => no_deadlock,
}

/// Every message to the server ends with the same end symbol.
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

/// A message begins with one op byte, the same for each message of a command and different for each command.
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

/// No blank stands between op byte, data and end symbol.
async fn no_blanks(stage: &Stage) -> Outcome {
    for (line, message) in pairs(stage)? {
        let blank = |b: Option<&u8>| b.is_some_and(u8::is_ascii_whitespace);
        if blank(message.first()) || blank(message.get(1)) || blank(message.last()) {
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

async fn must_arrive(client: &Client, count: usize, how: &str) -> Outcome {
    if arrivals(&client.run, count).await {
        return Ok(());
    }
    let come = client.run.record.look(|events| requests(events).len());
    Err(Stop::failure(format!("{count} requests, {how}"), format!("{come}; {}", state(&client.run))))
}

/// The server takes a message that it reads one byte at a time.
async fn bytewise(stage: &Stage) -> Outcome {
    let (client, framed) = alone(stage, 0).await?;
    client.write_apart(framed.chunks(1)).await?;
    must_arrive(&client, 2, "the second message read one byte at a time").await
}

/// The server takes a message that it reads in two parts, wherever it is split.
async fn split_anywhere(stage: &Stage) -> Outcome {
    let (client, framed) = alone(stage, 1).await?;
    for at in 1..framed.len() {
        let (head, tail) = framed.split_at(at);
        client.write_apart([head, tail]).await?;
    }
    must_arrive(&client, framed.len(), "each message read in two parts, split at every position").await
}

/// The server takes many messages from one read, and the rest of the last from the next.
async fn coalesced(stage: &Stage) -> Outcome {
    const COPIES: usize = 20;
    let (client, framed) = alone(stage, 2).await?;
    // A whole number of messages, and one that is cut in the middle, completed by the next write.
    let many = framed.repeat(COPIES + 1);
    let cut = many.len() - framed.len() / 2;
    client.write(&many[..cut]).await?;
    must_arrive(&client, 1 + COPIES, "many messages in one write").await?;
    client.write(&many[cut..]).await?;
    must_arrive(&client, 2 + COPIES, "the last message completed by another write").await
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
    let stream =
        run.until(|events| Some(passed(events, Who::Server(0), fd)).filter(|s| s.len() >= expected.len())).await;
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
    let rogue = Rogue::start(Manner::Refuses)?;
    let run = ready(stage).await?;
    run.line(&format!("doreq GET {}", rogue.url())).await?;
    replies(stage, &[])?;
    let second = run.until(|events| replies(stage, events).ok()?.into_iter().nth(1)).await;
    let reply = second.ok_or_else(|| Stop::Missing(format!("no reply to the second request; {}", state(&run))))?;
    let object = payload::object(reply.get(1..).unwrap_or_default());
    match object.as_ref().and_then(|object| object.get("Error")) {
        Some(Value::Text(words)) if !words.is_empty() => Ok(()),
        _ => Err(Stop::failure("a reply with an `Error` for a request that was refused", text(&reply))),
    }
}

/// A message that means nothing, then one that does.
async fn survives(stage: &Stage, n: usize, message: &[u8], what: &str) -> Outcome {
    let (client, framed) = alone(stage, n).await?;
    client.write(&stage.dialect().framed(message)).await?;
    client.write(&framed).await?;
    must_arrive(&client, 2, &format!("the second after {what}")).await
}

/// A message with an unknown op does not end the server.
async fn unknown_op(stage: &Stage) -> Outcome {
    survives(stage, 3, b"~{Value: 1}", "a message with an unknown op").await
}

/// A payload that cannot be read does not end the server.
async fn malformed_payload(stage: &Stage) -> Outcome {
    let op = stage
        .dialect()
        .op
        .doreq
        .clone()
        .ok_or_else(|| not_learned("the op of doreq", "[dialect.op]\ndoreq = \"3\""))?;
    survives(stage, 4, &[&op.0[..], b"{\"URL: \\u12 ]\xff"].concat(), "a payload that cannot be read").await
}

/// A server whose names are bare takes quoted names too.
async fn quoted_names(stage: &Stage) -> Outcome {
    let dialect = stage.dialect();
    let (Some(Form::BareNames), Some(name), Some(op)) = (dialect.payload, &dialect.value_name, &dialect.op.setmeml)
    else {
        return Err(Stop::NotApplicable("the names in its payloads are not bare".into()));
    };
    let (client, _) = alone(stage, 5).await?;
    let message = |payload: String| dialect.framed(&[&op.0[..], payload.as_bytes()].concat());
    client.write(&message(format!("{{{name}: 104857600}}"))).await?;
    client.write(&message(format!("{{\"{name}\":104857600}}"))).await?;
    let through = client.replies_through().ok_or_else(|| not_learned("the replies", "[dialect.wiring]\nwrite = 4"))?;
    let got = client.run.until(|events| {
        let stream = passed(events, Who::Watchdog, through);
        let all: Vec<Vec<u8>> = dialect.replies(&stream).into_iter().map(<[u8]>::to_vec).collect();
        (all.len() >= 3).then_some(all)
    });
    let got = got.await.ok_or_else(|| Stop::Missing(format!("no replies; {}", state(&client.run))))?;
    if got[1] == got[2] { Ok(()) } else { Err(Stop::failure(format!("the reply {}", text(&got[1])), text(&got[2]))) }
}

/// The watchdog takes a reply that it reads one byte at a time.
async fn reply_bytewise(stage: &Stage) -> Outcome {
    let lesson = &stage.lesson;
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let line = lesson.typed.iter().position(|line| line.starts_with("doreq")).unwrap_or_default();
    let reply = lesson.learned.replies.get(line).filter(|_| lesson.learned.dialect.reply.each == Some(true));
    let reply = reply.ok_or_else(|| not_learned("the reply to a request", "[dialect.reply]\neach = true"))?;
    let (run, server) = played(stage, &[]).await?;
    run.line(&lesson.typed[line]).await?;
    server.message(&run).await?;
    server.reply_bytewise(&run, reply).await?;
    if shows(&run, crate::probe::lesson::ANSWER).await {
        // Its ends stay open until the watchdog has left: it is to end in order, not for want of a server.
        run.line("exit").await?;
        run.ended(Who::Watchdog).await;
        drop(server);
        return Ok(());
    }
    Err(Stop::failure("the answer is shown when its reply comes one byte at a time", state(&run)))
}

/// Messages and answers that together exceed what the pipes hold never block the pair for good.
async fn no_deadlock(stage: &Stage) -> Outcome {
    const REQUESTS: usize = 24;
    let body = "x".repeat(48 << 10);
    let answer = Answer { status: 200, body: body.clone().into_bytes() };
    let run = stage.start(Watchdog { untapped: true, answer, ..Watchdog::on_pipes() }).await?;
    barrier(&run, "ready").await?;
    let lines: Vec<String> = (0..REQUESTS).map(|n| format!("doreq POST {}/n{n} {body}\n", run.url)).collect();
    run.write(lines.concat().as_bytes()).await?;
    if arrivals(&run, REQUESTS + 1).await {
        return Ok(());
    }
    // Lines that were lost are another matter, as long as the pair goes on.
    if request(&run, "POST", "alive", "{}").await?.is_some() {
        return Ok(());
    }
    let come = run.record.look(|events| requests(events).len());
    Err(Stop::failure(
        format!("{REQUESTS} requests and answers of 48 KiB, written at once, all pass"),
        format!("{come}; {}", state(&run)),
    ))
}
