//! The pair of processes as it should be: a `watchdog` that a person types to, and the `server` that it starts,
//! feeds over two pipes and ends in order.
//!
//! The parts import one way only: [`codec`] knows bytes and no process, the machines
//! ([`watchdog::machine`], [`server::machine`]) know events and no clock, [`transport`] knows descriptors and no
//! message, and the two `run` functions put them together on the real system. What differs between operating
//! systems sits in twins, `*_unix.rs` and `*_windows.rs`, behind one plain interface each.

pub mod codec;
pub mod server;
#[cfg(unix)]
pub mod signals;
pub mod transport;
pub mod watchdog;
