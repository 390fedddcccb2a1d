//! A plugin's side: it answers its host, and ends when that says so, or is gone.

use std::time::Duration;

use super::driver::{Limits, Role, connect};
use super::ends::Ends;
use super::errors::{CallError, Ended};
use super::handlers::Handlers;
use super::peer::Peer;
use super::{METADATA, PING};
use crate::codec::chunk::Order;

/// How often a plugin makes sure that its host is there.
const PING_EVERY: Duration = Duration::from_secs(1);

/// How long the answer to that may take. A host that is held up, by a debugger perhaps, is not gone.
const PING_WITHIN: Duration = Duration::from_secs(30);

/// What a plugin is served with beside its handlers.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// The order of a chunk's parts.
    pub order: Order,
    /// How much of everything there may be.
    pub limits: Limits,
    /// How long an answer to a ping may take.
    pub ping_within: Duration,
}

impl Default for Served {
    fn default() -> Self {
        Served { order: Order::default(), limits: Limits::default(), ping_within: PING_WITHIN }
    }
}

/// Serves the host over these ends until the connection is over, as [`Served::default`] says.
pub async fn serve(ends: Ends, handlers: Handlers) -> Ended {
    Served::default().serve(ends, handlers, async |_| {}).await
}

impl Served {
    /// Serves the host over these ends until the connection is over. `connected` is called back with the other side as soon as
    /// the connection stands.
    pub async fn serve(self, ends: Ends, handlers: Handlers, connected: impl AsyncFnOnce(Peer)) -> Ended {
        // A host asks for that before anything else; whoever has nothing to tell says so.
        let handlers = if handlers.has(METADATA) { handlers } else { handlers.metadata([]) };
        let (peer, driven) = connect((ends.incoming, ends.outgoing), (Role::Plugin, self.order, self.limits), handlers);
        let beside = async {
            let pings = ping(&peer, self.ping_within);
            tokio::join!(connected(peer.clone()), pings)
        };
        tokio::pin!(driven);
        tokio::select! {
            ended = &mut driven => ended,
            _ = beside => driven.await,
        }
    }
}

/// Makes sure every second that the host is there, until it is not.
async fn ping(peer: &Peer, within: Duration) {
    loop {
        match peer.call_within(within, PING, b"").await {
            Ok(_) => tokio::time::sleep(PING_EVERY).await,
            Err(CallError::Over(_)) => return,
            Err(why) => return peer.end(Ended::PingFailed(why.to_string())),
        }
    }
}
