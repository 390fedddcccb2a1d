//! The recorder inside the pipes between parent and child.
//!
//! The stand-in that is started in the child's place hands over the ends that it inherited; a [`Splice`]
//! gives it other ends of the same kind and flags under the same numbers, and copies every byte between the
//! two, end of file and broken pipes included. The hop holds back at most a page and one read. What the
//! bytes mean is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::readiness::register;
use super::terminal::unblock;
use crate::event::{What, Who};
use crate::record::Record;
use crate::subject::handover::{Descriptor, Hello, Kind};

/// How much the hop takes at a time, and how much the pipe that it adds holds.
const HOP_BYTES: usize = 4096;

/// The ends for the child, and the copying that goes on until this is dropped.
#[derive(Debug, Default)]
pub struct Splice {
    /// The numbers under which the child expects them.
    pub place: Vec<i32>,
    /// The ends, in the same order.
    pub ends: Vec<OwnedFd>,
    /// One task for each direction.
    pub pumps: JoinSet<()>,
}

/// One end that the child inherited, perhaps under several numbers.
struct Inherited {
    numbers: Vec<i32>,
    like: Descriptor,
    end: OwnedFd,
}

/// Puts the suite between this child and its parent. Ends whose identity is in `own` are the suite's: they stay as they are.
pub fn splice(
    hello: &Hello,
    handed: Vec<OwnedFd>,
    own: &[(u64, u64)],
    record: &Arc<Record>,
    child: Who,
) -> io::Result<Splice> {
    let inherited = group(hello, handed, own);
    let mut splice = Splice::default();
    // A parent that closes nothing hands on both ends of a pipe: whoever writes first shows its direction.
    let gates: Vec<((u64, u64), Arc<AtomicU8>)> = inherited
        .iter()
        .filter(|one| {
            inherited.iter().any(|o| o.like.identity == one.like.identity && o.like.readable != one.like.readable)
        })
        .map(|one| (one.like.identity, Arc::default()))
        .fold(Vec::new(), |mut all, gate| {
            if !all.iter().any(|(identity, _)| *identity == gate.0) {
                all.push(gate);
            }
            all
        });
    for one in inherited {
        let gate = gates.iter().find(|(identity, _)| *identity == one.like.identity).map(|(_, gate)| gate.clone());
        splice.insert(one, gate, record, child)?;
    }
    Ok(splice)
}

fn group(hello: &Hello, handed: Vec<OwnedFd>, own: &[(u64, u64)]) -> Vec<Inherited> {
    let mut groups: Vec<Inherited> = Vec::new();
    for (like, end) in hello.descriptors.iter().filter(|d| d.handed).zip(handed) {
        // A FIFO that was opened for both directions has no direction that could be followed.
        if own.contains(&like.identity) || (like.kind == Kind::Pipe && like.readable && like.writable) {
            continue;
        }
        let same = |g: &&mut Inherited| {
            g.like.identity == like.identity && (g.like.readable, g.like.writable) == (like.readable, like.writable)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.numbers.push(like.number),
            None => groups.push(Inherited { numbers: vec![like.number], like: like.clone(), end }),
        }
    }
    groups
}

impl Splice {
    fn insert(
        &mut self,
        one: Inherited,
        gate: Option<Arc<AtomicU8>>,
        record: &Arc<Record>,
        child: Who,
    ) -> io::Result<()> {
        let fd = one.numbers[0];
        let (theirs, ours) = match one.like.kind {
            Kind::Socket => {
                let (theirs, ours) = UnixStream::pair()?;
                (theirs.into(), ours.into())
            }
            _ => {
                let (reader, writer) = os_pipe::pipe()?;
                let (reader, writer) = (OwnedFd::from(reader), OwnedFd::from(writer));
                #[cfg(target_os = "linux")]
                rustix::pipe::fcntl_setpipe_size(&writer, HOP_BYTES)?;
                if one.like.readable { (reader, writer) } else { (writer, reader) }
            }
        };
        if one.like.nonblocking {
            unblock(&theirs)?;
        }
        for &number in &one.numbers {
            self.place.push(number);
            self.ends.push(theirs.try_clone()?);
        }
        let note = |to| Note { record: record.clone(), to, fd };
        if one.like.readable {
            let flow = Flow { from: one.end.try_clone()?, into: ours.try_clone()?, gate: gate.clone(), mine: TO_CHILD };
            self.pumps.spawn(flow.run(note(child))?);
        }
        if one.like.writable {
            let flow = Flow { from: ours, into: one.end, gate, mine: TO_PARENT };
            self.pumps.spawn(flow.run(note(child.parent()))?);
        }
        Ok(())
    }
}

/// A gate's states: undecided is 0.
const TO_CHILD: u8 = 1;
const TO_PARENT: u8 = 2;

struct Note {
    record: Arc<Record>,
    to: Who,
    fd: i32,
}

/// One direction of one pipe.
struct Flow {
    from: OwnedFd,
    into: OwnedFd,
    gate: Option<Arc<AtomicU8>>,
    mine: u8,
}

impl Flow {
    /// Copies until either end is gone; then the other learns of it.
    fn run(self, note: Note) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let from = register(private(self.from, OFlags::RDONLY)?, Interest::READABLE)?;
        let into = register(private(self.into, OFlags::WRONLY)?, Interest::WRITABLE | Interest::ERROR)?;
        Ok(async move {
            let Note { record, to, fd } = note;
            let mut buffer = [0; HOP_BYTES];
            loop {
                let read = tokio::select! {
                    biased;
                    ready = from.readable() => {
                        let Ok(mut guard) = ready else { break };
                        if self.gate.as_ref().is_some_and(|g| !claims(g, self.mine)) {
                            // These are bytes that the other direction wrote: not ours to take.
                            std::future::pending::<()>().await;
                        }
                        match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) {
                            Ok(read) => read,
                            Err(_would_block) => continue,
                        }
                    }
                    // Nobody will read what is copied: the writer has to learn it as it would without a tap.
                    _ = into.ready(Interest::ERROR) => break,
                };
                let Ok(n @ 1..) = read else {
                    record.push(What::Closed { to, fd });
                    break;
                };
                // Noted before it is passed on, so that a cause stands before its effects.
                if !record.keep(What::Passed { to, fd, bytes: buffer[..n].to_vec() }, n) {
                    std::future::pending::<()>().await;
                }
                if write_all(&into, &buffer[..n]).await.is_err() {
                    break;
                }
            }
            // Pipes close with the drop; the two directions of a socket are closed one by one.
            let _ = shutdown(into.get_ref(), Shutdown::Write);
            let _ = shutdown(from.get_ref(), Shutdown::Read);
        })
    }
}

/// The same end, made not to block for us alone. `O_NONBLOCK` belongs to what all copies of a descriptor share, and a
/// watchdog that closes nothing has a copy: a pipe is opened anew where the system can, so that it notices nothing.
/// The ends of sockets that are handed to a server are nobody else's to read or write.
fn private(end: OwnedFd, access: OFlags) -> io::Result<OwnedFd> {
    let is_pipe = FileType::from_raw_mode(rustix::fs::fstat(&end)?.st_mode) == FileType::Fifo;
    if cfg!(target_os = "linux") && is_pipe {
        let again = format!("/proc/self/fd/{}", end.as_raw_fd());
        let opened = rustix::fs::open(again, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        // A pipe that nobody reads any more cannot be opened for writing; then nobody is disturbed either.
        if let Ok(opened) = opened {
            return Ok(opened);
        }
    }
    unblock(&end)?;
    Ok(end)
}

/// Whether this direction is the one that the pipe has: the first to speak decides.
fn claims(gate: &AtomicU8, mine: u8) -> bool {
    gate.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Acquire).map_or_else(|taken| taken == mine, |_| true)
}

async fn write_all(into: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = into.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd.as_fd(), bytes)?)).await?;
        bytes = &bytes[n..];
    }
    Ok(())
}
