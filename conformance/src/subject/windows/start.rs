//! How a session starts its program on Windows: on pipes, since nobody else is to see its console, and in a job of its own.
//!
//! What is done with the session afterwards is not known here.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::attend::Shared;
use super::create::{Creation, create};
use super::place::{SessionFolder, environment};
use super::plan::{Plan, StartError};
use super::session::Session;
use crate::event::What;
use crate::observe::ends::{Standard, standard};
use crate::observe::process::Watch;
use crate::observe::starvation::Starvation;
use crate::record::Record;

impl Session {
    /// Starts the program. Every wait in the session lasts `patience` at most.
    pub async fn start(
        record: Arc<Record>,
        folder: SessionFolder,
        plan: Plan,
        patience: Duration,
    ) -> Result<Self, StartError> {
        let who = plan.who;
        let Standard { input, readers, its } = standard(&record)?;
        let mut its = its.map(Arc::new);
        let mut others = Vec::new();
        for (number, end) in plan.extra {
            match usize::try_from(number) {
                // An end that takes the place of standard input or output replaces it.
                Ok(number @ 0..=2) => its[number] = end,
                _ => others.push(end),
            }
        }
        let env: Vec<_> = environment(&folder).into_iter().chain(plan.env).collect();
        let creation = Creation {
            program: &plan.program,
            args: &plan.args,
            env: &env,
            folder: &folder,
            standard: its.each_ref().map(|end| &**end),
            others: others.iter().map(|end| &**end).collect(),
            job: folder.group.as_deref(),
        };
        let (process, pid) = create(&creation).map_err(StartError::Program)?;
        drop((its, others));
        record.push(What::Started { who, pid });
        let watch = Watch::of(process)?;
        let mut watching = JoinSet::new();
        let watched = record.clone();
        watching.spawn(async move {
            if watch.ended().await.is_ok() {
                watched.push(What::Ended { who, status: watch.status() });
            }
        });
        Ok(Session {
            record,
            folder,
            pid,
            patience,
            who,
            input: Mutex::new(Some(Arc::new(input))),
            shared: Arc::new(Shared),
            terminal: None,
            readers: Mutex::new(readers),
            init: None,
            starvation: Arc::new(Starvation::in_stretches_of(patience)),
            finished: AtomicBool::new(false),
            _attending: watching,
        })
    }
}
