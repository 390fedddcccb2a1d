//! The recorder inside the pipes between parent and child.
//!
//! The stand-in that is started in the child's place hands over the ends that it inherited; a [`Splice`]
//! gives it other ends of the same kind and flags under the same numbers, and copies every byte between the
//! two, end of file and broken pipes included. The hop holds back at most a page and one read. What the
//! bytes mean is not known here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::ends::unblock;
use super::readiness::register;
use super::sockets::{is_socket, pair_like};
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
    let gates = gates(&inherited);
    let mut splice = Splice::default();
    for (one, gate) in inherited.into_iter().zip(gates) {
        splice.insert(one, gate, record, child)?;
    }
    Ok(splice)
}

/// The gate of each end, in their order: the two ends of one have it together.
fn gates(inherited: &[Inherited]) -> Vec<Option<Gate>> {
    let mut gates: Vec<Option<Gate>> = Vec::new();
    for (mine, one) in (1..).zip(inherited) {
        let other = inherited.iter().position(|other| other.like.is_other_end_of(&one.like));
        gates.push(other.map(|other| {
            let claimed = gates.get(other).and_then(|gate| Some(gate.as_ref()?.claimed.clone()));
            Gate { claimed: claimed.unwrap_or_default(), mine }
        }));
    }
    gates
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
    fn insert(&mut self, one: Inherited, gate: Option<Gate>, record: &Arc<Record>, child: Who) -> io::Result<()> {
        let fd = one.numbers[0];
        let (theirs, ours) = match one.like.kind {
            kind @ (Kind::Socket | Kind::Connection) => pair_like(kind)?,
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
        let down = one.like.readable.then(|| {
            let flow = Flow { from: one.end.try_clone()?, into: ours.try_clone()?, gate: gate.clone() };
            flow.run(note(child))
        });
        let up = one.like.writable.then(|| {
            let flow = Flow { from: ours.try_clone()?, into: one.end.try_clone()?, gate: gate.clone() };
            flow.run(note(child.parent()))
        });
        match (down.transpose()?, up.transpose()?) {
            (Some(down), Some(up)) => _ = self.pumps.spawn(both(down, up, ours, one.end)),
            (Some(one), None) | (None, Some(one)) => _ = self.pumps.spawn(one),
            (None, None) => {}
        }
        Ok(())
    }
}

/// What two ends have together of which one is not the child's to use: a parent that closes nothing hands on both. Whoever is
/// first to be written through shows the direction of a pipe, and which end of a stream is the child's.
#[derive(Debug, Clone)]
struct Gate {
    /// Whose it is; 0 while that is undecided.
    claimed: Arc<AtomicU8>,
    mine: u8,
}

impl Gate {
    /// Whether this end is the one; the first that asks is.
    fn admits(&self) -> bool {
        let claimed = self.claimed.compare_exchange(0, self.mine, Ordering::AcqRel, Ordering::Acquire);
        claimed.map_or_else(|by| by == self.mine, |_| true)
    }
}

struct Note {
    record: Arc<Record>,
    to: Who,
    fd: i32,
}

/// One direction of one pipe.
struct Flow {
    from: OwnedFd,
    into: OwnedFd,
    gate: Option<Gate>,
}

impl Flow {
    /// Copies until either end is gone; then the other learns of it.
    fn run(self, note: Note) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (from, into) = (Private::reader(self.from)?, Private::writer(self.into)?);
        Ok(async move {
            let Note { record, to, fd } = note;
            let mut buffer = [0; HOP_BYTES];
            loop {
                let read = tokio::select! {
                    biased;
                    ready = from.end.readable() => {
                        let Ok(mut guard) = ready else { break };
                        if self.gate.as_ref().is_some_and(|gate| !gate.admits()) {
                            // These are bytes that the other end sent: not ours to take.
                            std::future::pending::<()>().await;
                        }
                        match guard.try_io(|_| from.read(&mut buffer)) {
                            Ok(read) => read,
                            Err(_would_block) => continue,
                        }
                    }
                    // Nobody will read what is copied: the writer has to learn it as it would without a tap.
                    _ = into.end.ready(Interest::ERROR) => break,
                };
                let Ok(n @ 1..) = read else {
                    record.push(What::Closed { to, fd });
                    break;
                };
                // Noted before it is passed on, so that a cause stands before its effects.
                if !record.keep(What::Passed { to, fd, bytes: buffer[..n].to_vec() }, n) {
                    std::future::pending::<()>().await;
                }
                if into.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        })
    }
}

/// The two directions of a stream, closed one by one as they end. A child that has no end any more closes nothing but its own: a
/// parent that closes nothing has another.
async fn both(down: impl Future<Output = ()>, up: impl Future<Output = ()>, ours: OwnedFd, real: OwnedFd) {
    tokio::pin!(down, up);
    let close = |from: &OwnedFd, into: &OwnedFd| {
        let _ = shutdown(into, Shutdown::Write);
        let _ = shutdown(from, Shutdown::Read);
    };
    let is_down_first = tokio::select! {
        () = &mut down => true,
        () = &mut up => false,
    };
    if is_gone(&ours) {
        return;
    }
    if is_down_first {
        close(&real, &ours);
        up.await;
        if !is_gone(&ours) {
            close(&ours, &real);
        }
    } else {
        close(&ours, &real);
        down.await;
    }
}

/// Whoever had the other end of this stream has closed it, and not only one direction. Over the network that is not told.
fn is_gone(stream: &OwnedFd) -> bool {
    let mut looked_at = [PollFd::new(stream.as_fd(), PollFlags::empty())];
    let looked = poll(&mut looked_at, PollTimeout::ZERO);
    looked.is_ok() && looked_at[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLHUP))
}

/// An end that does not block in our hands alone. `O_NONBLOCK` belongs to what all copies of a descriptor share, and a
/// watchdog that closes nothing has a copy: a pipe is opened anew where the system can, so that it notices nothing. Of a
/// socket each call says that it must not wait.
struct Private {
    end: AsyncFd<OwnedFd>,
    is_socket: bool,
}

impl Private {
    fn reader(end: OwnedFd) -> io::Result<Self> {
        Self::new(end, OFlags::RDONLY, Interest::READABLE)
    }

    fn writer(end: OwnedFd) -> io::Result<Self> {
        Self::new(end, OFlags::WRONLY, Interest::WRITABLE | Interest::ERROR)
    }

    fn new(end: OwnedFd, access: OFlags, interest: Interest) -> io::Result<Self> {
        let is_socket = is_socket(&end)?;
        let end = if is_socket { end } else { reopened(end, access)? };
        Ok(Private { end: register(end, interest)?, is_socket })
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.end.get_ref();
        match self.is_socket {
            true => Ok(recv(end, buffer, RecvFlags::DONTWAIT)?.0),
            false => Ok(rustix::io::read(end, buffer)?),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.end.get_ref();
        match self.is_socket {
            true => Ok(send(end, bytes, SendFlags::DONTWAIT)?),
            false => Ok(rustix::io::write(end, bytes)?),
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = self.end.async_io(Interest::WRITABLE, |_| self.write(bytes)).await?;
            bytes = &bytes[n..];
        }
        Ok(())
    }
}

fn reopened(pipe: OwnedFd, access: OFlags) -> io::Result<OwnedFd> {
    if cfg!(target_os = "linux") {
        let again = format!("/proc/self/fd/{}", pipe.as_raw_fd());
        let opened = rustix::fs::open(again, access | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        // A pipe that nobody reads any more cannot be opened for writing; then nobody is disturbed either.
        if let Ok(opened) = opened {
            return Ok(opened);
        }
    }
    unblock(&pipe)?;
    Ok(pipe)
}
