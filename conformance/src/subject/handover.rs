//! The words that the suite and a stand-in exchange, and in `handover/socket` the Unix socket that they go over.
//!
//! A stand-in is started where another program should be. It connects, says what it was given ([`Hello`]),
//! and is told what to do ([`Order`]). What the words mean is not known here.

use serde::{Deserialize, Serialize};

use super::limits::Limits;
use crate::event::Status;

#[cfg(unix)]
mod socket;

#[cfg(unix)]
pub use socket::{DESCRIPTORS_MAX, SOCKET, receive, send};

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
