//! Starting a subject, what it is given, and its end.

pub mod attend;
#[cfg(target_os = "linux")]
mod confine;
pub mod handover;
mod init;
pub mod limits;
pub mod place;
pub mod remains;
pub mod sandbox;
pub mod session;
pub mod standin;
pub mod start;

/// Device and inode of an open file: the same for both ends of a pipe. Their types differ between systems.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "device numbers are signed and narrow on some systems"
)]
fn identity(stat: &libc::stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
