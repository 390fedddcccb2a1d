//! Groups that share out the processors. To the rest of the machine a run is one among others, however many processes it has, and
//! whatever sessions of the system they begin, by which some kernels share out first. Within the run the suite is in a group of
//! its own, and each session is: a thousand processes of one leave their turn to the suite and to other sessions.
//!
//! Shares stay moderate. The kernel does a part of what ends processes in threads of its own, which are among the rest of the
//! machine: a run that left that but a hundredth would wait for itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Group, Groups, HANDED_ON, MEMBERS, MYSELF, THREADS, UNIFIED, own, that_may_have};

/// The run's groups, with this process in one of them. It is back where it was when the last of these is dropped.
#[derive(Debug, Clone)]
pub(in crate::subject) struct Processors(Option<Arc<Moved>>);

/// Where this process is, which can be in one place alone. Whoever moves it has this locked, there and back: else it could be
/// moved away from under somebody who came in between.
static MOVED: Mutex<Weak<Moved>> = Mutex::new(Weak::new());

/// The groups, and where this process came from.
#[derive(Debug)]
struct Moved {
    groups: Groups,
    before: PathBuf,
    is_unified: bool,
    /// How many sessions are being ended.
    ending: Mutex<usize>,
}

/// What a group has of the processors beside others, in one of the two versions.
#[derive(Debug)]
struct Share {
    file: &'static str,
    /// What every group has that is told nothing: so the run beside others of the machine, and the suite in it.
    usual: &'static str,
    /// Of eight sessions, as many as usually are at a time, each has so much that the suite still has half.
    session: &'static str,
    /// A session that is to end, and the run beside others as long as it has one.
    hurried: &'static str,
}

const SHARES: [Share; 2] = [
    Share { file: "cpu.shares", usual: "1024", session: "128", hurried: "16384" },
    Share { file: "cpu.weight", usual: "100", session: "12", hurried: "1600" },
];

/// The name of the suite's own group. Those of sessions are numbers.
const SUITE: &str = "suite";

impl Processors {
    /// Moves this process, if it is not there already. An error says what the machine does not allow.
    pub(in crate::subject) fn share() -> io::Result<Self> {
        let mut shared = MOVED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moved) = shared.upgrade() {
            return Ok(Processors(Some(moved)));
        }
        let mut refused = io::Error::new(io::ErrorKind::Unsupported, "no control group here has processors below it");
        // In version 2 a session can be in one group alone, so that has to bound its memory as well.
        for (above, is_unified) in that_may_have(&["cpu", "memory"]) {
            match Moved::below(above, is_unified) {
                Ok(moved) => {
                    let moved = Arc::new(moved);
                    *shared = Arc::downgrade(&moved);
                    return Ok(Processors(Some(moved)));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Whether a session's group can bound its memory.
    pub(super) fn have_memory(&self) -> bool {
        self.moved().is_unified
    }

    /// A group for a session.
    pub(in crate::subject) fn session(&self) -> io::Result<Group> {
        let moved = self.moved();
        let group = moved.groups.session()?;
        group.set(moved.share().file, moved.share().session)?;
        Ok(group)
    }

    /// As long as this is there, others wait for a session that is to end: a thousand processes have to have their turn once
    /// more.
    pub(in crate::subject) fn hurry(&self, session: &Group) -> Hurry {
        let moved = self.moved();
        // Only the time that things take depends on it.
        let _ = session.set(moved.share().file, moved.share().hurried);
        let mut ending = moved.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending += 1;
        if *ending == 1 {
            moved.set(moved.share().hurried);
        }
        Hurry(self.clone())
    }

    fn moved(&self) -> &Moved {
        self.0.as_ref().expect("it is there until this is dropped")
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        let _moving = MOVED.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.take());
    }
}

/// A session is being ended.
#[derive(Debug)]
pub(in crate::subject) struct Hurry(Processors);

impl Drop for Hurry {
    fn drop(&mut self) {
        let moved = self.0.moved();
        let mut ending = moved.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending -= 1;
        if *ending == 0 {
            moved.set(moved.share().usual);
        }
    }
}

impl Moved {
    /// Makes the run's groups in this one, and moves this process.
    fn below(above: PathBuf, is_unified: bool) -> io::Result<Self> {
        let before = if is_unified { own(UNIFIED)?.group } else { above.clone() };
        let groups = Groups::below(&above)?;
        if is_unified {
            fs::write(groups.folder.join(HANDED_ON), "+cpu +memory")?;
        }
        let suite = groups.folder.join(SUITE);
        fs::create_dir(&suite)?;
        move_self(&suite)?;
        Ok(Moved { groups, before, is_unified, ending: Mutex::default() })
    }

    fn share(&self) -> &'static Share {
        &SHARES[usize::from(self.is_unified)]
    }

    /// Only the time that things take depends on it.
    fn set(&self, share: &str) {
        let _ = fs::write(self.groups.folder.join(self.share().file), share);
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Err(error) = move_self(&self.before) {
            eprintln!("conformance: {} stays, since {}: {error}", self.groups.folder.display(), self.before.display());
        }
    }
}

fn move_self(group: &Path) -> io::Result<()> {
    let is_one_thread = fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    let threads = group.join(THREADS);
    fs::write(if is_one_thread && threads.exists() { threads } else { group.join(MEMBERS) }, MYSELF)
}
