//! A server of two peers, each of which is bound and sends to the other alone; the suite is the other. At paths: a port cannot be
//! kept free for somebody else, and two that connect to each other over TCP meet when their requests happen to cross, so that
//! one who does not is no worse than one who does.

use super::datagram::{are_answered, ask, seen, session};
use super::{ends_well, missing};
use crate::cases::seen::must_end;
use crate::event::Who;
use crate::outcome::{Outcome, Stop};
use crate::probe::caller::Listening;
use crate::probe::datagrams::Datagrams;
use crate::stage::Stage;
use crate::stage::addressed::Kind;

crate::cases::cases! {
    "peer.answers" => answers,
    "peer.stranger" => stranger,
    "peer.ends" => ends,
}

/// A server and its peer.
async fn met(stage: &Stage) -> Result<(Listening<'_>, Datagrams), Stop> {
    stage.speaks(Kind::UnixDatagram)?;
    let server = Listening::peer(stage).await?;
    let peer = server.datagrams()?;
    Ok((server, peer))
}

/// The same, and it was answered.
async fn up(stage: &Stage) -> Result<(Listening<'_>, Datagrams), Stop> {
    let (server, peer) = met(stage).await.map_err(missing)?;
    ask(stage, &peer, 1, 5).await;
    are_answered(stage, &peer, &[(1, 5)]).await.map_err(missing)?;
    Ok((server, peer))
}

/// A server that is bound and has a peer answers that.
async fn answers(stage: &Stage) -> Outcome {
    let (_server, peer) = met(stage).await?;
    ask(stage, &peer, 1, 5).await;
    are_answered(stage, &peer, &[(1, 5)]).await
}

/// A server that has a peer answers nobody else.
async fn stranger(stage: &Stage) -> Outcome {
    let (server, peer) = up(stage).await?;
    let other = server.datagrams()?;
    ask(stage, &other, 1, 6).await;
    ask(stage, &peer, 2, 7).await;
    are_answered(stage, &peer, &[(1, 5), (2, 7)]).await?;
    match server.run.record.look(|events| other.all_heard(events).len()) {
        0 => Ok(()),
        _ => Err(Stop::failure("nothing for who is not its peer", seen(&other))),
    }
}

/// When its peer has said that it asks no more, a server ends with status 0.
async fn ends(stage: &Stage) -> Outcome {
    let (server, peer) = up(stage).await?;
    peer.send(session(&peer), 2, "").await;
    let after = "the last word of its peer";
    ends_well(must_end(&server.run, Who::Listener(0), after).await?, after)
}
