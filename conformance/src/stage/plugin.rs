//! How a host and its plugin are started, together and each alone.
//!
//! What should happen then is not known here.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Run, Stage, replaced};
use crate::event::Who;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::subject::attend::ChildPlan;
use crate::subject::place::TAP;
use crate::subject::start::Plan;

/// Stands for the plugin's path in what a host is started with.
const PLUGIN: &str = "{plugin}";

/// How a host is started, where it differs from the usual.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The suite plays its plugin, which ignores these signals.
    pub played: Option<Vec<i32>>,
    /// The path of its plugin, if that is to be another one than is judged.
    pub plugin: Option<PathBuf>,
    /// It has no terminal, which would hang up with it, and end whoever does not heed that.
    pub on_pipes: bool,
}

impl Host {
    /// The suite plays its plugin.
    pub fn played() -> Self {
        Host { played: Some(Vec::new()), ..Host::default() }
    }
}

impl Stage {
    /// Starts the host, in a terminal if nothing else is said, so that whatever it shows is to be seen at once, and its plugin
    /// tapped.
    pub async fn host(&self, how: Host) -> Result<Run, Stop> {
        let program = self.parent()?.to_owned();
        let folder = self.suite.folder.session()?;
        let plugin = how.plugin.unwrap_or_else(|| folder.join(TAP));
        let named = |arg: &String| replaced(arg.as_bytes(), PLUGIN.as_bytes(), plugin.as_os_str().as_bytes());
        let plan = Plan {
            program,
            args: self.suite.profile.plugin.host.iter().map(named).collect(),
            env: Vec::new(),
            terminal: !how.on_pipes,
            child: match how.played {
                Some(ignored) => ChildPlan::Held(ignored),
                None => ChildPlan::Tapped(self.suite.pair.child.clone()),
            },
            extra: Vec::new(),
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who: Who::Host,
        };
        let slot = self.slot();
        let started = self.run(folder, plan, slot, Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the host could not be executed: {error}")))
    }

    /// Starts the plugin alone, with these arguments beside those that a profile states, and these descriptors.
    pub async fn plugin(&self, args: Vec<String>, ends: Vec<(i32, Arc<OwnedFd>)>) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let plan = Plan {
            program: self.suite.pair.child.clone(),
            args: self.suite.profile.plugin.plugin.iter().cloned().chain(args).map(Into::into).collect(),
            env: Vec::new(),
            terminal: false,
            child: ChildPlan::Untapped(self.suite.pair.child.clone()),
            extra: ends,
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who: Who::Plugin(0),
        };
        let slot = self.slot();
        let started = self.run(folder, plan, slot, Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the plugin could not be executed: {error}")))
    }
}
