//! How a case came to its end. What an outcome is worth is decided in `verdict` and nowhere else.

use std::io;

/// What a case returns: it held, or why not.
pub type Outcome = Result<(), Stop>;

/// Why a case did not simply hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The subject did something else than its requirement says.
    Failure {
        /// What the requirement makes one expect.
        expected: String,
        /// What was seen instead.
        seen: String,
    },
    /// The point that the case judges was not reached; this was missing.
    Missing(String),
    /// Whether the subject or the machine was too slow for this cannot be told.
    TooSlow(String),
    /// There is nothing to judge in this pair or on this system, for this reason.
    NotApplicable(String),
    /// The suite itself went wrong.
    Harness(String),
}

impl Stop {
    /// A failure, from both halves.
    pub fn failure(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Stop::Failure { expected: expected.into(), seen: seen.into() }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Harness(error.to_string())
    }
}
