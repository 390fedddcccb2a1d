//! What a case, or the lesson, did: all that it takes to judge it again.

use std::sync::Arc;

use crate::record::Record;

/// What a case, or the lesson, did: its notes and its sessions.
#[derive(Debug, Clone, Default)]
pub struct Acts {
    /// What was found out beside the sessions.
    pub notes: Arc<Record>,
    /// The sessions, in the order in which they were begun.
    pub sessions: Vec<Act>,
}

impl Acts {
    /// What was seen in each session.
    pub fn records(&self) -> Vec<&Arc<Record>> {
        self.sessions.iter().map(|act| &act.record).collect()
    }
}

/// One session.
#[derive(Debug, Clone)]
pub struct Act {
    /// The program that was started.
    pub pid: i32,
    /// Why it could not be, as the system's error number.
    pub not_executed: Option<i32>,
    /// What was seen.
    pub record: Arc<Record>,
}
