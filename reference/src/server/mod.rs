//! The server: does what the messages that it gets ask for, and answers each one, in order; over the pipes that it inherited, or
//! over connections of its own to many who ask.

pub mod address;
pub mod complaints;
pub mod datagrams;
pub mod http;
#[cfg_attr(unix, path = "limits_unix.rs")]
#[cfg_attr(windows, path = "limits_windows.rs")]
pub mod limits;
pub mod listen;
pub mod machine;
pub mod operation;
pub mod options;
#[cfg_attr(unix, path = "run_unix.rs")]
#[cfg_attr(windows, path = "run_windows.rs")]
pub mod run;
pub mod service;
pub mod understand;
pub mod workers;
