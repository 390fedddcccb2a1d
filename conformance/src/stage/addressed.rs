//! How a server and a client are started that meet at an address: each alone.
//!
//! What should happen then is not known here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Run, Stage, put_program};
use crate::event::Who;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::subject::attend::ChildPlan;
use crate::subject::place::SessionFolder;
use crate::subject::start::Plan;

/// The name of a server's path in its session's folder.
pub const PATH: &str = "s";

/// Kinds of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A path.
    Unix,
    /// The internet's protocol for streams.
    Tcp,
}

impl Kind {
    /// In the words of a report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unix => "a path",
            Kind::Tcp => "TCP",
        }
    }
}

impl Stage {
    /// The kinds that the two speak, by the profile.
    pub fn kinds(&self) -> Result<Vec<Kind>, Stop> {
        let stated = &self.suite.profile.sockets;
        let all = [(Kind::Unix, &stated.unix), (Kind::Tcp, &stated.tcp)];
        let spoken: Vec<_> = all.into_iter().filter(|(_, form)| !form.is_empty()).map(|(kind, _)| kind).collect();
        if spoken.is_empty() {
            return Err(Stop::NotApplicable("the profile names no kind of address".into()));
        }
        Ok(spoken)
    }

    /// Says that there is nothing to judge where the pair does not speak this kind.
    pub fn speaks(&self, kind: Kind) -> Result<(), Stop> {
        let none = || Stop::NotApplicable(format!("the profile says that {} is no address of theirs", kind.name()));
        self.kinds()?.contains(&kind).then_some(()).ok_or_else(none)
    }

    /// An address of this kind, at this path or port.
    fn address(&self, kind: Kind, path: &Path, port: u16) -> String {
        let stated = &self.suite.profile.sockets;
        match kind {
            Kind::Unix => stated.unix.replace("{path}", &path.display().to_string()),
            Kind::Tcp => stated.tcp.replace("{port}", &port.to_string()),
        }
    }

    /// Starts a server that is to listen at an address of this kind, at a port that it chooses; `after` this script, in which
    /// `"$server" "$@"` is the server, and `$folder` its folder.
    pub async fn server_at(&self, kind: Kind, after: &str) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let address = self.address(kind, &folder.join(PATH), 0);
        let mut args = told(&self.suite.profile.sockets.server, &address);
        let mut program = self.suite.pair.child.clone();
        if !after.is_empty() {
            let script = folder.join("after");
            let place = folder.display().to_string().replace('\'', r"'\''");
            put_program(
                &script,
                &format!("#!/bin/sh\nserver=$1\nshift\nfolder='{place}'\n{after}\nexec \"$server\" \"$@\"\n"),
            )?;
            args.insert(0, program.into());
            program = script;
        }
        self.addressed(folder, Who::Listener(0), program, args).await
    }

    /// Starts a server that is to listen at this port.
    pub async fn server_at_port(&self, port: u16) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let address = self.address(Kind::Tcp, Path::new(""), port);
        let args = told(&self.suite.profile.sockets.server, &address);
        self.addressed(folder, Who::Listener(0), self.suite.pair.child.clone(), args).await
    }

    /// Starts a client that is to connect to this port, at the loopback.
    pub async fn client_at(&self, port: u16) -> Result<Run, Stop> {
        let program = self.parent()?.to_owned();
        let folder = self.suite.folder.session()?;
        let address = self.address(Kind::Tcp, Path::new(""), port);
        let args = told(&self.suite.profile.sockets.client, &address);
        self.addressed(folder, Who::Client, program, args).await
    }

    async fn addressed(
        &self,
        folder: SessionFolder,
        who: Who,
        program: PathBuf,
        args: Vec<OsString>,
    ) -> Result<Run, Stop> {
        let plan = Plan {
            program,
            args,
            env: Vec::new(),
            terminal: false,
            child: ChildPlan::Untapped(self.suite.pair.child.clone()),
            extra: Vec::new(),
            deaf_to: Vec::new(),
            strace: self.strace.clone(),
            who,
        };
        let started = self.run(folder, plan, self.slot(), Answer::default()).await?;
        started.map_err(|error| Stop::Missing(format!("the {who} could not be executed: {error}")))
    }
}

/// What a program is started with that is told this address.
fn told(stated: &[String], address: &str) -> Vec<OsString> {
    stated.iter().map(|arg| arg.replace("{address}", address).into()).collect()
}
