//! Payloads that are objects, either way: every form that JSON has for the same thing, and forms that it does not have.
//!
//! Names are written as the pair writes them, quoted or bare. That a form was understood shows in what comes of it: the
//! reply is that to the plain form, the request arrives, the answer is shown.

use std::fmt::Write as _;

use super::steps::{alone, arrivals, not_learned, played, state, text};
use crate::dialect::payload::{Form, Object, Value, object};
use crate::dialect::{Dialect, Symbol, find};
use crate::outcome::{Outcome, Stop};
use crate::probe::client::Client;
use crate::probe::lesson::ANSWER;
use crate::probe::server::Server;
use crate::record::{Who, passed, requests, shown};
use crate::stage::{Run, Stage};

super::cases! {
    "wire.payload-forms" => payload_forms,
    "wire.payload-refused" => payload_refused,
    "wire.payload-twice" => payload_twice,
    "wire.limit" => limit,
    "wire.body-forms" => body_forms,
    "wire.reply-forms" => reply_forms,
    "wire.reply-refused" => reply_refused,
    "wire.value-forms" => value_forms,
    "command.setting-named" => setting_named,
}

/// Values of every kind, for names that nobody knows.
const OTHERS: [&str; 15] = [
    "0",
    "-0",
    "-1.5e-3",
    "10E+2",
    "2.25",
    "true",
    "false",
    "null",
    "[]",
    "{ }",
    "[ 1 , [2, {\"a\": []}], \"]\" ]",
    "{\"a\": {\"b\": null}, \"c\": 1}",
    "\"\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"",
    "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]",
];

/// What JSON does not have as a value.
const NO_VALUES: [&[u8]; 24] = [
    b"",
    b"01",
    b"-",
    b"+1",
    b"1.",
    b".5",
    b"1e",
    b"1e+",
    b"1.e1",
    b"tru",
    b"nul",
    b"fals",
    b"[1,]",
    b"[1 2]",
    b"[1",
    b"[1}",
    b"{\"a\" 1}",
    b"{\"a\":1,}",
    b"{\"a\":1]",
    b"\"\\x41\"",
    b"\"\\u12g4\"",
    b"\"a\x01b\"",
    b"\"a\xffb\"",
    b"\"open",
];

/// Halves of a surrogate pair that stand alone, in strings.
const HALVES: [&[u8]; 4] = [b"\"\\ud83d\"", b"\"\\ud83dx\"", b"\"\\ud83d\\u0041\"", b"\"\\ude00\""];

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

/// How a name is written by a pair.
fn name(dialect: &Dialect, name: &str) -> Result<String, Stop> {
    match dialect.payload {
        Some(Form::BareNames) => Ok(name.to_owned()),
        Some(Form::QuotedNames) => Ok(format!("\"{name}\"")),
        _ => Err(Stop::NotApplicable("its payloads are no objects".into())),
    }
}

/// The first character of a name as an escape, and the name quoted.
fn escaped_name(name: &str) -> String {
    let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
    let mut units = String::new();
    for unit in first.encode_utf16() {
        let _ = write!(units, "\\u{unit:04x}");
    }
    format!("\"{units}{rest}\"")
}

/// Objects that all say `field: value` to whoever knows only this field.
fn objects(dialect: &Dialect, field: &str, value: &str) -> Result<Vec<String>, Stop> {
    let key = name(dialect, field)?;
    let escaped = escaped_name(field);
    let mut all = vec![
        format!("{{{key}:{value}}}"),
        format!(" {{ \t{key} \t: {value} \t}} "),
        format!("\r\n{{\r\n{key}\r\n:\r\n{value}\r\n}}\r\n"),
        format!("{{{escaped}: {value}}}"),
    ];
    all.extend(OTHERS.map(|other| format!("{{\"other\": {other}, {key}: {value}, \"last\": {other}}}")));
    if dialect.payload == Some(Form::BareNames) {
        all.push(format!("{{_other: [{{A9z_: 1, b:{{}}}}], {key}: {value}, Z: 0}}"));
    }
    Ok(all)
}

/// Whether these bytes would end a message before its end.
fn contains(end: &Option<Symbol>, payload: &[u8]) -> bool {
    end.as_ref().is_some_and(|end| find(payload, &end.0).is_some())
}

/// A server alone that is asked and replies.
struct Talk<'a> {
    client: Client,
    dialect: &'a Dialect,
    through: i32,
    heard: usize,
}

impl<'a> Talk<'a> {
    async fn begin(stage: &'a Stage, n: usize) -> Result<Self, Stop> {
        let dialect = stage.dialect();
        name(dialect, "")?;
        if dialect.reply.each != Some(true) {
            return Err(Stop::NotApplicable("it does not reply to each message".into()));
        }
        let (client, _) = alone(stage, n).await?;
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
    let mut talk = Talk::begin(stage, 22).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    for at in 0..objects(talk.dialect, &field, "")?.len() {
        // A value of its own: the reply is not that to the one before.
        let value = (104_857_600 + at).to_string();
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
    let mut talk = Talk::begin(stage, 23).await?;
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
    let (object, body) = recorded_request(stage, 23)?;
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
    let mut talk = Talk::begin(stage, 25).await?;
    let (op, request, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let plain = talk.ask(&op, format!("{{{key}: 104857600}}").as_bytes()).await?;
    let twice = format!("{{{key}: 104857600, {key}: 104857600}}");
    if talk.ask(&op, twice.as_bytes()).await? == plain {
        return Err(Stop::failure(format!("that `{twice}` is refused"), format!("the reply {}", text(&plain))));
    }
    let (object, _) = recorded_request(stage, 25)?;
    let mut wrong = Vec::new();
    for field in &object.fields {
        let mut twice = Object { fields: object.fields.clone(), quoted: object.quoted };
        twice.fields.push(field.clone());
        wrong.push(written(talk.dialect, &twice, usize::MAX, "")?);
    }
    makes_no_request(&mut talk, &request, &wrong).await
}

/// A message of 7 MiB is taken, and one of 9 MiB refused.
async fn limit(stage: &Stage) -> Outcome {
    let mut talk = Talk::begin(stage, 26).await?;
    let (op, _, field) = ops(talk.dialect)?;
    let key = name(talk.dialect, &field)?;
    let padded = |mib: usize| format!("{{{key}: 104857600{}}}", " ".repeat(mib << 20));
    let plain = talk.ask(&op, padded(0).as_bytes()).await?;
    let taken = talk.ask(&op, padded(7).as_bytes()).await?;
    if taken != plain {
        return Err(Stop::failure(format!("{} to a message of 7 MiB", text(&plain)), text(&taken)));
    }
    let refused = talk.ask(&op, padded(9).as_bytes()).await?;
    if refused == plain {
        return Err(Stop::failure("that a message of 9 MiB is refused", format!("the reply {}", text(&plain))));
    }
    Ok(())
}

/// A recorded request's fields, and which of them holds its body.
fn recorded_request(stage: &Stage, n: usize) -> Result<(Object, usize), Stop> {
    let missing = || not_learned("the fields of a request", "[dialect.op]\ndoreq = \"3\"");
    let (_, op, _) = ops(stage.dialect())?;
    let message = stage.lesson.replays.get(n).ok_or_else(missing)?;
    let object = message.strip_prefix(&op[..]).and_then(object).ok_or_else(missing)?;
    let is_body = |(_, value): &(String, Value)| *value == Value::Text(br#"{"arg": "body"}"#.to_vec());
    let body = object.fields.iter().position(is_body);
    let body = body.ok_or_else(|| Stop::NotApplicable("a body is no string in its messages".into()))?;
    Ok((object, body))
}

/// An object's text, with a literal in place of one field's value.
fn written(dialect: &Dialect, object: &Object, at: usize, literal: &str) -> Result<String, Stop> {
    let mut fields = Vec::new();
    for (n, (field, value)) in object.fields.iter().enumerate() {
        let value = match value {
            _ if n == at => literal.to_owned(),
            Value::Text(text) => quoted(dialect, &String::from_utf8_lossy(text)),
            Value::Bare(word) => word.clone(),
            Value::Nested(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        fields.push(format!("{}: {value}", name(dialect, field)?));
    }
    Ok(format!("{{{}}}", fields.join(", ")))
}

/// A string of JSON in which the end symbol does not occur.
fn quoted(dialect: &Dialect, text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    let end = dialect.end.as_ref().map(|end| String::from_utf8_lossy(&end.0).into_owned()).unwrap_or_default();
    let mut units = String::new();
    for unit in end.encode_utf16() {
        let _ = write!(units, "\\u{unit:04x}");
    }
    if end.is_empty() { json } else { json.replace(&end, &units) }
}

/// The same without one field.
fn without(object: &Object, at: usize) -> Object {
    let mut fields = object.fields.clone();
    fields.remove(at);
    Object { fields, quoted: object.quoted }
}

/// A server reads a body in every form that JSON has for it.
async fn body_forms(stage: &Stage) -> Outcome {
    let talk = Talk::begin(stage, 24).await?;
    let (_, op, _) = ops(talk.dialect)?;
    let (object, body) = recorded_request(stage, 24)?;
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

/// A watchdog alone, a line that asks for a request, its recorded reply: what stands before the object, the object, and
/// which field of it is the answer.
struct Replies<'a> {
    run: Run,
    server: Server,
    dialect: &'a Dialect,
    line: &'a str,
    op: &'a [u8],
    object: Object,
    answer: usize,
}

impl<'a> Replies<'a> {
    async fn begin(stage: &'a Stage) -> Result<Self, Stop> {
        let (line, reply) = super::to_watchdog::recorded(stage)?;
        let (op, object) = apart(stage, reply)?;
        let is_answer = |(_, value): &(String, Value)| *value == Value::Text(ANSWER.as_bytes().to_vec());
        let answer = object.fields.iter().position(is_answer);
        let answer = answer.ok_or_else(|| Stop::NotApplicable("an answer is no string in its reply".into()))?;
        let (run, server) = played(stage, &[]).await?;
        Ok(Replies { run, server, dialect: stage.dialect(), line, op, object, answer })
    }

    /// Has a request asked for, and replies with this payload.
    async fn reply(&self, payload: &[u8]) -> Result<(), Stop> {
        self.run.line(self.line).await?;
        self.server.message(&self.run).await?;
        self.server.reply(&self.run, &[self.op, payload].concat()).await
    }

    fn with(&self, literal: &str) -> Result<String, Stop> {
        written(self.dialect, &self.object, self.answer, literal)
    }

    fn collides(&self, payload: &[u8]) -> bool {
        contains(&self.dialect.reply.end, payload)
    }

    async fn shows(&self, words: &str) -> bool {
        self.run.until(|events| find(&shown(events, None), words.as_bytes())).await.is_some()
    }
}

/// A recorded reply's op, if it has one, and its object.
fn apart<'a>(stage: &Stage, reply: &'a [u8]) -> Result<(&'a [u8], Object), Stop> {
    let at = usize::from(stage.lesson.learned.dialect.reply.same_op == Some(true));
    let (op, payload) = reply.split_at_checked(at).unwrap_or_default();
    let object = object(payload).ok_or_else(|| Stop::NotApplicable("its replies are no objects".into()))?;
    Ok((op, object))
}

/// A watchdog reads a reply in every form that JSON has for it.
async fn reply_forms(stage: &Stage) -> Outcome {
    let replies = Replies::begin(stage).await?;
    let mut forms = Vec::new();
    for (meant, literal) in [("é-я-😀-\"-\\-/", "\\u00e9-\\u044F-\\ud83d\\uDE00-\\\"-\\\\-\\/"), ("A-z", "\\u0041-z")]
    {
        forms.push((format!("escaped {meant}"), replies.with(&format!("\"escaped {literal}\""))?));
    }
    for (n, other) in OTHERS.iter().enumerate() {
        let meant = format!("beside other {n}");
        let payload = replies.with(&format!("\"{meant}\" , \"other\": {other}"))?;
        forms.push((meant, payload));
    }
    let blanks = replies.with("\"among blanks\"")?.replace(": ", " :\t").replace(", ", "\r\n,");
    forms.push(("among blanks".into(), format!(" \t{blanks} ")));
    for (meant, payload) in forms {
        if replies.collides(payload.as_bytes()) {
            continue;
        }
        replies.reply(payload.as_bytes()).await?;
        if !replies.shows(&meant).await {
            let expected = format!("`{meant}` is shown for {}", text(payload.as_bytes()));
            return Err(Stop::failure(expected, state(&replies.run)));
        }
    }
    super::to_watchdog::done(&replies.run, replies.server).await
}

/// A watchdog does not take a reply for an answer that is not as JSON has it.
async fn reply_refused(stage: &Stage) -> Outcome {
    let replies = Replies::begin(stage).await?;
    let good = replies.with("\"a wrong answer\"")?;
    let inside = good.strip_suffix('}').unwrap_or(&good);
    let mut wrong: Vec<Vec<u8>> = vec![
        inside.as_bytes().to_vec(),
        format!("{good}}}").into_bytes(),
        format!("{good} 0").into_bytes(),
        format!("{inside},}}").into_bytes(),
        format!("{inside} \"other\": 1}}").into_bytes(),
        format!("{inside}, \"other\"}}").into_bytes(),
        good.strip_prefix('{').unwrap_or(&good).as_bytes().to_vec(),
    ];
    for value in NO_VALUES.iter().chain(&HALVES) {
        wrong.push([inside.as_bytes(), b", \"other\": ", value, b"}"].concat());
    }
    let mut tried = 0;
    for payload in wrong.iter().filter(|payload| !replies.collides(payload)) {
        replies.reply(payload).await?;
        // The next answer comes after whatever is said of this one.
        tried += 1;
        let right = format!("right answer {tried}.");
        replies.reply(replies.with(&quoted(replies.dialect, &right))?.as_bytes()).await?;
        if !replies.shows(&right).await {
            return Err(Stop::failure(format!("`{right}` is shown after {}", text(payload)), state(&replies.run)));
        }
        let out = replies.run.record.look(|events| shown(events, None));
        let wrong_line = |line: &[u8]| line.trim_ascii() == b"a wrong answer";
        if out.split(|byte| *byte == b'\n').any(wrong_line) {
            return Err(Stop::failure(format!("no answer from {}", text(payload)), "`a wrong answer`"));
        }
    }
    super::to_watchdog::done(&replies.run, replies.server).await
}

/// What stands before the object in the reply to a setting, and the name of the only field, a number.
fn setting_reply<'a>(stage: &'a Stage, line: usize) -> Result<(&'a [u8], String), Stop> {
    if stage.dialect().prints.setting != Some(true) || stage.lesson.learned.dialect.reply.each != Some(true) {
        return Err(Stop::NotApplicable("settings are not shown, or not replied to".into()));
    }
    let (op, object) = apart(stage, &stage.lesson.learned.replies[line])?;
    match &object.fields[..] {
        [(field, Value::Bare(_))] => Ok((op, name(stage.dialect(), field)?)),
        _ => Err(Stop::NotApplicable("its reply to a setting is not one number".into())),
    }
}

/// The line that is shown when a setting is replied to with this number.
async fn setting_shown(
    stage: &Stage,
    (run, server): (&Run, &Server),
    line: usize,
    number: &str,
    payload: &str,
) -> Result<Option<Vec<u8>>, Stop> {
    let (op, _) = setting_reply(stage, line)?;
    let before = run.record.look(|events| shown(events, None).len());
    run.line(&stage.lesson.typed[line]).await?;
    server.message(run).await?;
    server.reply(run, &[op, payload.as_bytes()].concat()).await?;
    let with_number = |line: &&[u8]| line.ends_with(b"\n") && find(line, number.as_bytes()).is_some();
    let line = run.until(|events| {
        let out = shown(events, None).split_off(before);
        out.split_inclusive(|byte| *byte == b'\n').find(with_number).map(<[u8]>::to_vec)
    });
    // The prompt before it may have been shown a moment earlier or later.
    let prompt = stage.dialect().prints.prompt.clone().unwrap_or_default();
    Ok(line.await.map(|line| line.strip_prefix(prompt.as_bytes()).map_or(line.clone(), <[u8]>::to_vec)))
}

/// A watchdog shows the value that a reply holds, in every form that JSON has for it.
async fn value_forms(stage: &Stage) -> Outcome {
    let dialect = stage.dialect();
    let (_, key) = setting_reply(stage, 0)?;
    let token = stage.lesson.typed[0].split(' ').nth(1).unwrap_or_default();
    if !stage.lesson.on_success.first().is_some_and(|words| words.contains(token)) {
        return Err(Stop::NotApplicable("the value of a setting is not shown".into()));
    }
    let (run, server) = played(stage, &[]).await?;
    let extremes =
        ["0", "-1", "9223372036854775807", "-9223372036854775808", "123456789012345678", "1234567890123456789"];
    let mut forms: Vec<_> = extremes.iter().map(|n| ((*n).to_owned(), format!("{{{key}: {n}}}"))).collect();
    let field = key.trim_matches('"');
    for at in 0..objects(dialect, field, "")?.len() {
        let number = (700_000_000 + at).to_string();
        let form = objects(dialect, field, &number)?.swap_remove(at);
        forms.push((number, form));
    }
    for (number, payload) in forms.iter().filter(|(_, payload)| !contains(&dialect.reply.end, payload.as_bytes())) {
        if setting_shown(stage, (&run, &server), 0, number, payload).await?.is_none() {
            return Err(Stop::failure(format!("`{number}` is shown for {}", text(payload.as_bytes())), state(&run)));
        }
    }
    super::to_watchdog::done(&run, server).await
}

/// What is shown for `setmeml` and for `setproc` is not the same.
async fn setting_named(stage: &Stage) -> Outcome {
    const NUMBER: &str = "700000001";
    let (run, server) = played(stage, &[]).await?;
    let mut said = Vec::new();
    for line in [0, 2] {
        let (_, key) = setting_reply(stage, line)?;
        match setting_shown(stage, (&run, &server), line, NUMBER, &format!("{{{key}: {NUMBER}}}")).await? {
            Some(words) => said.push(words),
            None => return Err(Stop::NotApplicable("the number of a setting is not shown".into())),
        }
    }
    if said[0] == said[1] {
        let expected = "what is shown for `setmeml` is not what is shown for `setproc`";
        return Err(Stop::failure(expected, text(&said[0])));
    }
    super::to_watchdog::done(&run, server).await
}
