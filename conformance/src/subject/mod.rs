//! Starting a subject, what it is given, and its end.

pub mod attend;
mod cgroup;
#[cfg(target_os = "linux")]
mod confine;
pub mod handover;
mod init;
#[cfg(target_os = "linux")]
mod landlock;
pub mod lent;
pub mod limits;
mod peers;
pub mod place;
pub mod remains;
pub mod sandbox;
pub mod session;
pub mod standin;
pub mod start;
mod users;
mod view;

/// How long whatever never fails may take where the machine has much else to do: a stand-in to be there, somebody to end
/// after SIGKILL. Nothing of that is the subject's, so how patient the run is with subjects plays no part.
pub(crate) const MACHINE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Device and inode of an open file: the same for both ends of a pipe. Their types differ between systems.
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "device numbers are signed and narrow on some systems"
)]
fn identity(stat: &libc::stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
