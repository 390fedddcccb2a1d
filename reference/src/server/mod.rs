//! The server: does what the messages that it gets over its pipe ask for, and answers each one, in order.

pub mod http;
pub mod machine;
pub mod operation;
pub mod options;
#[cfg_attr(unix, path = "run_unix.rs")]
#[cfg_attr(windows, path = "run_windows.rs")]
pub mod run;
pub mod service;
pub mod understand;
pub mod workers;
