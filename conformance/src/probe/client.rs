//! The suite in the watchdog's place: a server started alone, in the wiring that was learned.
//!
//! It writes what it is told to write and notes what comes back. Which bytes those are, the case knows.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::observe::terminal::Input;
use crate::outcome::Stop;
use crate::record::{What, Who, passed};
use crate::stage::{Alone, Run, Stage};

/// A server without a watchdog.
pub struct Client {
    /// Its session.
    pub run: Run,
    input: Option<Input>,
    fd_read: i32,
    fd_write: i32,
    reading: Option<tokio::task::JoinHandle<()>>,
    patience: Duration,
}

impl Client {
    /// Starts the server with the learned wiring, its arguments and environment as the watchdog gave them. Its
    /// requests arrive below `/slot`.
    pub async fn start(stage: &Stage, slot: String) -> Result<Self, Stop> {
        let wiring = stage.dialect().wiring;
        let (Some((fd_read, fd_write)), Some(hello)) = (wiring.both(), stage.lesson.hello.clone()) else {
            return Err(Stop::Missing(
                "the server's own descriptors were not learned; a profile states them as [dialect.wiring] read = N, write = N".into(),
            ));
        };
        let is_socket = hello.descriptors.iter().any(|d| d.number == fd_read && d.readable && d.writable);
        if is_socket {
            return Err(Stop::Missing("a server behind a socket is not started alone".into()));
        }
        let (theirs_in, ours_out) = os_pipe::pipe()?;
        let (ours_in, theirs_out) = os_pipe::pipe()?;
        let ends = vec![
            (fd_read, Arc::new(OwnedFd::from(theirs_in))),
            (fd_write, Arc::new(OwnedFd::from(theirs_out))),
        ];
        let run = stage.server(Alone { like: Some(hello), ends, slot: Some(slot) }).await?;
        let reading = read_replies(&run, ours_in.into(), fd_write)?;
        Ok(Client { run, input: Some(Input::new(ours_out.into())?), fd_read, fd_write, reading: Some(reading), patience: stage.suite.patience })
    }

    /// Writes bytes to the server, as far as it takes them.
    pub async fn write(&self, bytes: &[u8]) -> Result<(), Stop> {
        let Some(input) = &self.input else { return Ok(()) };
        self.run.record.push(What::Passed { to: Who::Server(0), fd: self.fd_read, bytes: bytes.to_vec() });
        match tokio::time::timeout(self.patience, input.write_all(bytes)).await {
            Ok(Err(error)) if error.raw_os_error() != Some(libc::EPIPE) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes parts of a message so that the server reads each apart.
    pub async fn write_apart<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), Stop> {
        let Some(input) = &self.input else { return Ok(()) };
        let parts: Vec<_> = parts.into_iter().collect();
        self.run.record.push(What::Passed { to: Who::Server(0), fd: self.fd_read, bytes: parts.concat() });
        // A part that is not taken in time shows in what does not happen.
        match tokio::time::timeout(self.patience, super::write_apart(input, input, parts)).await {
            Ok(Err(error)) if error.raw_os_error() != Some(libc::EPIPE) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Closes the pipe towards the server.
    pub fn close(&mut self) {
        self.run.record.push(What::Closed { to: Who::Server(0), fd: self.fd_read });
        self.input = None;
    }

    /// The descriptor that its replies come through.
    pub fn replies_through(&self) -> i32 {
        self.fd_write
    }

    /// Everything that came back so far.
    pub fn replies(&self) -> Vec<u8> {
        self.run.record.look(|events| passed(events, Who::Watchdog, self.fd_write))
    }

    /// Waits until everything that the server wrote before its end has been read.
    pub async fn drained(&mut self) {
        if let Some(reading) = self.reading.take() {
            let _ = tokio::time::timeout(self.patience, reading).await;
        }
    }
}

fn read_replies(run: &Run, end: OwnedFd, fd: i32) -> Result<tokio::task::JoinHandle<()>, Stop> {
    use tokio::io::Interest;
    crate::observe::terminal::unblock(&end)?;
    let end = crate::observe::readiness::register(end, Interest::READABLE)?;
    let record = run.record.clone();
    Ok(tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(n @ 1..) = end.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer)?)).await {
            record.push(What::Passed { to: Who::Watchdog, fd, bytes: buffer[..n].to_vec() });
        }
        record.push(What::Closed { to: Who::Watchdog, fd });
    }))
}
