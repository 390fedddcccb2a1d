//! Datagrams between processes of one machine, at paths. Whoever wants an answer needs a path of its own.
//!
//! It makes sockets and knows nothing of what is sent over them.

use std::env;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf, absolute};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::mkdtemp;
use socket2::Type;

use super::datagrams::Datagrams;
use super::socket_file::SocketFile;

/// How often a path is looked at where nobody is yet: nothing tells when somebody comes.
const REST: Duration = Duration::from_millis(10);

/// What goes with a socket when it is over.
#[derive(Debug)]
pub struct Place {
    // Dropped first: the folder must be empty to go.
    _file: SocketFile,
    _folder: Option<Folder>,
}

/// A folder that nobody else can use, removed at the end.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A socket at a path.
pub fn bind(path: &Path) -> io::Result<(UnixDatagram, SocketFile)> {
    let (socket, file) = SocketFile::bind(path, Type::DGRAM)?;
    Ok((socket.into(), file))
}

/// A socket that sends to one path, itself at `own` or, without that, in a folder that is made for it. With a path of its own it
/// has a peer, which may come later, and is waited for so long.
pub fn connect(own: Option<&Path>, to: &Path, patience: Duration) -> io::Result<(Datagrams, Place)> {
    let (path, folder) = match own {
        // Whoever answers may be in another folder.
        Some(own) => (absolute(own)?, None),
        None => {
            let above = env::temp_dir();
            let folder = mkdtemp(&above.join("watchdog-XXXXXX")).map_err(|errno| {
                io::Error::other(format!("no folder for a path of our own can be made in {}: {errno}", above.display()))
            })?;
            (folder.join("socket"), Some(Folder(folder)))
        }
    };
    let (socket, file) = bind(&path)?;
    let deadline = Instant::now() + patience;
    loop {
        match UnixDatagram::unbound()?.connect(to) {
            Ok(()) => break,
            Err(error) if own.is_some() && is_nobody(&error) && Instant::now() < deadline => thread::sleep(REST),
            Err(error) => return Err(error),
        }
    }
    Ok((Datagrams::Unix(socket, Some(to.to_owned())), Place { _file: file, _folder: folder }))
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_can_be_answered_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (server, _file) = bind(&path).unwrap();
        let (client, place) = connect(None, &path, Duration::ZERO).unwrap();
        client.send(b"1").unwrap();
        let mut bytes = [0; 8];
        let (count, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"1");
        let own = from.as_pathname().unwrap().to_owned();
        server.send_to(b"2", &own).unwrap();
        let (count, _) = client.receive(&mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"2");
        drop((client, place));
        assert!(!own.exists() && !own.parent().unwrap().exists());
    }
}
