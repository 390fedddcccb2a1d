//! What a session is to start, and why that may fail. How it is started `start` knows.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::event::Who;
use crate::observe::ends::End;

/// What is to be started, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, without the name.
    pub args: Vec<OsString>,
    /// Entries added to the fixed environment.
    pub env: Vec<OsString>,
    /// In a terminal, or on three plain pipes.
    pub terminal: bool,
    /// What a stand-in in the child's place does.
    pub child: ChildPlan,
    /// Descriptors beyond standard input and outputs, with the numbers they are placed under.
    pub extra: Vec<(i32, Arc<End>)>,
    /// Signals that the program is started with ignored and blocked.
    pub deaf_to: Vec<i32>,
    /// The tracer under which the program runs, if any.
    pub strace: Option<PathBuf>,
    /// Who the program is, in the record.
    pub who: Who,
}

/// What happens when the stand-in in the child's place is started.
#[derive(Debug, Clone)]
pub enum ChildPlan {
    /// It becomes this program, with the tap in its pipes.
    Tapped(PathBuf),
    /// It becomes this program, and the pipes stay as they are.
    Untapped(PathBuf),
    /// It stays, and the suite has its ends; these signals are ignored.
    Held(Vec<i32>),
}

/// Why a session could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The program could not be executed.
    Program(io::Error),
    /// The suite failed.
    Harness(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        StartError::Harness(error)
    }
}
