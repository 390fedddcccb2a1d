//! The watchdog's program: reads its options, runs one session, and exits with its status.

use std::process::ExitCode;

use reference::watchdog::options::Options;
use reference::watchdog::{Failure, run};

fn main() -> ExitCode {
    ExitCode::from(session().unwrap_or_else(|(status, why)| {
        eprintln!("error: {why}");
        status
    }))
}

/// The story of a watchdog; a failure carries its exit status.
fn session() -> Result<u8, (u8, String)> {
    let options = Options::from_command_line().map_err(|why| (2, why))?;
    run::run(&options).map_err(|failure| match failure {
        Failure::NoServer(why) => (2, why),
        Failure::System(error) => (1, format!("the system failed: {error}")),
    })
}
