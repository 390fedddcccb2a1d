//! As many calls at once as there are, each with an answer of its own: what shows whether answers find their calls, and what
//! becomes of a connection over which both sides send more than the pipes hold.

use tokio::task::JoinSet;

use super::errors::CallError;
use super::peer::Peer;

/// What went wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A call has no answer.
    Call(CallError),
    /// A call has an answer that is not its own.
    Answer {
        /// What was sent, the beginning of it.
        sent: String,
        /// What came back, the beginning of it.
        found: String,
    },
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Call(error) => error.fmt(f),
            Wrong::Answer { sent, found } => write!(f, "expected {sent}… back, found {found}…"),
        }
    }
}

impl std::error::Error for Wrong {}

/// How much of a text is shown of it.
const SHOWN_BYTES: usize = 40;

/// Gives a command that answers with what it is given, `calls` times, all at once, with some `bytes` bytes each, no two alike.
/// `answered` is called with each answer.
///
/// # Errors
/// The first that went wrong; the others are given up.
pub async fn run(
    peer: &Peer,
    command: &'static str,
    (calls, bytes): (usize, usize),
    answered: impl Fn(),
) -> Result<(), Wrong> {
    let mut under_way = JoinSet::new();
    for number in 0..calls {
        let peer = peer.clone();
        under_way.spawn(async move {
            let mut sent = format!("{number} of {calls} ").into_bytes();
            sent.resize(bytes.max(sent.len()), b'0' + (number % 10) as u8);
            let found = peer.call(command, &sent).await.map_err(Wrong::Call)?;
            let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]).into_owned();
            if sent == found { Ok(()) } else { Err(Wrong::Answer { sent: shown(&sent), found: shown(&found) }) }
        });
    }
    while let Some(done) = under_way.join_next().await {
        // Nobody ends them but this.
        done.expect("it does not panic")?;
        answered();
    }
    Ok(())
}
