//! Reads and writes for one side of a connection: cuts what comes into chunks, brings responses to whoever waits for them and
//! requests to handlers, and writes what both have to say. Over what it reads and writes it does not know.
//!
//! Neither side may read without bound what it cannot handle yet, and neither may stop reading while the other waits for it to
//! read. So a side whose queue is full stops reading only if it waits for nothing of the other side itself: no call of its own
//! is under way, and all that it had to write is written. Then those at work come to their ends by themselves, and with them
//! the wait. Otherwise it reads on; what it then holds is bounded by what the other side has under way, and if that is no bound,
//! the connection ends with [`Ended::Overrun`], and nobody hangs.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::errors::Ended;
use super::handlers::{Handlers, Request, handle};
use super::peer::{Peer, Shared, answer};
use super::{PING, STOP};
use crate::codec::chunk::{Chunk, Chunks, Direction, Order};

/// How much of everything there may be on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Handlers at work at a time, without those that wait for a call of theirs.
    pub handlers: usize,
    /// Handlers at a time, with those that wait.
    pub waiting: usize,
    /// Requests for which nobody is at work yet.
    pub queue: usize,
    /// Their bytes.
    pub queue_bytes: usize,
    /// Bytes that wait to be written. Whoever wants to send more waits.
    pub outbox_bytes: usize,
    /// Bytes that are held at all, before the connection is given up.
    pub held_bytes: usize,
    /// How long handlers may go on, and what they have to say may take, once the connection is over.
    pub last_words: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handlers: 64,
            waiting: 65_536,
            queue: 1024,
            queue_bytes: 4 << 20,
            outbox_bytes: 1 << 20,
            held_bytes: 256 << 20,
            last_words: Duration::from_secs(2),
        }
    }
}

/// The most room that can be counted.
const OUTBOX_BYTES_MAX: usize = 1 << 30;

impl Limits {
    /// With no limit at which nothing could go on.
    pub(super) fn at_least_one(self) -> Self {
        let handlers = self.handlers.max(1);
        Limits {
            handlers,
            waiting: self.waiting.max(handlers),
            queue: self.queue.max(1),
            queue_bytes: self.queue_bytes.max(1),
            outbox_bytes: self.outbox_bytes.clamp(1, OUTBOX_BYTES_MAX),
            ..self
        }
    }
}

/// Which of both a side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It started the other one.
    Host,
    /// It ends when the other one says so.
    Plugin,
}

/// What a side reads from.
pub trait Incoming: AsyncRead + Unpin {
    /// Reads what is due at once, within some microseconds; `None` if nothing came, or nothing can be had in this way.
    fn read_soon(&mut self, _bytes: &mut [u8]) -> Option<usize> {
        None
    }
}

/// What is read and not yet cut, at a time.
const READ_BYTES: usize = 64 * 1024;

/// A connection over these two ends: the other side, and what has to be driven as long as there is to be a connection, until it
/// is over.
pub fn connect<R, W>(
    (reader, writer): (R, W),
    (role, order, limits): (Role, Order, Limits),
    handlers: Handlers,
) -> (Peer, impl Future<Output = Ended>)
where
    R: Incoming,
    W: AsyncWrite + Unpin,
{
    let peer = Peer::new(order, limits);
    let driver = Driver {
        peer: peer.clone(),
        role,
        handlers,
        chunks: Chunks::in_order(order),
        reader,
        writer: Some(writer),
        writing: Vec::new(),
        written: 0,
        haste: Haste::default(),
    };
    (peer, driver.drive())
}

struct Driver<R, W> {
    peer: Peer,
    role: Role,
    handlers: Handlers,
    chunks: Chunks,
    reader: R,
    /// Until nothing further is to be sent.
    writer: Option<W>,
    /// What is being written.
    writing: Vec<u8>,
    // Invariant: written <= writing.len(); the bytes before it have gone.
    written: usize,
    haste: Haste,
}

impl<R: Incoming, W: AsyncWrite + Unpin> Driver<R, W> {
    async fn drive(mut self) -> Ended {
        // Whoever calls hears of the end also if this is dropped.
        let over = Over(self.peer.shared.clone());
        let ended = self.read_and_write().await;
        over.0.declare_over(&ended);
        // There may be answers due to requests that came before.
        let limit = self.peer.shared.limits.last_words;
        let _ = tokio::time::timeout(limit, self.write_last_words()).await;
        ended
    }

    async fn read_and_write(&mut self) -> Ended {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            if let Err(ended) = self.step(&mut bytes).await {
                return ended;
            }
        }
    }

    async fn step(&mut self, bytes: &mut [u8]) -> Result<(), Ended> {
        if self.prepare() {
            self.stop_writing().await;
        }
        let reads = self.reads_on()?;
        tokio::select! {
            written = write(&mut self.writer, &self.writing[self.written..]) => match written {
                Ok(written) => {
                    self.written += written;
                    match self.read_soon(bytes) {
                        Some(read) => self.take(&bytes[..read]),
                        None => Ok(()),
                    }
                }
                Err(error) => Err(self.read_the_rest(bytes, &error).await),
            },
            read = self.reader.read(bytes), if reads => self.take_read(read, bytes),
            () = self.peer.shared.changed.notified() => Ok(()),
        }
    }

    /// Sets somebody to work on what waits for that, and makes ready what there is to be written. Says whether that was all.
    fn prepare(&mut self) -> bool {
        let shared = &self.peer.shared;
        let mut state = shared.state();
        while state.may_begin(&shared.limits)
            && let Some(request) = state.next_in_queue()
        {
            drop(state);
            handle(request, &self.handlers);
            state = shared.state();
        }
        if self.written == self.writing.len() {
            self.written = 0;
            self.writing.clear();
            shared.take_outbox(&mut state, &mut self.writing);
            if self.writer.is_none() {
                // There is nobody to say it to.
                self.writing.clear();
            }
        }
        // Whatever was to be sent was there before that was said.
        state.is_sending_over && self.writing.is_empty()
    }

    /// Says no more. Some writers have not written everything when they say so, and some ends are not closed with one half.
    async fn stop_writing(&mut self) {
        if let Some(mut writer) = self.writer.take() {
            // Whether it was heard is not known anyway.
            let _ = writer.shutdown().await;
        }
    }

    /// Whether to read on, unless it is to end.
    fn reads_on(&self) -> Result<bool, Ended> {
        let (state, limits) = (self.peer.shared.state(), &self.peer.shared.limits);
        if let Some(ended) = &state.is_to_end {
            return Err(ended.clone());
        }
        if state.held_bytes() > limits.held_bytes {
            return Err(Ended::Overrun(limits.held_bytes));
        }
        let is_full = state.queue.len() >= limits.queue || state.queue_bytes >= limits.queue_bytes;
        let is_waited_for = !self.writing.is_empty() || state.calls.len() > 0;
        Ok(is_waited_for || !is_full)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.chunks.push(bytes);
        while let Some(chunk) = self.chunks.next_chunk().map_err(Ended::Unchunked)? {
            let is_request = chunk.direction == Direction::Request;
            match (chunk.direction, chunk.command) {
                (Direction::Response, command) => {
                    let mut state = self.peer.shared.state();
                    state.calls.answer(chunk.id, answer(command, chunk.buffer));
                }
                // Nothing is asked, and nothing is answered.
                (Direction::None, _) => {}
                (_, PING) if is_request => self.peer.respond_at_once(chunk.id, PING, b""),
                (_, PING) => {}
                (_, STOP) if self.role == Role::Plugin => {
                    if is_request {
                        self.peer.respond_at_once(chunk.id, STOP, b"");
                    }
                    return Err(Ended::Stopped);
                }
                _ => ask(&self.peer, &chunk, &self.handlers),
            }
        }
        Ok(())
    }

    /// What comes at once, if that is all that there is to wait for: an answer, or the next request of whoever was answered.
    fn read_soon(&mut self, bytes: &mut [u8]) -> Option<usize> {
        let is_all = {
            let state = self.peer.shared.state();
            state.calls.len() <= 1 && state.at_work == 0
        };
        if !is_all || self.written < self.writing.len() || !self.haste.is_worth_it() {
            return None;
        }
        let read = self.reader.read_soon(bytes);
        self.haste.came_to(read.is_some());
        read
    }

    /// What was read into `bytes`, or why nothing was.
    fn take_read(&mut self, read: std::io::Result<usize>, bytes: &[u8]) -> Result<(), Ended> {
        match read {
            Ok(0) => Err(match self.chunks.unfinished().len() {
                0 => Ended::EndOfFile,
                bytes => Ended::CutOff(bytes),
            }),
            Ok(read) => self.take(&bytes[..read]),
            Err(error) => Err(Ended::Failed(format!("cannot read from the other side: {error}"))),
        }
    }

    /// The other side does not read any more. What it said before may say why.
    async fn read_the_rest(&mut self, bytes: &mut [u8], error: &std::io::Error) -> Ended {
        self.writer = None;
        let limit = self.peer.shared.limits.last_words;
        let reading = async {
            loop {
                let read = self.reader.read(bytes).await;
                if let Err(ended) = self.take_read(read, bytes) {
                    return ended;
                }
            }
        };
        let ended = tokio::time::timeout(limit, reading).await;
        ended.unwrap_or_else(|_| Ended::Failed(format!("cannot write to the other side: {error}")))
    }

    /// Until nobody is at work any more, and nothing is left to be written. Reads nothing.
    async fn write_last_words(&mut self) {
        loop {
            self.prepare();
            let is_idle = {
                let state = self.peer.shared.state();
                state.at_work == 0 && state.queue.is_empty()
            };
            if (is_idle && self.writing.is_empty()) || self.writer.is_none() {
                return self.stop_writing().await;
            }
            tokio::select! {
                written = write(&mut self.writer, &self.writing[self.written..]) => match written {
                    Ok(written) => self.written += written,
                    Err(_) => return,
                },
                () = self.peer.shared.changed.notified() => {}
            }
        }
    }
}

/// Whether to look for what may come at once. Where it does not, looking costs as much as it saves elsewhere, so that is tried
/// the less often, the more often it was in vain.
#[derive(Debug, Default)]
struct Haste {
    in_vain: u32,
    passed_over: u32,
}

/// Once in so many times it is tried at least, as a power of two.
const IN_VAIN_MAX: u32 = 10;

impl Haste {
    fn is_worth_it(&mut self) -> bool {
        self.passed_over += 1;
        self.passed_over >= 1 << self.in_vain
    }

    fn came_to(&mut self, something: bool) {
        self.in_vain = if something { 0 } else { (self.in_vain + 1).min(IN_VAIN_MAX) };
        self.passed_over = 0;
    }
}

/// Writes some of it; never comes to an end while there is nothing to be written, or nowhere to write to.
async fn write(writer: &mut Option<impl AsyncWrite + Unpin>, bytes: &[u8]) -> std::io::Result<usize> {
    match writer {
        Some(writer) if !bytes.is_empty() => match writer.write(bytes).await? {
            0 => Err(std::io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        },
        _ => std::future::pending().await,
    }
}

/// Has somebody do what a chunk asks for, or lets it wait until somebody can.
fn ask(peer: &Peer, chunk: &Chunk<'_>, handlers: &Handlers) {
    let request = Request {
        command: chunk.command.into(),
        buffer: chunk.buffer.to_owned(),
        peer: peer.for_handler(),
        response_due: (chunk.direction == Direction::Request).then_some(chunk.id),
    };
    let mut state = peer.shared.state();
    // Whoever asked before comes first.
    if state.queue.is_empty() && state.may_begin(&peer.shared.limits) {
        drop(state);
        return handle(request, handlers);
    }
    state.queue_bytes += request.bytes();
    state.queue.push_back(request);
}

/// The connection is over when this is dropped.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        if !self.0.is_over() {
            self.0.declare_over(&Ended::Closed);
        }
    }
}
