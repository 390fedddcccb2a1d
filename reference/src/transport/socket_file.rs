//! The path of a local socket: made for its owner alone, taken over only from who is gone, removed at the end.
//!
//! It knows paths and who listens there, and nothing of what is sent.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// Who takes over a path has done so in much less.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A path to which a socket is bound, until this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode: whatever else is at the path by then is not ours to remove.
    identity: (u64, u64),
}

impl SocketFile {
    /// Binds a new socket of this kind to the path, which only its owner may use; a stream listens from then on. What lies there already is removed if it is
    /// a socket to which nobody listens any more, and left alone in any other case. The error says what is wrong with the path.
    ///
    /// Nobody else may be making files in this process meanwhile: how they are made is changed for a moment.
    pub fn bind(path: &Path, kind: Type) -> io::Result<(Socket, SocketFile)> {
        let address = SockAddr::unix(path).map_err(|_| {
            let bytes = path.as_os_str().len();
            io::Error::other(format!("expected a path that fits into a socket's address, found one of {bytes} bytes"))
        })?;
        // Two that take over the same path at once must not remove each other's.
        let _alone = lock_folder(path);
        remove_stale(path, &address, kind)?;
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = socket.bind(&address);
        umask(before);
        bound?;
        if kind == Type::STREAM {
            // Before another looks: it would take a socket that does not listen yet for one that does not any more.
            socket.listen(BACKLOG)?;
        }
        let metadata = fs::symlink_metadata(path)?;
        Ok((socket, SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _alone = lock_folder(&self.path);
        let is_ours = |m: fs::Metadata| (m.dev(), m.ino()) == self.identity;
        if fs::symlink_metadata(&self.path).is_ok_and(is_ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder above the path, locked. One that cannot be opened for reading is nobody's to lock, and one that somebody has
/// locked for something else is not waited for longer than another of us would take.
fn lock_folder(path: &Path) -> Option<Flock<File>> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut folder = File::open(above).ok()?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Some(locked),
            Err((_, errno)) if errno != Errno::EWOULDBLOCK => return None,
            Err(_) if Instant::now() >= deadline => return None,
            Err((unlocked, _)) => folder = unlocked,
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn remove_stale(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    let told = |why: String| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return told("there is something that is no socket; it is left alone".into());
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    // Who listens may have no room for another, which is an answer too.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => told("another process listens there".into()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => told("another process listens there".into()),
        Err(error) => told(format!("there is a socket, and whether anybody listens is not known: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_path_is_its_owners_alone_and_goes_with_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (_socket, file) = SocketFile::bind(&path, Type::STREAM).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_path_to_which_nobody_listens_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [Type::STREAM, Type::DGRAM] {
            let path = folder.path().join("socket");
            let (socket, file) = SocketFile::bind(&path, kind).unwrap();
            let error = SocketFile::bind(&path, kind).unwrap_err();
            assert!(error.to_string().contains("another process listens"), "{error}");
            // As if its owner had been killed.
            drop(socket);
            std::mem::forget(file);
            let (_socket, _file) = SocketFile::bind(&path, kind).unwrap();
        }
    }

    #[test]
    fn a_full_queue_is_somebody_who_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (socket, _file) = SocketFile::bind(&path, Type::STREAM).unwrap();
        socket.listen(0).unwrap();
        let _waiting = UnixStream::connect(&path).unwrap();
        assert!(SocketFile::bind(&path, Type::STREAM).is_err());
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_and_what_came_later_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        fs::write(&path, "a letter").unwrap();
        assert!(SocketFile::bind(&path, Type::STREAM).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a letter");
        fs::remove_file(&path).unwrap();
        let (_socket, file) = SocketFile::bind(&path, Type::STREAM).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let error = SocketFile::bind(Path::new(&"x".repeat(200)), Type::STREAM).unwrap_err();
        assert!(error.to_string().contains("200 bytes"), "{error}");
    }
}
