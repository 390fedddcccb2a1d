//! The suite in a subject's place: what it says as a watchdog, what it says as a server, and the first
//! session, in which it learns how the two speak.

use std::io;
use std::os::fd::AsFd;

use crate::observe::terminal::Input;

pub mod client;
pub mod lesson;
pub mod server;

/// Writes parts so that each is read apart: no read of a pipe returns bytes of two packets. Where there
/// are no packets, the parts are merely written one by one.
async fn write_apart<'a>(input: &Input, end: impl AsFd, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    // A socket pair has no packets; there each part is written when the one before could have been read.
    let apart = packets(&end, true).is_ok();
    for part in parts {
        input.write_all(part).await?;
        if !apart {
            tokio::task::yield_now().await;
        }
    }
    if apart { packets(&end, false) } else { Ok(()) }
}

/// Switches a pipe's packet mode, which is a property of each write.
#[cfg(target_os = "linux")]
fn packets(end: &impl AsFd, on: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(end)?;
    flags.set(OFlags::DIRECT, on);
    Ok(fcntl_setfl(end, flags)?)
}

#[cfg(not(target_os = "linux"))]
fn packets(_end: &impl AsFd, _on: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
