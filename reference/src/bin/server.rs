//! The server's program: reads its arguments, takes over its pipes, serves, and says how it ended.

use std::process::ExitCode;

use reference::server::http::Client;
use reference::server::options::Options;
use reference::server::run;
use reference::transport::inherited;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, why)) => {
            eprintln!("server: error: {why}");
            ExitCode::from(status)
        }
    }
}

/// The story of a server; a failure carries its exit status.
fn serve() -> Result<(), (u8, String)> {
    let options = Options::from_command_line().map_err(|why| (2, why))?;
    // Before anything else is opened, which might then have the numbers of pipes that are missing.
    let ends = inherited::take(&options.arguments).map_err(|why| (2, why.to_string()))?;
    let client = Client::new(options.timeout, options.roots.as_deref()).map_err(|why| (2, why))?;
    let signals = run::watch_signals().map_err(|error| (1, format!("cannot listen for signals: {error}")))?;
    run::run(&options, client, signals, ends).map_err(|error| (1, format!("a pipe failed: {error}")))
}
