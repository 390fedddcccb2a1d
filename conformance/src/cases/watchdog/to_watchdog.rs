//! A watchdog alone: the suite plays its server with recorded replies, perturbed. How such a server ends is in
//! `server_dies` and `server_ends`.

use std::time::Instant;

use super::steps::{must_close, not_learned, played, played_in, shown_bytes, shows, state, text, with_changed};
use crate::dialect::{find, times};
use crate::event::{Event, Who, shown};
use crate::outcome::{Outcome, Stop};
use crate::probe::lesson::{ANSWER, SETTINGS};
use crate::probe::server::Server;
use crate::stage::watchdog::Watchdog;
use crate::stage::{Run, Stage};
use crate::subject::handover::Order;

crate::cases::cases! {
    "wire.reply-bytewise" => reply_bytewise,
    "wire.reply-split" => reply_split,
    "wire.replies-coalesced" => replies_coalesced,
    "wire.reply-garbage" => reply_garbage,
    "wire.reply-empty" => reply_empty,
    "wire.reply-bare" => reply_bare,
    "wire.reply-oversized" => reply_oversized,
    "wire.reply-corrupted" => reply_corrupted,
    "wire.reply-cut-off" => reply_cut_off,
    "wire.reply-unasked" => reply_unasked,
    "wire.reply-other-op" => reply_other_op,
    "command.prompt-ready" => prompt_ready,
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
pub(super) async fn asked(stage: &Stage) -> Result<(Run, Server, &str, &[u8]), Stop> {
    let (line, reply) = recorded(stage)?;
    let (run, server) = played(stage, &[]).await?;
    Ok((run, server, line, reply))
}

/// The lines that ask for each setting, and the replies that were recorded for them.
fn settings(stage: &Stage) -> Vec<(&str, &[u8])> {
    let (typed, replies) = (&stage.lesson.typed, &stage.lesson.learned.replies);
    SETTINGS.iter().filter_map(|line| Some((&**typed.get(*line)?, &**replies.get(*line)?))).collect()
}

/// What is shown for a setting, where that is a line which names the value.
fn words_for<'a>(stage: &'a Stage, line: &str) -> Option<&'a str> {
    let at = stage.lesson.typed.iter().position(|typed| typed == line)?;
    let words = stage.lesson.on_success.get(at).filter(|_| stage.dialect().prints.setting == Some(true))?;
    words.contains(line.split(' ').nth(1)?).then_some(words)
}

/// The same for the replies to settings, in each of these ways apart. What is not shown has at least to leave the two in
/// step, which the next request tells.
async fn settings_apart(
    stage: &Stage,
    (run, server): (&Run, &Server),
    ways: impl Fn(&[u8]) -> Vec<Vec<&[u8]>>,
    how: &str,
) -> Outcome {
    for (line, reply) in settings(stage) {
        let words = words_for(stage, line);
        let come = |events: &[Event]| words.map_or(0, |words| times(&shown(events, None), words.as_bytes()));
        let before = run.record.look(come);
        for (n, parts) in ways(&server.framed(reply)).into_iter().enumerate() {
            run.line(line).await?;
            server.message(run).await?;
            server.write_apart(run, parts).await?;
            let is_shown = |events: &[Event]| (words.is_none() || come(events) > before + n).then_some(());
            if run.until(is_shown).await.is_none() {
                return Err(Stop::failure(format!("`{}` is shown {how}", words.unwrap_or_default()), state(run)));
            }
        }
    }
    Ok(())
}

/// Waits until the answer has been shown so many times.
pub(super) async fn answers_shown(run: &Run, count: usize, how: &str) -> Outcome {
    let come = |events: &[Event]| (times(&shown(events, None), ANSWER.as_bytes()) >= count).then_some(());
    match run.until(come).await {
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
    let how = "when its reply comes one byte at a time";
    settings_apart(stage, (&run, &server), |framed| vec![framed.chunks(1).collect()], how).await?;
    run.line(line).await?;
    server.message(&run).await?;
    let framed = server.framed(reply);
    server.write_apart(&run, framed.chunks(1)).await?;
    answers_shown(&run, 1, how).await?;
    done(&run, server).await
}

fn split_everywhere(framed: &[u8]) -> Vec<Vec<&[u8]>> {
    (1..framed.len()).map(|at| <[_; 2]>::from(framed.split_at(at)).to_vec()).collect()
}

/// The watchdog takes a reply that it reads in two parts, wherever it is split.
async fn reply_split(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    settings_apart(stage, (&run, &server), split_everywhere, "when its reply is read in two parts").await?;
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
    // The garbage itself, passed on as if it were an answer, is no words about it.
    let passed_on = garbled.split(|byte| !matches!(byte, b' '..=b'~')).filter(|part| part.len() > 2);
    let no_words: Vec<_> = passed_on.chain([prompt.as_bytes()]).map(String::from_utf8_lossy).collect();
    let words = |events: &[Event]| {
        let mut said = String::from_utf8_lossy(&shown(events, None).split_off(before)).into_owned();
        for part in &no_words {
            // Whatever is longer than all that was shown, as garbage of megabytes is, is not looked for in it.
            if (1..=said.len()).contains(&part.len()) {
                said = said.replace(&**part, "");
            }
        }
        said.contains(char::is_alphanumeric).then_some(())
    };
    if run.until(words).await.is_none() {
        return Err(Stop::failure(format!("words about {what}"), state(&run)));
    }
    run.line(line).await?;
    if server.message(&run).await.is_err() {
        return Err(Stop::failure(format!("the session goes on after {what}"), state(&run)));
    }
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

/// A reply that is an op byte and nothing else is told, and the session goes on.
async fn reply_bare(stage: &Stage) -> Outcome {
    if stage.lesson.learned.dialect.reply.same_op != Some(true) {
        return Err(Stop::NotApplicable("its replies have no op".into()));
    }
    let op = recorded(stage)?.1[..1].to_vec();
    told(stage, &op, "a reply that is an op byte and nothing else").await
}

/// A reply of 9 MiB that means nothing is told, and the session goes on.
async fn reply_oversized(stage: &Stage) -> Outcome {
    told(stage, &vec![b'x'; 9 << 20], "a reply of 9 MiB that means nothing").await
}

/// A reply of which a byte was changed does not end the session.
async fn reply_corrupted(stage: &Stage) -> Outcome {
    let (run, server, line, reply) = asked(stage).await?;
    let end = stage.dialect().reply.end.as_ref().map_or(&[][..], |end| &end.0);
    let at = find(reply, ANSWER.as_bytes());
    let at = at.ok_or_else(|| Stop::NotApplicable("an answer stands otherwise in its reply".into()))?;
    let mut tried = 0;
    for (line_of_changed, recorded) in settings(stage).into_iter().chain([(line, reply)]) {
        for position in 0..recorded.len() {
            let changed = with_changed(recorded, position, end);
            // An answer of its own, as long as the one that was recorded, shows that the session goes on.
            tried += 1;
            let answer = format!("{:0width$}", tried, width = ANSWER.len());
            let right = [&reply[..at], answer.as_bytes(), &reply[at + ANSWER.len()..]].concat();
            for (line, reply) in [(line_of_changed, &changed), (line, &right)] {
                run.line(line).await?;
                // What is not sent will not be answered either.
                if !matches!(server.message(&run).await, Err(Stop::Missing(_))) {
                    server.reply(&run, reply).await?;
                    // Before the next line: else either could come first.
                    server.all_read(run.patience()).await?;
                }
            }
            if !shows(&run, &answer).await {
                return Err(Stop::failure(format!("the answer after {}", text(&changed)), state(&run)));
            }
        }
    }
    done(&run, server).await
}

/// A reply that is cut off by the end of the pipe is not shown as an answer, and the watchdog ends.
async fn reply_cut_off(stage: &Stage) -> Outcome {
    let mut by_itself = true;
    let request = [recorded(stage)?].map(|(line, reply)| (line, reply, ANSWER));
    let named = |(line, reply)| Some((line, reply, words_for(stage, line)?));
    for (line, reply, answer) in request.into_iter().chain(settings(stage).into_iter().filter_map(named)) {
        for at in 1..=reply.len() {
            let (run, server) = played_in(stage, Watchdog::on_pipes(), &[]).await?;
            let before = shown_bytes(&run);
            run.line(line).await?;
            server.message(&run).await?;
            server.write(&run, &reply[..at]).await?;
            // First the end of the pipe, so that whatever is made of what came before it is made.
            drop(server);
            run.order(0, &Order::Exit(0))?;
            by_itself = super::server_dies::learns_again(&run, by_itself).await?;
            let out = shown_since(&run, before);
            if find(&out, answer.as_bytes()).is_some() {
                let expected = format!("no answer from the first {at} bytes of {}, without its end", text(reply));
                return Err(Stop::failure(expected, text(&out)));
            }
            stage.over(&run).await?;
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
    server.all_read(run.patience()).await?;
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
    let words = |line: &&[u8]| line.iter().any(u8::is_ascii_alphabetic) && find(line, next.as_bytes()).is_none();
    if !said.split(|byte| *byte == b'\n').any(|line| words(&line)) {
        return Err(Stop::failure("words about a reply with the op of another command", text(&said)));
    }
    done(&run, server).await
}

/// The prompt is shown when a command is done, once, and not before.
async fn prompt_ready(stage: &Stage) -> Outcome {
    let prompt = match stage.dialect().prints.prompt.as_deref() {
        Some("") | None => return Err(Stop::NotApplicable("it shows no prompt".into())),
        Some(prompt) => prompt.as_bytes().to_vec(),
    };
    let prompts = |shown: &[u8]| times(shown, &prompt);
    let wrong = |run: &Run| {
        let out = run.record.look(|events| shown(events, None));
        let expected = "one prompt at the beginning, and one after the words for each of two commands";
        Err(Stop::failure(expected, format!("{} prompts: {}", prompts(&out), text(&out))))
    };
    let (run, server) = played(stage, &[]).await?;
    let is_ready = |times: usize| run.until(move |events| (prompts(&shown(events, None)) >= times).then_some(()));
    // At the beginning, and after the first command.
    if is_ready(2).await.is_none() {
        return wrong(&run);
    }
    let (line, reply) = (&stage.lesson.typed[0], &stage.lesson.learned.replies[0]);
    let before = shown_bytes(&run);
    run.line(line).await?;
    server.message(&run).await?;
    // Whoever shows one as soon as a command has been sent does so before this sleeps.
    run.asleep(run.pid, Instant::now() + run.patience() / 10).await;
    let early = prompts(&shown_since(&run, before));
    server.reply(&run, reply).await?;
    let token = line.split(' ').nth(1).unwrap_or_default().as_bytes();
    let told = |events: &[Event]| find(&shown(events, None)[before..], token);
    if run.until(told).await.is_none() {
        return Err(Stop::NotApplicable("the value of a setting is not shown".into()));
    }
    if early > 0 || is_ready(3).await.is_none() {
        return wrong(&run);
    }
    done(&run, server).await?;
    must_close(&run).await?;
    let out = run.record.look(|events| shown(events, None));
    // Some echo the line, so that its words are the last of these.
    let last = |part: &[u8]| out.windows(part.len()).rposition(|window| window == part);
    if prompts(&out) == 3 && last(&prompt) > last(token) { Ok(()) } else { wrong(&run) }
}
