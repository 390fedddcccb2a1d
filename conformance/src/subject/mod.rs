//! Starting a subject, what it is given, and its end.

#[cfg(unix)]
mod attend;
#[cfg(unix)]
mod cgroup;
#[cfg(target_os = "linux")]
mod confine;
pub mod handover;
#[cfg(unix)]
mod held;
#[cfg(unix)]
mod init;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(unix)]
pub mod lent;
pub mod limits;
#[cfg(unix)]
mod peers;
pub mod place;
pub mod plan;
pub mod remains;
#[cfg(unix)]
pub mod sandbox;
pub mod session;
#[cfg(unix)]
pub mod standin;
#[cfg(unix)]
mod start;
pub mod tier;
#[cfg(unix)]
mod users;
#[cfg(unix)]
mod view;

// Twins of these.
#[cfg(windows)]
#[path = "windows/attend.rs"]
mod attend;
#[cfg(windows)]
#[path = "windows/create.rs"]
mod create;
#[cfg(windows)]
#[path = "windows/init.rs"]
mod init;
#[cfg(windows)]
#[path = "windows/job.rs"]
mod job;
#[cfg(windows)]
#[path = "windows/sandbox.rs"]
pub mod sandbox;
#[cfg(windows)]
#[path = "windows/start.rs"]
mod start;

/// What a session's processes are in, where there is such a thing.
#[cfg(unix)]
use cgroup::Group;
#[cfg(windows)]
use job::Group;

/// How long whatever never fails may take where the machine has much else to do: a stand-in to be there, somebody to end
/// after SIGKILL. Nothing of that is the subject's, so how patient the run is with subjects plays no part.
pub(crate) const MACHINE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Device and inode of an open file: the same for both ends of a pipe. Their types differ between systems.
#[cfg(unix)]
#[allow(
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "device numbers are signed and narrow on some systems"
)]
fn identity(stat: &libc::stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
