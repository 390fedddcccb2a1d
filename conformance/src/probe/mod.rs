//! The suite in a subject's place: what it says as a watchdog, what it says as a server, and the first
//! session, in which it learns how the two speak.

use std::io;
use std::os::fd::AsFd;

use crate::observe::terminal::Input;

pub mod client;
pub mod lesson;
pub mod server;

/// Writes parts so that each is read apart: a part is written when the one before has been read to its last byte,
/// however many reads that took. (Packet pipes would do it too, and lose what a short read leaves of a packet.)
async fn write_apart<'a>(input: &Input, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
    for part in parts {
        input.write_all(part).await?;
        while unread(input)? > 0 {
            // Nobody tells when a pipe has been emptied; everything else runs in between.
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// How many bytes of what was written to a pipe have not been read. Of a socket that cannot be asked.
fn unread(end: &impl AsFd) -> io::Result<u64> {
    let mode = rustix::fs::fstat(end)?.st_mode;
    if rustix::fs::FileType::from_raw_mode(mode) != rustix::fs::FileType::Fifo {
        return Ok(0);
    }
    Ok(rustix::io::ioctl_fionread(end)?)
}
