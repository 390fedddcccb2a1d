//! The init above a confined program, from the suite's side: it tells how the program ended, and its end is everybody's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustix::process::{Pid, setpriority_process};

use super::MACHINE_PATIENCE;
use super::handover::{self, Order};
use super::place::SessionFolder;
use super::remains::{self, Remain};
use super::users::User;
use crate::event::Status;
use crate::observe::process::{self, Watch};

/// An init, and all that is below it, until [`Init::end`].
#[derive(Debug)]
pub(super) struct Init {
    control: Mutex<UnixStream>,
    watch: Watch,
    /// Its number, where that can be known.
    pid: Option<Pid>,
    /// The stand-in that started it, a child of the suite, which ends when it has ended.
    starter: i32,
    /// Nobody else gets it as long as somebody may run.
    _user: Option<User>,
}

impl Init {
    pub(super) fn new(control: UnixStream, pidfd: OwnedFd, starter: i32, user: Option<User>) -> io::Result<Self> {
        let pid = process::number(&pidfd).and_then(Pid::from_raw);
        Ok(Init { control: Mutex::new(control), watch: Watch::of(pidfd)?, pid, starter, _user: user })
    }

    /// How its program ended, which it has. Nobody knows when the init is gone.
    pub(super) fn reap(&self) -> Option<Status> {
        let control = self.control.lock().expect("not poisoned");
        handover::send(&*control, &Order::Reap, &[]).ok()?;
        Some(Status::from_raw(handover::receive::<i32>(&*control).ok()??.0))
    }

    /// Whether nobody is left but the init itself: whoever is orphaned is its child, so this is no look that could miss
    /// somebody. Nobody can be left either when the init is gone.
    pub(super) fn is_alone(&self) -> bool {
        let control = self.control.lock().expect("not poisoned");
        let asked = handover::send(&*control, &Order::Alone, &[]);
        let answer = asked.and_then(|()| handover::receive::<bool>(&*control));
        answer.ok().flatten().is_none_or(|(is_alone, _)| is_alone)
    }

    /// Ends all of it, and returns when nobody is left. Who was is returned.
    pub(super) async fn finish(self: &Arc<Self>, folder: &SessionFolder) -> io::Result<Vec<Remain>> {
        let (its, above) = (folder.clone(), self.clone());
        // Whoever asks what a process runs waits for it as long as it is at its own memory: other sessions need not.
        let found = tokio::task::spawn_blocking(move || remains::now(&its, Some(&above)));
        let found = found.await.map_err(io::Error::other)??;
        let (begun, hurry) = (Instant::now(), folder.sandbox.hurry(folder));
        self.end().await?;
        folder.sandbox.emptied_in(begun.elapsed());
        drop(hurry);
        self.gone().await?;
        Ok(found)
    }

    /// Ends all of it, and returns when nobody is left.
    async fn end(&self) -> io::Result<()> {
        self.kill()?;
        in_time(self.watch.ended()).await
    }

    /// Returns when its starter has ended too, which nobody has to hurry for: with it go the namespaces, and the kernel takes its
    /// time over their mounts.
    async fn gone(&self) -> io::Result<()> {
        if let Ok(starter) = Watch::new(self.starter) {
            in_time(starter.ended()).await?;
            process::reap(self.starter);
        }
        Ok(())
    }

    /// The same, for whoever can wait for nothing any more. Blocks.
    pub(super) fn end_now(&self) {
        let _ = self.kill();
        if process::has_ended(&self.watch, MACHINE_PATIENCE) {
            while process::is_living_child(self.starter) {
                std::thread::yield_now();
            }
        }
    }

    fn kill(&self) -> io::Result<()> {
        // The init kills all others, and has to have its turn among them for that; the starter waits for it. Whoever may not raise
        // them waits longer.
        for own in [self.pid, Pid::from_raw(self.starter)].into_iter().flatten() {
            let _ = setpriority_process(Some(own), -20);
        }
        self.watch.kill()
    }
}

async fn in_time(ended: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let ended = tokio::time::timeout(MACHINE_PATIENCE, ended).await;
    ended.map_err(|_| io::Error::other("a session's namespace did not end after SIGKILL"))?
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end_now();
    }
}
