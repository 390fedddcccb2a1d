//! What is left of a session when it should be over, and its end.
//!
//! Who is in a session's process namespace is known by that. Where there is none, whoever descends from a session carries
//! its mark in the environment; where the system lists no processes, only those are found that the session knew.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::MACHINE_PATIENCE;
use super::init::Init;
use super::place::{SessionFolder, mark};
use crate::observe::process::{self, Watch, reap, signal};

/// A process that outlived its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remain {
    /// Its process id; 0 of whoever is known to be there and was not found.
    pub pid: i32,
    /// Its command line, as far as it can be read.
    pub command: String,
}

/// Every living process of the session in `folder`.
pub fn find(folder: &SessionFolder) -> io::Result<Vec<Remain>> {
    let mark = mark(folder);
    let belongs = |pid: &i32| match folder.realm.get() {
        Some(realm) => *pid != realm.init && process::namespace(*pid) == Some(realm.inode),
        None => is_marked(folder, &mark, *pid),
    };
    Ok(process::all()?.into_iter().filter(belongs).map(|pid| Remain { pid, command: command(pid) }).collect())
}

fn is_marked(folder: &SessionFolder, mark: &[u8], pid: i32) -> bool {
    // One cheap question first: who is in a session of the system that is older than the run is not ours.
    if process::system_session(pid).is_none_or(|session| folder.elsewhere.contains(&session)) {
        return false;
    }
    // A process may be gone, or another user's, by the time it is looked at: then it is not ours.
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|b| *b == 0).any(|entry| entry == mark)
}

fn command(pid: i32) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ")
}

/// The same, and whoever is there and not found, by what the init says.
pub(super) fn all(folder: &SessionFolder, init: Option<&Init>) -> io::Result<Vec<Remain>> {
    let mut found = find(folder)?;
    if found.is_empty() && init.is_some_and(|init| !init.is_alone()) {
        found.push(Remain { pid: 0, command: "a process that is another one at every look".to_owned() });
    }
    Ok(found)
}

/// Those that do not end by themselves within `patience`.
pub(super) async fn last(folder: &SessionFolder, init: Option<&Init>, patience: Duration) -> io::Result<Vec<Remain>> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let found = all(folder, init)?;
        let Some(first) = found.first() else { return Ok(found) };
        if first.pid == 0 && tokio::time::Instant::now() > deadline {
            return Ok(found);
        }
        tokio::task::yield_now().await;
        // What is gone by now is no longer found.
        let Ok(watch) = Watch::new(first.pid) else { continue };
        match tokio::time::timeout_at(deadline, watch.ended()).await {
            Ok(ended) => ended?,
            Err(_) => return Ok(found),
        }
    }
}

/// Kills what is left, `known` processes first, and waits for their ends. Returns what was found beside those.
pub async fn clear(folder: &SessionFolder, known: &[i32]) -> io::Result<Vec<Remain>> {
    for &pid in known {
        end(pid, MACHINE_PATIENCE).await?;
    }
    let first = find(folder)?;
    let deadline = Instant::now() + MACHINE_PATIENCE;
    let mut found = first.clone();
    while !found.is_empty() {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{} processes could not be ended: {found:?}", found.len())));
        }
        for remain in &found {
            end(remain.pid, MACHINE_PATIENCE).await?;
        }
        found = find(folder)?;
    }
    Ok(first)
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
