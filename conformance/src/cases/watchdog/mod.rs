//! Cases of the family `watchdog`: the two together, one file an area, and each side alone.
//!
//! Steps that many of them take are in `steps`.

use super::Case;

mod command;
mod descriptor;
mod end;
mod json;
mod operation;
mod payload_to_server;
mod payload_to_watchdog;
mod request;
mod server_alone;
mod server_dies;
mod server_ends;
mod start;
mod steps;
mod to_server;
mod to_watchdog;
mod wire;

/// All of them.
pub(super) const PARTS: &[&[Case]] = &[
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
];
