//! How a parent and its child are started whose command lines a profile states: together, and each alone.
//!
//! What should happen then is not known here.

#[cfg(unix)]
use std::ffi::OsString;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(unix)]
use super::replaced;
use super::{Run, Stage};
use crate::observe::ends::End;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::profile::CommandLines;
#[cfg(unix)]
use crate::signal::Signal;
use crate::subject::place::SessionFolder;
#[cfg(unix)]
use crate::subject::place::TAP;
use crate::subject::plan::{ChildPlan, Plan};

/// How a parent is started, where it differs from the usual: in a terminal, with its child tapped.
#[cfg(unix)]
#[derive(Debug, Clone, Default)]
pub struct Parent {
    /// Arguments for its child.
    pub arguments: Vec<OsString>,
    /// The suite plays its child, which ignores these signals.
    pub played: Option<Vec<Signal>>,
    /// The path of its child, if that is to be another one than is judged.
    pub child: Option<PathBuf>,
    /// It has no terminal, which would hang up with it, and end whoever does not heed that.
    pub on_pipes: bool,
}

/// Signals that ask a child for its end.
#[cfg(unix)]
pub const ASK_FOR_AN_END: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM];

#[cfg(unix)]
impl Parent {
    /// The suite plays its child.
    pub fn played() -> Self {
        Parent { played: Some(Vec::new()), ..Parent::default() }
    }

    /// The suite plays its child, which no signal that asks for an end keeps from going on.
    pub fn played_deaf() -> Self {
        Parent { played: Some(ASK_FOR_AN_END.to_vec()), ..Parent::default() }
    }
}

impl Stage {
    fn command_lines(&self) -> Result<CommandLines<'_>, Stop> {
        let family = self.suite.pair.family;
        let none = || Stop::Harness(format!("no profile states how a {} is started", family.parent()));
        self.suite.profile.command_lines(family).ok_or_else(none)
    }

    /// Starts the parent, so that whatever it shows is to be seen at once.
    #[cfg(unix)]
    pub async fn stated_parent(&self, how: Parent) -> Result<Run, Stop> {
        let (program, who, stated) =
            (self.parent()?.to_owned(), self.suite.pair.family.parent(), self.command_lines()?);
        let folder = self.suite.folder.session()?;
        let child = how.child.unwrap_or_else(|| folder.join(TAP));
        let named = |arg: &String| replaced(arg.as_bytes(), stated.child_path.as_bytes(), child.as_os_str().as_bytes());
        let plan = Plan {
            program,
            args: stated.parent.iter().map(named).chain(how.arguments).collect(),
            env: Vec::new(),
            terminal: !how.on_pipes,
            child: match how.played {
                Some(ignored) => ChildPlan::Held(ignored.iter().map(|signal| *signal as i32).collect()),
                None => ChildPlan::Tapped(self.suite.pair.child.clone()),
            },
            extra: Vec::new(),
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who,
        };
        self.stated(folder, plan).await
    }

    /// Starts the child alone, with these arguments beside those that are stated, and these descriptors.
    pub async fn stated_child(&self, args: Vec<String>, ends: Vec<(i32, Arc<End>)>) -> Result<Run, Stop> {
        let (who, stated) = (self.suite.pair.family.child(), self.command_lines()?);
        let folder = self.suite.folder.session()?;
        let plan = Plan {
            program: self.suite.pair.child.clone(),
            args: stated.child.iter().cloned().chain(args).map(Into::into).collect(),
            env: Vec::new(),
            terminal: false,
            child: ChildPlan::Untapped(self.suite.pair.child.clone()),
            extra: ends,
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who,
        };
        self.stated(folder, plan).await
    }

    async fn stated(&self, folder: SessionFolder, plan: Plan) -> Result<Run, Stop> {
        let (who, slot) = (plan.who, self.slot());
        let started = self.run(folder, plan, slot, Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the {who} could not be executed: {error}")))
    }
}
