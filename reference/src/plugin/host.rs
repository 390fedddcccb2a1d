//! A host's side: it starts a plugin, hears what that has to say of itself, and ends it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::driver::{Limits, Role, connect};
use super::ends::Ends;
use super::errors::{CallError, Ended};
use super::handlers::Handlers;
use super::peer::Peer;
use super::{METADATA, STOP};
use crate::codec::chunk::Order;
use crate::ending::Ending;
use crate::process::Process;

/// How long a plugin may take to say what it is.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How long a plugin may take to end in order.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long a connection may outlive its plugin, of which something may still be on its way here.
const REST_WITHIN: Duration = Duration::from_secs(1);

/// A plugin that is to be started, and how. [`Host::at`] says what is usual.
#[derive(Debug)]
pub struct Start {
    /// The path of its program.
    pub program: PathBuf,
    /// Its arguments, before those that tell where its ends are.
    pub arguments: Vec<OsString>,
    /// Its ends are its standard input and output, and not two whose numbers it is told.
    pub is_on_standard: bool,
    /// The order of a chunk's parts.
    pub order: Order,
    /// How much of everything there may be.
    pub limits: Limits,
    /// What it may ask of the host.
    pub handlers: Handlers,
    /// How long it may take to say what it is.
    pub start_within: Duration,
    /// How long it may take to end in order, and as much again after it was asked by a signal, where there are any.
    pub stop_within: Duration,
}

/// A plugin that was started. It is killed when this is dropped.
#[derive(Debug)]
pub struct Host {
    peer: Peer,
    metadata: BTreeMap<String, String>,
    process: Process,
    /// The process has ended, whether it was reaped or not.
    is_gone: watch::Receiver<bool>,
    /// How it ended, once it was reaped.
    ending: Option<Ending>,
    stop_within: Duration,
}

/// Why there is no plugin.
#[derive(Debug)]
pub enum HostError {
    /// It could not be started.
    Start(PathBuf, io::Error),
    /// It did not say what it is, and how it ended then.
    Metadata(CallError, Option<Ending>),
    /// It said what it is in another way than as a JSON object of texts.
    NotMetadata(serde_json::Error),
    /// The system failed later.
    System(io::Error),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostError::Start(program, error) => write!(f, "cannot start the plugin {}: {error}", program.display()),
            HostError::Metadata(why, None) => write!(f, "the plugin does not say what it is: {why}"),
            HostError::Metadata(why, Some(ending)) => {
                write!(f, "the plugin does not say what it is: {why}; its end: {ending}")
            }
            HostError::NotMetadata(why) => {
                write!(f, "expected a JSON object of texts as the answer to {METADATA}: {why}")
            }
            HostError::System(error) => write!(f, "the system failed: {error}"),
        }
    }
}

impl std::error::Error for HostError {}

impl Host {
    /// Starts the plugin at this path, with nothing to be asked of the host.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn start(program: impl AsRef<Path>) -> Result<Self, HostError> {
        Self::at(program).start().await
    }

    /// The plugin at this path, with nothing out of the ordinary, to be started.
    pub fn at(program: impl AsRef<Path>) -> Start {
        Start {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            is_on_standard: false,
            order: Order::default(),
            limits: Limits::default(),
            handlers: Handlers::new(),
            start_within: START_WITHIN,
            stop_within: STOP_WITHIN,
        }
    }

    /// The plugin, to be asked.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What it says of itself.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Waits until the connection is over, and the plugin has ended, which is killed if it does not; says why and how.
    ///
    /// # Errors
    /// The system failed.
    pub async fn ended(&mut self) -> Result<(Ended, Ending), HostError> {
        let over = self.peer.over().await;
        if !self.is_gone_within(self.stop_within).await {
            self.process.kill();
        }
        Ok((over, self.reaped().await?))
    }

    /// Ends the plugin: tells it so, waits for what it still has to say and for its end, and kills it if that takes too long.
    /// What was asked of it before may still be answered.
    ///
    /// # Errors
    /// The system failed.
    pub async fn stop(&mut self) -> Result<Ending, HostError> {
        // A plugin that does not read can be told nothing.
        let _ = timeout(self.stop_within, self.peer.notify(STOP, b"")).await;
        self.peer.stop_sending();
        if !self.is_gone_within(self.stop_within).await {
            self.process.terminate();
            if !self.is_gone_within(self.stop_within).await {
                self.process.kill();
            }
        }
        self.reaped().await
    }

    async fn is_gone_within(&mut self, time: Duration) -> bool {
        timeout(time, self.is_gone.wait_for(|gone| *gone)).await.is_ok()
    }

    /// How it ended, which it has or is about to.
    async fn reaped(&mut self) -> Result<Ending, HostError> {
        if let Some(ending) = &self.ending {
            return Ok(ending.clone());
        }
        let _ = self.is_gone.wait_for(|gone| *gone).await;
        let ending = self.process.try_wait().map_err(HostError::System)?;
        let ending = ending.ok_or_else(|| HostError::System(io::Error::other("a process that ended has no status")))?;
        Ok(self.ending.insert(ending).clone())
    }
}

impl Start {
    /// Starts it, and asks it what it is.
    ///
    /// # Errors
    /// See [`HostError`].
    pub async fn start(self) -> Result<Host, HostError> {
        let started = match self.is_on_standard {
            true => Process::start_on_standard(&self.program, &self.arguments),
            false => Process::start(&self.program, &self.arguments, |reads, writes| {
                vec![reads.to_string().into(), writes.to_string().into()]
            }),
        };
        let (process, ends) = started.map_err(|error| HostError::Start(self.program, error))?;
        let (gone, is_gone) = watch::channel(false);
        process.watch(move || _ = gone.send_replace(true)).map_err(HostError::System)?;
        let ends = Ends::of(ends.from_child, ends.to_child).map_err(HostError::System)?;
        let (peer, driven) =
            connect((ends.incoming, ends.outgoing), (Role::Host, self.order, self.limits), self.handlers);
        let outlived = gives_up(peer.clone(), is_gone.clone());
        tokio::spawn(async move {
            tokio::pin!(driven);
            tokio::select! {
                ended = &mut driven => ended,
                () = outlived => driven.await,
            }
        });
        let (metadata, ending, stop_within) = (BTreeMap::new(), None, self.stop_within);
        let mut host = Host { peer, metadata, process, is_gone, ending, stop_within };
        match host.peer.call_within(self.start_within, METADATA, b"").await {
            Ok(told) => host.metadata = serde_json::from_slice(&told).map_err(HostError::NotMetadata)?,
            Err(why) => return Err(HostError::Metadata(why, host.stop().await.ok())),
        }
        Ok(host)
    }
}

/// Ends the connection to a plugin that has ended, should somebody else still hold its ends.
async fn gives_up(peer: Peer, mut is_gone: watch::Receiver<bool>) {
    let _ = is_gone.wait_for(|gone| *gone).await;
    tokio::time::sleep(REST_WITHIN).await;
    peer.end(Ended::Gone);
}
