//! Groups in which all processes of a session together have so much memory and no more: whoever has most of it ends when there
//! is none left.

use std::fs;
use std::io;

use super::{Group, Groups, HANDED_ON, Processors, that_may_have};

/// The bound, and where it is set.
#[derive(Debug)]
pub(in crate::subject) struct Memory {
    /// Nothing where sessions have groups already, in which there is memory as well.
    groups: Option<Groups>,
    bound: &'static str,
    bytes: u64,
}

/// The files that hold the bound, in the two versions.
const BOUNDS: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];

impl Memory {
    /// Makes the run's group where groups with memory may be made, unless it has one that hands memory on. An error says what
    /// the machine does not allow.
    pub(in crate::subject) fn bounded(bytes: u64, processors: Option<&Processors>) -> io::Result<Self> {
        if processors.is_some_and(Processors::have_memory) {
            return Ok(Memory { groups: None, bound: BOUNDS[1], bytes });
        }
        let mut refused = io::Error::new(io::ErrorKind::Unsupported, "no control group here has memory below it");
        for (above, is_unified) in that_may_have(&["memory"]) {
            let bound = BOUNDS[usize::from(is_unified)];
            let made = Groups::below(&above).and_then(|groups| {
                // A group of version 2 has below it what it was told to hand on, and nothing else; in version 1 there is
                // nothing to be told. If it does not, there is no bound to set for a session.
                let _ = fs::write(groups.folder.join(HANDED_ON), "+memory");
                let memory = Memory { groups: Some(groups), bound, bytes };
                memory.session(None).map(|_| memory)
            });
            match made {
                Ok(memory) => return Ok(memory),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Bounds what a session has: in the group that it has already, or in one that it then is in as well.
    pub(in crate::subject) fn session(&self, its: Option<&Group>) -> io::Result<Option<Group>> {
        let made = self.groups.as_ref().map(Groups::session).transpose()?;
        if let Some(group) = made.as_ref().or(its) {
            group.set(self.bound, &self.bytes.to_string())?;
            // Else it would have as much again on a disk, where there is a place for that.
            let _ = group.set("memory.swap.max", "0");
        }
        Ok(made)
    }
}
