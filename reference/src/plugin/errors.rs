//! What can go wrong with a call, and how a connection can end, in words for whoever wanted something of it.

use std::fmt;
use std::time::Duration;

use crate::codec::chunk::Unchunked;

/// Why a call has no answer, or a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The other side answered that it went wrong, in these words.
    Refused(String),
    /// No answer came in this time. One that comes later is dropped.
    Late(Duration),
    /// It cannot be sent.
    Unsendable(Unchunked),
    /// The connection is over, and why.
    Over(Ended),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Refused(words) => f.write_str(words),
            CallError::Late(time) => write!(f, "expected an answer within {time:?}, and none came"),
            CallError::Unsendable(why) => write!(f, "this cannot be sent: {why}"),
            CallError::Over(ended) => write!(f, "the connection is over: {ended}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The host said so.
    Stopped,
    /// The other side sends nothing any more, after a whole chunk.
    EndOfFile,
    /// The other side's last chunk was cut off; so many bytes of it had come.
    CutOff(usize),
    /// What came cannot be cut into chunks.
    Unchunked(Unchunked),
    /// So much has come that nobody could handle yet, or answer, that this side holds more bytes than it may.
    Overrun(usize),
    /// The host was asked whether it is there, and what came of that.
    PingFailed(String),
    /// The process on the other side is gone, though somebody still holds its ends.
    Gone,
    /// This side ended it.
    Closed,
    /// The system failed, and how.
    Failed(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Stopped => f.write_str("the host stopped it"),
            Ended::EndOfFile => f.write_str("the other side closed it"),
            Ended::CutOff(bytes) => write!(f, "the other side closed it {bytes} bytes after the beginning of a chunk"),
            Ended::Unchunked(why) => why.fmt(f),
            Ended::Overrun(bytes) => write!(f, "more than {bytes} bytes wait to be handled or to be taken"),
            Ended::PingFailed(why) => write!(f, "the host was asked whether it is there: {why}"),
            Ended::Gone => f.write_str("the other side has ended"),
            Ended::Closed => f.write_str("it was closed here"),
            Ended::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Ended {}
