//! Targets that misbehave below HTTP: what a well-behaved server library cannot be made to do.
//!
//! Each is one listener that treats every connection alike. Of the session it knows only where to note what arrived; what
//! that says is of no interest. Until it is released it does nothing: so what a subject says before that is not about how it
//! behaves.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::target::listen;
use crate::event::What;
use crate::record::Record;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nobody listens.
    Refuses,
    /// The request is read and never answered; the connection stays.
    Silent,
    /// The request is read, then the connection is reset.
    Resets,
    /// The connection is closed in order without an answer.
    Closes,
    /// The answer ends in the middle of its body.
    Truncates,
    /// The answer is not HTTP.
    Garbage,
    /// A whole answer; each needs a release of its own.
    Waits,
    /// The sending direction is closed without an answer; what comes is still read.
    HalfCloses,
    /// The answer comes one byte at a time, and its second half needs a release of its own.
    Drips,
    /// The answer comes in chunks.
    Chunks,
    /// The answer's length is not told: it ends with the connection.
    Unmeasured,
    /// An interim answer comes before the answer.
    Interim,
    /// The answer names another place.
    Redirects,
    /// The answer's header goes on and on.
    EndlessHeader,
    /// The answer's body goes on and on.
    EndlessBody,
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Manner::Refuses => "does not listen",
            Manner::Silent => "never answers",
            Manner::Resets => "resets the connection",
            Manner::Closes => "closes the connection without an answer",
            Manner::Truncates => "answers with a body that ends in the middle",
            Manner::Garbage => "answers with what is not HTTP",
            Manner::Waits => "answers late",
            Manner::HalfCloses => "closes its sending direction without an answer",
            Manner::Drips => "answers one byte at a time",
            Manner::Chunks => "answers in chunks",
            Manner::Unmeasured => "answers without telling a length",
            Manner::Interim => "gives an interim answer first",
            Manner::Redirects => "answers with another place",
            Manner::EndlessHeader => "answers with a header without end",
            Manner::EndlessBody => "answers with a body without end",
        })
    }
}

/// What happened at a connection.
#[derive(Debug)]
enum Arrival {
    /// A whole request, of which this is the beginning.
    Request(Vec<u8>),
    /// The first half of an answer has been sent.
    HalfAnswered,
}

/// So much of a request is noted.
const NOTED_BYTES: usize = 4096;

/// So many arrivals wait for a case to look: far more than any makes happen.
const ARRIVALS_MAX: usize = 64;

/// A misbehaving endpoint, until it is dropped.
#[derive(Debug)]
pub struct Rogue {
    manner: Manner,
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
    release: Arc<Semaphore>,
    notes: Arc<Record>,
    /// Keeps the port: bound, and for `Refuses` not listening.
    _held: Option<OwnedFd>,
    _serving: JoinSet<()>,
}

impl Rogue {
    /// The body of an answer that was released.
    pub const LATE: &str = "an-answer-that-came-late";

    /// Starts one on the socket that `bind` binds, and notes where. In the notes of another run it is where it was then, and
    /// nobody listens.
    pub fn start(manner: Manner, notes: &Arc<Record>, bind: impl FnOnce() -> io::Result<OwnedFd>) -> io::Result<Self> {
        let mut started = None;
        let address = notes.answer("a target that misbehaves", || {
            let rogue = bind().and_then(|bound| Self::on(bound, manner, notes.clone()));
            let rogue = rogue.map_err(|error| error.to_string())?;
            Ok::<_, String>(started.insert(rogue).address)
        });
        let address = address.map_err(io::Error::other)?;
        let (arrivals, release) = (mpsc::channel(1).1, Arc::new(Semaphore::new(0)));
        let (held, serving) = (None, JoinSet::new());
        let past =
            || Rogue { manner, address, arrivals, release, notes: notes.clone(), _held: held, _serving: serving };
        Ok(started.unwrap_or_else(past))
    }

    fn on(bound: OwnedFd, manner: Manner, notes: Arc<Record>) -> io::Result<Self> {
        let address = SocketAddr::try_from(rustix::net::getsockname(&bound)?)?;
        let (arrived, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let release = Arc::new(Semaphore::new(0));
        let mut serving = JoinSet::new();
        let held = if manner == Manner::Refuses {
            Some(bound)
        } else {
            let listener = TcpListener::from_std(listen(bound)?)?;
            serving.spawn(serve(listener, manner, arrived, release.clone()));
            None
        };
        Ok(Rogue { manner, address, arrivals, release, notes, _held: held, _serving: serving })
    }

    /// Its address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where to send requests.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lets it behave as it does, once for those that need a release each.
    pub fn release(&self) {
        self.release.add_permits(1);
    }

    /// Whether a request has arrived that nobody waited for; it is noted in the session's record.
    pub fn has_arrived(&mut self, session: &Record) -> bool {
        let (arrivals, manner) = (&mut self.arrivals, self.manner);
        let live = || arrivals.try_recv().is_ok_and(|arrival| noted(session, manner, arrival));
        self.notes.answer("another request has arrived", live)
    }

    /// Whether another request arrives in time, or the first half of an answer has been sent; a request is noted in the
    /// session's record.
    pub async fn arrived(&mut self, session: &Record, patience: Duration) -> bool {
        let arrived = tokio::time::timeout(patience, self.arrivals.recv());
        let live = async {
            match arrived.await {
                Ok(Some(arrival)) => noted(session, self.manner, arrival),
                _ => false,
            }
        };
        let arrived = self.notes.ask("a request arrives", live).await;
        if !arrived {
            self.notes.run_out();
        }
        arrived
    }
}

/// Notes what arrived, and that something did.
fn noted(session: &Record, manner: Manner, arrival: Arrival) -> bool {
    if let Arrival::Request(bytes) = arrival {
        session.push(What::Disagreed { target: manner.to_string(), bytes });
    }
    true
}

async fn serve(listener: TcpListener, manner: Manner, arrived: mpsc::Sender<Arrival>, release: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(treat(stream, manner, arrived.clone(), release.clone()));
    }
}

async fn treat(
    mut stream: TcpStream,
    manner: Manner,
    arrived: mpsc::Sender<Arrival>,
    release: Arc<Semaphore>,
) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    // All of it, body included: what is left unread would turn an end in order into a reset.
    let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let end = head.windows(4).position(|w| w == b"\r\n\r\n").map_or(head.len(), |at| at + 4);
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let mut left = length.unwrap_or(0).saturating_sub(head.len() - end);
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => left = left.saturating_sub(n),
        }
    }
    let noted = head[..head.len().min(NOTED_BYTES)].to_vec();
    drop(head);
    // Whoever no longer listens for arrivals does not mind, nor does a case to which too many come.
    let _ = arrived.try_send(Arrival::Request(noted));
    if manner == Manner::Silent {
        while stream.read(&mut buffer).await? > 0 {}
        return Ok(());
    }
    // Nobody ever closes it. A request that is made again is treated as it was before.
    let released = async || release.acquire().await.map_err(io::Error::other);
    let permit = released().await?;
    if matches!(manner, Manner::Waits | Manner::Drips) {
        permit.forget();
    }
    match manner {
        Manner::Refuses | Manner::Silent | Manner::Closes => {}
        Manner::Resets => stream.set_zero_linger()?,
        Manner::Truncates => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this").await?,
        Manner::Waits => stream.write_all(answer().as_bytes()).await?,
        Manner::HalfCloses => {
            stream.shutdown().await?;
            while stream.read(&mut buffer).await? > 0 {}
        }
        Manner::Drips => {
            stream.set_nodelay(true)?;
            let answer = answer();
            let (head, body) = answer.split_at(answer.len() - Rogue::LATE.len() / 2);
            let first = drip(&mut stream, head).await;
            // Also to somebody who has hung up.
            let _ = arrived.try_send(Arrival::HalfAnswered);
            first?;
            released().await?.forget();
            drip(&mut stream, body).await?;
        }
        Manner::Chunks => {
            let (head, tail) = Rogue::LATE.split_at(5);
            let (first, last) = (head.len(), tail.len());
            let chunks = format!("{first:x}\r\n{head}\r\n{last:x};extension=1\r\n{tail}\r\n0\r\n\r\n");
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            stream.write_all(answer.as_bytes()).await?;
        }
        Manner::Unmeasured => {
            let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", Rogue::LATE);
            stream.write_all(answer.as_bytes()).await?;
        }
        Manner::Interim => {
            stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await?;
            stream.write_all(answer().as_bytes()).await?;
        }
        Manner::Redirects => {
            let head = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
        }
        Manner::EndlessHeader => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            endless(&mut stream, b"X-Filler: on and on\r\n").await?;
        }
        Manner::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            endless(&mut stream, b"on and on\n").await?;
        }
        Manner::Garbage => stream.write_all(b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n").await?,
    }
    Ok(())
}

async fn drip(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    for byte in text.as_bytes() {
        stream.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// The answer of those that give one.
fn answer() -> String {
    let (length, body) = (Rogue::LATE.len(), Rogue::LATE);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// Far more than anyone should take, and no more than a machine bears whose subject takes it all; then silence.
async fn endless(stream: &mut TcpStream, piece: &[u8]) -> io::Result<()> {
    const BYTES: usize = 32 << 20;
    let many = piece.repeat(4096);
    for _ in 0..BYTES / many.len() {
        stream.write_all(&many).await?;
    }
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
