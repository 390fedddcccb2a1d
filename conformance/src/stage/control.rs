//! How a supervisor and its service are started, together and each alone.
//!
//! What should happen then is not known here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sys::signal::Signal;

use super::{Run, Stage, replaced};
use crate::event::Who;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::subject::attend::ChildPlan;
use crate::subject::place::TAP;
use crate::subject::start::Plan;

/// Stands for the service's path in what a supervisor is started with.
const SERVICE: &str = "{service}";

const ASK_FOR_AN_END: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

/// How a supervisor is started, where it differs from the usual.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    /// Arguments for its service.
    pub arguments: Vec<OsString>,
    /// The suite plays the service, which no signal that asks for an end keeps from telling all.
    pub played: bool,
    /// The path of its service, if that is to be another one than is judged.
    pub service: Option<PathBuf>,
    /// It has no terminal, which would hang up with it, and end whoever does not heed that.
    pub on_pipes: bool,
}

impl Supervisor {
    /// The suite plays its service.
    pub fn played() -> Self {
        Supervisor { played: true, ..Supervisor::default() }
    }
}

impl Stage {
    /// Starts the supervisor, in a terminal if nothing else is said, so that whatever it shows is to be seen at once, and its
    /// service tapped.
    pub async fn supervisor(&self, how: Supervisor) -> Result<Run, Stop> {
        let program = self.parent()?.to_owned();
        let folder = self.suite.folder.session()?;
        let service = how.service.unwrap_or_else(|| folder.join(TAP));
        let named = |arg: &String| replaced(arg.as_bytes(), SERVICE.as_bytes(), service.as_os_str().as_bytes());
        let plan = Plan {
            program,
            args: self.suite.profile.control.supervisor.iter().map(named).chain(how.arguments).collect(),
            env: Vec::new(),
            terminal: !how.on_pipes,
            child: match how.played {
                true => ChildPlan::Held(ASK_FOR_AN_END.map(|signal| signal as i32).to_vec()),
                false => ChildPlan::Tapped(self.suite.pair.child.clone()),
            },
            extra: Vec::new(),
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who: Who::Supervisor,
        };
        let slot = self.slot();
        let started = self.run(folder, plan, slot, Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the supervisor could not be executed: {error}")))
    }

    /// Connects to an address on the network of the subjects. The error is the system's.
    pub fn connected(&self, to: SocketAddr) -> std::io::Result<()> {
        let socket = self.suite.folder.sandbox.bound()?;
        Ok(rustix::net::connect(&socket, &to)?)
    }

    /// Starts the service alone, with these arguments beside those that a profile states, and these descriptors.
    pub async fn service(&self, args: Vec<String>, ends: Vec<(i32, Arc<OwnedFd>)>) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let plan = Plan {
            program: self.suite.pair.child.clone(),
            args: self.suite.profile.control.service.iter().cloned().chain(args).map(Into::into).collect(),
            env: Vec::new(),
            terminal: false,
            child: ChildPlan::Untapped(self.suite.pair.child.clone()),
            extra: ends,
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who: Who::Service(0),
        };
        let slot = self.slot();
        let started = self.run(folder, plan, slot, Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the service could not be executed: {error}")))
    }
}
