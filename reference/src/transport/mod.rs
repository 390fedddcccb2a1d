//! Ways for bytes to get from one process to another, one file each, and how the ends of a pipe reach a child.

#[cfg_attr(unix, path = "inherited_unix.rs")]
#[cfg_attr(windows, path = "inherited_windows.rs")]
pub mod inherited;
#[cfg(unix)]
pub mod pipe;
pub mod pump;
