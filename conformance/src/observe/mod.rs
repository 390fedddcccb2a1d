//! What watches a pair from outside: its terminal, its target, the pipes in between, its processes.
//!
//! Each observer appends to the session's record; none of them knows a requirement or a dialect.

pub mod at_path;
pub mod channel;
pub mod datagrams;
pub mod lateness;
pub(crate) mod looking;
pub mod process;
pub mod readiness;
pub mod rogue;
pub mod sockets;
pub mod starvation;
pub mod strace;
pub mod tap;
pub mod target;
pub mod terminal;
pub mod unread;
