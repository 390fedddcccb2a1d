//! The words that the suite and a stand-in exchange over a Unix socket, and the descriptors beside them.
//!
//! A stand-in is started where another program should be. It connects, says what it was given ([`Hello`]),
//! and is told what to do ([`Order`]). Both sides block: the stand-in has nothing else to do, the suite
//! calls from a thread of its own. What the words mean is not known here.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::limits::Limits;
use crate::event::Status;

/// The most descriptors that one message carries.
pub const DESCRIPTORS_MAX: usize = 64;

/// The most bytes of one message: a large environment fits, a wild length does not.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The socket's name in the folder where a stand-in finds itself.
pub const SOCKET: &str = "socket";

/// What a stand-in was given when it was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The file name it was started under.
    pub name: String,
    /// Its process id, which the program that it becomes keeps.
    pub pid: i32,
    /// Its arguments, the name first.
    pub argv: Vec<Vec<u8>>,
    /// Its environment, entry by entry, as the kernel holds it.
    pub env: Vec<Vec<u8>>,
    /// Every open descriptor. Those with `handed` came along, in this order.
    pub descriptors: Vec<Descriptor>,
}

/// One open descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What it refers to.
    pub kind: Kind,
    /// It can be read from.
    pub readable: bool,
    /// It can be written to.
    pub writable: bool,
    /// `O_NONBLOCK` is set.
    pub nonblocking: bool,
    /// Device and inode: both ends of one pipe have the same.
    pub identity: (u64, u64),
    /// A copy came with the message.
    pub handed: bool,
    /// The inode of a handed socket's other end, where that was handed too or the system tells.
    #[serde(default)]
    pub peer: Option<u64>,
}

impl Descriptor {
    /// The two are the ends of one pipe, or of one stream.
    pub fn is_other_end_of(&self, other: &Descriptor) -> bool {
        let of_pipe = self.identity == other.identity && self.readable != other.readable;
        of_pipe || (self.handed && self.peer == Some(other.identity.1))
    }
}

/// What a descriptor refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A pipe or a FIFO.
    Pipe,
    /// A local stream, or a socket of which no more is known.
    Socket,
    /// A stream over the network.
    Connection,
    /// A terminal or another character device.
    Device,
    /// A file, a folder, or something else.
    Other,
}

/// What a stand-in is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// Take the descriptors that came along under these numbers, then execute this program in its place.
    Become(Box<Become>),
    /// Close these descriptors, ignore these signals, and await another order.
    Hold {
        /// The numbers to close.
        close: Vec<i32>,
        /// Signals to ignore.
        ignore: Vec<i32>,
    },
    /// Exit with this status.
    Exit(i32),
    /// End by this signal.
    Raise(i32),
    /// Put itself on the lists that came along, those of control groups; answer with an error number, or 0.
    Enter,
    /// Leave for a user and a network namespace of its own, the loopback up; answer with an error number, or 0.
    Separate,
    /// Bind a socket to a free port of the loopback; answer with an error number, or 0 and the socket.
    Bind {
        /// It is for datagrams, and not for a stream.
        datagrams: bool,
    },
    /// Say whether nobody is left but the init.
    Alone,
    /// Ask how the confined program ended, which it has, and answer with the raw status.
    Reap,
}

impl Order {
    /// To end so.
    pub fn end(status: Status) -> Self {
        match status {
            Status::Exited(status) => Order::Exit(status),
            Status::Killed(signal) => Order::Raise(signal),
        }
    }
}

/// What became of an order to become a program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Begun {
    /// A confined program runs. Its pidfd comes along, and that of the init above it.
    Running {
        /// The inode of their process namespace.
        namespace: u64,
    },
    /// The program could not be executed, for this error number.
    NotExecuted(i32),
    /// It could not be confined: what was tried, and the error number.
    NotConfined(String, i32),
}

/// What a program is confined by. Beside a scratch folder it can write to its own, which is one in memory then, with what lay
/// there, to be read, in it. The run's user and network namespaces come after the descriptors that are placed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Confine {
    /// The user and group that it runs as, if not as the suite.
    pub uid: Option<u32>,
    /// Folders that are empty for it, each a file system in memory of its own that it may write to.
    pub scratch: Vec<Vec<u8>>,
    /// Folders that are empty for it, and stay so.
    pub hidden: Vec<Vec<u8>>,
    /// What is shown below them all the same, to be read.
    pub shown: Vec<Vec<u8>>,
    /// The one file of its folder that it may write to, and that so outlives it.
    pub kept: Option<Vec<u8>>,
    /// It gets its standard input as its terminal.
    pub terminal: bool,
    /// The suite, which has to be in time, comes before it, and whoever is just ended too.
    pub gives_way: bool,
    /// What it may use.
    pub limits: Limits,
}

/// The program that a stand-in becomes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Become {
    /// How many descriptors it may have open, if there is a bound, when it is begun anew.
    pub descriptors: Option<u64>,
    /// Where the descriptors that came along are placed, in their order.
    pub place: Vec<i32>,
    /// Close every other descriptor above 2, set default dispositions, and unblock all signals.
    pub clean: bool,
    /// Then ignore these signals, and block them.
    pub deaf_to: Vec<i32>,
    /// Begin a new session, without a terminal.
    pub new_session: bool,
    /// Change to this folder first.
    pub folder: Option<Vec<u8>>,
    /// Confine it; this process stays, above it.
    pub confine: Option<Confine>,
    /// The program's path.
    pub path: Vec<u8>,
    /// Its arguments, the name first.
    pub argv: Vec<Vec<u8>>,
    /// Its environment.
    pub env: Vec<Vec<u8>>,
}

/// Sends one message and the descriptors beside it.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    assert!(descriptors.len() <= DESCRIPTORS_MAX, "a message carries at most {DESCRIPTORS_MAX} descriptors");
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("a message over 4 GiB"))?;
    let bytes = [&length.to_le_bytes()[..], &body].concat();

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = beside.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "the space was made for the most that can come");
    }
    let mut sent = rustix::net::sendmsg(&socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::empty())?;
    while sent < bytes.len() {
        sent += rustix::io::write(&socket, &bytes[sent..])?;
    }
    Ok(())
}

/// Receives one message and the descriptors beside it, closed on exec; `None` when the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut descriptors = Vec::new();
    if !fill(&socket, &mut length, &mut descriptors)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes, at most {MESSAGE_BYTES_MAX} are taken")));
    }
    let mut body = vec![0; length];
    if !fill(&socket, &mut body, &mut descriptors)? {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

fn fill(socket: &impl AsFd, mut buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
    while !buffer.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags =
            if cfg!(target_os = "linux") { RecvFlags::from_bits_retain(CMSG_CLOEXEC) } else { RecvFlags::empty() };
        let got = match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut beside, flags) {
            Ok(message) => message.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(handed) = message {
                for descriptor in handed {
                    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                    descriptors.push(descriptor);
                }
            }
        }
        if got == 0 {
            return Ok(false);
        }
        buffer = &mut buffer[got..];
    }
    Ok(true)
}

/// `MSG_CMSG_CLOEXEC`, which only Linux has.
#[cfg(target_os = "linux")]
const CMSG_CLOEXEC: u32 = libc::MSG_CMSG_CLOEXEC as u32;
#[cfg(not(target_os = "linux"))]
const CMSG_CLOEXEC: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_brings_its_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reader, writer) = os_pipe::pipe().unwrap();
        send(&a, &Order::Exit(3), &[writer.as_fd()]).unwrap();
        drop(writer);
        let (order, mut handed) = receive::<Order>(&b).unwrap().unwrap();
        assert!(matches!(order, Order::Exit(3)));
        std::fs::File::from(handed.pop().unwrap()).write_all(b"through").unwrap();
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "through");
    }

    #[test]
    fn the_other_side_gone_is_no_error() {
        let (a, b) = UnixStream::pair().unwrap();
        drop(a);
        assert!(receive::<Order>(&b).unwrap().is_none());
    }

    #[test]
    fn a_wild_length_is_refused() {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive::<Order>(&b).is_err());
    }
}
