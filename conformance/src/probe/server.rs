//! The suite in the server's place: a stand-in holds the server's process, the suite its ends of the pipes.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::dialect::Symbol;
use crate::event::{What, Who, children};
use crate::observe::ends::{Input, is_gone, unblock};
use crate::observe::readiness::register;
use crate::observe::sockets::is_socket;
use crate::outcome::Stop;
use crate::stage::{Run, Stage};

/// A server that says what the suite says.
pub struct Server {
    reads: AsyncFd<OwnedFd>,
    fd_read: i32,
    fd_write: i32,
    end: Symbol,
    reply_end: Symbol,
    writes: Input,
}

impl Server {
    /// Takes the held server's ends once the watchdog has started it.
    pub async fn join(stage: &Stage, run: &Run) -> Result<Self, Stop> {
        let Some((fd_read, fd_write)) = stage.dialect().wiring.both() else {
            return Err(Stop::Missing(
                "the server's descriptors were not learned; a profile states them as [dialect.wiring]".into(),
            ));
        };
        let dialect = stage.dialect();
        let end = dialect.end.clone().ok_or_else(|| Stop::Missing("the end of messages was not learned".into()))?;
        let reply_end = dialect.reply.end.clone().unwrap_or_else(|| end.clone());
        let missing = |what: &str| Stop::Missing(format!("{what} where the suite should play it"));
        run.until(|events| (!children(events).is_empty()).then_some(()))
            .await
            .ok_or_else(|| missing("no server was started"))?;
        let reads = run.take_end(0, fd_read).ok_or_else(|| missing("the server was started in another wiring"))?;
        let writes = match run.take_end(0, fd_write) {
            Some(end) => end,
            None if run.record.answer("one end for both directions", || is_socket(&reads).unwrap_or_default()) => {
                reads.try_clone()?
            }
            None => return Err(missing("the server was started in another wiring")),
        };
        run.drop_ends(0);
        unblock(&reads)?;
        let reads = register(reads, Interest::READABLE)?;
        Ok(Server { reads, fd_read, fd_write, end, reply_end, writes: Input::toward(run.pid, writes)? })
    }

    /// Reads until a whole message has come.
    pub async fn message(&self, run: &Run) -> Result<Vec<u8>, Stop> {
        let message = self.message_within(run, run.patience()).await;
        if message.is_none() {
            run.record.run_out();
        }
        message.ok_or_else(|| Stop::Missing("the watchdog sent no message to the suite in the server's place".into()))
    }

    /// The same where none may come: `None` when the pipe ends, or nothing comes for so long.
    pub async fn message_within(&self, run: &Run, wait: Duration) -> Option<Vec<u8>> {
        let message = async {
            let mut all = Vec::new();
            let mut buffer = [0; 4096];
            while crate::dialect::find(&all, &self.end.0).is_none() {
                let read = self.reads.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer)?));
                let Ok(Ok(n @ 1..)) = tokio::time::timeout(wait, read).await else { return None };
                run.record.push(What::Passed { to: Who::Server(0), fd: self.fd_read, bytes: buffer[..n].to_vec() });
                all.extend_from_slice(&buffer[..n]);
            }
            Some(all)
        };
        run.record.ask("a message for the suite in the server's place", message).await
    }

    /// A reply, with its end.
    pub fn framed(&self, reply: &[u8]) -> Vec<u8> {
        [reply, &self.reply_end.0].concat()
    }

    /// Writes a reply, with its end.
    pub async fn reply(&self, run: &Run, reply: &[u8]) -> Result<(), Stop> {
        self.write(run, &self.framed(reply)).await
    }

    /// Writes bytes to the watchdog, as far as it takes them.
    pub async fn write(&self, run: &Run, bytes: &[u8]) -> Result<(), Stop> {
        self.note(run, bytes);
        done(tokio::time::timeout(run.patience(), self.writes.write_all(bytes)).await)
    }

    /// Writes bytes, and says whether the watchdog takes all of them within so long.
    pub async fn is_taken(&self, run: &Run, bytes: &[u8], wait: Duration) -> bool {
        self.note(run, bytes);
        let written = tokio::time::timeout(wait, self.writes.write_all(bytes));
        run.record.ask("the watchdog takes all of it", async { matches!(written.await, Ok(Ok(()))) }).await
    }

    /// Writes parts so that the watchdog reads each apart.
    pub async fn write_apart<'a>(&self, run: &Run, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Stop> {
        let parts: Vec<_> = parts.into_iter().collect();
        self.note(run, &parts.concat());
        done(tokio::time::timeout(run.patience(), self.writes.write_apart(parts)).await)
    }

    /// Waits until the watchdog has read all that was written, or no longer.
    pub async fn all_read(&self, wait: Duration) -> Result<(), Stop> {
        done(tokio::time::timeout(wait, self.writes.write_apart([&b""[..]])).await)
    }

    /// Writes the same again and again, as long as anybody takes it. Nothing of it is noted, and it never comes back. How
    /// much that is in all depends on the machine: a few bytes at a time leave memory to a watchdog that keeps all of them.
    pub async fn flood(&self, bytes: &[u8]) -> Infallible {
        while self.writes.write_all(bytes).await.is_ok() {}
        std::future::pending().await
    }

    /// Its two ends, what it reads from and what it writes to, so that each can be closed alone.
    pub fn ends(self) -> (AsyncFd<OwnedFd>, Input) {
        (self.reads, self.writes)
    }

    fn note(&self, run: &Run, bytes: &[u8]) {
        run.record.push(What::Passed { to: Who::Watchdog, fd: self.fd_write, bytes: bytes.to_vec() });
    }
}

/// What was not taken in time, or by nobody, shows in what does not happen.
fn done(written: Result<std::io::Result<()>, tokio::time::error::Elapsed>) -> Result<(), Stop> {
    match written {
        Ok(Err(error)) if !is_gone(&error) => Err(error.into()),
        _ => Ok(()),
    }
}
