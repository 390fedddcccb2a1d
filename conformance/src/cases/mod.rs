//! The cases, one file an area, and one for each side alone. A case drives sessions and says what happened; it never sees a verdict.
//!
//! The sentence of the requirement stands above each case; a test holds the two together.

use std::pin::Pin;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::stage::Stage;

#[cfg(unix)]
mod command;
mod control;
#[cfg(unix)]
mod descriptor;
#[cfg(unix)]
mod end;
#[cfg(unix)]
mod handed;
#[cfg(unix)]
mod json;
#[cfg(unix)]
mod operation;
#[cfg(unix)]
mod payload_to_server;
#[cfg(unix)]
mod payload_to_watchdog;
mod plugin;
#[cfg(unix)]
mod request;
mod seen;
#[cfg(unix)]
mod server_alone;
#[cfg(unix)]
mod server_dies;
#[cfg(unix)]
mod server_ends;
#[cfg(unix)]
mod sockets;
#[cfg(unix)]
mod start;
#[cfg(unix)]
mod steps;
#[cfg(unix)]
mod to_server;
#[cfg(unix)]
mod to_watchdog;
#[cfg(unix)]
mod wire;

/// A check of one requirement.
pub struct Case {
    /// The requirement's id.
    pub id: &'static str,
    /// The module and the function that check it.
    pub place: (&'static str, &'static str),
    /// Drives the sessions.
    pub run: fn(Arc<Stage>) -> Running,
}

/// A case under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Pairs ids with the functions that check them.
macro_rules! cases {
    ($($id:literal => $function:path),* $(,)?) => {
        pub(in crate::cases) const CASES: &[crate::cases::Case] = &[
            $(crate::cases::Case { id: $id, place: (module_path!(), stringify!($function)), run: |stage| Box::pin(async move { $function(&stage).await }) }),*
        ];
    };
}
use cases;

/// Every case.
pub fn all() -> impl Iterator<Item = &'static Case> {
    let parts = [
        #[cfg(unix)]
        start::CASES,
        #[cfg(unix)]
        command::CASES,
        #[cfg(unix)]
        wire::CASES,
        #[cfg(unix)]
        payload_to_server::CASES,
        #[cfg(unix)]
        payload_to_watchdog::CASES,
        #[cfg(unix)]
        to_server::CASES,
        #[cfg(unix)]
        to_watchdog::CASES,
        #[cfg(unix)]
        server_alone::CASES,
        #[cfg(unix)]
        server_dies::CASES,
        #[cfg(unix)]
        server_ends::CASES,
        #[cfg(unix)]
        descriptor::CASES,
        #[cfg(unix)]
        operation::CASES,
        #[cfg(unix)]
        request::CASES,
        #[cfg(unix)]
        end::CASES,
        control::message::CASES,
        control::lifetime::CASES,
        control::stop::CASES,
        #[cfg(unix)]
        control::supervisor_starts::CASES,
        #[cfg(unix)]
        control::supervisor_hears::CASES,
        #[cfg(unix)]
        control::supervisor_ends::CASES,
        #[cfg(unix)]
        control::together::CASES,
        plugin::plugin_speaks::CASES,
        plugin::plugin_answers::CASES,
        plugin::plugin_asks::CASES,
        plugin::plugin_ends::CASES,
        #[cfg(unix)]
        plugin::host_starts::CASES,
        #[cfg(unix)]
        plugin::host_asks::CASES,
        #[cfg(unix)]
        plugin::host_answers::CASES,
        #[cfg(unix)]
        plugin::host_ends::CASES,
        #[cfg(unix)]
        plugin::together::CASES,
        #[cfg(unix)]
        sockets::listen::CASES,
        #[cfg(unix)]
        sockets::paths::CASES,
        #[cfg(unix)]
        sockets::connect::CASES,
        #[cfg(unix)]
        sockets::datagram::CASES,
        #[cfg(unix)]
        sockets::resend::CASES,
        #[cfg(unix)]
        sockets::peer::CASES,
    ];
    parts.into_iter().flatten()
}

/// The case of a requirement.
pub fn of(id: &str) -> Option<&'static Case> {
    all().find(|case| case.id == id)
}
