//! What a service can be told when it is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

/// Counts the lines that peers send it, and tells the number to whoever calls and says `lines`.
///
/// When the control pipe ends or fails, and on SIGINT, SIGTERM and SIGHUP (on Windows: Ctrl-C), it ends in order, at whatever
/// moment: what started last stops first. What arrives over the control pipe is discarded, and nobody who does not listen to
/// what it tells holds it up; what is not taken within two seconds after all has stopped is lost.
///
/// Exit status: 0 after an ordered end, 1 if something could not be started or stopped, 2 if an option or a pipe is not as it
/// should be.
#[derive(Debug, Parser)]
#[command(name = "service", version, verbatim_doc_comment)]
pub struct Options {
    /// The number of an inherited pipe (on Windows: the value of its handle) whose end ends the service
    #[arg(long, value_name = "FD")]
    pub piperx: Option<usize>,

    /// The number of an inherited pipe (on Windows: the value of its handle) over which it tells of itself: where it listens,
    /// and what else is asked for
    #[arg(long, value_name = "FD")]
    pub pipetx: Option<usize>,

    /// Tell of every task before it starts and stops, and when all have started
    #[arg(long)]
    pub lifetimeevents: bool,

    /// Where the number is kept; without it, it is not
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// Where to listen to peers; port 0 stands for any
    #[arg(long, value_name = "ADDRESS", default_value_t = anywhere())]
    pub listen: SocketAddr,

    /// Where to listen to calls
    #[arg(long, value_name = "ADDRESS", default_value_t = anywhere())]
    pub rpclisten: SocketAddr,
}

/// Any port, and nobody from outside.
fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
