//! A socket that a subject has at a path, as the subject sees that path.
//!
//! What is said to it is not known here.

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A socket at a path, whatever becomes of that.
#[cfg(target_os = "linux")]
pub struct AtPath(OwnedFd);

#[cfg(target_os = "linux")]
impl AtPath {
    /// The path as this process sees it: in a sandbox its folder is another one than where it was made. A link may lead nowhere
    /// that the process could not go, or the suite would connect for it to whatever it likes.
    pub fn of(pid: i32, path: &Path) -> io::Result<Self> {
        use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, open, openat2};
        let root =
            open(format!("/proc/{pid}/root"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = match openat2(&root, path, flags, Mode::empty(), within) {
            // Emulators and some containers do not know the call. What has the suite's own root can go wherever that can.
            Err(rustix::io::Errno::NOSYS) if is_own_root(&root)? => open(path, flags, Mode::empty())?,
            found => found?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) != FileType::Socket {
            return Err(io::Error::other("there is something that is no socket"));
        }
        Ok(AtPath(found))
    }

    /// Where it can be connected to. It is short, as a socket's address has to be.
    pub fn address(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// Who may do what with it: the lower nine bits of its mode.
    pub fn mode(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.0)?.st_mode & 0o777)
    }
}

/// Whether this is the root of the suite itself.
#[cfg(target_os = "linux")]
fn is_own_root(root: &OwnedFd) -> io::Result<bool> {
    let (its, own) = (rustix::fs::fstat(root)?, rustix::fs::stat("/")?);
    Ok((its.st_dev, its.st_ino) == (own.st_dev, own.st_ino))
}

/// A socket at a path.
#[cfg(not(target_os = "linux"))]
pub struct AtPath(PathBuf);

#[cfg(not(target_os = "linux"))]
impl AtPath {
    /// The path, which is the same for every process.
    pub fn of(_pid: i32, path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
            return Err(io::Error::other("there is something that is no socket"));
        }
        Ok(AtPath(path.to_owned()))
    }

    /// Where it can be connected to.
    pub fn address(&self) -> PathBuf {
        self.0.clone()
    }

    /// Who may do what with it: the lower nine bits of its mode.
    pub fn mode(&self) -> io::Result<u32> {
        use std::os::unix::fs::PermissionsExt;
        Ok(std::fs::symlink_metadata(&self.0)?.permissions().mode() & 0o777)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_no_socket_and_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let listener = std::os::unix::net::UnixListener::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let pid = std::process::id().cast_signed();
        let at = AtPath::of(pid, &real).unwrap();
        std::os::unix::net::UnixStream::connect(at.address()).unwrap();
        listener.accept().unwrap();
        assert!(at.mode().is_ok());
        assert!(AtPath::of(pid, &link).is_err());
        assert!(AtPath::of(pid, folder.path()).is_err());
    }
}
