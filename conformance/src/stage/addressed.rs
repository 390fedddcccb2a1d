//! How a server and a client are started that meet at an address: each alone.
//!
//! What should happen then is not known here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Run, Stage, put_program};
use crate::event::Who;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::subject::place::SessionFolder;
use crate::subject::plan::{ChildPlan, Plan};

/// The name of a server's path in its session's folder.
pub const PATH: &str = "s";

/// The name of the folder in there that holds the paths of the suite. Subjects see it and change nothing in it.
pub const OURS: &str = "ours";

/// Kinds of address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A path, for streams.
    Unix,
    /// The internet's protocol for streams.
    Tcp,
    /// A path, for datagrams.
    UnixDatagram,
    /// The internet's protocol for datagrams.
    Udp,
}

impl Kind {
    /// In the words of a report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unix => "a path",
            Kind::Tcp => "TCP",
            Kind::UnixDatagram => "a path for datagrams",
            Kind::Udp => "UDP",
        }
    }

    /// Whether it is a path.
    pub fn is_path(self) -> bool {
        matches!(self, Kind::Unix | Kind::UnixDatagram)
    }

    /// Whether what is sent comes as it was sent, in pieces of its own, or not at all.
    pub fn is_for_datagrams(self) -> bool {
        matches!(self, Kind::UnixDatagram | Kind::Udp)
    }
}

/// How a server is started beside where it listens.
#[derive(Default)]
pub struct How<'a> {
    /// After this script, in which `"$server" "$@"` is the server, and `$folder` its folder.
    pub after: &'a str,
    /// What its target answers.
    pub answer: Answer,
}

impl Stage {
    /// The kinds that the two speak, by the profile, of those that `are` asked for.
    fn kinds(&self, what: &str, are: fn(Kind) -> bool) -> Result<Vec<Kind>, Stop> {
        let all = [Kind::Unix, Kind::Tcp, Kind::UnixDatagram, Kind::Udp];
        let spoken: Vec<_> = all.into_iter().filter(|kind| are(*kind) && !self.form(*kind).is_empty()).collect();
        if spoken.is_empty() {
            return Err(Stop::NotApplicable(format!("the profile names no address {what}")));
        }
        Ok(spoken)
    }

    /// All kinds that they speak.
    pub fn all_kinds(&self) -> Result<Vec<Kind>, Stop> {
        self.kinds("at all", |_| true)
    }

    /// Those for streams.
    pub fn streams(&self) -> Result<Vec<Kind>, Stop> {
        self.kinds("for streams", |kind| !kind.is_for_datagrams())
    }

    /// Those for datagrams.
    pub fn datagrams(&self) -> Result<Vec<Kind>, Stop> {
        self.kinds("for datagrams", Kind::is_for_datagrams)
    }

    /// Those that are ports.
    pub fn ports(&self) -> Result<Vec<Kind>, Stop> {
        self.kinds("that is a port", |kind| !kind.is_path())
    }

    /// Those that are paths.
    pub fn paths(&self) -> Result<Vec<Kind>, Stop> {
        self.kinds("that is a path", Kind::is_path)
    }

    /// Says that there is nothing to judge where the pair does not speak this kind.
    pub fn speaks(&self, kind: Kind) -> Result<(), Stop> {
        let none = || Stop::NotApplicable(format!("the profile says that {} is no address of theirs", kind.name()));
        (!self.form(kind).is_empty()).then_some(()).ok_or_else(none)
    }

    /// How such an address is written; empty where there are no such.
    fn form(&self, kind: Kind) -> &str {
        let stated = &self.suite.profile.sockets;
        match kind {
            Kind::Unix => &stated.unix,
            Kind::Tcp => &stated.tcp,
            Kind::UnixDatagram => &stated.unix_datagram,
            Kind::Udp => &stated.udp,
        }
    }

    /// An address of this kind, at this path or port.
    fn address(&self, kind: Kind, path: &Path, port: u16) -> String {
        match kind.is_path() {
            true => self.form(kind).replace("{path}", &path.display().to_string()),
            false => self.form(kind).replace("{port}", &port.to_string()),
        }
    }

    /// A session's folder in which the suite can have paths of its own.
    pub fn meeting_place(&self) -> Result<SessionFolder, Stop> {
        let folder = self.suite.folder.session()?;
        std::fs::create_dir(folder.join(OURS))?;
        Ok(folder)
    }

    /// Starts a server that is to listen at an address of this kind, at a port that it chooses.
    pub async fn server_at(&self, kind: Kind, how: How<'_>) -> Result<Run, Stop> {
        let folder = self.meeting_place()?;
        let address = self.address(kind, &folder.join(PATH), 0);
        let mut args = told(&self.suite.profile.sockets.server, &address);
        let mut program = self.suite.pair.child.clone();
        if !how.after.is_empty() {
            let script = folder.join("after");
            let place = folder.display().to_string().replace('\'', r"'\''");
            let after = how.after;
            put_program(
                &script,
                &format!("#!/bin/sh\nserver=$1\nshift\nfolder='{place}'\n{after}\nexec \"$server\" \"$@\"\n"),
            )?;
            args.insert(0, program.into());
            program = script;
        }
        self.addressed(folder, Who::Listener(0), program, args, how.answer).await
    }

    /// Starts a server that is to listen at this port.
    pub async fn server_at_port(&self, port: u16) -> Result<Run, Stop> {
        let folder = self.suite.folder.session()?;
        let address = self.address(Kind::Tcp, Path::new(""), port);
        let args = told(&self.suite.profile.sockets.server, &address);
        self.addressed(folder, Who::Listener(0), self.suite.pair.child.clone(), args, Answer::default()).await
    }

    /// Starts a client in this folder that is to connect to the suite's path in it, or to this port of the loopback.
    pub async fn client_at(
        &self,
        stated: &[String],
        kind: Kind,
        folder: SessionFolder,
        port: u16,
    ) -> Result<Run, Stop> {
        let program = self.parent()?.to_owned();
        let address = self.address(kind, &folder.join(OURS).join(PATH), port);
        let args = told(stated, &address);
        self.addressed(folder, Who::Client, program, args, Answer::default()).await
    }

    /// Starts a server at a path that is to meet a peer at this one of the suite's.
    pub async fn peer_of(&self, ours: &str) -> Result<Run, Stop> {
        let folder = self.meeting_place()?;
        let own = self.address(Kind::UnixDatagram, &folder.join(PATH), 0);
        let other = self.address(Kind::UnixDatagram, &folder.join(OURS).join(ours), 0);
        let stated = &self.suite.profile.sockets.peer;
        let args = stated.iter().map(|arg| arg.replace("{own}", &own).replace("{other}", &other).into()).collect();
        self.addressed(folder, Who::Listener(0), self.suite.pair.child.clone(), args, Answer::default()).await
    }

    /// How many processes and threads a session may have, where that has a bound.
    pub fn bound_on_processes(&self) -> Option<u64> {
        let live = || self.suite.folder.sandbox.is_confined().then_some(self.suite.limits.max_processes);
        self.notes.answer("the bound on its processes", live)
    }

    async fn addressed(
        &self,
        folder: SessionFolder,
        who: Who,
        program: PathBuf,
        args: Vec<OsString>,
        answer: Answer,
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
        let started = self.run(folder, plan, self.slot(), answer).await?;
        started.map_err(|error| Stop::Missing(format!("the {who} could not be executed: {error}")))
    }
}

/// What a program is started with that is told this address.
fn told(stated: &[String], address: &str) -> Vec<OsString> {
    stated.iter().map(|arg| arg.replace("{address}", address).into()).collect()
}
