//! Steps that cases of every family take: wait for an end, and say what is seen of a session in words.

use crate::dialect::Symbol;
#[cfg(unix)]
use crate::dialect::find;
use crate::event::{Event, Status, Stream, What, Who, children, ended, shown};
use crate::outcome::Stop;
use crate::stage::Run;

/// Waits for a subject's end, which must come.
pub(super) async fn must_end(run: &Run, who: Who, after: &str) -> Result<Option<Status>, Stop> {
    run.ended(who).await.ok_or_else(|| {
        Stop::failure(format!("the {who} ends after {after}"), format!("it is still running; {}", state(run)))
    })
}

/// Waits until standard output and standard error are closed, so that all that was said has been read.
#[cfg(unix)]
pub(super) async fn must_close(run: &Run) -> Result<(), Stop> {
    run.outputs_closed().await.ok_or_else(|| Stop::Missing("something still holds the watchdog's outputs open".into()))
}

/// How a subject ended, for a report.
#[cfg(unix)]
pub(super) fn status_text(status: Option<Status>) -> String {
    status.map_or_else(|| "an unknown status".to_owned(), |status| status.to_string())
}

/// How much was shown so far.
#[cfg(unix)]
pub(super) fn shown_bytes(run: &Run) -> usize {
    run.record.look(|events| shown(events, None).len())
}

/// Waits until the words are shown anywhere.
#[cfg(unix)]
pub(super) async fn shows(run: &Run, words: &str) -> bool {
    run.until(|events| find(&shown(events, None), words.as_bytes()).map(drop)).await.is_some()
}

/// Bytes as a person reads them, cut to a length that fits a report.
pub(super) fn text(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 300;
    let cut = &bytes[..bytes.len().min(SHOWN_MAX)];
    let more = if bytes.len() > SHOWN_MAX { format!("… ({} bytes in all)", bytes.len()) } else { String::new() };
    format!("`{}`{more}", Symbol(cut.to_vec()))
}

/// What can be said of a session at a glance, for messages.
pub(super) fn state(run: &Run) -> String {
    run.record.look(|events| {
        let started = events.iter().filter_map(|event| match event.what {
            What::Started { who, .. } => Some(who),
            _ => None,
        });
        let is = |who| match ended(events, who) {
            Some(status) => format!("the {who} has ended ({})", how(status)),
            None => format!("the {who} is running"),
        };
        let mut said: Vec<_> = started.map(is).collect();
        if children(events).is_empty() {
            said.push(format!("no {} was started", run.child()));
        }
        let last = shown(events, None);
        if !last.is_empty() {
            said.push(format!("shown last: {}", text(&last[last.len().saturating_sub(200)..])));
        }
        said.join(", ")
    })
}

fn how(status: Option<Status>) -> String {
    status.map_or_else(|| "status not visible".to_owned(), |status| status.to_string())
}

/// Standard error so far.
pub(super) fn complaints(events: &[Event]) -> Vec<u8> {
    shown(events, Some(Stream::Stderr))
}
