//! The server's program: reads its arguments, takes over its pipes or finds its clients, serves, and says how it ended.

use std::process::ExitCode;

use reference::server::address::{self, Failure};
use reference::server::options::{Options, Place};
use reference::server::run::{self, Alarms};
use reference::server::service::Setup;
use reference::transport::{ends, inherited};

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
    let setup = || Setup::new(&options).map_err(|why| (2, why));
    let addressed = |failure| match failure {
        Failure::Address(why) => (2, why),
        Failure::System(error) => (1, format!("the system failed: {error}")),
    };
    // Before anything else is opened, which might then have the numbers of pipes that are missing.
    let ends = match &options.place {
        Place::Pipes => inherited::take(&options.arguments).map_err(|why| (2, why.to_string()))?,
        Place::Standard => inherited::standard().map_err(|why| (2, why))?,
        Place::Socket => inherited::socket().map_err(|why| (2, why))?,
        Place::Listen(at) => return address::everybody(at, &setup()?).map_err(addressed),
        Place::Meet { own, peer } => return address::one_peer(own, peer, &setup()?).map_err(addressed),
    };
    let setup = setup()?;
    let alarms = Alarms::of_process().map_err(|error| (1, format!("cannot listen for signals: {error}")))?;
    let (incoming, outgoing) = ends::of_inherited(ends);
    run::run(&setup, alarms, incoming, outgoing, "", ()).map_err(|error| (1, format!("a pipe failed: {error}")))
}
