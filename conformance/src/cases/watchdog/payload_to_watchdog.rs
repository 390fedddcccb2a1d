//! Replies that are objects, towards a watchdog alone: every form that JSON has for the same thing, and forms that it
//! does not have. That a form was understood shows in what is shown.

use super::json::{HALVES, NO_VALUES, OTHERS, contains, name, objects, quoted, written};
use super::steps::{played, state, text};
use crate::dialect::payload::{Object, Value, object};
use crate::dialect::{Dialect, find};
use crate::event::shown;
use crate::outcome::{Outcome, Stop};
use crate::probe::lesson::{ANSWER, SETTINGS};
use crate::probe::server::Server;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "wire.reply-forms" => reply_forms,
    "wire.reply-refused" => reply_refused,
    "wire.value-forms" => value_forms,
    "command.setting-named" => setting_named,
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
fn setting_reply(stage: &Stage, line: usize) -> Result<(&[u8], String), Stop> {
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

/// What is shown for `setmeml` and for `setproc` says which of the two it is.
async fn setting_named(stage: &Stage) -> Outcome {
    const NUMBER: &str = "700000001";
    let (run, server) = played(stage, &[]).await?;
    let mut said = Vec::new();
    for line in SETTINGS {
        let (_, key) = setting_reply(stage, line)?;
        match setting_shown(stage, (&run, &server), line, NUMBER, &format!("{{{key}: {NUMBER}}}")).await? {
            Some(words) => said.push(words),
            None => return Err(Stop::NotApplicable("the number of a setting is not shown".into())),
        }
    }
    for (words, others, name, part) in [(&said[0], &said[1], "setmeml", "mem"), (&said[1], &said[0], "setproc", "proc")]
    {
        if words == others || !String::from_utf8_lossy(words).to_lowercase().contains(part) {
            let expected = format!("a line for `{name}` with a word of its own, as in `{part}: {NUMBER}`");
            return Err(Stop::failure(expected, text(words)));
        }
    }
    super::to_watchdog::done(&run, server).await
}
