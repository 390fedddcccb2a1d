//! Targets that misbehave below HTTP: what a well-behaved server library cannot be made to do.
//!
//! Each is one listener on a free port of 127.0.0.1 that treats every connection alike. It knows nothing of
//! the session; what arrives is of no interest, only that something did.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

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
    /// The answer comes when it is released.
    Waits,
}

/// A misbehaving endpoint, until it is dropped.
#[derive(Debug)]
pub struct Rogue {
    address: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<()>,
    release: Arc<Notify>,
    /// Keeps the port: bound, and for `Refuses` not listening.
    _held: Option<TcpSocket>,
    _serving: JoinSet<()>,
}

impl Rogue {
    /// The body of an answer that was released.
    pub const LATE: &str = "an-answer-that-came-late";

    /// Starts one.
    pub fn start(manner: Manner) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let mut serving = JoinSet::new();
        let held = if manner == Manner::Refuses {
            Some(socket)
        } else {
            serving.spawn(serve(socket.listen(64)?, manner, arrived, release.clone()));
            None
        };
        Ok(Rogue { address, arrivals, release, _held: held, _serving: serving })
    }

    /// Where to send requests.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lets one waiting request have its answer.
    pub fn release(&self) {
        self.release.notify_one();
    }

    /// Returns once another request has arrived.
    pub async fn arrived(&mut self) -> Option<()> {
        self.arrivals.recv().await
    }
}

async fn serve(listener: TcpListener, manner: Manner, arrived: mpsc::UnboundedSender<()>, release: Arc<Notify>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(treat(stream, manner, arrived.clone(), release.clone()));
    }
}

async fn treat(
    mut stream: TcpStream,
    manner: Manner,
    arrived: mpsc::UnboundedSender<()>,
    release: Arc<Notify>,
) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    // Whoever no longer listens for arrivals does not mind.
    let _ = arrived.send(());
    match manner {
        Manner::Refuses | Manner::Closes => {}
        Manner::Silent => while stream.read(&mut buffer).await? > 0 {},
        Manner::Resets => stream.set_zero_linger()?,
        Manner::Truncates => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this").await?,
        Manner::Waits => {
            release.notified().await;
            let (length, body) = (Rogue::LATE.len(), Rogue::LATE);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await?;
        }
        Manner::Garbage => stream.write_all(b"\x00\x01\x02 this is not HTTP \xff\xfe\r\n\r\n").await?,
    }
    Ok(())
}
