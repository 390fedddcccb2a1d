//! A server alone: the watchdog's own recorded messages, perturbed, written by the suite in the watchdog's place.
//!
//! Whatever the dialect, a message that was recorded and reaches the target again shows that the server took it.

use super::steps::{
    alone, arrivals, complaints, last_replies, must_close, must_end, not_learned, state, status_text, text,
    with_changed,
};
use crate::dialect::payload::Form;
use crate::event::{Status, Who, passed, requests};
use crate::observe::process::reads;
use crate::outcome::{Outcome, Stop};
use crate::probe::client::Client;
use crate::probe::lesson::SETTINGS;
use crate::stage::Stage;

crate::cases::cases! {
    "wire.bytewise" => bytewise,
    "wire.split-anywhere" => split_anywhere,
    "wire.coalesced" => coalesced,
    "wire.buffered" => buffered,
    "wire.cut-off" => cut_off,
    "wire.cut-off-told" => cut_off_told,
    "wire.unknown-op" => unknown_op,
    "wire.empty-payload" => empty_payload,
    "wire.empty-message" => empty_message,
    "wire.malformed-payload" => malformed_payload,
    "wire.garbage" => garbage,
    "wire.corrupted" => corrupted,
    "wire.oversized" => oversized,
    "wire.quoted-names" => quoted_names,
}

/// This many requests must arrive in all.
async fn must_arrive(client: &Client, count: usize, how: &str) -> Outcome {
    if arrivals(&client.run, count).await {
        return Ok(());
    }
    let come = client.run.record.look(|events| requests(events).len());
    Err(Stop::failure(format!("{count} requests, {how}"), format!("{come}; {}", state(&client.run))))
}

/// The recorded messages of both settings, as they are sent, each with the reply to it.
fn settings(stage: &Stage) -> Vec<(Vec<u8>, Option<&Vec<u8>>)> {
    let learned = &stage.lesson.learned;
    let recorded = |line: &usize| {
        let message = learned.messages.get(*line)?.as_ref()?;
        Some((stage.dialect().framed(message), learned.replies.get(*line)))
    };
    SETTINGS.iter().filter_map(recorded).collect()
}

/// The server takes a message that it reads one byte at a time.
async fn bytewise(stage: &Stage) -> Outcome {
    let (client, framed) = alone(stage).await?;
    // What comes of a setting is not seen everywhere; the request after it shows that no byte of it was lost or left.
    for (setting, _) in settings(stage) {
        client.write_apart(setting.chunks(1)).await?;
    }
    client.write_apart(framed.chunks(1)).await?;
    must_arrive(&client, 2, "the second message read one byte at a time").await
}

/// The server takes a message that it reads in two parts, wherever it is split.
async fn split_anywhere(stage: &Stage) -> Outcome {
    let (client, framed) = alone(stage).await?;
    for at in 1..framed.len() {
        let (head, tail) = framed.split_at(at);
        client.write_apart([head, tail]).await?;
    }
    must_arrive(&client, framed.len(), "each message read in two parts, split at every position").await?;
    let mut arrived = framed.len();
    for (setting, _) in settings(stage) {
        for at in 1..setting.len() {
            let (head, tail) = setting.split_at(at);
            client.write_apart([head, tail, &framed]).await?;
        }
        arrived += setting.len() - 1;
        must_arrive(&client, arrived, "each after a setting read in two parts, split at every position").await?;
    }
    Ok(())
}

/// The server takes many messages from one write, more than a pipe holds too, and the rest of the last from the next.
async fn coalesced(stage: &Stage) -> Outcome {
    const COPIES: usize = 20;
    const LARGE: usize = 256 << 10;
    let (client, framed) = alone(stage).await?;
    // A whole number of messages, and one that is cut in the middle, completed by the next write.
    let many = framed.repeat(COPIES + 1);
    let cut = many.len() - framed.len() / 2;
    client.write(&many[..cut]).await?;
    must_arrive(&client, 1 + COPIES, "many messages in one write").await?;
    client.write(&many[cut..]).await?;
    must_arrive(&client, 2 + COPIES, "the last message completed by another write").await?;
    let setting = stage.dialect().framed(&recorded_setting(stage)?);
    client.write(&[setting.repeat(LARGE.div_ceil(setting.len())), framed].concat()).await?;
    must_arrive(&client, 3 + COPIES, "after 256 KiB of settings in one write").await
}

/// The message for the first setting.
pub(super) fn recorded_setting(stage: &Stage) -> Result<Vec<u8>, Stop> {
    let setting = stage.lesson.learned.messages.first().cloned().flatten();
    setting.ok_or_else(|| not_learned("messages to the server", "[dialect]\nend = \"#\""))
}

/// Reading is buffered: messages that come together are read with fewer system calls than half their bytes.
async fn buffered(stage: &Stage) -> Outcome {
    // Less than any pipe holds, so that all of it is there at once.
    const BYTES: usize = 8 << 10;
    let setting = stage.dialect().framed(&recorded_setting(stage)?);
    let (client, _) = alone(stage).await?;
    client.idle().await?;
    let read = || client.run.record.answer("how often the server has read", || reads(client.run.pid));
    let before = read().ok_or_else(|| Stop::NotApplicable("this system does not tell how often it reads".into()))?;
    let together = setting.repeat(BYTES.div_ceil(setting.len()));
    client.write(&together).await?;
    client.idle().await?;
    let calls = read().ok_or_else(|| Stop::Missing(format!("the server has ended; {}", state(&client.run))))? - before;
    if calls < together.len() as u64 / 2 {
        return Ok(());
    }
    let expected = format!("{} bytes of messages read with fewer than half as many system calls", together.len());
    Err(Stop::failure(expected, format!("{calls} calls to read")))
}

/// A message that is cut off by the end of the pipe does nothing, and the server exits with status 0.
async fn cut_off(stage: &Stage) -> Outcome {
    let (first, framed) = alone(stage).await?;
    drop(first);
    for (message, reply) in [(framed, None)].into_iter().chain(settings(stage)) {
        for at in 1..message.len() {
            let mut client = Client::start(stage, stage.replay_slot()).await?;
            client.write(&message[..at]).await?;
            client.close();
            let status = must_end(&client.run, Who::Server(0), "a message cut off by the end of the pipe");
            let status = status.await?;
            if status != Some(Status::Exited(0)) {
                let expected = format!("exit status 0 after the first {at} bytes of a message and the end of the pipe");
                return Err(Stop::failure(expected, status_text(status)));
            }
            let what = format!("the first {at} of the {} bytes of {}", message.len(), text(&message));
            if !client.run.record.look(|events| requests(events).is_empty()) {
                return Err(Stop::failure(format!("no request from {what}"), "a request"));
            }
            if let (Some(reply), Some(through)) = (reply, client.replies_through()) {
                let stream = last_replies(&client.run, through).await;
                if stage.dialect().replies(&stream).contains(&&reply[..]) {
                    return Err(Stop::failure(format!("no setting from {what}"), format!("the reply {}", text(reply))));
                }
            }
            stage.over(&client.run).await?;
        }
    }
    Ok(())
}

/// A server tells on standard error that a message was cut off.
async fn cut_off_told(stage: &Stage) -> Outcome {
    let (mut client, framed) = alone(stage).await?;
    let before = client.run.record.look(|events| complaints(events).len());
    client.write(&framed[..framed.len() / 2]).await?;
    client.close();
    must_end(&client.run, Who::Server(0), "a message cut off by the end of the pipe").await?;
    must_close(&client.run).await?;
    if client.run.record.look(|events| complaints(events).len()) > before {
        return Ok(());
    }
    Err(Stop::failure("words about a message that was cut off, on standard error", "none"))
}

/// Bytes that mean nothing, then a message that does.
async fn survives(stage: &Stage, bytes: &[u8], what: &str) -> Outcome {
    let (client, framed) = alone(stage).await?;
    client.write(bytes).await?;
    client.write(&framed).await?;
    must_arrive(&client, 2, &format!("the second after {what}")).await
}

fn op_of_requests(stage: &Stage) -> Result<Vec<u8>, Stop> {
    let op = stage.dialect().op.doreq.clone();
    op.map(|op| op.0).ok_or_else(|| not_learned("the op of doreq", "[dialect.op]\ndoreq = \"3\""))
}

/// A message with an unknown op does not end the server.
async fn unknown_op(stage: &Stage) -> Outcome {
    let (dialect, op) = (stage.dialect(), &stage.dialect().op);
    let learned = [&op.setmeml, &op.setproc, &op.doreq, &op.exit, &dialect.end];
    let is_known = |byte: u8| learned.into_iter().flatten().any(|symbol| symbol.0.contains(&byte));
    let unknown = b"~?@Z".iter().copied().find(|byte| !is_known(*byte)).unwrap_or(b'~');
    let message = [&[unknown][..], b"{Value: 1}"].concat();
    survives(stage, &dialect.framed(&message), "a message with an unknown op").await
}

/// A message without a payload does not end the server.
async fn empty_payload(stage: &Stage) -> Outcome {
    let op = op_of_requests(stage)?;
    survives(stage, &stage.dialect().framed(&op), "a message without a payload").await
}

/// An end symbol with nothing before it does not end the server.
async fn empty_message(stage: &Stage) -> Outcome {
    survives(stage, &stage.dialect().framed(b""), "an end symbol with nothing before it").await
}

/// A payload that cannot be read does not end the server.
async fn malformed_payload(stage: &Stage) -> Outcome {
    let message = [&op_of_requests(stage)?[..], b"{\"URL: \\u12 ]\xff"].concat();
    survives(stage, &stage.dialect().framed(&message), "a payload that cannot be read").await
}

/// Garbage between messages does not end the server.
async fn garbage(stage: &Stage) -> Outcome {
    // Every byte there is, some of them many times, and an end after it that parts it from what follows.
    let all: Vec<u8> = (0..=255).chain([0; 64]).chain([255; 64]).collect();
    survives(stage, &stage.dialect().framed(&all), "garbage").await
}

/// A message of which a byte was changed does not end the server.
async fn corrupted(stage: &Stage) -> Outcome {
    let end = stage.dialect().end.as_ref().map_or(&[][..], |end| &end.0);
    let (client, framed) = alone(stage).await?;
    let mut arrived = 1;
    // The settings: in a request the changed byte might be part of a host's name, and the host somebody's.
    recorded_setting(stage)?;
    for setting in SETTINGS.iter().filter_map(|line| stage.lesson.learned.messages.get(*line)?.as_ref()) {
        // Another op is another matter.
        for at in 1..setting.len() {
            let changed = with_changed(setting, at, end);
            client.write(&[&stage.dialect().framed(&changed)[..], &framed].concat()).await?;
            arrived += 1;
            must_arrive(&client, arrived, &format!("the one after {}", text(&changed))).await?;
        }
    }
    Ok(())
}

/// A message of 9 MiB that means nothing does not end the server.
async fn oversized(stage: &Stage) -> Outcome {
    let message = [&op_of_requests(stage)?[..], &vec![b'x'; 9 << 20]].concat();
    survives(stage, &stage.dialect().framed(&message), "a message of 9 MiB that means nothing").await
}

/// A server whose names are bare takes quoted names too.
async fn quoted_names(stage: &Stage) -> Outcome {
    let dialect = stage.dialect();
    let (Some(Form::BareNames), Some(name), Some(op)) = (dialect.payload, &dialect.value_name, &dialect.op.setmeml)
    else {
        return Err(Stop::NotApplicable("the names in its payloads are not bare".into()));
    };
    let (client, _) = alone(stage).await?;
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
