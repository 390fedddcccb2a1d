//! What watches a pair from outside: its terminal, its target, the pipes in between, its processes.
//!
//! Each observer appends to the session's record; none of them knows a requirement or a dialect.

#[cfg(unix)]
pub mod at_path;
#[cfg(unix)]
pub mod channel;
#[cfg(unix)]
pub mod datagrams;
pub mod ends;
pub mod lateness;
pub(crate) mod looking;
pub mod process;
#[cfg(unix)]
pub mod readiness;
#[cfg(unix)]
pub mod rogue;
#[cfg(unix)]
pub mod sockets;
pub mod starvation;
pub mod strace;
#[cfg(unix)]
pub mod tap;
pub mod target;
#[cfg(unix)]
pub mod terminal;
#[cfg(windows)]
#[path = "terminal_windows.rs"]
pub mod terminal;
#[cfg(unix)]
pub mod unread;
