//! Users for sessions, each another one than any other session's at the time, in this run or another: what the system counts
//! by user, it counts for each of them apart.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

/// Users that nobody else runs as.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) from: u32,
    free: Mutex<Vec<u32>>,
    /// A name of the system that only one run has at a time: whose it is, theirs are these users.
    _claim: UnixListener,
}

/// The user of one session, who is free for another one when this is dropped.
#[derive(Debug)]
pub(super) struct User(Arc<Users>, pub(super) u32);

impl User {
    pub(super) fn id(&self) -> rustix::process::Uid {
        rustix::process::Uid::from_raw(self.1)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.free.lock().expect("not poisoned").push(self.1);
    }
}

/// How many users a run has: more than sessions at a time.
pub(super) const USERS: u32 = 4096;

/// The first user of the first run, far from those of people and services.
#[cfg(target_os = "linux")]
const USERS_FROM: u32 = 1 << 30;

impl Users {
    /// The first range that no other run has.
    #[cfg(target_os = "linux")]
    pub(super) fn claim() -> io::Result<Self> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        for run in 0..256 {
            let name = SocketAddr::from_abstract_name(format!("conformance-users-{run}"))?;
            match UnixListener::bind_addr(&name) {
                Ok(claim) => {
                    let from = USERS_FROM + run * USERS;
                    return Ok(Users { from, free: Mutex::new((from..from + USERS).rev().collect()), _claim: claim });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("all users for subjects are taken by 256 other runs"))
    }

    /// Without namespaces of its own a run is one user's.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn claim() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn take(self: &Arc<Self>) -> io::Result<User> {
        let user = self.free.lock().expect("not poisoned").pop();
        Ok(User(self.clone(), user.ok_or_else(|| io::Error::other("more sessions at a time than users"))?))
    }
}
