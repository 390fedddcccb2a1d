//! How a session starts its program: what it is given, in a terminal or on pipes, and the stand-in that becomes it.
//!
//! What is done with the session afterwards is not known here.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::attend::{Program, Shared, Starting, attend, begin};
use super::handover::{Become, SOCKET};
use super::place::{SessionFolder, environment};
use super::plan::{Plan, StartError};
use super::remains;
use super::session::{Session, TRACE, look_at};
use crate::descriptors;
use crate::event::Stream;
use crate::forks;
use crate::observe::ends::{Input, read_into, standard};
use crate::observe::looking::now_and_then;
use crate::observe::process::{self, Watch};
use crate::observe::starvation::Starvation;
use crate::observe::strace::traced;
use crate::observe::terminal::Terminal;
use crate::record::Record;

impl Session {
    /// Starts the program. Every wait in the session lasts `patience` at most.
    pub async fn start(
        record: Arc<Record>,
        folder: SessionFolder,
        plan: Plan,
        patience: Duration,
    ) -> Result<Self, StartError> {
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let who = plan.who;
        let mut ends = Vec::new();
        let mut place = Vec::new();
        let mut readers = Vec::new();
        let mut input = None;
        if !plan.terminal {
            let standard = standard(&record)?;
            readers = standard.readers;
            input = Some(standard.input);
            ends = standard.its.into();
            place = vec![0, 1, 2];
        }
        let own =
            ends.iter().map(|end| Ok(super::identity(&nix::sys::stat::fstat(end)?))).collect::<io::Result<Vec<_>>>()?;
        for (number, end) in &plan.extra {
            // An end that takes the place of standard input or output replaces it.
            if let Some(at) = place.iter().position(|n| n == number) {
                ends[at] = end.try_clone()?;
            } else {
                place.push(*number);
                ends.push(end.try_clone()?);
            }
        }
        let trace = folder.join(TRACE);
        let (path, mut argv) = match &plan.strace {
            None => (plan.program.clone(), vec![plan.program.clone().into_os_string()]),
            Some(strace) => {
                std::fs::File::create(&trace)?;
                (strace.clone(), traced(strace, &trace, &plan.program))
            }
        };
        argv.extend(plan.args);
        let confined = folder.sandbox.confine(&folder, plan.terminal, plan.strace.as_ref().map(|_| trace.as_path()))?;
        let (confine, user) = match confined {
            None => (None, None),
            Some(confined) => {
                ends.extend(confined.along);
                (Some(confined.confine), confined.user)
            }
        };
        let env = environment(&folder).into_iter().chain(plan.env).map(OsString::into_vec).collect();
        let order = Become {
            place,
            clean: true,
            descriptors: descriptors::given(),
            deaf_to: plan.deaf_to,
            new_session: !plan.terminal && confine.is_none(),
            confine,
            folder: Some(folder.as_os_str().as_bytes().to_vec()),
            path: path.as_os_str().as_bytes().to_vec(),
            argv: argv.into_iter().map(OsString::into_vec).collect(),
            env,
        };
        drop(plan.extra);
        let shared = Arc::new(Shared {
            record: record.clone(),
            who,
            child: plan.child,
            own,
            standin: folder.standin.clone(),
            starts: Mutex::default(),
            watching: Mutex::default(),
        });
        // The fork and the exec of a small program: short enough to be done in place.
        let (terminal, starter) = forks::starting(|| match plan.terminal {
            true => Ok((Some(Arc::new(Terminal::start(folder.starter())?)), None)),
            false => Ok((None, Some(start_on_pipes(folder.starter())?))),
        })?;
        let mut started = Started(starter.map(|pid| (pid, folder.clone())));
        let mut master = None;
        if let Some(terminal) = &terminal {
            let end = terminal.master()?;
            readers.push(read_into(record.clone(), end.try_clone()?, Stream::Terminal)?);
            input = Some(Input::new(end.try_clone()?)?);
            master = Some(end);
        }
        let realm = folder.realm.clone();
        let groups = folder.group.iter().chain(&folder.memory).chain(&folder.processors).cloned().collect();
        let lives: Box<dyn Fn() -> bool + Send> = match terminal.clone() {
            Some(terminal) => Box::new(move || terminal.has_its_program()),
            None => Box::new(move || starter.is_some_and(process::is_living_child)),
        };
        let starting = Starting { lives, order, ends, master, who, user, realm, groups };
        let began = {
            let shared = shared.clone();
            tokio::task::spawn_blocking(move || (begin(&listener, starting, &shared), listener))
        };
        let (began, listener) = began.await.map_err(io::Error::other)?;
        let Program { pid, init } = match began {
            Ok(program) => program,
            Err(error) => {
                if let Some((pid, _)) = &started.0 {
                    Watch::new(*pid)?.ended().await?;
                }
                return Err(error);
            }
        };
        // From here on it is the session's.
        started.0 = None;
        let mut attending = JoinSet::new();
        attending.spawn(attend(listener, shared.clone()));
        let starvation = Arc::new(Starvation::in_stretches_of(patience));
        let (watched, record_of_it, its_folder) = (starvation.clone(), record.clone(), folder.clone());
        attending.spawn(now_and_then(patience / 8, move || look_at(&watched, &record_of_it, &its_folder, pid)));
        Ok(Session {
            record,
            folder,
            pid,
            patience,
            who,
            input: Mutex::new(input.map(Arc::new)),
            shared,
            terminal,
            readers: Mutex::new(readers),
            init,
            starvation,
            finished: AtomicBool::new(false),
            _attending: attending,
        })
    }
}

/// A process that no session answers for yet: it ends, and whoever descends from it, when this is dropped.
struct Started(Option<(i32, SessionFolder)>);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some((pid, folder)) = &self.0 {
            remains::end_now(folder, *pid);
        }
    }
}

fn start_on_pipes(mut starter: Command) -> io::Result<i32> {
    starter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    Ok(starter.spawn()?.id().cast_signed())
}
