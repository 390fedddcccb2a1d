//! The cases, one file an area, and one for each side alone. A case drives sessions and says what happened; it never sees a verdict.
//!
//! The sentence of the requirement stands above each case; a test holds the two together.

use std::pin::Pin;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::stage::Stage;

mod command;
mod control;
mod descriptor;
mod end;
mod handed;
mod json;
mod operation;
mod payload_to_server;
mod payload_to_watchdog;
mod plugin;
mod request;
mod server_alone;
mod server_dies;
mod server_ends;
mod sockets;
mod start;
mod steps;
mod to_server;
mod to_watchdog;
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
        start::CASES,
        command::CASES,
        wire::CASES,
        payload_to_server::CASES,
        payload_to_watchdog::CASES,
        to_server::CASES,
        to_watchdog::CASES,
        server_alone::CASES,
        server_dies::CASES,
        server_ends::CASES,
        descriptor::CASES,
        operation::CASES,
        request::CASES,
        end::CASES,
        control::message::CASES,
        control::lifetime::CASES,
        control::stop::CASES,
        control::supervisor_starts::CASES,
        control::supervisor_hears::CASES,
        control::supervisor_ends::CASES,
        plugin::plugin_speaks::CASES,
        plugin::plugin_answers::CASES,
        plugin::plugin_asks::CASES,
        plugin::plugin_ends::CASES,
        plugin::host_starts::CASES,
        plugin::host_asks::CASES,
        plugin::host_answers::CASES,
        plugin::host_ends::CASES,
        plugin::together::CASES,
        sockets::listen::CASES,
        sockets::paths::CASES,
        sockets::connect::CASES,
        sockets::datagram::CASES,
        sockets::resend::CASES,
        sockets::peer::CASES,
    ];
    parts.into_iter().flatten()
}

/// The case of a requirement.
pub fn of(id: &str) -> Option<&'static Case> {
    all().find(|case| case.id == id)
}
