//! The supervisor: starts a service, shows what it tells of its life, and ends it by closing the control pipe.

#[cfg_attr(unix, path = "child_unix.rs")]
#[cfg_attr(windows, path = "child_windows.rs")]
mod child;
pub mod machine;
pub mod options;
pub mod run;
