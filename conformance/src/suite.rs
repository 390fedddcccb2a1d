//! What all cases of a run share: the pair, the target, and what was learned first.
//!
//! What is done with it, and when, is not known here.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::acts::Acts;
use crate::bundle::Bundle;
use crate::dialect::Dialect;
use crate::dialect::learn::Learned;
use crate::event::Who;
use crate::family::Family;
use crate::observe::lateness::Lateness;
use crate::observe::target::Target;
use crate::outcome::Stop;
use crate::profile::Profile;
use crate::record::Record;
use crate::subject::handover::Hello;
use crate::subject::limits::Limits;
use crate::subject::place::RunFolder;
use crate::subject::remains::Remain;
use crate::turns::Turns;

/// The programs under test, absolute.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pair {
    /// What they speak.
    pub family: Family,
    /// The parent. In some families a child may be judged without one.
    pub parent: Option<PathBuf>,
    /// The child.
    pub child: PathBuf,
}

impl Pair {
    /// Every program, with who it is.
    pub fn programs(&self) -> impl Iterator<Item = (Who, &Path)> {
        let parent = self.parent.iter().map(|path| (self.family.parent(), path.as_path()));
        parent.chain([(self.family.child(), self.child.as_path())])
    }

    /// Why nothing of a parent is judged, where there is none, or none that could be.
    pub fn no_parent(&self) -> String {
        let (parent, child) = (self.family.parent(), self.family.child());
        if Family::PARENTS_ARE_JUDGED {
            format!("a {child} is judged and no {parent}")
        } else {
            format!("on this system a {child} is judged alone, without a {parent}")
        }
    }
}

/// What all cases of a run share.
pub struct Suite {
    /// The programs.
    pub pair: Pair,
    /// What is graded and stated.
    pub profile: Profile,
    /// The HTTP endpoint.
    pub target: Target,
    /// Where sessions live.
    pub folder: RunFolder,
    /// How long is waited for what must happen.
    pub patience: Duration,
    /// What the programs of a session may use and say.
    pub limits: Limits,
    /// How late the suite itself was.
    pub lateness: Lateness,
    /// Whether what was recorded is kept when its case is over.
    pub keeps_records: bool,
    /// The tracer, if a case that fails is to be traced.
    pub strace: Option<PathBuf>,
    /// Another run, which takes place again on paper.
    pub past: Option<Bundle>,
    /// The cases that replay a recorded request, each that of its own place.
    pub replaying: Mutex<Vec<&'static str>>,
    /// Whose turn it is.
    pub turns: Turns,
}

/// What was learned before the cases began. In a family that leaves nothing open there is nothing to learn.
#[derive(Default)]
pub struct Lesson {
    /// The dialect, with what the profile states in place of what was seen.
    pub dialect: Dialect,
    /// What was seen.
    pub learned: Learned,
    /// The lines that were typed, as they were typed.
    pub typed: Vec<String>,
    /// What the server was given when it was started.
    pub hello: Option<Hello>,
    /// All that was observed.
    pub record: Arc<Record>,
    /// What was shown in the first session, a line each.
    pub on_success: Vec<String>,
    /// What was shown for a request that could not be made.
    pub on_failure: Vec<String>,
    /// Why the machine was too slow to learn all of it, if it was.
    pub slow: Option<String>,
    /// What was still running when it was over.
    pub remains: Vec<Remain>,
    /// Why there was no lesson at all.
    pub failed: Option<Stop>,
    /// Every session of the lesson, for the bundle.
    pub acts: Acts,
    /// Messages for `doreq` that may be replayed, one a case; each reaches the target below `/replay-N`.
    pub replays: Vec<Vec<u8>>,
}
