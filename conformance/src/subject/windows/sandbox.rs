//! What keeps the subjects of a run apart on Windows: nothing. In tier B each session has a job, in tier C there is not even that.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::job::{Group, Groups};
use super::limits::Limits;
use super::place::RunFolder;

/// A socket for streams that is bound to an address, and listens there.
pub type Bound = TcpListener;

/// What the sessions of a run are kept in.
#[derive(Debug)]
pub struct Sandbox(Option<Groups>);

impl Sandbox {
    /// Nothing is kept apart.
    pub fn none() -> Self {
        Sandbox(None)
    }

    /// Tier B.
    pub fn groups() -> io::Result<Self> {
        Ok(Sandbox(Some(Groups)))
    }

    /// Tier A, which is not to be had.
    pub fn namespaces(_: &RunFolder, _: &[&Path], _: &[PathBuf], _: Limits) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "tier A: there are namespaces on Linux alone"))
    }

    /// The job of a new session, in tier B.
    pub(super) fn group(&self) -> io::Result<Option<Group>> {
        self.0.as_ref().map(Groups::session).transpose()
    }

    /// No session has a share of the processors here.
    pub(super) fn processors(&self) -> io::Result<Option<Group>> {
        Ok(None)
    }

    /// No session's memory is bounded here.
    pub(super) fn memory(&self, _: Option<&Group>) -> io::Result<Option<Group>> {
        Ok(None)
    }

    /// Whether the limits on what a session uses are in force.
    pub fn is_confined(&self) -> bool {
        false
    }

    /// Listens at a free port of the loopback.
    pub fn bound(&self) -> io::Result<Bound> {
        TcpListener::bind(("127.0.0.1", 0))
    }

    /// Nothing of tier A is promised.
    pub fn lapses(&self) -> Vec<String> {
        Vec::new()
    }

    /// Nothing but in tier A.
    pub fn slowest_end(&self) -> Duration {
        Duration::ZERO
    }
}
