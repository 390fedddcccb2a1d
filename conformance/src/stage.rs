//! What a case works with: what its run shares, and sessions that end with the case.
//!
//! A stage belongs to one case. How a pair is started whose dialect is learned is in a file, and how those are whose command lines
//! are stated in another; what should happen then is not known here.

#[cfg(unix)]
use std::ffi::OsString;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::acts::{Act, Acts};
use crate::bundle::PastAct;
use crate::event::{Event, What, Who};
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::record::Record;
use crate::slow::Slow;
use crate::subject::place::SessionFolder;
use crate::subject::plan::{Plan, StartError};
use crate::subject::remains::Remain;
use crate::subject::session::Session;
use crate::suite::{Lesson, Suite};

#[cfg(unix)]
pub mod addressed;
pub mod stated;
#[cfg(unix)]
pub mod watchdog;

/// One case's own view of the suite, and the sessions it started.
pub struct Stage {
    /// What all cases share.
    pub suite: Arc<Suite>,
    /// What was learned.
    pub lesson: Arc<Lesson>,
    /// What was found out beside the sessions.
    pub notes: Arc<Record>,
    /// The tracer under which sessions run, if any.
    strace: Option<PathBuf>,
    id: &'static str,
    /// The sessions that are not over.
    sessions: Mutex<Vec<Arc<Session>>>,
    /// Every session that was begun.
    begun: Mutex<Vec<Act>>,
    /// What had to be killed in those that are over.
    remains: Mutex<Vec<Remain>>,
}

/// A session, and where its requests go.
#[derive(Clone)]
pub struct Run {
    session: Arc<Session>,
    /// The target's address for this session, without a slash at the end.
    pub url: String,
}

impl std::ops::Deref for Run {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// The question that only a case is asked which did not come to its end in time.
const GIVEN_UP: &str = "what was missing when it was given up";

impl Stage {
    /// For one case.
    pub fn new(suite: Arc<Suite>, lesson: Arc<Lesson>, id: &'static str) -> Self {
        let past = suite.past.as_ref().and_then(|past| past.acts.get(id));
        let notes = past.map_or_else(Record::default, |acts| Record::past(acts.notes.clone()));
        Stage {
            suite,
            lesson,
            strace: None,
            id,
            notes: Arc::new(notes),
            sessions: Mutex::default(),
            begun: Mutex::default(),
            remains: Mutex::default(),
        }
    }

    /// For the same case once more, its sessions traced.
    pub fn traced(self, strace: PathBuf) -> Self {
        Stage { strace: Some(strace), ..self }
    }

    /// The program that starts the other.
    #[cfg(unix)]
    fn parent(&self) -> Result<&Path, Stop> {
        let none = || Stop::NotApplicable(self.suite.pair.no_parent());
        self.suite.pair.parent.as_deref().ok_or_else(none)
    }

    /// Connects to an address on the network of the subjects. The error is the system's.
    pub fn connected(&self, to: SocketAddr) -> std::io::Result<()> {
        #[cfg(unix)]
        rustix::net::connect(&self.suite.folder.sandbox.bound()?, &to)?;
        #[cfg(windows)]
        std::net::TcpStream::connect(to)?;
        Ok(())
    }

    async fn run(
        &self,
        folder: SessionFolder,
        plan: Plan,
        slot: String,
        answer: Answer,
    ) -> Result<Result<Run, std::io::Error>, Stop> {
        if self.suite.past.is_some() {
            return self.again(folder, plan.who, &slot);
        }
        let record = Arc::new(Record::keeping(self.suite.limits.kept_bytes()));
        self.suite.target.open(&slot, record.clone(), answer);
        let began = |pid, not_executed| Act { pid, not_executed, record: record.clone() };
        let started = Session::start(record.clone(), folder, plan, self.suite.patience).await;
        let session = match started {
            Ok(session) => Arc::new(session),
            Err(StartError::Program(error)) => {
                self.begun.lock().expect("not poisoned").push(began(0, error.raw_os_error()));
                return Ok(Err(error));
            }
            Err(StartError::Harness(error)) => return Err(error.into()),
        };
        self.begun.lock().expect("not poisoned").push(began(session.pid, None));
        self.sessions.lock().expect("not poisoned").push(session.clone());
        Ok(Ok(Run { session, url: self.suite.target.url(&slot) }))
    }

    /// The next session of another run, as it was.
    fn again(&self, folder: SessionFolder, who: Who, slot: &str) -> Result<Result<Run, std::io::Error>, Stop> {
        let mut begun = self.begun.lock().expect("not poisoned");
        let past = self.suite.past.as_ref().and_then(|past| past.acts.get(self.id)?.sessions.get(begun.len()));
        let past = past.ok_or_else(|| {
            Stop::Harness(format!("the bundle holds no session {} of {}: it is of another suite", begun.len(), self.id))
        })?;
        begun.push(past.act());
        let record = begun.last().expect("it was pushed").record.clone();
        if let Some(errno) = past.not_executed {
            return Ok(Err(std::io::Error::from_raw_os_error(errno)));
        }
        let session = Arc::new(Session::past(record, folder, past.pid, who, self.suite.patience));
        self.sessions.lock().expect("not poisoned").push(session.clone());
        Ok(Ok(Run { session, url: self.suite.target.url(slot) }))
    }

    /// What was found out, and every session that was begun: all that it takes to judge the case again.
    pub fn acts(&self) -> Acts {
        Acts { notes: self.notes.clone(), sessions: self.begun.lock().expect("not poisoned").clone() }
    }

    fn slot(&self) -> String {
        let n = self.begun.lock().expect("not poisoned").len();
        if n == 0 { self.id.to_owned() } else { format!("{}-{}", self.id, n + 1) }
    }

    /// A wait, in one of the sessions or beside them, came to its deadline.
    pub fn has_run_out(&self) -> bool {
        let mut records = self.acts().sessions.into_iter().map(|act| act.record).chain([self.notes.clone()]);
        records.any(|record| record.has_run_out())
    }

    /// How slow the machine was since then. Only what `waited` in vain has to know, and only for that it is looked at.
    pub(crate) fn slow(&self, begun: Instant, waited: bool) -> Slow {
        self.notes.answer("how slow the machine was", || if waited { self.slow_now(begun) } else { Slow::default() })
    }

    fn slow_now(&self, begun: Instant) -> Slow {
        let sessions = self.sessions.lock().expect("not poisoned").clone();
        let time = begun.elapsed();
        // Whoever had half a processor or more all the time made itself slow, and the suite.
        if sessions.iter().any(|session| session.ran() >= time / 2) {
            return Slow::default();
        }
        Slow {
            late: self.suite.lateness.worst_since(begun),
            starved: sessions.iter().map(|session| session.starved()).max().unwrap_or_default(),
        }
    }

    /// Notes that the case did not come to its end in time, and says so.
    pub(crate) fn give_up(&self) -> String {
        self.notes.run_out();
        let seconds = self.suite.limits.max_time;
        self.notes.answer(GIVEN_UP, || format!("the end of the case, within {seconds} s (--max-time)"))
    }

    /// What was missing, if the case did not come to its end in time.
    pub(crate) fn given_up(&self) -> Option<String> {
        let words = |event: &Event| match &event.what {
            What::Answered { question, answer } if question == GIVEN_UP => answer.as_str().map(str::to_owned),
            _ => None,
        };
        self.notes.read(|events| events.iter().find_map(words))
    }

    /// Begins every session of the run that is judged again, with nobody to look at them.
    pub(crate) fn recall(&self) {
        let past = self.suite.past.as_ref().and_then(|past| past.acts.get(self.id));
        let sessions = past.iter().flat_map(|past| &past.sessions).map(PastAct::act);
        self.begun.lock().expect("not poisoned").extend(sessions);
    }

    /// Lets every session come to its own end.
    pub async fn settle(&self) -> Result<(), Stop> {
        if self.suite.past.is_some() {
            return Ok(());
        }
        let sessions = self.sessions.lock().expect("not poisoned").clone();
        for session in sessions {
            session.settle().await?;
        }
        Ok(())
    }

    /// Lets one session come to its own end, and ends it, before the case does: so that one of many sessions has the
    /// descriptors and processes of a few. One in which something was waited for in vain stays, since what its processes had
    /// of the machine may be asked.
    pub async fn over(&self, run: &Run) -> Result<(), Stop> {
        let is_asked_about = || run.record.has_run_out() || self.strace.is_some() || self.suite.past.is_some();
        if is_asked_about() {
            return Ok(());
        }
        run.settle().await?;
        if !is_asked_about() {
            let left = run.finish().await?;
            self.remains.lock().expect("not poisoned").extend(left);
            self.sessions.lock().expect("not poisoned").retain(|session| !Arc::ptr_eq(session, &run.session));
        }
        Ok(())
    }

    /// Ends every session; the system calls of each that was traced.
    pub async fn finish_traced(&self) -> Result<Vec<Vec<u8>>, Stop> {
        let sessions = self.sessions.lock().expect("not poisoned").clone();
        self.finish().await?;
        Ok(sessions.iter().filter_map(|session| session.trace()).collect())
    }

    /// Ends every session; the records of all that were begun, and what had to be killed.
    pub async fn finish(&self) -> Result<(Vec<Arc<Record>>, Vec<Remain>), Stop> {
        let sessions: Vec<_> = self.sessions.lock().expect("not poisoned").drain(..).collect();
        let mut remains = std::mem::take(&mut *self.remains.lock().expect("not poisoned"));
        let mut failed = None;
        for session in sessions.iter().filter(|_| self.suite.past.is_none()) {
            // One that cannot be ended in order is no reason to leave the others.
            match session.finish().await {
                Ok(left) => remains.extend(left),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        if let Some(acts) = self.suite.past.as_ref().and_then(|past| past.acts.get(self.id)) {
            remains = acts.remains.clone();
        }
        Ok((self.acts().records().into_iter().cloned().collect(), remains))
    }
}

/// Puts a script where it can be executed.
#[cfg(unix)]
fn put_program(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// With every occurrence of the one replaced by the other.
#[cfg(unix)]
fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> OsString {
    let (mut rest, mut done) = (text, Vec::new());
    while let Some(at) = crate::dialect::find(rest, from) {
        done.extend_from_slice(&[&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
    }
    done.extend_from_slice(rest);
    std::os::unix::ffi::OsStringExt::from_vec(done)
}
