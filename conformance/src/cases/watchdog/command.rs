//! Commands: what a typed line becomes, and what a line that is no command does not become.

use super::steps::{
    answered_late, arrival, arrivals, barrier, complaints, idle, leave, messages, must_end, ready, request, server_pid,
    shows, state, text,
};
use crate::dialect::find;
use crate::event::{Request, Status, Stream, Who, ended, requests, shown};
use crate::observe::channel::{End, connected};
use crate::observe::rogue::Manner;
use crate::observe::target::Answer;
use crate::outcome::{Outcome, Stop};
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};

crate::cases::cases! {
    "command.setmeml" => setmeml,
    "command.setproc" => setproc,
    "command.doreq-get" => doreq_get,
    "command.doreq-post" => doreq_post,
    "command.exit" => exit,
    "command.body-as-typed" => body_as_typed,
    "command.get-body" => get_body,
    "command.sequence" => sequence,
    "command.order" => order,
    "command.methods" => methods,
    "command.url-as-typed" => url_as_typed,
    "command.body-absent" => body_absent,
    "command.many-at-once" => many_at_once,
    "command.in-pieces" => in_pieces,
    "command.plain-input" => plain_input,
    "command.unknown" => unknown,
    "command.number-malformed" => number_malformed,
    "command.number-range" => number_range,
    "command.argument-missing" => argument_missing,
    "command.blank-lines" => blank_lines,
    "command.last-line" => last_line,
    "command.crlf" => crlf,
    "command.long-body" => long_body,
    "command.body-bytes" => body_bytes,
    "command.prompt" => prompt,
    "command.shows-answer" => shows_answer,
    "command.answer-line" => answer_line,
    "command.output-escaped" => output_escaped,
}

/// Each line of this command in the first session was followed by a message.
fn sent_for(stage: &Stage, word: &str) -> Outcome {
    let lesson = &stage.lesson;
    if lesson.learned.dialect.wiring.read.is_none() {
        return Err(super::steps::not_learned("messages to the server", "[dialect.wiring]\nread = 3"));
    }
    let of_command = |line: &String| line.split(' ').next() == Some(word);
    for (line, message) in lesson.typed.iter().zip(&lesson.learned.messages).filter(|(line, _)| of_command(line)) {
        if message.is_none() {
            let others = lesson.learned.others.join(&b' ');
            let seen = if others.is_empty() { "no message for it".into() } else { format!("only {}", text(&others)) };
            return Err(Stop::failure(format!("a message to the server for `{line}`"), seen));
        }
    }
    Ok(())
}

/// `setmeml <digit>` sends the server a message; what is shown for it is free.
async fn setmeml(stage: &Stage) -> Outcome {
    sent_for(stage, "setmeml")
}

/// `setproc <digit>` sends the server a message; what is shown for it is free.
async fn setproc(stage: &Stage) -> Outcome {
    sent_for(stage, "setproc")
}

/// The request of this name in the first session.
fn learned_request(stage: &Stage, method: &str, name: &str) -> Result<Request, Stop> {
    let typed = stage.lesson.typed.iter().find(|line| line.contains(&format!("/{name} "))).cloned();
    let Some(typed) = typed else {
        return Err(Stop::Missing("the first session did not come as far as this request".into()));
    };
    let events = stage.lesson.record.events();
    let mut all = requests(&events).into_iter().filter(|r| r.path == format!("/{name}"));
    let (seen, more) = (all.next().cloned(), all.count());
    if more > 0 {
        return Err(Stop::failure(format!("one request after `{typed}`"), format!("{} requests", more + 1)));
    }
    let seen = seen.ok_or_else(|| {
        let shown = shown(&events, None);
        let last = &shown[shown.len().saturating_sub(200)..];
        Stop::failure(format!("after `{typed}`, that request at the target"), format!("none; shown: {}", text(last)))
    })?;
    if seen.method == method {
        return Ok(seen);
    }
    Err(Stop::failure(format!("the method {method} after `{typed}`"), seen.method))
}

/// `doreq GET <url> <body>` makes the server send a GET request to that URL; what is shown of its answer is free.
async fn doreq_get(stage: &Stage) -> Outcome {
    learned_request(stage, "GET", "learn-get").map(drop)
}

/// `doreq POST <url> <body>` makes the server send a POST request to that URL; what is shown of its answer is free.
async fn doreq_post(stage: &Stage) -> Outcome {
    learned_request(stage, "POST", "learn-post")?;
    let mut rogue = stage.rogue(Manner::Waits)?;
    let run = stage.watchdog().await?;
    run.line(&format!("doreq POST {} {{}}", rogue.url())).await?;
    if !rogue.arrived(&run.record, run.patience()).await {
        return Err(Stop::failure("a request at the target when `doreq POST` is the first command", state(&run)));
    }
    let server = server_pid(&run);
    let holder = || connected(run.pid, server, rogue.address().port());
    let holder = run.record.answer("who is connected to the target", holder);
    rogue.release();
    if holder == Some(End::Parent) {
        return Err(Stop::failure("the server is connected to the target", "the watchdog itself is"));
    }
    // Another way to the target, or a system that does not tell, is no evidence against anybody.
    answered_late(stage, &run, 1).await;
    Ok(())
}

fn body_is(request: &Request, expected: &[u8]) -> Outcome {
    if request.body == expected {
        return Ok(());
    }
    Err(Stop::failure(
        format!("a {} {} with the body {}", request.method, request.path, text(expected)),
        format!("the body {}", text(&request.body)),
    ))
}

/// The body is the rest of the line, blanks, quotes, braces and the letters of every language included; blanks around it are
/// free.
async fn body_as_typed(stage: &Stage) -> Outcome {
    body_is(&learned_request(stage, "POST", "learn-post")?, br#"{"arg": "body"}"#)?;
    let run = ready(stage).await?;
    let body = r#"{"a":  [1, "it's two", "\"q\" \\ $HOME"], "имя": "значение", "b":{}}"#;
    match request(&run, "POST", "odd", body).await? {
        Some(request) => body_is(&request, body.as_bytes()),
        None => Err(Stop::failure(format!("a request with the body `{body}`"), format!("none; {}", state(&run)))),
    }
}

/// The body is sent with a GET request too.
async fn get_body(stage: &Stage) -> Outcome {
    body_is(&learned_request(stage, "GET", "learn-get")?, br#"{"arg": "body"}"#)
}

/// `exit` ends the watchdog; how it has its server end, and with which status it exits, is free.
async fn exit(stage: &Stage) -> Outcome {
    let events = stage.lesson.record.events();
    if stage.lesson.typed.last().is_none_or(|line| line != "exit") {
        return Err(Stop::Missing("the first session did not come as far as `exit`".into()));
    }
    if ended(&events, Who::Watchdog).is_some() {
        return Ok(());
    }
    Err(Stop::failure("the watchdog ends after `exit`", "it was still running"))
}

/// The commands of the example work one after the other in one session.
async fn sequence(stage: &Stage) -> Outcome {
    let run = stage.watchdog().await?;
    run.line("setmeml 123000").await?;
    run.line("setproc 32").await?;
    for (method, name) in [("GET", "get"), ("POST", "post")] {
        let come = request(&run, method, name, r#"{"arg": "body"}"#).await?;
        if come.is_none_or(|r| r.method != method) {
            let expected = format!("`setmeml 123000`, `setproc 32`, then a {method} at the target");
            return Err(Stop::failure(expected, format!("none; {}", state(&run))));
        }
    }
    run.line("exit").await?;
    must_end(&run, Who::Watchdog, "`exit`").await.map(drop)
}

/// Commands are sent in the order in which they were typed, also when they are typed ahead; whether requests overlap is free.
async fn order(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    let names: Vec<String> = (0..6).map(|n| format!("ahead-{n}")).collect();
    let lines: Vec<String> =
        names.iter().map(|name| format!("doreq POST {}/{name} {{\"arg\": \"body\"}}\n", run.url)).collect();
    run.write(lines.concat().as_bytes()).await?;
    for name in &names {
        if arrival(&run, name).await.is_none() {
            let expected = format!("all of {} lines typed at once at the target", names.len());
            return Err(Stop::failure(expected, format!("`/{name}` is missing; {}", state(&run))));
        }
    }
    let events = run.record.events();
    let arrived: Vec<_> = requests(&events).iter().map(|r| r.path.trim_start_matches('/').to_owned()).collect();
    if arrived.ends_with(&names) {
        return Ok(());
    }
    // A server may have several requests under way: then the messages tell.
    let sent = messages(stage, &events)?;
    let places: Vec<_> = names.iter().map(|n| sent.iter().position(|m| find(m, n.as_bytes()).is_some())).collect();
    if places.contains(&None) {
        return Err(Stop::Missing("the requests arrived in another order, and the payloads cannot be read".into()));
    }
    if places.is_sorted() {
        Ok(())
    } else {
        Err(Stop::failure("messages in the order of their lines", format!("{places:?}")))
    }
}

/// PUT, DELETE and PATCH are sent as they are typed.
async fn methods(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    for method in ["PUT", "DELETE", "PATCH"] {
        let seen = request(&run, method, method, "{}").await?.map_or_else(|| "no request".to_owned(), |r| r.method);
        super::steps::same(&format!("the method after `doreq {method} …`"), method.to_owned(), seen)?;
    }
    Ok(())
}

/// Path and query of the URL reach the target as they were typed.
async fn url_as_typed(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    let name = "a%2Fb%20c//%D1%8F/?z=&k&y=a%2Fb&x=1+1";
    match request(&run, "GET", name, "{}").await? {
        Some(_) => Ok(()),
        None => {
            let paths = run.record.look(|e| requests(e).iter().map(|r| r.path.clone()).collect::<Vec<_>>());
            Err(Stop::failure(format!("a request for `/{name}`"), format!("requests for {paths:?}")))
        }
    }
}

/// The body may be absent; then the request has none.
async fn body_absent(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    match request(&run, "GET", "bare", "").await? {
        Some(request) => body_is(&request, b""),
        None => Err(Stop::failure("a request without a body", format!("none; {}", state(&run)))),
    }
}

/// Many lines that arrive in one read are all commands.
async fn many_at_once(stage: &Stage) -> Outcome {
    const LINES: usize = 40;
    let run = stage.start(Watchdog::on_pipes()).await?;
    let lines: Vec<String> = (0..LINES).map(|n| format!("doreq POST {}/n{n} {n}\n", run.url)).collect();
    run.write(lines.concat().as_bytes()).await?;
    if arrivals(&run, LINES).await {
        return Ok(());
    }
    let come = run.record.look(|events| requests(events).len());
    Err(Stop::failure(
        format!("{LINES} requests for {LINES} lines written at once"),
        format!("{come}; {}", state(&run)),
    ))
}

/// A line that arrives in pieces is one command.
async fn in_pieces(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.write_apart(format!("doreq POST {}/pieces {{\"arg\":\"body\"}}\n", run.url).as_bytes()).await?;
    match arrival(&run, "pieces").await {
        Some(request) => body_is(&request, br#"{"arg":"body"}"#),
        None => Err(Stop::failure("one request for a line that arrives in pieces", state(&run))),
    }
}

/// Commands are taken from a pipe as they are from a terminal.
async fn plain_input(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    match request(&run, "POST", "piped", "{}").await? {
        Some(_) => Ok(()),
        None => Err(Stop::failure("a request for a line that comes through a pipe", state(&run))),
    }
}

/// Lines that are no commands: each is answered with words, nothing is sent, the session goes on.
async fn are_refused(stage: &Stage, lines: &[&str]) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    // Its answer is shown, and is not taken for words about a line.
    idle(stage, &run, "before").await?;
    let before = messages(stage, &run.record.events())?.len();
    for line in lines {
        let said = run.record.look(|events| shown(events, None).len());
        run.line(line).await?;
        if run.until(|events| (shown(events, None).len() > said).then_some(())).await.is_none() {
            return Err(Stop::failure(format!("one line that says what is wrong with `{line}`"), state(&run)));
        }
    }
    if request(&run, "POST", "after", "{}").await?.is_none() {
        return Err(Stop::failure(format!("the session goes on after {lines:?}"), state(&run)));
    }
    let sent = messages(stage, &run.record.events())?;
    if sent.len() > before + 1 {
        return Err(Stop::failure(format!("nothing is sent for {lines:?}"), text(&sent[before])));
    }
    Ok(())
}

/// An unknown command is answered with words, nothing is sent, and the session goes on.
async fn unknown(stage: &Stage) -> Outcome {
    are_refused(stage, &["frobnicate 12", "SETMEML1", "exitnow"]).await
}

/// A number that is not one is answered with words, and nothing is sent.
async fn number_malformed(stage: &Stage) -> Outcome {
    are_refused(stage, &["setmeml twelve", "setmeml 1.5", "setproc 2x", "setmeml 1 2"]).await
}

/// A number out of range is answered with words, and nothing is sent.
async fn number_range(stage: &Stage) -> Outcome {
    are_refused(stage, &["setmeml 99999999999999999999999", "setmeml -5", "setproc 0", "setproc 4294967297"]).await
}

/// A command without its arguments is answered with words, and nothing is sent.
async fn argument_missing(stage: &Stage) -> Outcome {
    are_refused(stage, &["setmeml", "setproc", "doreq", "doreq GET"]).await
}

/// Blank lines are ignored.
async fn blank_lines(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    let before = messages(stage, &run.record.events())?.len();
    run.write(b"\n   \n\t\n").await?;
    if request(&run, "POST", "after", "{}").await?.is_none() {
        return Err(Stop::failure("the session goes on after blank lines", state(&run)));
    }
    let sent = messages(stage, &run.record.events())?.len() - before;
    super::steps::same("messages for three blank lines and a request", 1, sent)?;
    // In a terminal, words about a line cannot be told from a prompt: so the same on plain pipes.
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.write(b"\n   \n\t\n").await?;
    barrier(&run, "after").await?;
    let complaint = run.record.look(complaints);
    if complaint.is_empty() { Ok(()) } else { Err(Stop::failure("no words about blank lines", text(&complaint))) }
}

/// A last line without a line end is a command.
async fn last_line(stage: &Stage) -> Outcome {
    // The end follows the last message at once, and what ends the server must not overtake it on its way.
    let run = stage.start(Watchdog { untapped: true, ..Watchdog::on_pipes() }).await?;
    run.write(format!("doreq POST {}/last {{}}", run.url).as_bytes()).await?;
    run.close_input().await?;
    match arrival(&run, "last").await {
        Some(_) => Ok(()),
        None => Err(Stop::failure("a last line without a line end is a command", state(&run))),
    }
}

/// A carriage return before the line end does not belong to the line.
async fn crlf(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog::on_pipes()).await?;
    run.write(format!("doreq POST {}/crlf {{}}\r\n", run.url).as_bytes()).await?;
    match arrival(&run, "crlf").await {
        Some(request) => body_is(&request, b"{}"),
        None => Err(Stop::failure("a line that ends in CR LF is a command", state(&run))),
    }
}

/// One body over plain pipes, byte by byte as it was written.
async fn body_arrives(stage: &Stage, how: Watchdog, body: &[u8]) -> Outcome {
    let run = stage.start(how).await?;
    let line = [format!("doreq POST {}/body ", run.url).as_bytes(), body, b"\n"].concat();
    run.write(&line).await?;
    match arrival(&run, "body").await {
        Some(request) => body_is(&request, body),
        None => Err(Stop::failure(format!("a request with the body {}", text(body)), format!("none; {}", state(&run)))),
    }
}

/// A body of 200 KB arrives whole.
async fn long_body(stage: &Stage) -> Outcome {
    // Beyond the capacity of any pipe on the way, and not a multiple of a buffer's size.
    let body: Vec<u8> = (0..200_003u32).map(|n| b'a' + u8::try_from(n % 26).unwrap_or_default()).collect();
    body_arrives(stage, Watchdog { untapped: true, ..Watchdog::on_pipes() }, &body).await
}

/// A body that is not UTF-8 arrives byte for byte.
async fn body_bytes(stage: &Stage) -> Outcome {
    // An end symbol in a body may collide, as the assignment has it.
    let end = stage.dialect().end.clone().map_or_else(Vec::new, |end| end.0);
    let body: Vec<u8> = (1..=255).filter(|b| !matches!(b, b'\n' | b'\r') && !end.contains(b)).collect();
    body_arrives(stage, Watchdog::on_pipes(), &body).await
}

/// A prompt is shown only in a terminal.
async fn prompt(stage: &Stage) -> Outcome {
    let prompt = match stage.dialect().prints.prompt.as_deref() {
        Some("") | None => return Err(Stop::NotApplicable("it shows no prompt in a terminal either".into())),
        Some(prompt) => prompt.trim_end().to_owned(),
    };
    let run = stage.start(Watchdog::on_pipes()).await?;
    barrier(&run, "ready").await?;
    leave(&run).await?;
    super::steps::must_close(&run).await?;
    let out = run.record.look(|events| shown(events, None));
    if out.starts_with(prompt.as_bytes()) || find(&out, format!("\n{prompt}").as_bytes()).is_some() {
        return Err(Stop::failure(format!("no prompt `{prompt}` where no terminal is"), text(&out)));
    }
    Ok(())
}

/// Status and body of the answer are shown.
async fn shows_answer(stage: &Stage) -> Outcome {
    let prints = &stage.dialect().prints;
    let seen = match (prints.status, prints.body) {
        (Some(true), Some(true)) => return Ok(()),
        (Some(true), _) => "the status only",
        (_, Some(true)) => "the body only",
        _ => "neither",
    };
    Err(Stop::failure("status and body of an answer are shown", seen))
}

/// An answer is followed by the end of its line, whether it brought one or not.
async fn answer_line(stage: &Stage) -> Outcome {
    const BODY: &str = "the-whole-answer";
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    for (end, what) in [("", "without a line end"), ("\n", "with a line end")] {
        let answer = Answer { status: 200, body: format!("{BODY}{end}").into_bytes() };
        let run = stage.start(Watchdog { answer, ..Watchdog::on_pipes() }).await?;
        barrier(&run, "first").await?;
        leave(&run).await?;
        super::steps::must_close(&run).await?;
        let out = run.record.look(|events| shown(events, Some(Stream::Stdout)));
        let after = find(&out, BODY.as_bytes()).map(|at| &out[at + BODY.len()..]);
        let after = after.ok_or_else(|| Stop::Missing("the answer was not shown".into()))?;
        if !after.starts_with(b"\n") || after.starts_with(b"\n\n") {
            let expected = format!("one line end after an answer {what}");
            return Err(Stop::failure(expected, text(&out)));
        }
    }
    Ok(())
}

/// A session whose target answers with a body that would take the terminal over.
async fn answered(stage: &Stage, body: &[u8]) -> Result<Run, Stop> {
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let run =
        stage.start(Watchdog { answer: Answer { status: 200, body: body.to_vec() }, ..Watchdog::default() }).await?;
    barrier(&run, "ready").await?;
    Ok(run)
}

/// No control character of an answer reaches the terminal raw.
async fn output_escaped(stage: &Stage) -> Outcome {
    let run = answered(stage, b"begin\x1b]0;title\x07\x1b[2J\x9b31m\x08\x7f\rend-of-body").await?;
    if !shows(&run, "end-of-body").await {
        return Err(Stop::Missing("the answer was not shown".into()));
    }
    let out = run.record.look(|events| shown(events, Some(Stream::Terminal)));
    // What a line editor writes around a typed line comes before it.
    let out = &out[find(&out, b"begin").unwrap_or(0)..];
    let out = &out[..find(out, b"end-of-body").unwrap_or(out.len())];
    let raw = |b: &&u8| matches!(b, 0x00..=0x08 | 0x0b..=0x1f | 0x7f);
    match out.iter().find(raw) {
        None => Ok(()),
        Some(byte) => Err(Stop::failure(
            "no control character of an answer reaches the terminal",
            format!("\\x{byte:02x} in {}", text(out)),
        )),
    }
}

/// How the watchdog of the first session ended.
pub(super) fn first_end(stage: &Stage) -> Option<Option<Status>> {
    ended(&stage.lesson.record.events(), Who::Watchdog)
}
