//! The supervisor's program: reads its options, looks after one service, and exits with its status.

use std::process::ExitCode;

use clap::Parser;
use reference::control::supervisor::options::Options;
use reference::control::supervisor::run::{self, Failure};

fn main() -> ExitCode {
    let options = Options::parse();
    let (status, why) = match run::run(&options) {
        Ok(status) => return ExitCode::from(status),
        Err(Failure::Start(error)) => (2, format!("cannot start the service {}: {error}", options.service.display())),
        Err(Failure::System(error)) => (1, format!("the system failed: {error}")),
    };
    eprintln!("error: {why}");
    ExitCode::from(status)
}
