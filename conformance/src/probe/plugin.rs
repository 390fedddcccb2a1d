//! The suite in the plugin's place: a stand-in holds the plugin's process, the suite its ends of the pipes.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use super::connection::{Connection, ping_answered};
use crate::chunk::{Chunk, METADATA};
use crate::event::{Status, Who};
use crate::observe::ends::{Input, Reader, read_passing};
use crate::outcome::Stop;
use crate::profile;
use crate::stage::{Run, Stage};
use crate::subject::handover::{Hello, Order};

/// What a plugin says that it is.
const ABOUT: &str = r#"{"Cmd":"probe","Help":"whatever is asked"}"#;

/// A plugin that says what the suite says.
pub struct Plugin {
    connection: Connection,
    reader: Option<Reader>,
}

/// As a plugin that says what it is; what else is answered its case decides.
fn kind(chunk: &Chunk) -> Option<Chunk> {
    ping_answered(chunk).or_else(|| chunk.is_request(METADATA).then(|| chunk.response(ABOUT)))
}

impl Plugin {
    /// Takes the held plugin's ends once the host has started it.
    pub async fn join(stage: &Stage, run: &Run) -> Result<Self, Stop> {
        let missing = |what: &str| Stop::Missing(format!("{what} where the suite should play it"));
        let hello = run.first_child().await.ok_or_else(|| missing("no plugin was started"))?;
        let stated = &stage.suite.profile.plugin;
        let (reads, writes) = numbers(&hello, stated);
        let hears = run.take_end(0, reads).ok_or_else(|| missing("the plugin was given no such pipes"))?;
        // Of two numbers that are one both ways lead through one end.
        let says = if writes == reads { Some(hears.try_clone()?) } else { run.take_end(0, writes) };
        run.drop_ends(0);
        let says = says.ok_or_else(|| missing("the plugin was given no such pipes"))?;
        let reader = read_passing(run.record.clone(), hears, Who::Plugin(0), reads)?;
        let connection = Connection {
            run: run.clone(),
            subject: Who::Host,
            into: writes,
            from: reads,
            order: stated.order,
            courtesy: Box::new(kind),
            says: Some(Input::new(says)?),
            heard: Mutex::default(),
        };
        Ok(Plugin { connection, reader: Some(reader) })
    }

    /// Ends so, and both its pipes with it.
    pub async fn end(&mut self, status: Status) -> Result<(), Stop> {
        self.run.order(0, &Order::end(status))?;
        let ended = self.run.ended(Who::Plugin(0)).await;
        self.connection.close();
        if let Some(reader) = self.reader.take() {
            reader.close().await;
        }
        ended.map(drop).ok_or_else(|| Stop::TooSlow("for the plugin that the suite plays to end".into()))
    }
}

impl Deref for Plugin {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Plugin {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Plugin {
    /// A host whose case is done sees its plugin end.
    fn drop(&mut self) {
        let _ = self.run.order(0, &Order::Exit(0));
    }
}

/// The numbers that a plugin was told, of what it reads from and of what it writes to; those of standard input and output if it
/// was told none.
pub fn numbers(hello: &Hello, stated: &profile::Plugin) -> (i32, i32) {
    told(hello, &stated.numbers).unwrap_or((0, 1))
}

/// The numbers that it was told.
pub fn told(hello: &Hello, form: &str) -> Option<(i32, i32)> {
    let args: Vec<_> = hello.argv.iter().skip(1).map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
    let words: Vec<_> = form.split_whitespace().collect();
    // They come last, if there are others that look like them.
    args.windows(words.len().max(1)).rev().find_map(|some| both(&words, some))
}

/// The numbers in words of this form.
fn both(form: &[&str], words: &[String]) -> Option<(i32, i32)> {
    let (mut reads, mut writes) = (None, None);
    for (form, word) in form.iter().zip(words) {
        let number = |name: &str| {
            let (before, after) = form.split_once(name)?;
            word.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
        };
        reads = reads.or_else(|| number("{reads}"));
        writes = writes.or_else(|| number("{writes}"));
        if form != word && number("{reads}").is_none() && number("{writes}").is_none() {
            return None;
        }
    }
    Some((reads?, writes?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_where_the_form_has_them() {
        let found = |form: &str, words: &str| {
            let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
            let form: Vec<_> = form.split(' ').collect();
            words.windows(form.len()).rev().find_map(|some| both(&form, some))
        };
        assert_eq!(found("{reads} {writes}", "3 4"), Some((3, 4)));
        assert_eq!(found("{reads} {writes}", "1 2 run 5 6"), Some((5, 6)));
        assert_eq!(found("--in={reads} --out={writes}", "-v --in=7 --out=8 x"), Some((7, 8)));
        assert_eq!(found("--fds {reads} {writes}", "--fds 7 8"), Some((7, 8)));
        for none in ["3", "3 x", "three four", "--fds 3"] {
            assert_eq!(found("{reads} {writes}", none), None, "{none}");
        }
        assert_eq!(found("--fds {reads} {writes}", "-fds 7 8"), None);
    }
}
