//! What can be seen of a session: one event for each thing that happened, and what many events say together.
//!
//! Facts only: nothing here knows of requirements, of dialects, or of what any of it means. How events are gathered and
//! waited for is in `record`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signal;

/// One observation and its time in microseconds since the session began.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the session began.
    pub at_us: u64,
    /// What was seen.
    #[serde(flatten)]
    pub what: What,
}

/// One observation. Bytes are kept as they came.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum What {
    /// The suite wrote to the parent's terminal or standard input.
    Typed {
        /// What was written.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// The suite closed the parent's standard input.
    InputClosed,
    /// A subject wrote to its terminal, standard output or standard error.
    Shown {
        /// Where it was written.
        stream: Stream,
        /// What was written.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// Nobody can write to this stream any more.
    ShownAll {
        /// Which.
        stream: Stream,
    },
    /// A subject was started.
    Started {
        /// Who.
        who: Who,
        /// Its process id.
        pid: i32,
    },
    /// A child's program could not be executed.
    NotExecuted {
        /// Who.
        who: Who,
        /// The system's reason.
        error: String,
    },
    /// More was said than is kept: from here on the subjects are no longer listened to.
    Flooded,
    /// The suite begins to end what still runs: what ends from here on did not end by itself.
    Finishing,
    /// The suite could not put its tap into the pipes: whatever follows is its own fault.
    TapFailed {
        /// Why.
        error: String,
    },
    /// Somebody who is not the stand-in in the child's place connected to the suite as if it were.
    Posed {
        /// Its process.
        pid: i32,
    },
    /// Bytes passed through a pipe between the two subjects.
    Passed {
        /// Towards whom.
        to: Who,
        /// The child's descriptor that they passed through.
        fd: i32,
        /// The bytes.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// One direction of a pipe came to its end.
    Closed {
        /// Who can read nothing more.
        to: Who,
        /// The child's descriptor.
        fd: i32,
    },
    /// The target got a request.
    Requested(Request),
    /// A target that misbehaves got a whole request.
    Disagreed {
        /// What it does with everybody, in words.
        target: String,
        /// The request's beginning.
        #[serde(with = "crate::escape::as_text")]
        bytes: Vec<u8>,
    },
    /// The suite sent a signal.
    Signalled {
        /// To whom.
        who: Who,
        /// Its number.
        signal: i32,
    },
    /// When a subject ended it had asked, or had not, how a child of its own had.
    Waited {
        /// Who.
        who: Who,
        /// It had, for one at least.
        for_any: bool,
    },
    /// Its parent asked how a subject ended; only then may others learn it.
    Reaped {
        /// Who.
        who: Who,
        /// How it ended, where that can be seen.
        status: Option<Status>,
    },
    /// A case looked at all that stands before, or came to the end of a wait for it.
    Looked,
    /// A case asked something that no other event tells, and got this answer.
    Answered {
        /// What was asked.
        question: String,
        /// The answer.
        answer: serde_json::Value,
    },
    /// A subject ended.
    Ended {
        /// Who.
        who: Who,
        /// How, where that can be seen.
        status: Option<Status>,
    },
}

/// Where a subject's words came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The pseudo terminal.
    Terminal,
    /// Standard output, a pipe.
    Stdout,
    /// Standard error, a pipe.
    Stderr,
}

/// One of the two subjects. A parent may start its child more than once: they are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The parent of the family `watchdog`.
    Watchdog,
    /// Its child with this number.
    Server(usize),
    /// The parent of the family `control`.
    Supervisor,
    /// Its child with this number.
    Service(usize),
    /// The parent of the family `plugin`.
    Host,
    /// Its child with this number.
    Plugin(usize),
    /// Who connects, in the family `sockets`.
    Client,
    /// Whom it connects to, with this number.
    Listener(usize),
}

impl Who {
    /// The one that starts the other, in the family of this one.
    pub fn parent(self) -> Self {
        match self {
            Who::Watchdog | Who::Server(_) => Who::Watchdog,
            Who::Supervisor | Who::Service(_) => Who::Supervisor,
            Who::Host | Who::Plugin(_) => Who::Host,
            Who::Client | Who::Listener(_) => Who::Client,
        }
    }

    /// The one of this number that is started, in the family of this one.
    pub fn child(self, number: usize) -> Self {
        match self {
            Who::Watchdog | Who::Server(_) => Who::Server(number),
            Who::Supervisor | Who::Service(_) => Who::Service(number),
            Who::Host | Who::Plugin(_) => Who::Plugin(number),
            Who::Client | Who::Listener(_) => Who::Listener(number),
        }
    }

    /// The number of a child.
    pub fn number(self) -> Option<usize> {
        match self {
            Who::Watchdog | Who::Supervisor | Who::Host | Who::Client => None,
            Who::Server(number) | Who::Service(number) | Who::Plugin(number) | Who::Listener(number) => Some(number),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Who::Watchdog => "watchdog",
            Who::Server(_) => "server",
            Who::Supervisor => "supervisor",
            Who::Service(_) => "service",
            Who::Host => "host",
            Who::Plugin(_) => "plugin",
            Who::Client => "client",
            Who::Listener(_) => "server",
        })?;
        self.number().filter(|number| *number > 0).map_or(Ok(()), |number| write!(f, " {}", number + 1))
    }
}

/// A request as it reached the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The body's bytes.
    #[serde(with = "crate::escape::as_text")]
    pub body: Vec<u8>,
    /// The status it was answered with.
    pub answered: u16,
}

/// How a process ended: what `wait` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this status.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
}

impl Status {
    /// From the raw value that `wait` stores.
    pub fn from_raw(raw: i32) -> Self {
        if raw & 0x7f == 0 { Status::Exited((raw >> 8) & 0xff) } else { Status::Killed(raw & 0x7f) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Exited(status) => write!(f, "exit status {status}"),
            Status::Killed(signal) => write!(f, "killed by {}", signal::name(*signal)),
        }
    }
}

/// All bytes that went `to` one side through the pipe that the child knows as `fd`.
pub fn passed(events: &[Event], to: Who, fd: i32) -> Vec<u8> {
    let pieces = events.iter().filter_map(|event| match &event.what {
        What::Passed { to: t, fd: f, bytes } if *t == to && *f == fd => Some(bytes.as_slice()),
        _ => None,
    });
    // In memory of just its size, since it may be much.
    pieces.collect::<Vec<_>>().concat()
}

/// All that the subjects showed, in one stream or in all of them.
pub fn shown(events: &[Event], only: Option<Stream>) -> Vec<u8> {
    let pieces = events.iter().filter_map(|event| match &event.what {
        What::Shown { stream, bytes } if only.is_none_or(|o| o == *stream) => Some(bytes.as_slice()),
        _ => None,
    });
    pieces.collect::<Vec<_>>().concat()
}

/// The requests that reached the target, in order.
pub fn requests(events: &[Event]) -> Vec<&Request> {
    events
        .iter()
        .filter_map(|e| match &e.what {
            What::Requested(request) => Some(request),
            _ => None,
        })
        .collect()
}

/// How `who` ended, when it has, and not because the suite ended it.
pub fn ended(events: &[Event], who: Who) -> Option<Option<Status>> {
    let by_itself = events.iter().take_while(|e| !matches!(e.what, What::Finishing));
    by_itself.into_iter().find_map(|e| match &e.what {
        What::Ended { who: w, status } if *w == who => Some(*status),
        _ => None,
    })
}

/// Whether nobody is left who could do anything: every subject that was started has ended, and every stream with them.
pub fn all_over(events: &[Event]) -> bool {
    let (mut started, mut ended, mut streams, mut closed) = (0, 0, Vec::new(), 0);
    for event in events {
        match &event.what {
            What::Started { .. } => started += 1,
            What::Ended { .. } => ended += 1,
            What::Shown { stream, .. } if !streams.contains(stream) => streams.push(*stream),
            What::ShownAll { stream } => {
                closed += 1;
                if !streams.contains(stream) {
                    streams.push(*stream);
                }
            }
            _ => {}
        }
    }
    started > 0 && started == ended && closed > 0 && streams.len() == closed
}

/// The process ids of the children that were started, in order.
pub fn children(events: &[Event]) -> Vec<i32> {
    events
        .iter()
        .filter_map(|e| match e.what {
            What::Started { who, pid } if who.number().is_some() => Some(pid),
            _ => None,
        })
        .collect()
}
