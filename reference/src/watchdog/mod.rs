//! The watchdog: reads commands, starts the server, hands it requests, prints replies, and ends it in order.

use std::io;

pub mod command;
#[cfg(unix)]
pub mod console;
pub mod machine;
pub mod options;
pub mod printable;
#[cfg_attr(unix, path = "run_unix.rs")]
#[cfg_attr(windows, path = "run_windows.rs")]
pub mod run;
pub mod server;
pub mod understand;

/// Why no session came about.
#[derive(Debug)]
pub enum Failure {
    /// The server could not be started or connected to: a sentence.
    NoServer(String),
    /// The system failed us later.
    System(io::Error),
}
