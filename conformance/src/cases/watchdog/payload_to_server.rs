//! Payloads that are objects, towards a server alone: every form that JSON has for the same thing, and forms that it does
//! not have. That a form was understood shows in what comes of it: the reply is that to the plain form, the request
//! arrives.

use std::time::Instant;

use super::json::{HALVES, NO_VALUES, contains, name, objects, quoted, written};
use super::steps::{
    alone, arrivals, barrier, last_replies, must_end, not_learned, reached, replies, state, status_text, text,
};
use crate::dialect::payload::{Object, Value, object};
use crate::dialect::{Dialect, find};
use crate::event::{Status, Who, passed, requests};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::probe::client::Client;
use crate::signal::Signal;
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "wire.payload-forms" => payload_forms,
    "wire.payload-refused" => payload_refused,
    "wire.payload-twice" => payload_twice,
    "wire.deep" => deep,
    "wire.limit" => limit,
    "operation.memory-returned" => memory_returned,
    "wire.body-forms" => body_forms,
    "wire.short-escapes" => short_escapes,
    "wire.error-place" => error_place,
    "end.pending-late" => pending_late,
    "end.sigalrm-replied" => sigalrm_replied,
}

/// A text and how JSON may write it.
const TEXTS: [(&str, &str); 7] = [
    ("plain, not escaped: é я 😀", "plain, not escaped: é я 😀"),
    ("\"\\/\u{8}\u{c}\n\r\t", "\\\"\\\\\\/\\b\\f\\n\\r\\t"),
    ("Aé", "\\u0041\\u00e9"),
    ("Jäh", "\\u004A\\u00E4\\u0068"),
    ("\u{0}\u{1f}\u{ffff}\u{e000}", "\\u0000\\u001f\\uffff\\ue000"),
    ("😀\u{10000}\u{10ffff}", "\\ud83d\\ude00\\ud800\\udc00\\uDBFF\\uDFFF"),
    ("", ""),
];

/// A server alone that is asked and replies.
struct Talk<'a> {
    client: Client,
    dialect: &'a Dialect,
    through: i32,
    heard: usize,
}

impl<'a> Talk<'a> {
    async fn begin(stage: &'a Stage) -> Result<Self, Stop> {
        let dialect = stage.dialect();
        name(dialect, "")?;
        if dialect.reply.each != Some(true) {
            return Err(Stop::NotApplicable("it does not reply to each message".into()));
        }
        let (client, _) = alone(stage).await?;
        let through = client.replies_through();
        let through = through.ok_or_else(|| not_learned("the replies", "[dialect.wiring]\nwrite = 4"))?;
        let mut talk = Talk { client, dialect, through, heard: 1 };
        // What is compared with this reply has to be compared with that of a setting that was made.
        let (op, _, field) = ops(dialect)?;
        let token = stage.lesson.typed[0].split(' ').nth(1).unwrap_or_default();
        let plain = format!("{{{}: {token}}}", name(dialect, &field)?);
        let reply = talk.ask(&op, plain.as_bytes()).await?;
        if reply != stage.lesson.learned.replies[0] {
            return Err(Stop::Missing(format!("`{plain}` has not the reply that it had before, but {}", text(&reply))));
        }
        Ok(talk)
    }

    /// The reply to a message.
    async fn ask(&mut self, op: &[u8], payload: &[u8]) -> Result<Vec<u8>, Stop> {
        self.client.write(&self.dialect.framed(&[op, payload].concat())).await?;
        let (through, heard) = (self.through, self.heard);
        let reply = self.client.run.until(|events| {
            let stream = passed(events, Who::Watchdog, through);
            self.dialect.replies(&stream).get(heard).map(|reply| reply.to_vec())
        });
        let reply = reply.await;
        self.heard += 1;
        reply.ok_or_else(|| {
            Stop::failure(format!("a reply to {}", text(payload)), format!("none; {}", state(&self.client.run)))
        })
    }

    fn collides(&self, payload: &[u8]) -> bool {
        contains(&self.dialect.end, payload)
    }
}

fn ops(dialect: &Dialect) -> Result<(Vec<u8>, Vec<u8>, String), Stop> {
    match (&dialect.op.setmeml, &dialect.op.doreq, &dialect.value_name) {
        (Some(setting), Some(request), Some(name)) => Ok((setting.0.clone(), request.0.clone(), name.clone())),
        _ => Err(not_learned("the ops and the name of a value", "[dialect]\nvalue_name = \"Value\"")),
    }
}

/// A server reads an object in every form that JSON has for it.
async fn payload_forms(stage: &Stage) -> Outcome {
    let mut talk = Talk::begin(stage).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    for at in 0..objects(talk.dialect, &field, "")?.len() {
        // A value of its own: the reply is not that to the one before. The first is the largest that 64 bits hold.
        let value = if at == 0 { i64::MAX.to_string() } else { (104_857_600 + at).to_string() };
        let form = objects(talk.dialect, &field, &value)?.swap_remove(at);
        if talk.collides(form.as_bytes()) {
            continue;
        }
        let seen = talk.ask(&op, form.as_bytes()).await?;
        let expected = talk.ask(&op, format!("{{{key}: {value}}}").as_bytes()).await?;
        if seen != expected {
            return Err(Stop::failure(format!("{} for {}", text(&expected), text(form.as_bytes())), text(&seen)));
        }
    }
    Ok(())
}

/// A server refuses an object that is not as JSON has it, or that does not say what it has to.
async fn payload_refused(stage: &Stage) -> Outcome {
    let mut talk = Talk::begin(stage).await?;
    let (op, request, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let good = format!("{key}: 104857600");
    let mut wrong: Vec<Vec<u8>> = Vec::new();
    let whole = [
        format!("{{{key}}}"),
        format!("{{{key} 104857600}}"),
        format!("{{{good}"),
        format!("{good}}}"),
        format!("{{{good},}}"),
        format!("{{,{good}}}"),
        format!("{{{good}}}}}"),
        format!("{{{good}}} 0"),
        format!("{{{good} \"other\": 1}}"),
        format!("{{{good}, \"other\"}}"),
        format!("{{{good}, 9: 1}}"),
        format!("[{good}]"),
        "{}".into(),
        "{\"other\": 104857600}".into(),
        "104857600".into(),
    ];
    wrong.extend(whole.map(String::into_bytes));
    for value in ["0104857600", "-104857600", "104857600.5", "\"104857600\"", "true", "[104857600]", "{}", "0", "null"]
    {
        wrong.push(format!("{{{key}: {value}}}").into_bytes());
    }
    for value in NO_VALUES.iter().chain(&HALVES) {
        wrong.push([format!("{{{good}, \"other\": ").as_bytes(), value, b"}"].concat());
        wrong.push([b"{\"other\": [1, ", *value, format!("], {good}}}").as_bytes()].concat());
    }
    let plain = talk.ask(&op, format!("{{{good}}}").as_bytes()).await?;
    for payload in wrong {
        if !talk.collides(&payload) && talk.ask(&op, &payload).await? == plain {
            return Err(Stop::failure(
                format!("that {} is refused", text(&payload)),
                format!("the reply {}", text(&plain)),
            ));
        }
    }
    let (object, body) = recorded_request(stage)?;
    let mut wrong = vec![written(talk.dialect, &object, body, "1")?];
    for at in (0..object.fields.len()).filter(|at| *at != body) {
        wrong.push(written(talk.dialect, &without(&object, at), usize::MAX, "")?);
        wrong.push(written(talk.dialect, &object, at, "1")?);
        wrong.push(written(talk.dialect, &object, at, "null")?);
    }
    makes_no_request(&mut talk, &request, &wrong).await
}

/// Each of these is replied to, and no request arrives.
async fn makes_no_request(talk: &mut Talk<'_>, op: &[u8], payloads: &[String]) -> Outcome {
    for payload in payloads {
        let seen = talk.ask(op, payload.as_bytes()).await?;
        if talk.client.run.record.look(|events| requests(events).len()) > 1 {
            let expected = format!("no request for {}", text(payload.as_bytes()));
            return Err(Stop::failure(expected, format!("one, and the reply {}", text(&seen))));
        }
    }
    Ok(())
}

/// A server refuses an object that says something twice.
async fn payload_twice(stage: &Stage) -> Outcome {
    let mut talk = Talk::begin(stage).await?;
    let (op, request, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let plain = talk.ask(&op, format!("{{{key}: 104857600}}").as_bytes()).await?;
    let twice = format!("{{{key}: 104857600, {key}: 104857600}}");
    if talk.ask(&op, twice.as_bytes()).await? == plain {
        return Err(Stop::failure(format!("that `{twice}` is refused"), format!("the reply {}", text(&plain))));
    }
    let (object, _) = recorded_request(stage)?;
    let mut wrong = Vec::new();
    for field in &object.fields {
        let mut twice = Object { fields: object.fields.clone(), quoted: object.quoted };
        twice.fields.push(field.clone());
        wrong.push(written(talk.dialect, &twice, usize::MAX, "")?);
    }
    makes_no_request(&mut talk, &request, &wrong).await
}

/// A payload that is nested 100,000 deep does not end the server.
async fn deep(stage: &Stage) -> Outcome {
    const DEPTH: usize = 100_000;
    let mut talk = Talk::begin(stage).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let lists = "[".repeat(DEPTH) + &"]".repeat(DEPTH);
    talk.ask(&op, format!("{{\"other\": {lists}, {key}: 104857600}}").as_bytes()).await?;
    talk.ask(&op, format!("{{{key}: 104857600}}").as_bytes()).await.map(drop)
}

/// A message of 8 MiB is taken, and one of one byte more is refused.
async fn limit(stage: &Stage) -> Outcome {
    const LIMIT: usize = 8 << 20;
    let mut talk = Talk::begin(stage).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let short = format!("{{{key}: 104857600}}");
    // Blanks before the end, so that it has this many bytes without its end symbol.
    let padded = |bytes: usize| format!("{}{}", short, " ".repeat(bytes - op.len() - short.len()));
    let plain = talk.ask(&op, short.as_bytes()).await?;
    let taken = talk.ask(&op, padded(LIMIT).as_bytes()).await?;
    if taken != plain {
        return Err(Stop::failure(format!("{} to a message of 8 MiB", text(&plain)), text(&taken)));
    }
    let refused = talk.ask(&op, padded(LIMIT + 1).as_bytes()).await?;
    if refused == plain {
        let expected = "that a message of 8 MiB and one byte is refused";
        return Err(Stop::failure(expected, format!("the reply {}", text(&plain))));
    }
    Ok(())
}

/// The memory that a large message takes is given back when the message is done.
async fn memory_returned(stage: &Stage) -> Outcome {
    const LARGE: usize = 7 << 20;
    let mut talk = Talk::begin(stage).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let short = format!("{{{}: 104857600}}", name(talk.dialect, &field)?);
    let plain = talk.ask(&op, short.as_bytes()).await?;
    let memory = |talk: &Talk| talk.client.run.facts(talk.client.run.pid).map_or(0, |facts| facts.memory_bytes);
    let before = memory(&talk);
    if before == 0 {
        return Err(Stop::Missing("the server's memory could not be seen".into()));
    }
    let large = talk.ask(&op, format!("{short}{}", " ".repeat(LARGE)).as_bytes()).await?;
    if large != plain {
        return Err(Stop::NotApplicable("it does not take so large a message".into()));
    }
    // The next message takes the place of the large one.
    talk.ask(&op, short.as_bytes()).await?;
    let after = memory(&talk);
    if after < before + LARGE as u64 / 2 {
        return Ok(());
    }
    let expected = format!("about {} KiB in use after a message of 7 MiB, as before", before >> 10);
    Err(Stop::failure(expected, format!("{} KiB", after >> 10)))
}

/// A recorded request's fields, and which of them holds its body.
fn recorded_request(stage: &Stage) -> Result<(Object, usize), Stop> {
    let missing = || not_learned("the fields of a request", "[dialect.op]\ndoreq = \"3\"");
    let (_, op, _) = ops(stage.dialect())?;
    let message = stage.replay().ok_or_else(missing)?;
    let object = message.strip_prefix(&op[..]).and_then(object).ok_or_else(missing)?;
    let is_body = |(_, value): &(String, Value)| *value == Value::Text(br#"{"arg": "body"}"#.to_vec());
    let body = object.fields.iter().position(is_body);
    let body = body.ok_or_else(|| Stop::NotApplicable("a body is no string in its messages".into()))?;
    Ok((object, body))
}

/// The same without one field.
fn without(object: &Object, at: usize) -> Object {
    let mut fields = object.fields.clone();
    fields.remove(at);
    Object { fields, quoted: object.quoted }
}

/// A server reads a body in every form that JSON has for it.
async fn body_forms(stage: &Stage) -> Outcome {
    let talk = Talk::begin(stage).await?;
    let (_, op, _) = ops(talk.dialect)?;
    let (object, body) = recorded_request(stage)?;
    for (n, (meant, literal)) in TEXTS.iter().enumerate() {
        let payload = written(talk.dialect, &object, body, &format!("\"{literal}\""))?;
        talk.client.write(&talk.dialect.framed(&[&op, payload.as_bytes()].concat())).await?;
        let seen = match arrivals(&talk.client.run, n + 2).await {
            true => talk.client.run.record.look(|events| requests(events).last().map(|request| request.body.clone())),
            false => None,
        };
        if seen.as_deref() != Some(meant.as_bytes()) {
            let seen = seen.map_or_else(|| state(&talk.client.run), |body| text(&body));
            return Err(Stop::failure(format!("the body {} from `\"{literal}\"`", text(meant.as_bytes())), seen));
        }
    }
    Ok(())
}

/// A control character for which JSON has a short escape is carried by it.
async fn short_escapes(stage: &Stage) -> Outcome {
    name(stage.dialect(), "")?;
    let answer = Answer { status: 200, body: b"<\n\r\t\x08\x0c>".to_vec() };
    let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
    barrier(&run, "first").await?;
    replies(stage, &[])?;
    let reply = run.until(|events| replies(stage, events).ok()?.into_iter().next()).await;
    let reply = reply.ok_or_else(|| Stop::Missing(format!("no reply to a request; {}", state(&run))))?;
    if find(&reply, b"\\n\\r\\t\\b\\f").is_some() {
        return Ok(());
    }
    Err(Stop::failure("an answer carried as `\\n\\r\\t\\b\\f`", text(&reply)))
}

/// The words about a payload that cannot be read say where, and those about one that says too little say what.
async fn error_place(stage: &Stage) -> Outcome {
    let mut talk = Talk::begin(stage).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let begun = format!("{{{key}: 104857600, \"other\": ");
    for (rest, after) in [(&b"1 1}"[..], 2), (b"\"abc\x01\"}", 4), (b"\"abcd\xff\"}", 5), (b"}", 0)] {
        let payload = [begun.as_bytes(), rest].concat();
        let reply = talk.ask(&op, &payload).await?;
        let at = (begun.len() + after).to_string();
        let mut numbers = reply.get(op.len()..).unwrap_or_default().split(|byte| !byte.is_ascii_digit());
        if !numbers.any(|number| number == at.as_bytes()) {
            let expected = format!("words that name byte {at} of {}, counted from 0", text(&payload));
            return Err(Stop::failure(expected, text(&reply)));
        }
    }
    let reply = talk.ask(&op, b"{}").await?;
    if find(&reply, field.as_bytes()).is_none() {
        return Err(Stop::failure(format!("words that name `{field}`, which is missing in `{{}}`"), text(&reply)));
    }
    Ok(())
}

/// Sends a request to a target that misbehaves, and waits until it is under way.
async fn under_way(stage: &Stage, talk: &Talk<'_>, rogue: &mut Rogue) -> Result<(), Stop> {
    let (_, op, _) = ops(talk.dialect)?;
    let (object, _) = recorded_request(stage)?;
    let is_url = |(_, value): &(String, Value)| matches!(value, Value::Text(text) if text.starts_with(b"http://"));
    let url = object.fields.iter().position(is_url);
    let url = url.ok_or_else(|| Stop::NotApplicable("a URL is no string in its messages".into()))?;
    let payload = written(talk.dialect, &object, url, &quoted(talk.dialect, &rogue.url()))?;
    talk.client.write(&talk.dialect.framed(&[&op, payload.as_bytes()].concat())).await?;
    reached(&talk.client.run, rogue).await
}

/// Lets a server alone do what it does at once.
async fn settled(run: &Run) {
    run.asleep(run.pid, Instant::now() + run.patience() / 10).await;
}

/// A request that is under way when the pipe ends has its reply, and then the server exits with status 0.
async fn pending_late(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Waits)?;
    let mut talk = Talk::begin(stage).await?;
    under_way(stage, &talk, &mut rogue).await?;
    talk.client.close();
    // Whoever gives up at the end of its pipe does so before the answer comes.
    settled(&talk.client.run).await;
    rogue.release();
    let run = &talk.client.run;
    let status = must_end(run, Who::Server(0), "the end of its pipe and the answer to its request").await?;
    let stream = last_replies(run, talk.through).await;
    let replied = find(&stream, Rogue::LATE.as_bytes()).is_some();
    if replied && status == Some(Status::Exited(0)) {
        return Ok(());
    }
    let status = status_text(status);
    let reply = if replied { "a reply" } else { "no reply" };
    Err(Stop::failure("a reply to the request that was under way, and exit status 0", format!("{reply} and {status}")))
}

/// A request that SIGALRM cuts off has its reply.
async fn sigalrm_replied(stage: &Stage) -> Outcome {
    let mut rogue = stage.rogue(Manner::Silent)?;
    let talk = Talk::begin(stage).await?;
    let begun = Instant::now();
    under_way(stage, &talk, &mut rogue).await?;
    let run = &talk.client.run;
    settled(run).await;
    // Else what ends the request may be the server's own deadline for it.
    if !stage.notes.answer("the signal comes soon", || begun.elapsed() < run.patience() / 5) {
        return Err(Stop::TooSlow("to send SIGALRM soon after the request has arrived".into()));
    }
    run.signal(Who::Server(0), Signal::SIGALRM)?;
    must_end(run, Who::Server(0), "SIGALRM, with a request under way").await?;
    let stream = last_replies(run, talk.through).await;
    match talk.dialect.replies(&stream).len() {
        all if all > talk.heard => Ok(()),
        all => Err(Stop::failure("a reply for the request that was cut off", format!("{all} replies in all"))),
    }
}
