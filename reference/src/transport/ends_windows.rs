//! The two ends of a connection on Windows: whatever can be read and written on threads of its own.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use os_pipe::{PipeReader, PipeWriter};

use super::inherited;
use crate::process::Ends;

/// What comes from the other side is read here.
pub type Incoming = Box<dyn Read + Send>;

/// What goes to the other side is written here.
pub type Outgoing = Box<dyn Write + Send>;

/// Both ends of a stream. Dropping the one that is written to ends that direction alone.
pub fn of_tcp(stream: TcpStream) -> io::Result<(Incoming, Outgoing)> {
    Ok((Box::new(stream.try_clone()?), Box::new(Half(stream))))
}

/// Both ends of what a child was given.
pub fn of_child(ends: Ends) -> (Incoming, Outgoing) {
    (Box::new(File::from(ends.from_child)), Box::new(File::from(ends.to_child)))
}

/// Both ends that were inherited.
pub fn of_inherited(ends: inherited::Ends) -> (Incoming, Outgoing) {
    (Box::new(File::from(ends.requests)), Box::new(File::from(ends.replies)))
}

/// Both ends, each of its own pipe.
pub fn of_pipes(incoming: PipeReader, outgoing: PipeWriter) -> (Incoming, Outgoing) {
    (Box::new(incoming), Box::new(outgoing))
}

struct Half(TcpStream);

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        // Whoever is gone has nothing to be told.
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
