//! One-way pipes where reading and writing cannot wait together, as on Windows, or need not: a thread for each.
//!
//! What they bring goes into one channel, which is what the event loop there waits for. The reading thread reads only
//! when it was allowed to, so what has not been worked on stays in the pipe. It knows bytes, not messages.

use std::io::{Read, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread;

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// What a pipe has to tell.
#[derive(Debug)]
pub enum News {
    /// These bytes came.
    Bytes(Vec<u8>),
    /// Nothing will come any more.
    End,
    /// This many bytes have been taken over by the system.
    Sent(usize),
    /// Nobody reads at the other end any more.
    Broken,
}

/// A thread that reads. Dropping it stops the thread at its next chance.
#[derive(Debug)]
pub struct Reader {
    allow: Sender<()>,
    allowed: bool,
}

impl Reader {
    /// Reads from `source` whenever it is allowed to, and hands on what came as `wrap` says.
    pub fn start<Event: Send + 'static>(
        mut source: impl Read + Send + 'static,
        events: Sender<Event>,
        wrap: impl Fn(News) -> Event + Send + 'static,
    ) -> Self {
        let (allow, permits) = channel();
        thread::spawn(move || {
            let mut bytes = vec![0; READ_BYTES];
            while permits.recv().is_ok() {
                // An error means the same as the end: nothing will come.
                let news = match source.read(&mut bytes) {
                    Ok(count @ 1..) => News::Bytes(bytes[..count].to_vec()),
                    Ok(0) | Err(_) => News::End,
                };
                let last = matches!(news, News::End);
                if events.send(wrap(news)).is_err() || last {
                    return;
                }
            }
        });
        Self { allow, allowed: false }
    }

    /// Lets it read once, unless it is reading already.
    pub fn allow(&mut self) {
        if !self.allowed {
            self.allowed = true;
            // After the end there is no thread to allow anything to.
            let _ = self.allow.send(());
        }
    }

    /// To be called when bytes came: the permit has been used.
    pub fn used(&mut self) {
        self.allowed = false;
    }
}

/// A thread that writes. Dropping it closes the pipe, after what was put into it before.
#[derive(Debug)]
pub struct Writer {
    bytes: Sender<Vec<u8>>,
    unsent_bytes: usize,
}

impl Writer {
    /// Writes to `target` and tells of it as `wrap` says.
    pub fn start<Event: Send + 'static>(
        mut target: impl Write + Send + 'static,
        events: Sender<Event>,
        wrap: impl Fn(News) -> Event + Send + 'static,
    ) -> Self {
        let (bytes, waiting) = channel::<Vec<u8>>();
        thread::spawn(move || {
            for bytes in waiting {
                let sent = target.write_all(&bytes).and_then(|()| target.flush());
                let news = if sent.is_ok() { News::Sent(bytes.len()) } else { News::Broken };
                if events.send(wrap(news)).is_err() || sent.is_err() {
                    return;
                }
            }
        });
        Self { bytes, unsent_bytes: 0 }
    }

    /// Has these bytes written after those before.
    pub fn put(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.unsent_bytes += bytes.len();
            // A thread that has met a broken pipe has told of it, and takes nothing more.
            let _ = self.bytes.send(bytes);
        }
    }

    /// To be called when the thread tells of bytes that were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.unsent_bytes -= bytes;
    }

    /// How many bytes are waiting to be sent.
    pub fn unsent_bytes(&self) -> usize {
        self.unsent_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::sync::mpsc::Receiver;
    use std::time::Duration;

    fn next(events: &Receiver<News>) -> News {
        events.recv_timeout(Duration::from_secs(60)).expect("news")
    }

    #[cfg(unix)]
    use std::os::fd::OwnedFd as Owned;
    #[cfg(windows)]
    use std::os::windows::io::OwnedHandle as Owned;

    fn file(end: impl Into<Owned>) -> File {
        File::from(end.into())
    }

    #[test]
    fn bytes_come_only_when_they_are_allowed_to_and_then_the_end() {
        let (source, target) = os_pipe::pipe().expect("pipe");
        let (sender, events) = channel();
        let mut writer = Writer::start(file(target), sender.clone(), |news| news);
        writer.put(b"12".to_vec());
        assert_eq!(writer.unsent_bytes(), 2);
        let News::Sent(count) = next(&events) else { panic!("something was sent") };
        writer.sent(count);
        assert_eq!(writer.unsent_bytes(), 0);

        let mut reader = Reader::start(source, sender, |news| news);
        reader.allow();
        reader.allow();
        assert!(matches!(next(&events), News::Bytes(bytes) if bytes == b"12"));
        reader.used();
        drop(writer);
        reader.allow();
        assert!(matches!(next(&events), News::End));
    }

    #[test]
    fn a_broken_pipe_is_told_of() {
        let (source, target) = os_pipe::pipe().expect("pipe");
        let (sender, events) = channel();
        drop(source);
        Writer::start(file(target), sender, |news| news).put(b"x".to_vec());
        assert!(matches!(next(&events), News::Broken));
    }
}
