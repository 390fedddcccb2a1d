//! A stream between the suite and a subject that are connected: what is said and heard, cut into messages.
//!
//! How they came to be connected is not known here.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{Shutdown, shutdown};

use crate::dialect::{Symbol, cut};
use crate::event::{Event, What, Who, passed};
use crate::forks;
use crate::observe::ends::{Input, Reader, read_passing};
use crate::observe::looking::Looking;
use crate::stage::Run;

/// One connection of a session.
pub struct Stream {
    /// The session that the subject is in.
    pub run: Run,
    /// Which of its connections, from 1 on.
    pub number: i32,
    /// Who is at the other end.
    subject: Who,
    end: Symbol,
    /// So many events were there before it.
    since: usize,
    /// Nothing in a session of another run.
    says: Option<Input>,
    reader: Option<Reader>,
}

impl Stream {
    /// A stream that is noted in the subject's session; one of another run is there on paper.
    pub fn new(run: &Run, number: i32, subject: Who, end: &str, socket: Option<OwnedFd>) -> io::Result<Self> {
        let says = socket.as_ref().map(OwnedFd::try_clone).transpose()?;
        let says = says.map(|end| Input::toward(run.pid, end)).transpose()?;
        let mut stream = Stream {
            run: run.clone(),
            number,
            subject,
            end: Symbol(end.as_bytes().to_vec()),
            since: run.record.look(<[Event]>::len),
            says,
            reader: None,
        };
        if let Some(socket) = socket {
            stream.reader = Some(read_passing(run.record.clone(), socket, stream.ours(), number)?);
        }
        Ok(stream)
    }

    /// The side that the suite plays.
    fn ours(&self) -> Who {
        if self.subject.number().is_some() { self.subject.parent() } else { self.subject.child(0) }
    }

    /// Sends bytes, and says whether all of them were taken. What is not taken in time, or by nobody, shows in what does not
    /// happen.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> bool {
        let bytes = bytes.as_ref();
        self.run.record.push(What::Passed { to: self.subject, fd: self.number, bytes: bytes.to_vec() });
        let sent = async {
            let Some(says) = &self.says else { return false };
            matches!(tokio::time::timeout(self.run.patience(), says.write_all(bytes)).await, Ok(Ok(())))
        };
        self.run.record.ask("all of it is taken", sent).await
    }

    /// Sends as much of this as is taken while everything on the way fills up.
    pub async fn fill(&self, bytes: impl AsRef<[u8]>) {
        let (bytes, patience) = (bytes.as_ref(), self.run.patience());
        let filling = async {
            match &self.says {
                Some(says) => says.fill(bytes, self.run.pid, patience).await,
                None => 0,
            }
        };
        let taken = self.run.record.ask("how much is taken", filling).await;
        self.run.record.push(What::Passed { to: self.subject, fd: self.number, bytes: bytes[..taken].to_vec() });
    }

    /// Sends bytes, each when the one before has been read.
    pub async fn send_apart(&self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.run.record.push(What::Passed { to: self.subject, fd: self.number, bytes: bytes.to_vec() });
        let Some(says) = &self.says else { return };
        let sending = async {
            for byte in bytes.chunks(1) {
                says.write_all(byte).await?;
                let looking = Looking::begin();
                while says.unread()? > 0 {
                    // Nobody tells when it has been read; everything else runs in between.
                    looking.again().await;
                }
            }
            io::Result::Ok(())
        };
        // What is not taken shows in what does not happen.
        let _ = tokio::time::timeout(self.run.patience(), sending).await;
    }

    /// Says no more, and listens on.
    pub fn end(&mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.number });
        if let Some(says) = &self.says {
            let _ = shutdown(says, Shutdown::Write);
        }
    }

    /// Is gone, in order.
    pub async fn close(mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.number });
        self.leave().await;
    }

    /// Is gone, and what is on the way either way is lost.
    pub async fn reset(mut self) {
        self.run.record.push(What::Closed { to: self.subject, fd: self.number });
        if let Some(says) = &self.says {
            // Refused on a path, which knows no such thing: there it is a close with bytes unread, if there are any.
            let _ = rustix::net::sockopt::set_socket_linger(says, Some(std::time::Duration::ZERO));
        }
        self.leave().await;
    }

    async fn leave(&mut self) {
        forks::close(self.says.take());
        if let Some(reader) = self.reader.take() {
            reader.close().await;
        }
    }

    /// No more of what comes is read.
    pub fn stall(&mut self) {
        if let Some(reader) = &self.reader {
            reader.reading.abort();
        }
    }

    /// Every whole message that came.
    pub fn heard(&self, events: &[Event]) -> Vec<Vec<u8>> {
        // A session may have a thousand of them.
        let own = events.get(self.since..).unwrap_or_default();
        let bytes = passed(own, self.ours(), self.number);
        cut(&bytes, &self.end).0.into_iter().map(|message| [message, &self.end.0].concat()).collect()
    }

    /// All bytes that came.
    pub fn bytes_heard(&self) -> Vec<u8> {
        self.run.record.look(|events| passed(events, self.ours(), self.number))
    }

    /// Waits for so many messages, and gives those that came.
    pub async fn messages(&self, count: usize) -> Vec<Vec<u8>> {
        self.run.at_least(count, |events| self.heard(events)).await
    }

    /// Waits until the subject says no more, and says whether it came to that.
    pub async fn ends(&self) -> bool {
        let (ours, number) = (self.ours(), self.number);
        let is_end = move |event: &Event| matches!(event.what, What::Closed { to, fd } if to == ours && fd == number);
        self.run.until(|events| events.iter().any(is_end).then_some(())).await.is_some()
    }
}

impl Drop for Stream {
    /// A subject whose case is done hears that there is nobody any more.
    fn drop(&mut self) {
        forks::close(self.says.take());
        if let Some(reader) = self.reader.take() {
            reader.reading.abort();
        }
    }
}
