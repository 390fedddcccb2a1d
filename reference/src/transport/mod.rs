//! Ways for bytes to get from one process to another, one file each, and how the ends of a pipe reach a child.

use std::io;
use std::time::Duration;

pub mod address;
pub mod datagrams;
#[cfg_attr(unix, path = "ends_unix.rs")]
#[cfg_attr(windows, path = "ends_windows.rs")]
pub mod ends;
#[cfg_attr(unix, path = "inherited_unix.rs")]
#[cfg_attr(windows, path = "inherited_windows.rs")]
pub mod inherited;
pub mod link;
pub mod numbered;
#[cfg(unix)]
pub mod pipe;
pub mod pump;
pub mod relay;
#[cfg(unix)]
pub mod socket_file;
pub mod tcp;
pub mod udp;
#[cfg(unix)]
pub mod unix;
#[cfg(unix)]
pub mod unix_datagram;

/// How many may wait until they are accepted; a system may let fewer.
const BACKLOG: i32 = 1024;

/// Nobody took a connection in time, in words.
fn timed_out(patience: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("nobody took the connection within {} ms", patience.as_millis()))
}
