//! What is done with a child that is held: the suite has its ends and says how it ends.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::handover::{self, Order};
use super::session::Session;
use crate::observe::ends::is_gone;

impl Session {
    /// Takes the end that the held server inherited under a number.
    pub fn take_end(&self, n: usize, number: i32) -> Option<OwnedFd> {
        let mut starts = self.shared.starts.lock().expect("not poisoned");
        let mut held = starts.get_mut(n).map(|start| &mut start.held);
        let at = held.as_ref().and_then(|held| held.iter().position(|(h, _)| *h == number));
        let at = self.record.answer(&format!("the end of the {} at {number}", self.who.child(n)), || at)?;
        match &mut held {
            Some(held) => Some(held.swap_remove(at).1),
            // In a session of another run an end without another side stands in its place.
            None => UnixStream::pair().ok().map(|(end, _)| end.into()),
        }
    }

    /// Closes every end of the held server that was not taken.
    pub fn drop_ends(&self, n: usize) {
        if let Some(start) = self.shared.starts.lock().expect("not poisoned").get_mut(n) {
            start.held.clear();
        }
    }

    /// Gives a held stand-in another order. That it is gone already is not an error: its end is seen.
    pub fn order(&self, n: usize, order: &Order) -> io::Result<()> {
        if self.record.is_past() {
            return Ok(());
        }
        let starts = self.shared.starts.lock().expect("not poisoned");
        let control = starts.get(n).and_then(|s| s.control.as_ref());
        let sent = handover::send(control.ok_or_else(|| io::Error::other("there is no held server"))?, order, &[]);
        sent.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })
    }
}
