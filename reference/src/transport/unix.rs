//! Streams between processes of one machine, at a path.
//!
//! It makes connections and knows nothing of what is sent over them.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::socket_file::SocketFile;

/// Listens at a path, which goes when the second of these is dropped.
pub fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let (socket, file) = SocketFile::bind(path, Type::STREAM)?;
    Ok((socket.into(), file))
}

/// Connects to whoever listens at the path. Where as many as there is room for wait already, it waits too, so long.
pub fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // On Linux it bounds the wait for room; elsewhere a full queue refuses at once.
    socket.set_write_timeout(Some(patience.max(Duration::from_millis(1))))?;
    socket.connect(&SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => super::timed_out(patience),
        _ => error,
    })?;
    socket.set_write_timeout(None)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_is_sent_arrives_and_the_path_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, file) = listen(&path).unwrap();
        let mut here = connect(&path, Duration::from_secs(60)).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.write_all(b"1").unwrap();
        drop(here);
        let mut got = Vec::new();
        there.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"1");
        drop((listener, file));
        assert_eq!(connect(&path, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Elsewhere it is refused at once.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_queue_is_waited_for_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (socket, _file) = SocketFile::bind(&path, Type::STREAM).unwrap();
        socket.listen(0).unwrap();
        let _first = connect(&path, Duration::from_secs(60)).unwrap();
        let error = connect(&path, Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nobody took the connection within 1 ms");
    }
}
