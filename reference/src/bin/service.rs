//! The service's program: reads its options, takes over its pipes, lives, and says how it ended.

use std::process::ExitCode;

use clap::Parser;
use reference::control::service::options::Options;
use reference::control::service::run;
use reference::stops::Stops;
use reference::transport::inherited;

fn main() -> ExitCode {
    ExitCode::from(life().unwrap_or_else(|(status, why)| {
        eprintln!("service: error: {why}");
        status
    }))
}

/// The story of a service; a failure carries its exit status.
fn life() -> Result<u8, (u8, String)> {
    let options = Options::parse();
    // Before anything else is opened, which might then have the number of a pipe that is missing.
    let take = |number: Option<usize>, option, writes| {
        let end = number.map(|number| inherited::one(number, writes)).transpose();
        end.map_err(|why| (2, format!("{option}: {why}")))
    };
    let control = take(options.piperx, "--piperx", false)?;
    let telling = take(options.pipetx, "--pipetx", true)?;
    let stops = Stops::watch().map_err(|error| (1, format!("cannot listen for signals: {error}")))?;
    run::run(&options, control, telling, stops).map_err(|error| (1, format!("the system failed: {error}")))
}
