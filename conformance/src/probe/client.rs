//! The suite in the watchdog's place: a server started alone, in the wiring that was learned.
//!
//! It writes what it is told to write and notes what comes back. Which bytes those are, the case knows.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{What, Who};
use crate::forks;
use crate::observe::ends::{self, Input, is_gone, read_passing};
use crate::observe::looking::Looking;
use crate::observe::process;
use crate::observe::sockets::pair_like;
use crate::outcome::Stop;
use crate::stage::watchdog::Alone;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Descriptor, Hello, Kind};

/// A server without a watchdog.
pub struct Client {
    /// Its session.
    pub run: Run,
    input: Option<Input>,
    fd_read: i32,
    fd_write: Option<i32>,
    patience: Duration,
    readers: Vec<Reader>,
}

/// What notes a server's words: the end that it reads stays open, also when it was told to read no more.
struct Reader {
    of: ends::Reader,
    fd: i32,
}

/// The pipes of a server, made anew: theirs to place, ours to use.
#[derive(Default)]
struct Wires {
    theirs: Vec<(i32, Arc<OwnedFd>)>,
    input: Option<OwnedFd>,
    outputs: Vec<(i32, OwnedFd)>,
}

impl Client {
    /// Starts the server in the wiring that was learned, its arguments and environment as the watchdog gave them, and
    /// says what the watchdog had said before its first command. Its requests arrive below `/slot`.
    pub async fn start(stage: &Stage, slot: String) -> Result<Self, Stop> {
        let wiring = stage.dialect().wiring;
        let (Some(fd_read), Some(hello)) = (wiring.read, stage.lesson.hello.clone()) else {
            return Err(Stop::Missing(
                "the server's own descriptors were not learned; a profile states them as [dialect.wiring] read = N"
                    .into(),
            ));
        };
        let wires = Wires::like(&hello, fd_read)?;
        let input =
            wires.input.ok_or_else(|| Stop::Missing(format!("the server was not given a pipe as {fd_read}")))?;
        let run = stage.server(Alone { like: Some(hello), ends: wires.theirs, slot: Some(slot) }).await?;
        let mut readers = Vec::new();
        for (fd, output) in wires.outputs {
            readers.push(Reader { of: read_passing(run.record.clone(), output, Who::Watchdog, fd)?, fd });
        }
        let client = Client {
            run,
            input: Some(Input::new(input)?),
            fd_read,
            fd_write: wiring.write,
            patience: stage.suite.patience,
            readers,
        };
        for greeting in &stage.lesson.learned.before {
            client.write(&stage.dialect().framed(greeting)).await?;
            client.idle().await?;
        }
        Ok(client)
    }

    /// Writes bytes to the server, as far as it takes them.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(input) = &self.input else { return Ok(()) };
        self.run.record.push(What::Passed { to: Who::Server(0), fd: self.fd_read, bytes: bytes.to_vec() });
        match tokio::time::timeout(self.patience, input.write_all(bytes)).await {
            Ok(Err(error)) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes parts of a message so that the server reads each apart.
    pub async fn write_apart<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Stop> {
        let Some(input) = &self.input else { return Ok(()) };
        let parts: Vec<_> = parts.into_iter().collect();
        self.run.record.push(What::Passed { to: Who::Server(0), fd: self.fd_read, bytes: parts.concat() });
        // A part that is not taken in time shows in what does not happen.
        match tokio::time::timeout(self.patience, input.write_apart(parts)).await {
            Ok(Err(error)) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes as much as the server takes until it takes nothing more: then everything on the way is full.
    pub async fn fill(&self, bytes: &[u8]) {
        let Some(input) = &self.input else { return };
        let filled = input.fill(bytes, self.run.pid, self.patience);
        self.run.record.ask("how much the server takes", filled).await;
    }

    /// From here on nobody reads what the server writes; its pipe stays open.
    pub fn stop_reading(&self) {
        for reader in &self.readers {
            reader.of.reading.abort();
        }
    }

    /// From here on what it writes is read again.
    pub fn read_again(&mut self) {
        for reader in &mut self.readers {
            reader.of.resume(self.run.record.clone(), Who::Watchdog, reader.fd);
        }
    }

    /// How many bytes of replies wait to be read.
    pub fn waiting(&self) -> u64 {
        self.readers.iter().filter_map(|reader| reader.of.waiting().ok()).sum()
    }

    /// Closes the pipes that its replies come through, and nothing else: whoever writes to them finds them broken.
    pub async fn close_replies(&mut self) {
        for reader in self.readers.drain(..) {
            reader.of.close().await;
        }
        self.run.record.push(What::Closed { to: Who::Watchdog, fd: self.fd_write.unwrap_or(self.fd_read) });
    }

    /// Closes the pipe towards the server.
    pub fn close(&mut self) {
        self.run.record.push(What::Closed { to: Who::Server(0), fd: self.fd_read });
        self.hang_up();
    }

    fn hang_up(&mut self) {
        if let Some(input) = self.input.take() {
            // Of a socket another copy stays, through which replies come. A pipe says that it is none.
            let _ = rustix::net::shutdown(&input, rustix::net::Shutdown::Write);
            forks::close(input);
        }
    }

    /// Waits until the server has read all that was written, and sleeps: it awaits more.
    pub async fn idle(&self) -> Result<(), Stop> {
        let Some(input) = &self.input else { return Ok(()) };
        let deadline = Instant::now() + self.patience;
        let idle = async {
            let looking = Looking::begin();
            let unread = || input.unread().is_ok_and(|unread| unread > 0);
            while unread() && Instant::now() < deadline {
                looking.again().await;
            }
            !unread() && process::asleep(self.run.pid, deadline).await
        };
        if self.run.record.ask("the server has read all and sleeps", idle).await {
            return Ok(());
        }
        Err(Stop::Missing("the server did not read what was written, or never paused".into()))
    }

    /// The descriptor that its replies come through.
    pub fn replies_through(&self) -> Option<i32> {
        self.fd_write
    }
}

impl Drop for Client {
    /// A server whose case is done comes to its own end.
    fn drop(&mut self) {
        self.hang_up();
    }
}

impl Wires {
    /// As many pipes and socket pairs as the server had, with the same ends under the same numbers: a server that
    /// was given both ends of a pipe gets both again.
    fn like(hello: &Hello, fd_read: i32) -> io::Result<Self> {
        let mut wires = Wires::default();
        let mut made: Vec<(u64, u64)> = Vec::new();
        for first in hello.descriptors.iter().filter(|d| d.handed) {
            if made.contains(&first.identity) {
                continue;
            }
            made.push(first.identity);
            let same = hello.descriptors.iter().filter(|d| d.handed && d.identity == first.identity);
            wires.add(same.collect(), first.kind, fd_read)?;
        }
        Ok(wires)
    }

    fn add(&mut self, ends: Vec<&Descriptor>, kind: Kind, fd_read: i32) -> io::Result<()> {
        let is_input = ends.iter().any(|d| d.number == fd_read);
        let writable = ends.iter().find(|d| d.writable).map(|d| d.number);
        if matches!(kind, Kind::Socket | Kind::Connection) {
            let (theirs, ours) = pair_like(kind)?;
            let theirs = Arc::new(theirs);
            self.theirs.extend(ends.iter().map(|d| (d.number, theirs.clone())));
            if is_input {
                self.input = Some(ours.try_clone()?);
            }
            self.outputs.push((writable.unwrap_or(fd_read), ours));
            return Ok(());
        }
        let (reader, writer) = os_pipe::pipe()?;
        let (reader, writer) = (Arc::new(OwnedFd::from(reader)), Arc::new(OwnedFd::from(writer)));
        for end in &ends {
            self.theirs.push((end.number, if end.readable { reader.clone() } else { writer.clone() }));
        }
        if is_input {
            self.input = Some(writer.try_clone()?);
        } else if let Some(number) = writable {
            self.outputs.push((number, reader.try_clone()?));
        }
        Ok(())
    }
}
