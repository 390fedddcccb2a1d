//! One session: a parent that runs in a terminal or on plain pipes, and whatever it starts as its child; or a child alone.
//!
//! A session is driven, asked what there is to be seen, and ended with everything in it; how it starts its program is in
//! `start`. What a session is for, and what should be seen in it, only its case knows.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::attend::Shared;
use super::handover::Hello;
use super::init::Init;
use super::place::SessionFolder;
use super::remains::{self, Remain};
use crate::event::{Event, Status, What, Who};
use crate::forks;
use crate::observe::ends::{Input, Reader, is_gone};
use crate::observe::process::{self, Facts};
use crate::observe::starvation::{Looked, Starvation};
use crate::observe::terminal::Terminal;
use crate::record::Record;
use crate::signal::Signal;

/// The name of a trace in its session's folder.
pub(super) const TRACE: &str = "strace";

/// What the processes of a session have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Threads, all together.
    pub threads: u64,
    /// Open descriptors, of the one that has most.
    pub files: u64,
    /// As many as the first of them may have.
    pub files_max: u64,
}

/// A running session.
pub struct Session {
    /// What was seen.
    pub record: Arc<Record>,
    /// Its folder.
    pub folder: SessionFolder,
    /// The process id of the program that was started.
    pub pid: i32,
    pub(super) patience: Duration,
    pub(super) who: Who,
    pub(super) input: Mutex<Option<Arc<Input>>>,
    pub(super) shared: Arc<Shared>,
    pub(super) terminal: Option<Arc<Terminal>>,
    pub(super) readers: Mutex<Vec<Reader>>,
    /// The init above the program, if it is confined.
    pub(super) init: Option<Arc<Init>>,
    /// What was seen of its wait for processors.
    pub(super) starvation: Arc<Starvation>,
    pub(super) finished: AtomicBool,
    pub(super) _attending: JoinSet<()>,
}

impl Session {
    /// A session of another run, as its record tells of it: nothing is started, and whatever is done to it does nothing.
    pub fn past(record: Arc<Record>, folder: SessionFolder, pid: i32, who: Who, patience: Duration) -> Self {
        Session {
            folder,
            pid,
            patience,
            who,
            input: Mutex::default(),
            shared: Arc::new(Shared::past(record.clone(), who)),
            record,
            terminal: None,
            readers: Mutex::default(),
            init: None,
            starvation: Arc::new(Starvation::in_stretches_of(patience)),
            finished: AtomicBool::new(true),
            _attending: JoinSet::new(),
        }
    }

    /// Types a line, with the line's end.
    pub async fn line(&self, line: &str) -> io::Result<()> {
        self.write(format!("{line}\n").as_bytes()).await
    }

    /// Writes bytes to standard input, a pipe, so that each is read apart.
    pub async fn write_apart(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(input) = self.input.lock().expect("not poisoned").clone() else { return Ok(()) };
        self.record.push(What::Typed { bytes: bytes.to_vec() });
        // What is not taken in time shows in what does not happen.
        match tokio::time::timeout(self.patience, input.write_apart(bytes.chunks(1))).await {
            Ok(Err(error)) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes bytes to the terminal or to standard input, unless that was closed. Nobody there to read is not an error: its
    /// end is seen.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let Some(input) = self.input.lock().expect("not poisoned").clone() else { return Ok(()) };
        self.record.push(What::Typed { bytes: bytes.to_vec() });
        let mut rest = bytes;
        while !rest.is_empty() {
            match tokio::time::timeout(self.patience, input.write_some(rest)).await {
                Ok(Ok(written)) => rest = &rest[written..],
                Ok(Err(error)) if !is_gone(&error) => return Err(error),
                // Nobody takes it, or nothing more of it for long: that shows in what does not happen.
                _ => break,
            }
        }
        Ok(())
    }

    /// Writes to standard input until everything on the way is full, and says how much was taken.
    pub async fn fill(&self, bytes: &[u8]) -> io::Result<usize> {
        let input = self.input.lock().expect("not poisoned").clone();
        let taken = async {
            match &input {
                Some(input) => input.fill(bytes, self.pid, self.patience).await,
                None => 0,
            }
        };
        let taken = self.record.ask("how much is taken", taken).await;
        self.record.push(What::Typed { bytes: bytes[..taken].to_vec() });
        Ok(taken)
    }

    /// Closes standard input; in a terminal, types Ctrl-D at the beginning of a line.
    pub async fn close_input(&self) -> io::Result<()> {
        if self.terminal.is_some() {
            self.write(b"\x04").await
        } else {
            self.record.push(What::InputClosed);
            forks::close(self.input.lock().expect("not poisoned").take());
            Ok(())
        }
    }

    /// Stops listening to what is shown: whoever writes from now on finds a broken pipe.
    pub async fn close_output(&self) {
        let readers: Vec<_> = self.readers.lock().expect("not poisoned").drain(..).collect();
        for reader in readers {
            reader.close().await;
        }
    }

    /// Waits until nobody holds the terminal or the outputs any more: then all that was shown has been read.
    pub async fn outputs_closed(&self) -> Option<()> {
        let closed = async {
            if self.record.is_flooded() {
                return false;
            }
            let readers: Vec<_> = self.readers.lock().expect("not poisoned").drain(..).collect();
            let all = async {
                for reader in readers {
                    let _ = reader.reading.await;
                }
            };
            tokio::time::timeout(self.patience, all).await.is_ok()
        };
        // Not as an `Option<()>`, whose two values look alike in JSON.
        self.in_time(self.record.ask("the outputs are closed", closed).await).then_some(())
    }

    /// Sends a signal to one of the subjects.
    pub fn signal(&self, who: Who, signal: Signal) -> io::Result<()> {
        let pid = self.pid_of(who)?;
        if self.record.is_past() {
            // The process of that number is somebody else's by now.
            return Ok(());
        }
        self.record.push(What::Signalled { who, signal: signal as i32 });
        process::signal(pid, signal as i32)
    }

    /// The first child of this session.
    pub fn child(&self) -> Who {
        self.who.child(0)
    }

    fn pid_of(&self, who: Who) -> io::Result<i32> {
        let pid = match who {
            w if w == self.who => Some(self.pid),
            who => who.number().and_then(|n| self.record.look(|events| crate::event::children(events).get(n).copied())),
        };
        pid.ok_or_else(|| io::Error::other(format!("there is no {who} to signal")))
    }

    /// Waits until a subject that got SIGSTOP stands still, and says whether that came in time.
    pub async fn stopped(&self, who: Who) -> bool {
        let Ok(pid) = self.pid_of(who) else { return false };
        let deadline = Instant::now() + self.patience;
        self.in_time(self.record.ask(&format!("the {who} stands still"), process::stopped(pid, deadline)).await)
    }

    /// Waits until a subject that stands still has been sent a signal, and says whether that came in time.
    pub async fn pending(&self, who: Who, signal: Signal) -> bool {
        let Ok(pid) = self.pid_of(who) else { return false };
        let deadline = Instant::now() + self.patience;
        let pending = process::pending(pid, signal as i32, deadline);
        self.in_time(self.record.ask(&format!("{signal} has reached the {who}"), pending).await)
    }

    /// Notes that something did not come before its deadline, if it did not.
    fn in_time(&self, has_come: bool) -> bool {
        if !has_come {
            self.record.run_out();
        }
        has_come
    }

    /// What the system says of a process of this session.
    pub fn facts(&self, pid: i32) -> Option<Facts> {
        self.record.answer(&format!("the state of process {pid}"), || process::facts(pid))
    }

    /// Whether the program of this session has ended, be its end noted yet or not.
    pub fn is_over(&self) -> bool {
        self.record.answer(&format!("whether the {} has ended", self.who), || process::is_over(self.pid))
    }

    /// Waits until every thread of a process of this session sleeps or has ended, and says whether that came before `deadline`.
    pub async fn asleep(&self, pid: i32, deadline: Instant) -> bool {
        self.in_time(self.record.ask(&format!("process {pid} sleeps"), process::asleep(pid, deadline)).await)
    }

    /// Every living process of this session.
    pub fn left(&self) -> io::Result<Vec<Remain>> {
        let left = || remains::now(&self.folder, self.init.as_deref()).map_err(|error| error.to_string());
        self.record.answer("what is running", left).map_err(io::Error::other)
    }

    /// What its living processes have by now, where the system says that.
    pub fn size(&self) -> io::Result<Size> {
        let left = self.left()?;
        let pids = || left.iter().map(|remain| remain.pid);
        let live = || Size {
            threads: pids().map(process::threads).sum(),
            files: pids().map(process::descriptors).max().unwrap_or_default(),
            files_max: process::descriptors_max(self.pid).unwrap_or(u64::MAX),
        };
        Ok(self.record.answer("its threads and descriptors", live))
    }

    /// How long those of it that live had a processor, all together.
    pub fn ran(&self) -> Duration {
        let of = |pid: &i32| process::processor_time(*pid).unwrap_or_default().ran;
        let found = remains::pids(&self.folder).unwrap_or_default();
        let everybody: BTreeSet<_> = found.into_iter().chain(ends(&self.record, &self.folder, self.pid)).collect();
        everybody.iter().map(of).sum()
    }

    /// How long its processes were ready to run and had no processor, one after the other, in that stretch as long as its patience
    /// in which it was most.
    pub fn starved(&self) -> Duration {
        look_at(&self.starvation, &self.record, &self.folder, self.pid);
        self.starvation.worst()
    }

    /// Every process of this session that does not end by itself in time.
    pub async fn left_for_long(&self) -> io::Result<Vec<Remain>> {
        let init = self.init.as_deref();
        let left = async { remains::last(&self.folder, init, self.patience).await.map_err(|error| error.to_string()) };
        let left = self.record.ask("what goes on running", left).await.map_err(io::Error::other)?;
        self.in_time(left.is_empty());
        Ok(left)
    }

    /// Ends what is left of this session.
    pub async fn clear(&self) -> io::Result<()> {
        if self.record.is_past() { Ok(()) } else { remains::clear(&self.folder, &[]).await.map(drop) }
    }

    /// How long each wait lasts at most.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Waits until `see` finds what it looks for; `None` when patience ends first, or when nobody is left who could do
    /// anything.
    pub async fn until<T>(&self, see: impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        self.until_by(Instant::now() + self.patience, see).await
    }

    /// The same up to a deadline.
    pub async fn until_by<T>(&self, deadline: Instant, mut see: impl FnMut(&[Event]) -> Option<T>) -> Option<T> {
        let see_or_over =
            |events: &[Event]| see(events).map(Some).or_else(|| crate::event::all_over(events).then_some(None));
        match self.record.until(deadline, see_or_over).await? {
            Some(seen) => Some(seen),
            // What the last of them did may be on its way through the system still.
            None => self.record.until(Instant::now() + self.patience / 10, see).await,
        }
    }

    /// Waits until there are so many of what is found, and gives those that there are.
    pub async fn at_least<T>(&self, count: usize, find: impl Fn(&[Event]) -> Vec<T>) -> Vec<T> {
        let enough = |events: &[Event]| Some(find(events)).filter(|found| found.len() >= count);
        match self.until(enough).await {
            Some(found) => found,
            None => self.record.look(find),
        }
    }

    /// Waits until the first child is started, and says what it was given.
    pub async fn first_child(&self) -> Option<Hello> {
        self.until(|events| (!crate::event::children(events).is_empty()).then_some(())).await?;
        self.hello(0)
    }

    /// What the `n`th stand-in in the server's place was given.
    pub fn hello(&self, n: usize) -> Option<Hello> {
        self.record.answer(&format!("how the {} was started", self.who.child(n)), || self.shared.hello(n))
    }

    /// The system calls so far, if the session is traced.
    pub fn trace(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(TRACE)).ok()
    }

    /// Waits for the end of the process that the session started, and says how it ended.
    pub async fn ended(&self, who: Who) -> Option<Option<Status>> {
        self.until(|events| crate::event::ended(events, who)).await
    }

    /// Lets a session whose case is done come to its own end, so that its record does too. One that does not is ended
    /// by [`Session::finish`].
    pub async fn settle(&self) -> io::Result<()> {
        let over = |events: &[Event]| crate::event::ended(events, self.who).map(drop);
        let alone = |events: &[Event]| !crate::event::children(events).is_empty() && still_running(events).is_empty();
        if self.record.look(alone) {
            // A parent that notices the death of its child ends without a word from us.
            self.record.until(Instant::now() + self.patience / 20, over).await;
        }
        if self.record.look(over).is_none() {
            match self.who {
                Who::Watchdog => self.line("exit").await?,
                Who::Supervisor => self.signal(self.who, Signal::SIGTERM)?,
                Who::Host => self.close_input().await?,
                // Whoever plays its parent has closed its pipes.
                Who::Client => self.close_input().await?,
                Who::Listener(_) => self.signal(self.who, Signal::SIGALRM)?,
                Who::Server(_) | Who::Service(_) | Who::Plugin(_) => {}
            }
            self.record.until(Instant::now() + self.patience / 2, over).await;
        }
        let none_left = |events: &[Event]| still_running(events).is_empty().then_some(());
        self.record.until(Instant::now() + self.patience / 2, none_left).await;
        Ok(())
    }

    /// Ends whatever still runs. The record is complete afterwards. What had outlived the program that was started,
    /// and so would have stayed, is returned.
    pub async fn finish(&self) -> io::Result<Vec<Remain>> {
        self.input.lock().expect("not poisoned").take();
        let over = self.record.look(|events| crate::event::ended(events, self.who)).is_some();
        let mut known = self.record.look(still_running);
        let mut outlived = if over && !known.is_empty() { remains::find(&self.folder)? } else { Vec::new() };
        if !over {
            known.insert(0, self.pid);
        }
        self.record.push(What::Finishing);
        let found = match &self.init {
            // Whoever is left ends with the init, however fast they multiply.
            Some(init) => {
                for pid in known {
                    // So that its end is seen; one that is slow to go goes with all others.
                    let _ = remains::end(pid, self.patience).await;
                }
                init.finish(&self.folder).await?
            }
            None => remains::clear(&self.folder, &known).await?,
        };
        if over {
            outlived.extend(found);
            outlived.retain(|remain| !remain.is_going());
            outlived.sort_by_key(|remain| remain.pid);
            outlived.dedup_by_key(|remain| remain.pid);
        }
        // The end of the terminal's last user ends the reading; a pipe that something still holds does not.
        let readers: Vec<_> = self.readers.lock().expect("not poisoned").drain(..).collect();
        for mut reader in readers {
            let is_over = tokio::time::timeout(Duration::from_secs(1), &mut reader.reading);
            if self.record.is_flooded() || is_over.await.is_err() {
                reader.reading.abort();
            }
        }
        self.shared.let_go();
        self.finished.store(true, Ordering::Release);
        Ok(outlived)
    }
}

impl Drop for Session {
    /// A session that was not finished, because its case was cut off, must not leave anybody either.
    fn drop(&mut self) {
        if self.finished.load(Ordering::Acquire) {
            return;
        }
        if let Some(init) = &self.init {
            init.end_now();
        } else {
            remains::end_now(&self.folder, self.pid);
        }
    }
}

/// Notes how long the processes of a session have waited for a processor.
pub(super) fn look_at(starvation: &Starvation, record: &Record, folder: &SessionFolder, program: i32) {
    let looked = |pid| {
        let waited = process::processor_time(pid)?.waited;
        Some(Looked { pid, parent: process::parent(pid), waited })
    };
    let ends = ends(record, folder, program);
    // A script may have started who does the work.
    let others = match folder.group_of_all() {
        Some(group) => group.processes().unwrap_or_default(),
        None => process::descendants(program),
    };
    let all: BTreeSet<_> = others.into_iter().chain(ends.iter().copied()).collect();
    starvation.look(Instant::now(), &ends, all.into_iter().filter_map(looked));
}

/// The processes for which a session is, and the init above them.
fn ends(record: &Record, folder: &SessionFolder, program: i32) -> Vec<i32> {
    let above = folder.realm.get().map(|realm| realm.init);
    record.read(crate::event::children).into_iter().chain([program]).chain(above).collect()
}

/// The children that were started and are not known to have ended.
fn still_running(events: &[Event]) -> Vec<i32> {
    let running = |event: &Event| match event.what {
        What::Started { who, pid } if who.number().is_some() => {
            crate::event::ended(events, who).is_none().then_some(pid)
        }
        _ => None,
    };
    events.iter().filter_map(running).collect()
}
