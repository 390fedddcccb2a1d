//! The suite in the host's place: a plugin started alone, with its connection as a case wants it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use super::connection::{Connection, Courtesy, ping_answered};
use crate::chunk::{Chunk, Direction, METADATA};
use crate::event::Who;
use crate::observe::ends::{End, Input, Ours, pipe, read_passing, told};
use crate::outcome::Stop;
use crate::stage::Stage;

/// The numbers that a plugin is told, of what it reads from and of what it writes to. They are not those that come first.
const TOLD: (i32, i32) = (5, 6);

/// The number of the request with which it is asked what it is.
pub const GREETING: u64 = 1 << 19;

/// Where it reads and writes when it is told none.
const STANDARD: (i32, i32) = (0, 1);

/// How a plugin is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start {
    /// It is told no numbers.
    pub standard: bool,
    /// What it sends is not read until it is asked for.
    pub unread: bool,
    /// It hears that its host knows of no ping.
    pub refuses_pings: bool,
}

/// A plugin without a host.
pub struct Host {
    connection: Connection,
    hears: Option<End>,
}

/// As a host that knows `repeat` and nothing else; whether that is answered its case decides.
fn kind(repeat: String, refuses_pings: bool) -> Courtesy {
    Box::new(move |chunk| {
        let other = || {
            let is_other = chunk.direction == Direction::Request && chunk.command != repeat.as_bytes();
            is_other.then(|| chunk.refused("there is no such command"))
        };
        if refuses_pings { other() } else { ping_answered(chunk).or_else(other) }
    })
}

impl Host {
    /// Starts the plugin.
    pub async fn start(stage: &Stage, how: Start) -> Result<Self, Stop> {
        let stated = &stage.suite.profile.plugin;
        let (reads, writes) = if how.standard { STANDARD } else { TOLD };
        let (its_end, says) = pipe(Ours::Writer)?;
        let (hears, its_other) = pipe(Ours::Reader)?;
        let ends = [(reads, its_end), (writes, its_other)];
        let args = if how.standard { "" } else { &stated.numbers };
        let [r, w] = [told(&ends[0].1, reads), told(&ends[1].1, writes)].map(|number| number.to_string());
        let number = |word: &str| word.replace("{reads}", &r).replace("{writes}", &w);
        let args = args.split_whitespace().map(number).collect();
        let run = stage.stated_child(args, ends.map(|(number, end)| (number, Arc::new(end))).into()).await?;
        let connection = Connection {
            run,
            subject: Who::Plugin(0),
            into: reads,
            from: writes,
            order: stated.order,
            courtesy: kind(stated.repeat.clone(), how.refuses_pings),
            says: Some(Input::new(says)?),
            heard: Mutex::default(),
        };
        let mut host = Host { connection, hears: Some(hears) };
        // As a host of the published library does, before anything else.
        host.send(&[Chunk::request(GREETING, METADATA, "")]).await?;
        if !how.unread {
            host.read()?;
        }
        Ok(host)
    }

    /// From here on what the plugin sends is read.
    pub fn read(&mut self) -> Result<(), Stop> {
        if let Some(hears) = self.hears.take() {
            // It goes on by itself until the other end is closed.
            read_passing(self.run.record.clone(), hears, Who::Host, self.from)?;
        }
        Ok(())
    }
}

impl Deref for Host {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
