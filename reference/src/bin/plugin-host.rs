//! The host's program: reads its options, has a session with one plugin, and exits with its status.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use reference::plugin::options::HostOptions;
use reference::plugin::{HostError, session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match session::run(&HostOptions::parse()).await {
        Ok(status) => ExitCode::from(status),
        Err(why) => {
            // There is nobody to tell that it could not be said.
            let _ = writeln!(std::io::stderr(), "error: {why}");
            ExitCode::from(if matches!(why, HostError::Start(..)) { 2 } else { 1 })
        }
    }
}
