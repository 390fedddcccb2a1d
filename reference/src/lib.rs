//! Pairs of processes as they should be. A `watchdog` that a person types to, and the `server` that it starts, feeds over two
//! pipes and ends in order; a `supervisor` that shows what its `service` tells of its life, and ends it by closing a pipe; a
//! `plugin-host` and its `plugin`, which ask each other whatever they like.
//!
//! The parts import one way only: [`codec`] knows bytes and no process, the machines
//! ([`watchdog::machine`], [`server::machine`], [`control::supervisor::machine`], [`control::service::machine`]) know events and no clock,
//! [`transport`] knows descriptors and no message, and the `run` functions put them together on the real system. What differs
//! between operating systems sits in twins, `*_unix.rs` and `*_windows.rs`, behind one plain interface each.

pub mod codec;
pub mod control;
pub mod ending;
pub mod plugin;
#[cfg_attr(unix, path = "process_unix.rs")]
#[cfg_attr(windows, path = "process_windows.rs")]
pub mod process;
pub mod server;
#[cfg(unix)]
pub mod signals;
#[cfg_attr(unix, path = "stops_unix.rs")]
#[cfg_attr(windows, path = "stops_windows.rs")]
pub mod stops;
pub mod transport;
pub mod watchdog;
