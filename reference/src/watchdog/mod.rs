//! The watchdog: reads commands, starts the server, hands it requests, prints replies, and ends it in order.

pub mod command;
#[cfg(unix)]
pub mod console;
pub mod machine;
pub mod options;
pub mod printable;
#[cfg_attr(unix, path = "process_unix.rs")]
#[cfg_attr(windows, path = "process_windows.rs")]
pub mod process;
#[cfg_attr(unix, path = "run_unix.rs")]
#[cfg_attr(windows, path = "run_windows.rs")]
pub mod run;
pub mod understand;
