//! What a case works with: what its run shares, and sessions that end with the case.
//!
//! A stage belongs to one case. It knows how a subject is started, not what should happen then.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::acts::{Act, Acts};
use crate::bundle::PastAct;
use crate::dialect::Dialect;
use crate::event::{Event, What, Who, ended, shown};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::record::Record;
use crate::slow::Slow;
use crate::subject::attend::{ServerPlan, StartError};
use crate::subject::handover::Hello;
use crate::subject::place::{HOME, SessionFolder, TAP, environment};
use crate::subject::remains::Remain;
use crate::subject::session::Session;
use crate::subject::start::Plan;
use crate::suite::{Lesson, Suite};

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

/// The arguments for the server in the assignment's example.
pub const SARGS: &str = "state=c, test=123";

/// The question that only a case is asked which did not come to its end in time.
const GIVEN_UP: &str = "what was missing when it was given up";

/// Stands for the server's path in a watchdog's arguments.
pub const SERVER: &str = "{server}";

/// How a watchdog is started, where it differs from the usual.
#[derive(Debug, Clone)]
pub struct Watchdog {
    /// In a terminal, or on plain pipes.
    pub terminal: bool,
    /// The arguments; [`SERVER`] stands for the server's path.
    pub args: Vec<OsString>,
    /// Entries added to the environment.
    pub env: Vec<OsString>,
    /// The server's pipes stay as they are: for what the hop could change, capacity and the order of a last reply
    /// and the end that follows it.
    pub untapped: bool,
    /// The suite plays the server; the stand-in ignores these signals.
    pub held: Option<Vec<i32>>,
    /// Where the stand-in is put, below the session's folder, if not directly in it.
    pub below: Option<&'static str>,
    /// The text of a program that is put beside the stand-in; its path is the server's with `-other` after it.
    pub other: Option<&'static str>,
    /// The server first starts a process that does nothing and holds whatever it inherits.
    pub with_grandchild: bool,
    /// Signals that are ignored and blocked when it is started.
    pub deaf_to: Vec<i32>,
    /// Further descriptors that the watchdog inherits.
    pub extra: Vec<(i32, Arc<std::os::fd::OwnedFd>)>,
    /// What the target answers.
    pub answer: Answer,
}

impl Default for Watchdog {
    fn default() -> Self {
        Watchdog {
            terminal: true,
            // With the assignment's own example of arguments: whether they may be left out is a question of its own.
            args: vec!["-sp".into(), SERVER.into(), "-sargs".into(), SARGS.into()],
            env: Vec::new(),
            untapped: false,
            held: None,
            below: None,
            other: None,
            with_grandchild: false,
            deaf_to: Vec::new(),
            extra: Vec::new(),
            answer: Answer::default(),
        }
    }
}

impl Watchdog {
    /// On plain pipes instead of a terminal.
    pub fn on_pipes() -> Self {
        Watchdog { terminal: false, ..Watchdog::default() }
    }

    /// With these arguments and no others.
    pub fn with(args: &[&str]) -> Self {
        Watchdog { terminal: false, args: args.iter().map(Into::into).collect(), ..Watchdog::default() }
    }

    /// With `-sp PATH` and these arguments for the server.
    pub fn with_sargs(sargs: &str) -> Self {
        Watchdog { args: vec!["-sp".into(), SERVER.into(), "-sargs".into(), sargs.into()], ..Watchdog::default() }
    }
}

/// How a server is started alone.
#[derive(Debug, Clone, Default)]
pub struct Alone {
    /// Its arguments and environment as the watchdog gave them, or nothing.
    pub like: Option<Hello>,
    /// The ends that it gets, with their numbers.
    pub ends: Vec<(i32, Arc<std::os::fd::OwnedFd>)>,
    /// The target's path.
    pub slot: Option<String>,
}

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

    /// The recorded request that is this case's own to replay: two that had the same would find each other's.
    pub fn replay(&self) -> Option<&Vec<u8>> {
        self.lesson.replays.get(self.replay_number())
    }

    /// Where that request arrives.
    pub fn replay_slot(&self) -> String {
        replay_slot(self.replay_number())
    }

    fn replay_number(&self) -> usize {
        self.notes.answer("which recorded request is its own", || {
            let mut replaying = self.suite.replaying.lock().expect("not poisoned");
            replaying.iter().position(|id| *id == self.id).unwrap_or_else(|| {
                replaying.push(self.id);
                replaying.len() - 1
            })
        })
    }

    /// A target that misbehaves, where the subjects can reach it.
    pub fn rogue(&self, manner: Manner) -> std::io::Result<Rogue> {
        Rogue::start(manner, &self.notes, || self.suite.folder.sandbox.bound())
    }

    /// The dialect in force.
    pub fn dialect(&self) -> &Dialect {
        &self.lesson.dialect
    }

    /// Starts the watchdog in a terminal, its server tapped.
    pub async fn watchdog(&self) -> Result<Run, Stop> {
        self.start(Watchdog::default()).await
    }

    /// Starts the watchdog as stated. One that shows a prompt in a terminal is let come to it: a program that takes lines
    /// there by itself may discard what was typed before.
    pub async fn start(&self, how: Watchdog) -> Result<Run, Stop> {
        let prompt = self.dialect().prints.prompt.clone().filter(|prompt| how.terminal && !prompt.is_empty());
        let run = self.try_start(how).await?.map_err(|error| {
            Stop::Missing(format!("{} could not be executed: {error}", self.suite.pair.watchdog.display()))
        })?;
        if let Some(prompt) = prompt {
            let is_ready = |events: &[Event]| {
                let prompted = crate::dialect::find(&shown(events, None), prompt.as_bytes()).is_some();
                (prompted || ended(events, Who::Watchdog).is_some()).then_some(())
            };
            run.record.until(Instant::now() + self.suite.patience / 10, is_ready).await;
        }
        Ok(run)
    }

    async fn try_start(&self, how: Watchdog) -> Result<Result<Run, std::io::Error>, Stop> {
        let folder = self.suite.folder.session()?;
        let mut home = folder.to_path_buf();
        if let Some(below) = how.below {
            // A stand-in looks for its socket beside itself: the one above is reached through a link.
            home.push(below);
            std::fs::create_dir(&home)?;
            std::fs::hard_link(folder.join(TAP), home.join(TAP))?;
            std::os::unix::fs::symlink(folder.join("socket"), home.join("socket"))?;
        }
        let in_place = home.join(TAP);
        if let Some(text) = how.other {
            put_program(&home.join(format!("{TAP}-other")), text)?;
        }
        let args = how
            .args
            .iter()
            .map(|arg| replaced(arg.as_bytes(), SERVER.as_bytes(), in_place.as_os_str().as_bytes()))
            .collect();
        let mut server = self.suite.pair.server.clone();
        if how.with_grandchild {
            let script = folder.join("with-grandchild");
            let quoted = server.display().to_string().replace('\'', r"'\''");
            put_program(&script, &format!("#!/bin/sh\nsleep 1000 &\nexec '{quoted}' \"$@\"\n"))?;
            server = script;
        }
        let plan = Plan {
            program: self.suite.pair.watchdog.clone(),
            args,
            env: how.env,
            terminal: how.terminal,
            server: match how.held {
                Some(ignore) => ServerPlan::Held(ignore),
                None if how.untapped => ServerPlan::Untapped(server),
                None => ServerPlan::Tapped(server),
            },
            extra: how.extra,
            deaf_to: how.deaf_to,
            strace: self.strace.clone(),
            who: Who::Watchdog,
        };
        let slot = self.slot();
        self.run(folder, plan, slot, how.answer).await
    }

    /// Starts the server alone, the suite in the watchdog's place.
    pub async fn server(&self, how: Alone) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let (args, env) = how.like.as_ref().map_or_else(Default::default, |hello| {
            // What the watchdog told it of its session's folder, which is gone, it is told of its own.
            let is_ours = |home: &&[u8]| Path::new(OsStr::from_bytes(home)).parent() == folder.parent();
            let theirs = hello.env.iter().find_map(|entry| entry.strip_prefix(HOME).filter(is_ours));
            let theirs = theirs.unwrap_or_default();
            let moved = |bytes: &Vec<u8>| replaced(bytes, theirs, folder.as_os_str().as_bytes());
            let args = hello.argv.iter().skip(1).map(moved).collect();
            let own = environment(&folder);
            let fixed = |entry: &&Vec<u8>| own.iter().any(|o| name_of(o.as_bytes()) == name_of(entry));
            let env = hello.env.iter().filter(|entry| !fixed(entry)).map(moved).collect();
            (args, env)
        });
        let plan = Plan {
            program: self.suite.pair.server.clone(),
            args,
            env,
            terminal: false,
            server: ServerPlan::Tapped(self.suite.pair.server.clone()),
            extra: how.ends,
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who: Who::Server(0),
        };
        let slot = how.slot.unwrap_or_else(|| self.slot());
        self.run(folder, plan, slot, Answer::default())
            .await?
            .map_err(|error| Stop::Missing(format!("the server could not be executed: {error}")))
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
        let had: Vec<_> = sessions.iter().map(|session| session.processor_time()).collect();
        // Whoever had half a processor or more all the time made itself slow, and the suite.
        if had.iter().any(|had| had.ran >= time / 2) {
            return Slow::default();
        }
        Slow {
            late: self.suite.lateness.worst_since(begun),
            starved: had.iter().map(|had| had.waited).max().unwrap_or_default(),
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

/// The target's path for the recorded request of this number. In letters: a number might be taken for one that was
/// typed.
pub fn replay_slot(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap_or_default());
    format!("replay-{}{}", letter(n / 26), letter(n))
}

fn put_program(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// With every occurrence of the one replaced by the other.
fn replaced(text: &[u8], from: &[u8], to: &[u8]) -> OsString {
    let (mut rest, mut done) = (text, Vec::new());
    while let Some(at) = crate::dialect::find(rest, from) {
        done.extend_from_slice(&[&rest[..at], to].concat());
        rest = &rest[at + from.len()..];
    }
    done.extend_from_slice(rest);
    OsString::from_vec(done)
}

fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|b| *b == b'=').next().unwrap_or_default()
}
