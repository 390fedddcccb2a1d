//! What is left of a session when it should be over, and its end.
//!
//! Who is in a session's control group or process namespace is known by that. Where there is neither, whoever descends from
//! a session carries its mark in the environment; where the system lists no processes, only those are found that the session
//! knew.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::MACHINE_PATIENCE;
use super::init::Init;
use super::place::{SessionFolder, mark};
use crate::observe::looking::Looking;
use crate::observe::process::{self, Watch, reap, signal};
use crate::signal::Signal;

/// The process id of whoever is known to be there and was not found.
const UNSEEN: i32 = 0;

/// A process that outlived its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remain {
    /// Its process id; 0 of whoever is known to be there and was not found.
    pub pid: i32,
    /// Its command line, as far as it can be read; nothing if it is about to be gone.
    pub command: String,
}

impl Remain {
    /// It ends by itself: it has no memory any more, and runs none of its program.
    pub fn is_going(&self) -> bool {
        self.command.is_empty()
    }
}

/// What one look at every process found.
#[derive(Default)]
struct Look {
    /// Who belongs to the session.
    found: Vec<i32>,
    /// Who is between two programs, so that nothing tells yet whether it does.
    unknown: Vec<i32>,
}

/// Every living process of the session in `folder` that can be told to be of it.
pub fn pids(folder: &SessionFolder) -> io::Result<Vec<i32>> {
    Ok(look(folder)?.found)
}

/// The same, and what they run.
pub fn find(folder: &SessionFolder) -> io::Result<Vec<Remain>> {
    Ok(described(pids(folder)?))
}

/// What these run. Blocks as long as one of them changes what is in its memory, as when it forks.
fn described(pids: Vec<i32>) -> Vec<Remain> {
    let describe = |pid| match pid {
        UNSEEN => "a process that is another one at every look".to_owned(),
        pid => command(pid),
    };
    pids.into_iter().map(|pid| Remain { pid, command: describe(pid) }).collect()
}

fn look(folder: &SessionFolder) -> io::Result<Look> {
    if let Some(group) = folder.group_of_all() {
        // Nobody leaves it, and nobody else has to be looked at.
        let ours = folder.realm.get().map_or([0; 2], |realm| [realm.init, realm.starter]);
        let found = group.processes()?.into_iter().filter(|pid| !ours.contains(pid)).collect();
        return Ok(Look { found, unknown: Vec::new() });
    }
    let mark = mark(folder);
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for pid in process::all()? {
        let belongs = match folder.realm.get() {
            Some(realm) => Some(pid != realm.init && process::namespace(pid) == Some(realm.inode)),
            None => is_marked(folder, &mark, pid),
        };
        match belongs {
            Some(true) => found.push(pid),
            Some(false) => {}
            None => unknown.push(pid),
        }
    }
    Ok(Look { found, unknown })
}

/// `None` while it is between two programs.
fn is_marked(folder: &SessionFolder, mark: &[u8], pid: i32) -> Option<bool> {
    // One cheap question first: who is in a session of the system that is older than the run is not ours.
    if process::system_session(pid).is_none_or(|session| folder.elsewhere.contains(&session)) {
        return Some(false);
    }
    // A process may be gone, or another user's, by the time it is looked at: then it is not ours.
    Some(process::environment(pid)?.split(|b| *b == 0).any(|entry| entry == mark))
}

/// The program alone is told here.
#[cfg(windows)]
fn command(pid: i32) -> String {
    process::program(pid).map_or_else(String::new, |program| program.to_string_lossy().into_owned())
}

#[cfg(unix)]
fn command(pid: i32) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    // Who has memory may have written over what stood there; elsewhere nobody can look.
    let has_memory = || std::fs::read(format!("/proc/{pid}/statm")).is_ok_and(|pages| !pages.starts_with(b"0 "));
    let is_unknown = command.is_empty() && (cfg!(not(target_os = "linux")) || has_memory());
    if is_unknown { "without a command line".to_owned() } else { command }
}

/// The same, and whoever is there and not found, by what the init or the control group says.
fn all(folder: &SessionFolder, init: Option<&Init>) -> io::Result<Look> {
    let mut look = look(folder)?;
    let is_anybody_there =
        || init.is_some_and(|init| !init.is_alone()) || folder.group.as_ref().is_some_and(|group| !group.is_empty());
    if look.found.is_empty() && is_anybody_there() {
        look.found.push(UNSEEN);
    }
    Ok(look)
}

/// Every living process of the session at this moment.
pub(super) fn now(folder: &SessionFolder, init: Option<&Init>) -> io::Result<Vec<Remain>> {
    Ok(described(all(folder, init)?.found))
}

/// Those that do not end by themselves within `patience`.
pub(super) async fn last(folder: &SessionFolder, init: Option<&Init>, patience: Duration) -> io::Result<Vec<Remain>> {
    let deadline = tokio::time::Instant::now() + patience;
    let looking = Looking::begin();
    loop {
        let Look { found, unknown } = all(folder, init)?;
        if found.is_empty() && unknown.is_empty() || tokio::time::Instant::now() > deadline {
            return Ok(described(found));
        }
        looking.again().await;
        let Some(first) = found.first() else { continue };
        // What is gone by now is no longer found.
        let Ok(watch) = Watch::new(*first) else { continue };
        match tokio::time::timeout_at(deadline, watch.ended()).await {
            Ok(ended) => ended?,
            Err(_) => return Ok(described(found)),
        }
    }
}

/// Kills what is left, `known` processes first, and waits for their ends. Returns what was found beside those.
pub async fn clear(folder: &SessionFolder, known: &[i32]) -> io::Result<Vec<Remain>> {
    for &pid in known {
        end(pid, MACHINE_PATIENCE).await?;
    }
    let deadline = Instant::now() + MACHINE_PATIENCE;
    let mut seen = Vec::new();
    if let Some(group) = &folder.group {
        seen = now(folder, None)?;
        group.kill()?;
    }
    loop {
        let Look { found, unknown } = all(folder, None)?;
        if found.is_empty() && unknown.is_empty() {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            let found = described(found);
            let message = format!("these could not be ended: {found:?}, nor these be told from others: {unknown:?}");
            return Err(io::Error::other(message));
        }
        for remain in described(found).into_iter().filter(|remain| remain.pid != UNSEEN) {
            end(remain.pid, MACHINE_PATIENCE).await?;
            if !seen.iter().any(|before: &Remain| before.pid == remain.pid) {
                seen.push(remain);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Ends whoever is left of a session that is cut off, and its program if that is a child of the suite. Blocks until nobody is
/// left: whoever is told that a run is over finds nobody of it.
pub(super) fn end_now(folder: &SessionFolder, program: i32) {
    let deadline = Instant::now() + MACHINE_PATIENCE;
    loop {
        let is_there = process::is_living_child(program);
        let look = look(folder).unwrap_or_default();
        for pid in look.found.iter().copied().chain(is_there.then_some(program)) {
            let _ = signal(pid, Signal::SIGKILL as i32);
        }
        let is_over = !is_there && look.found.is_empty() && look.unknown.is_empty();
        if is_over || Instant::now() > deadline {
            return;
        }
        std::thread::yield_now();
    }
}

/// Kills a process, and returns when it has ended.
pub(super) async fn end(pid: i32, patience: Duration) -> io::Result<()> {
    // Watched before it is killed, so that the number cannot mean another process while we wait.
    let Ok(watch) = Watch::new(pid) else { return Ok(()) };
    signal(pid, Signal::SIGKILL as i32)?;
    let ended = tokio::time::timeout(patience, watch.ended()).await;
    reap(pid);
    ended.map_err(|_| io::Error::other(format!("process {pid} did not end after SIGKILL")))?
}
