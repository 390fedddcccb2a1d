//! A watchdog alone: the suite plays its server with recorded replies, perturbed, and dies or falls silent as servers
//! do.

use std::time::Instant;

use nix::sys::signal::Signal;

use super::steps::{
    both_end, complaints, exits_with, leave, must_close, must_end, not_learned, played, played_in, shows, state, text,
};
use crate::dialect::find;
use crate::outcome::{Outcome, Stop};
use crate::probe::lesson::ANSWER;
use crate::probe::server::Server;
use crate::record::{Event, Stream, Who, ended, shown};
use crate::stage::{Run, Stage, Watchdog};
use crate::subject::handover::Order;

super::cases! {
    "wire.reply-bytewise" => reply_bytewise,
    "wire.reply-split" => reply_split,
    "wire.replies-coalesced" => replies_coalesced,
    "wire.reply-garbage" => reply_garbage,
    "wire.reply-empty" => reply_empty,
    "wire.reply-oversized" => reply_oversized,
    "wire.reply-cut-off" => reply_cut_off,
    "wire.reply-unasked" => reply_unasked,
    "wire.reply-other-op" => reply_other_op,
    "command.prompt-ready" => prompt_ready,
    "end.exit-answer" => exit_answer,
    "end.exit-failed" => exit_failed,
    "end.ctrl-c-twice" => ctrl_c_twice,
    "end.losses-told" => losses_told,
    "end.never-answers" => never_answers,
    "end.half-a-reply" => half_a_reply,
    "end.flooding-server" => flooding_server,
    "end.pipes-closed" => pipes_closed,
    "end.replies-closed" => replies_closed,
    "end.messages-closed" => messages_closed,
    "end.server-exits-at-once" => server_exits_at_once,
    "end.status-told" => status_told,
    "end.signals-told" => signals_told,
    "end.stubborn-server" => stubborn_server,
    "end.grandchild" => grandchild,
}

/// A line that asks for a request, and the reply that was recorded for it: its answer is shown.
pub(super) fn recorded(stage: &Stage) -> Result<(&str, &[u8]), Stop> {
    let lesson = &stage.lesson;
    if stage.dialect().prints.body != Some(true) {
        return Err(Stop::NotApplicable("answers are not shown".into()));
    }
    let line = lesson.typed.iter().position(|line| line.starts_with("doreq")).unwrap_or_default();
    let reply = lesson.learned.replies.get(line).filter(|_| lesson.learned.dialect.reply.each == Some(true));
    let reply = reply.ok_or_else(|| Stop::Missing("the reply to a request could not be told apart".into()))?;
    Ok((&lesson.typed[line], reply))
}

/// A session in which the suite plays the server, and what was recorded of a request.
async fn asked(stage: &Stage) -> Result<(Run, Server, &str, &[u8]), Stop> {
    let (line, reply) = recorded(stage)?;
    let (run, server) = played(stage, &[]).await?;
    Ok((run, server, line, reply))
}

/// Waits until the answer has been shown so many times.
async fn answers_shown(run: &Run, times: usize, how: &str) -> Outcome {
    let count = |events: &[Event]| {
        let all = shown(events, Some(Stream::Terminal));
        all.windows(ANSWER.len()).filter(|window| *window == ANSWER.as_bytes()).count()
    };
    let come = run.until(|events| (count(events) >= times).then_some(()));
    match come.await {
        Some(()) => Ok(()),
        None => Err(Stop::failure(format!("the answer is shown {how}"), state(run))),
    }
}

/// The suite's ends stay open until the watchdog has left: it is to end in order, not for want of a server.
pub(super) async fn done(run: &Run, server: Server) -> Outcome {
    run.line("exit").await?;
    run.ended(Who::Watchdog).await;
    drop(server);
    Ok(())
}

/// The watchdog takes a reply that it reads one byte at a time.
async fn reply_bytewise(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    run.line(line).await?;
    server.message(&run).await?;
    let framed = server.framed(reply);
    server.write_apart(&run, framed.chunks(1)).await?;
    answers_shown(&run, 1, "when its reply comes one byte at a time").await?;
    done(&run, server).await
}

/// The watchdog takes a reply that it reads in two parts, wherever it is split.
async fn reply_split(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    let framed = server.framed(reply);
    for at in 1..framed.len() {
        run.line(line).await?;
        server.message(&run).await?;
        let (head, tail) = framed.split_at(at);
        server.write_apart(&run, [head, tail]).await?;
        answers_shown(&run, at, &format!("when its reply is read in two parts, the first of {at} bytes")).await?;
    }
    done(&run, server).await
}

/// The watchdog takes several replies from one read.
async fn replies_coalesced(stage: &Stage) -> Outcome {
    const REPLIES: usize = 3;
    let (run, server, line, reply) = asked(stage).await?;
    for n in 0..REPLIES {
        run.line(line).await?;
        match server.message(&run).await {
            Err(Stop::Missing(_)) if n > 0 => {
                return Err(Stop::NotApplicable("it awaits each reply before it sends the next message".into()));
            }
            message => _ = message?,
        }
    }
    server.write(&run, &server.framed(reply).repeat(REPLIES)).await?;
    answers_shown(&run, REPLIES, &format!("{REPLIES} times when as many replies are read at once")).await?;
    done(&run, server).await
}

/// A reply with nothing in it that a person could want: words about it are to be shown, and the session is to go on.
async fn told(stage: &Stage, garbled: &[u8], what: &str) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    // A first answer is shown, so that nothing of it is taken for the words that are to come.
    run.line(line).await?;
    server.message(&run).await?;
    server.write(&run, &server.framed(reply)).await?;
    answers_shown(&run, 1, "for a reply as it was recorded").await?;
    let before = run.record.look(|events| shown(events, None).len());
    run.line(line).await?;
    server.message(&run).await?;
    server.write(&run, &server.framed(garbled)).await?;
    let prompt = stage.dialect().prints.prompt.clone().unwrap_or_default();
    let words = |events: &[Event]| {
        let said = String::from_utf8_lossy(&shown(events, None).split_off(before)).into_owned();
        let said = if prompt.is_empty() { said } else { said.replace(&prompt, "") };
        (!said.trim().is_empty()).then_some(())
    };
    if run.until(words).await.is_none() {
        return Err(Stop::failure(format!("words about {what}"), state(&run)));
    }
    run.line(line).await?;
    server.message(&run).await?;
    server.write(&run, &server.framed(reply)).await?;
    answers_shown(&run, 2, &format!("for the request after {what}")).await?;
    done(&run, server).await
}

/// A reply that cannot be understood is told, and the session goes on.
async fn reply_garbage(stage: &Stage) -> Outcome {
    told(stage, b"\x00{\"]\xff not a reply", "a reply that cannot be understood").await
}

/// An end symbol with no reply before it is told, and the session goes on.
async fn reply_empty(stage: &Stage) -> Outcome {
    told(stage, b"", "an end symbol with no reply before it").await
}

/// A reply of 9 MiB that means nothing is told, and the session goes on.
async fn reply_oversized(stage: &Stage) -> Outcome {
    told(stage, &vec![b'x'; 9 << 20], "a reply of 9 MiB that means nothing").await
}

/// A reply that is cut off by the end of the pipe is not shown as an answer, and the watchdog ends.
async fn reply_cut_off(stage: &Stage) -> Outcome {
    // Each costs a session.
    const POSITIONS_MAX: usize = 8;
    let length = recorded(stage)?.1.len();
    for at in (1..=length).rev().step_by(length.div_ceil(POSITIONS_MAX)) {
        let (run, server, line, reply) = asked(stage).await?;
        run.line(line).await?;
        server.message(&run).await?;
        server.write(&run, &reply[..at]).await?;
        run.order(0, &Order::Exit(0))?;
        drop(server);
        learns(&run).await?;
        let out = run.record.look(|events| shown(events, None));
        if find(&out, ANSWER.as_bytes()).is_some() {
            let expected = format!("no answer from the first {at} bytes of a reply, without its end");
            return Err(Stop::failure(expected, text(&out)));
        }
    }
    Ok(())
}

/// A reply that nobody asked for does not end the session.
async fn reply_unasked(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    let unasked = stage.lesson.learned.replies.first().cloned().unwrap_or_default();
    server.write(&run, &server.framed(&unasked)).await?;
    // Not before it has been read: else it would answer the line that follows.
    server.all_read(&run).await?;
    run.line(line).await?;
    if server.message(&run).await.is_err() {
        let expected = "a message for the line after a reply that nobody asked for";
        return Err(Stop::failure(expected, state(&run)));
    }
    server.write(&run, &server.framed(reply)).await?;
    answers_shown(&run, 1, "for the request after a reply that nobody asked for").await?;
    done(&run, server).await
}

/// What is shown after this much had been.
fn shown_since(run: &Run, before: usize) -> Vec<u8> {
    run.record.look(|events| shown(events, None).split_off(before))
}

fn shown_bytes(run: &Run) -> usize {
    run.record.look(|events| shown(events, None).len())
}

/// A reply with the op of another command is told, and what it holds is not shown.
async fn reply_other_op(stage: &Stage) -> Outcome {
    if stage.lesson.learned.dialect.reply.same_op != Some(true) {
        return Err(Stop::NotApplicable("its replies have no op".into()));
    }
    let (lesson, op) = (&stage.lesson, &stage.dialect().op);
    let (Some(own), Some(other)) = (&op.setmeml, &op.setproc) else {
        return Err(not_learned("the ops", "[dialect.op]\nsetmeml = \"1\""));
    };
    let (run, server) = played(stage, &[]).await?;
    let right = lesson.learned.replies[0].clone();
    let wrong = [&other.0[..], right.strip_prefix(&own.0[..]).unwrap_or(&right)].concat();
    let token = lesson.typed[0].split(' ').nth(1).unwrap_or_default();
    let before = shown_bytes(&run);
    run.line(&lesson.typed[0]).await?;
    server.message(&run).await?;
    server.reply(&run, &wrong).await?;
    run.line(&lesson.typed[1]).await?;
    server.message(&run).await?;
    server.reply(&run, &lesson.learned.replies[1]).await?;
    let next = lesson.typed[1].split(' ').nth(1).unwrap_or_default();
    if !shows(&run, next).await {
        return Err(Stop::failure("the session goes on after a reply with the op of another command", state(&run)));
    }
    let said = shown_since(&run, before);
    if find(&said, token.as_bytes()).is_some() {
        return Err(Stop::failure(format!("`{token}` is not shown, which came with another op"), text(&said)));
    }
    done(&run, server).await
}

/// The prompt is shown when a command is done, once, and not before.
async fn prompt_ready(stage: &Stage) -> Outcome {
    let prompt = match stage.dialect().prints.prompt.as_deref() {
        Some("") | None => return Err(Stop::NotApplicable("it shows no prompt".into())),
        Some(prompt) => prompt.as_bytes().to_vec(),
    };
    let (run, server) = played(stage, &[]).await?;
    let (line, reply) = (&stage.lesson.typed[0], &stage.lesson.learned.replies[0]);
    let before = shown_bytes(&run);
    run.line(line).await?;
    server.message(&run).await?;
    server.reply(&run, reply).await?;
    let token = line.split(' ').nth(1).unwrap_or_default().as_bytes();
    let told = |events: &[Event]| find(&shown(events, None)[before..], token);
    if run.until(told).await.is_none() {
        return Err(Stop::NotApplicable("the value of a setting is not shown".into()));
    }
    done(&run, server).await?;
    must_close(&run).await?;
    // One at the beginning, one after the first command, one after the second.
    const EXPECTED: usize = 3;
    let out = run.record.look(|events| shown(events, None));
    let at: Vec<_> = (0..out.len()).filter(|at| out[*at..].starts_with(&prompt)).collect();
    let words = find(&out[before..], token).map_or(0, |at| before + at);
    if at.len() == EXPECTED && at.iter().any(|prompt| *prompt > words) {
        return Ok(());
    }
    let expected = "one prompt at the beginning, and one after the words for each of two commands";
    Err(Stop::failure(expected, format!("{} prompts: {}", at.len(), text(&out))))
}

/// An answer that comes soon after `exit` is still shown.
async fn exit_answer(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    run.line(line).await?;
    server.message(&run).await?;
    let begun = Instant::now();
    run.line("exit").await?;
    // Else the reply might be there before the command is.
    run.asleep(run.pid, begun + run.patience() / 50).await;
    server.reply(&run, reply).await?;
    if !run.record.answer("the reply came soon", || begun.elapsed() <= run.patience() / 20) {
        return Err(Stop::Missing("this machine was too slow for a reply to come soon".into()));
    }
    answers_shown(&run, 1, "although `exit` was typed before it came").await?;
    drop(server);
    must_end(&run, Who::Watchdog, "`exit`").await.map(drop)
}

/// The watchdog exits with status 1 when its server ended badly after `exit`, or had to be killed.
async fn exit_failed(stage: &Stage) -> Outcome {
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let (run, server) = played(stage, &deaf).await?;
    run.line("exit").await?;
    // The end of the messages, or whatever else the watchdog has to say.
    let _ = server.message(&run).await;
    run.order(0, &Order::Exit(3))?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 1, "`exit`, whose server then exited with status 3")?;
    drop(server);
    let (run, _server) = played(stage, &deaf).await?;
    run.line("exit").await?;
    let status = must_end(&run, Who::Watchdog, "`exit`").await?;
    exits_with(status, 1, "`exit`, with a server that ignores every signal it can")
}

/// A second Ctrl-C does not wait for a server that ignores every signal it can.
async fn ctrl_c_twice(stage: &Stage) -> Outcome {
    // A slow machine may delay one of them, and not each.
    const ATTEMPTS: usize = 3;
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    for _ in 0..ATTEMPTS {
        let (run, server) = played(stage, &deaf).await?;
        run.write(b"\x03").await?;
        let _ = server.message(&run).await;
        run.write(b"\x03").await?;
        let over = |events: &[Event]| ended(events, Who::Watchdog);
        if let Some(status) = run.record.until(Instant::now() + run.patience() / 10, over).await {
            return exits_with(status, 128 + Signal::SIGINT as i32, "Ctrl-C");
        }
    }
    Err(Stop::failure("a second Ctrl-C ends both at once", "the watchdog went on waiting"))
}

/// When its server dies, the watchdog tells how many commands were not answered, and how many not sent.
async fn losses_told(stage: &Stage) -> Outcome {
    // A few long lines: how many fit on the way is then the same, however fast they come.
    const LINES: usize = 6;
    let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
    let line = format!("doreq POST {}/lost {}\n", run.url, "x".repeat(900 << 10));
    // Nobody reads the messages: the pipe fills, and so does whatever stands before it.
    let taken = run.fill(line.repeat(LINES).as_bytes()).await?;
    // A status that is no part of any sum.
    run.order(0, &Order::Exit(251))?;
    drop(server);
    must_end(&run, Who::Watchdog, "the death of its server").await?;
    must_close(&run).await?;
    let typed = [taken / line.len(), taken.div_ceil(line.len())];
    let said = run.record.look(complaints);
    let words = String::from_utf8_lossy(&said);
    let numbers: Vec<usize> =
        words.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
    let pairs = numbers.iter().enumerate().flat_map(|(at, a)| numbers[at + 1..].iter().map(move |b| a + b));
    if numbers.iter().copied().chain(pairs).any(|sum| typed.contains(&sum)) {
        return Ok(());
    }
    Err(Stop::failure(format!("words that account for all {} commands", typed[1]), text(&said)))
}

/// `exit` ends both while the server answers nothing.
async fn never_answers(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    run.line(&stage.lesson.typed[0]).await?;
    server.message(&run).await?;
    leave(&run).await
}

/// `exit` ends both while a reply is unfinished.
async fn half_a_reply(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    run.line(&stage.lesson.typed[0]).await?;
    server.message(&run).await?;
    // More than a pipe holds, so that the watchdog has begun to read it.
    server.write(&run, &vec![b'x'; 1 << 20]).await?;
    leave(&run).await
}

/// `exit` ends both while the server sends without end.
async fn flooding_server(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    tokio::select! {
        left = leave(&run) => left,
        never = server.flood(&[b'x'; 4096]) => match never {},
    }
}

/// The ends of the server that the suite plays, one for each direction.
async fn apart(stage: &Stage) -> Result<(Run, (impl Sized, impl Sized)), Stop> {
    let (run, server) = played(stage, &[]).await?;
    match stage.dialect().wiring.both() {
        Some((read, write)) if read == write => Err(Stop::NotApplicable("one socket carries both directions".into())),
        _ => Ok((run, server.ends())),
    }
}

/// The watchdog ends both when its server closes the pipe for its replies and lives on.
async fn replies_closed(stage: &Stage) -> Outcome {
    let (run, (_reads, writes)) = apart(stage).await?;
    drop(writes);
    both_end(&run, "its server closed the pipe for its replies").await
}

/// The watchdog ends both when its server closes the pipe for the messages and lives on.
async fn messages_closed(stage: &Stage) -> Outcome {
    let (run, (reads, _writes)) = apart(stage).await?;
    drop(reads);
    notices(&run).await?;
    both_end(&run, "its server closed the pipe for the messages").await
}

/// The watchdog ends both when its server closes its pipes and lives on.
async fn pipes_closed(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    drop(server);
    both_end(&run, "its server closed its pipes").await
}

/// The watchdog notices a server that exits before it reads anything, and exits with status 1.
async fn server_exits_at_once(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog { held: Some(Vec::new()), ..Watchdog::default() }).await?;
    run.line(&stage.lesson.typed[0]).await?;
    let server = Server::join(stage, &run).await?;
    run.order(0, &Order::Exit(3))?;
    drop(server);
    let status = must_end(&run, Who::Watchdog, "the exit of its server").await?;
    exits_with(status, 1, "the exit of its server")
}

/// Gives the watchdog something to notice it by that nobody hears it any more, unless it notices by itself.
async fn notices(run: &Run) -> Outcome {
    let over = |events: &[Event]| ended(events, Who::Watchdog);
    if run.record.until(Instant::now() + run.patience() / 4, over).await.is_none() {
        run.line("setproc 2").await?;
    }
    Ok(())
}

/// The watchdog must end because its server is gone.
pub(super) async fn learns(run: &Run) -> Outcome {
    notices(run).await?;
    must_end(run, Who::Watchdog, "the death of its server").await?;
    must_close(run).await
}

pub(super) fn says(run: &Run, words: &[&str], what: &str) -> Outcome {
    let out = run.record.look(|events| shown(events, None));
    let said = String::from_utf8_lossy(&out);
    if words.iter().any(|word| said.contains(word)) {
        return Ok(());
    }
    Err(Stop::failure(format!("the watchdog tells {what}"), text(&out)))
}

/// The watchdog tells the status that its server exited with.
async fn status_told(stage: &Stage) -> Outcome {
    let (run, server) = played(stage, &[]).await?;
    run.order(0, &Order::Exit(87))?;
    drop(server);
    learns(&run).await?;
    says(&run, &["87"], "the status that the server exited with")
}

/// The watchdog tells which signal ended its server, whichever it was.
async fn signals_told(stage: &Stage) -> Outcome {
    // As the system describes them, in part: it may say `Terminated` or `terminated`.
    for (signal, words) in [
        (Signal::SIGTERM, "erminated"),
        (Signal::SIGSEGV, "egmentation"),
        (Signal::SIGABRT, "bort"),
        (Signal::SIGUSR2, "ser defined signal 2"),
    ] {
        let (run, server) = played(stage, &[]).await?;
        run.order(0, &Order::Raise(signal as i32))?;
        drop(server);
        learns(&run).await?;
        let number = signal as i32;
        let forms = [format!("signal {number}"), format!("signal: {number}"), format!("-{number}")];
        let names = [signal.as_str(), words, &forms[0], &forms[1], &forms[2]];
        says(&run, &names, &format!("that {signal} ended the server"))?;
    }
    Ok(())
}

/// `exit` ends a server that ignores every signal it can.
async fn stubborn_server(stage: &Stage) -> Outcome {
    let deaf = [Signal::SIGALRM, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
    let (run, _server) = played(stage, &deaf).await?;
    leave(&run).await
}

/// `exit` ends both although a process that the server started holds its pipes.
async fn grandchild(stage: &Stage) -> Outcome {
    let run = stage.start(Watchdog { with_grandchild: true, ..Watchdog::default() }).await?;
    super::steps::idle(stage, &run, "ready").await?;
    let left = leave(&run).await;
    // It is the suite's own, and not to be blamed on the pair.
    run.clear().await?;
    left
}
