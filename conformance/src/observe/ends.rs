//! The suite's own ends of pipes and terminals: what is written to a subject, and what is read of it.
//!
//! Reading is by events, so that a line is seen when it is there, and in bytes. What is read goes to the record; nothing is
//! interpreted. What an end is to the system only the twins know.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use super::process;
use crate::event::{Stream, What, Who};
use crate::forks;
use crate::record::Record;

#[cfg(unix)]
#[path = "ends/unix.rs"]
mod system;
#[cfg(windows)]
#[path = "ends/windows.rs"]
mod system;

#[cfg(unix)]
pub use system::unblock;
pub use system::{End, pipe, stuff, told};
use system::{Open, is_hang_up};

/// Which end of a pipe is the suite's; the other one is a subject's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// What comes out of it.
    Reader,
    /// What goes into it.
    Writer,
}

/// Nobody is there any more who could read what was to be written.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) || is_hang_up(error)
}

/// One end of a pipe or terminal that is written to as far as it takes.
#[derive(Debug)]
pub struct Input {
    end: Open,
    /// The other end, if this is a connection of the network, is in that of this process.
    network_of: i32,
}

impl Input {
    /// Takes the end over; it no longer blocks. If it is a connection of the network, the suite made both ends.
    pub fn new(end: End) -> io::Result<Self> {
        Self::toward(std::process::id().cast_signed(), end)
    }

    /// The same for one whose other end this process has.
    pub fn toward(process: i32, end: End) -> io::Result<Self> {
        Ok(Input { end: Open::to_write(end)?, network_of: process })
    }

    /// Writes all of it.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = &bytes[self.write_some(bytes).await?..];
        }
        Ok(())
    }

    /// Writes what is taken next, once anything is, and says how much that was.
    pub async fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        self.end.write_some(bytes).await
    }

    /// Writes as long as anything is taken, and says how much was. Full is what takes nothing while its reader, the process
    /// of this id, sleeps: a reader may wait for its turn, and so may we. It gives up on one that never sleeps.
    pub async fn fill(&self, bytes: &[u8], reader: i32, patience: Duration) -> usize {
        let (begun, pause) = (Instant::now(), patience / 20);
        let mut taken = 0;
        while taken < bytes.len() {
            match tokio::time::timeout(pause, self.write_some(&bytes[taken..])).await {
                Ok(Ok(more)) => taken += more,
                Ok(Err(_)) => break,
                Err(_) => {
                    let sleeps = process::asleep(reader, Instant::now() + pause).await;
                    match self.end.try_write(&bytes[taken..]) {
                        Ok(more) => taken += more,
                        Err(error)
                            if error.kind() == io::ErrorKind::WouldBlock && !sleeps && begun.elapsed() < patience => {}
                        Err(_) => break,
                    }
                }
            }
        }
        taken
    }

    /// Writes parts so that each is read apart: a part is written when the one before has been read to its last byte,
    /// however many reads that took. (Packet pipes would do it too, and lose what a short read leaves of a packet.)
    pub async fn write_apart<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<()> {
        for part in parts {
            self.write_all(part).await?;
            self.end.all_read(self.network_of).await?;
        }
        Ok(())
    }

    /// Whether, and for a pipe how much, of what was written has not been read.
    #[cfg(unix)]
    pub fn unread(&self) -> io::Result<u64> {
        self.end.unread(self.network_of)
    }
}

/// What notes all that comes out of an end.
#[derive(Debug)]
pub struct Reader {
    /// It is over when the end is closed on the other side.
    pub reading: JoinHandle<()>,
    /// It stays open when the reading is over, or aborted.
    end: Arc<Open>,
}

impl Reader {
    /// Notes what comes as `said` has it, and then that it is over.
    fn start(
        record: Arc<Record>,
        end: End,
        said: impl Fn(Vec<u8>) -> What + Send + 'static,
        over: What,
    ) -> io::Result<Self> {
        let end = Arc::new(Open::to_read(end)?);
        Ok(Reader { reading: tokio::spawn(read(record, end.clone(), said, over)), end })
    }

    /// Reads again what passes, after the reading was aborted.
    pub fn resume(&mut self, record: Arc<Record>, to: Who, fd: i32) {
        let said = move |bytes| What::Passed { to, fd, bytes };
        self.reading = tokio::spawn(read(record, self.end.clone(), said, What::Closed { to, fd }));
    }

    /// How many bytes there are to be read.
    #[cfg(unix)]
    pub fn waiting(&self) -> io::Result<u64> {
        self.end.waiting()
    }

    /// Nobody can write to it any more, be that noted yet or not.
    pub fn is_over(&self) -> bool {
        self.end.is_hung_up()
    }

    /// Closes the end: whoever writes to it from now on finds it broken.
    pub async fn close(self) {
        self.reading.abort();
        // It holds the end as well, until it is gone.
        let _ = self.reading.await;
        forks::close(self.end);
    }
}

async fn read(record: Arc<Record>, end: Arc<Open>, said: impl Fn(Vec<u8>) -> What + Send, over: What) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = end.read(&mut buffer).await {
        if !record.keep(said(buffer[..n].to_vec()), n) {
            std::future::pending::<()>().await;
        }
    }
    record.push(over);
}

/// Reads an end until it is closed, and notes what comes. A terminal whose other side is gone says EIO.
pub fn read_into(record: Arc<Record>, end: End, stream: Stream) -> io::Result<Reader> {
    Reader::start(record, end, move |bytes| What::Shown { stream, bytes }, What::ShownAll { stream })
}

/// What a program without a terminal has in its place: three pipes.
pub struct Standard {
    /// What is typed.
    pub input: Input,
    /// What notes whatever it shows.
    pub readers: Vec<Reader>,
    /// Its own ends: standard input, output and error.
    pub its: [End; 3],
}

/// Makes them, and reads from here on what comes out of two.
pub fn standard(record: &Arc<Record>) -> io::Result<Standard> {
    let (stdin, writer) = pipe(Ours::Writer)?;
    let (out, stdout) = pipe(Ours::Reader)?;
    let (err, stderr) = pipe(Ours::Reader)?;
    let readers =
        vec![read_into(record.clone(), out, Stream::Stdout)?, read_into(record.clone(), err, Stream::Stderr)?];
    Ok(Standard { input: Input::new(writer)?, readers, its: [stdin, stdout, stderr] })
}

/// Reads an end of a pipe towards a subject until it is closed, and notes what passes.
pub fn read_passing(record: Arc<Record>, end: End, to: Who, fd: i32) -> io::Result<Reader> {
    Reader::start(record, end, move |bytes| What::Passed { to, fd, bytes }, What::Closed { to, fd })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_was_written_has_been_read_when_all_of_it_was() {
        let (read, write) = pipe(Ours::Writer).unwrap();
        let (input, mut read) = (Input::new(write).unwrap(), File::from(read));
        input.write_all(b"abc").await.unwrap();
        let all_read = input.write_apart([&b""[..]]);
        tokio::pin!(all_read);
        read.read_exact(&mut [0; 2]).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut all_read).await.is_err(), "a byte is left");
        read.read_exact(&mut [0]).unwrap();
        tokio::time::timeout(LONG, all_read).await.unwrap().unwrap();
        drop(read);
        // The system may take something over that nobody will read.
        let gone = async { while input.write_all(b"d").await.is_ok() {} };
        tokio::time::timeout(LONG, gone).await.unwrap();
    }

    #[tokio::test]
    async fn into_a_full_pipe_goes_nothing_more_before_it_is_read() {
        let (read, write) = pipe(Ours::Reader).unwrap();
        let stood = stuff(&read, &write).unwrap();
        let mut write = File::from(write);
        let writing = std::thread::spawn(move || write.write_all(b"x").unwrap());
        let record = Arc::new(Record::default());
        let reader = read_into(record.clone(), read, Stream::Stdout).unwrap();
        tokio::time::timeout(LONG, reader.reading).await.unwrap().unwrap();
        writing.join().unwrap();
        let shown = record.look(|events| crate::event::shown(events, None));
        assert_eq!((shown.len(), shown.last()), (stood + 1, Some(&b'x')));
    }

    #[tokio::test]
    async fn whoever_closes_his_end_is_known_to_be_gone() {
        let (read, write) = pipe(Ours::Reader).unwrap();
        let reader = read_into(Arc::new(Record::default()), read, Stream::Stdout).unwrap();
        assert!(!reader.is_over());
        drop(write);
        assert!(reader.is_over());
        reader.close().await;
    }
}
