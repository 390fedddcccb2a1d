//! Why a message can never be understood, said so that whoever sent it knows what would have been right.
//!
//! That a message has not arrived whole is not among these reasons: see [`super::delimited::NeedsMore`].

use std::fmt;

use super::op_frame::Op;
use super::payload::Syntax;

/// Why a message can never be understood, however many bytes may follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// There is nothing before the end symbol.
    Empty,
    /// A datagram does not hold exactly one message.
    NotOne,
    /// The message outgrew the limit.
    TooLong {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// No request has this op byte.
    UnknownOp(Op),
    /// The payload is not an object in the format's syntax.
    Syntax(Syntax),
    /// A field that this message needs is not there.
    Missing(&'static str),
    /// A field stands there twice, so that it is not certain which one counts.
    Twice(&'static str),
    /// A field holds a value of another kind.
    Kind {
        /// The field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What it holds.
        found: &'static str,
    },
    /// A number lies outside its range.
    Range {
        /// The field.
        field: &'static str,
        /// What it holds.
        found: i64,
        /// The smallest number that it may hold.
        min: i64,
        /// The largest number that it may hold.
        max: i64,
    },
    /// `Body64` does not hold base64.
    Base64,
    /// There is both `Body` and `Body64`.
    TwoBodies,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Empty => write!(f, "expected an op byte and a payload, found an empty message"),
            Malformed::NotOne => {
                write!(f, "expected one message in a datagram, with its end symbol, found none or several")
            }
            Malformed::TooLong { bytes_max } => write!(f, "the message is longer than {bytes_max} bytes"),
            Malformed::UnknownOp(Op(byte)) => {
                write!(f, "expected op byte 1, 2 or 3, found {}", byte.escape_ascii())
            }
            Malformed::Syntax(syntax) => syntax.fmt(f),
            Malformed::Missing(field) => write!(f, "expected the field {field}, which is missing"),
            Malformed::Twice(field) => write!(f, "expected the field {field} once, found it twice"),
            Malformed::Kind { field, expected, found } => write!(f, "expected {expected} in {field}, found {found}"),
            Malformed::Range { field, found, min, max } => {
                write!(f, "expected {field} from {min} to {max}, found {found}")
            }
            Malformed::Base64 => write!(f, "expected base64 with padding in Body64"),
            Malformed::TwoBodies => write!(f, "expected Body or Body64, found both"),
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Syntax> for Malformed {
    fn from(syntax: Syntax) -> Self {
        Malformed::Syntax(syntax)
    }
}
