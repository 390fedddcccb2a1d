//! How a watchdog and its server are started, together and each alone.
//!
//! What should happen then is not known here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::{Run, Stage, put_program, replaced};
use crate::dialect::Dialect;
use crate::event::{Event, Who, ended, shown};
use crate::observe::rogue::{Manner, Rogue};
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::subject::handover::Hello;
use crate::subject::place::{HOME, TAP, environment};
use crate::subject::plan::{ChildPlan, Plan};

/// The arguments for the server in the assignment's example.
pub const SARGS: &str = "state=c, test=123";

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
        let watchdog = self.parent()?.display();
        let run = self.try_start(how).await?;
        let run = run.map_err(|error| Stop::Missing(format!("{watchdog} could not be executed: {error}")))?;
        if let Some(prompt) = prompt {
            let is_ready = |events: &[Event]| {
                let prompted = crate::dialect::find(&shown(events, None), prompt.as_bytes()).is_some();
                (prompted || ended(events, Who::Watchdog).is_some()).then_some(())
            };
            run.record.until(Instant::now() + self.suite.patience, is_ready).await;
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
        let for_this = how.args.iter().map(|arg| {
            let in_place = in_place.as_os_str().as_bytes();
            replaced(arg.as_bytes(), SERVER.as_bytes(), in_place)
        });
        let args = self.suite.profile.watchdog.iter().map(OsString::from).chain(for_this).collect();
        let mut server = self.suite.pair.child.clone();
        if how.with_grandchild {
            let script = folder.join("with-grandchild");
            let quoted = server.display().to_string().replace('\'', r"'\''");
            put_program(&script, &format!("#!/bin/sh\nsleep 1000 &\nexec '{quoted}' \"$@\"\n"))?;
            server = script;
        }
        let plan = Plan {
            program: self.parent()?.to_owned(),
            args,
            env: how.env,
            terminal: how.terminal,
            child: match how.held {
                Some(ignore) => ChildPlan::Held(ignore),
                None if how.untapped => ChildPlan::Untapped(server),
                None => ChildPlan::Tapped(server),
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
            program: self.suite.pair.child.clone(),
            args,
            env,
            terminal: false,
            child: ChildPlan::Tapped(self.suite.pair.child.clone()),
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
}

/// The target's path for the recorded request of this number. In letters: a number might be taken for one that was
/// typed.
pub fn replay_slot(n: usize) -> String {
    let letter = |n: usize| char::from(b'a' + u8::try_from(n % 26).unwrap_or_default());
    format!("replay-{}{}", letter(n / 26), letter(n))
}

fn name_of(entry: &[u8]) -> &[u8] {
    entry.split(|b| *b == b'=').next().unwrap_or_default()
}
