//! The form of what a service tells, and whether its addresses are those at which it answers.

use std::net::SocketAddr;

use super::{started, told_up};
use crate::cases::seen::text;
use crate::message::{Message, Tail};
use crate::outcome::{Outcome, Stop};
use crate::probe::supervisor::{Start, Supervisor};
use crate::stage::Stage;

crate::cases::cases! {
    "message.version" => version,
    "message.lengths" => lengths,
    "message.type" => kind,
    "message.peers-at" => peers_at,
    "message.calls-at" => calls_at,
}

/// Every message of a service begins with the version, a byte of value 1.
async fn version(stage: &Stage) -> Outcome {
    let supervisor = Supervisor::start(stage, Start::default()).await?;
    let first = |told: &(Vec<Message>, Tail)| !told.0.is_empty() || told.1 != Tail::Nothing;
    let told = supervisor.run.until(|events| Some(supervisor.heard(events)).filter(first)).await;
    let missing = || Stop::Missing("the service told nothing".to_owned());
    // After a message there may be another byte because its lengths are wrong.
    match told.ok_or_else(missing)? {
        (messages, Tail::Version(other)) if messages.is_empty() => {
            Err(Stop::failure("a message that begins with 1, the version", other.to_string()))
        }
        _ => Ok(()),
    }
}

/// Every message of a service is as long as its two lengths say: after it comes the next one, or nothing.
async fn lengths(stage: &Stage) -> Outcome {
    let (messages, tail) = told_up(stage).await?;
    let seen = match tail {
        Tail::Nothing => return Ok(()),
        Tail::Version(byte) => format!("after {} messages a byte of value {byte}", messages.len()),
        Tail::CutOff(bytes) => format!("after {} messages {bytes} bytes that are no whole one", messages.len()),
    };
    Err(Stop::failure("one whole message after the other, and nothing after the last", seen))
}

/// The type of every message of a service is UTF-8, and not empty.
async fn kind(stage: &Stage) -> Outcome {
    let (messages, _) = told_up(stage).await?;
    match messages.iter().find(|message| message.kind.is_empty() || std::str::from_utf8(&message.kind).is_err()) {
        None => Ok(()),
        Some(message) => Err(Stop::failure("types in UTF-8", text(&message.kind))),
    }
}

/// Where a service tells in `p2plistenaddr` that it answers peers, it does.
async fn peers_at(stage: &Stage) -> Outcome {
    answers_at(stage, "p2plistenaddr").await
}

/// Where a service tells in `rpclistenaddr` that it answers calls, it does.
async fn calls_at(stage: &Stage) -> Outcome {
    answers_at(stage, "rpclistenaddr").await
}

async fn answers_at(stage: &Stage, kind: &str) -> Outcome {
    let supervisor = started(stage).await?;
    let told = supervisor.run.record.look(|events| supervisor.heard(events).0);
    let address = told.iter().find(|message| message.kind == kind.as_bytes()).map(|message| &message.payload);
    let address = address.ok_or_else(|| Stop::NotApplicable(format!("it tells of no {kind}")))?;
    let expected = format!("in `{kind}` an address of this machine at which a connection is taken");
    let parsed = std::str::from_utf8(address).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    let Some(parsed) = parsed else { return Err(Stop::failure(expected, text(address))) };
    if parsed.is_ipv6() {
        return Err(Stop::NotApplicable(format!("it tells of {parsed}, and the suite has sockets of IPv4 alone")));
    }
    let connected = || stage.connected(parsed).map_err(|error| error.to_string());
    match supervisor.run.record.answer("a connection to what was told", connected) {
        Ok(()) => Ok(()),
        Err(why) => Err(Stop::failure(expected, format!("{parsed}, where it is said: {why}"))),
    }
}
