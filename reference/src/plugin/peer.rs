//! The other side of a connection, as whoever wants something of it sees it, and what the two halves of this side share: those
//! that call and answer, and the driver that reads and writes. Who the other side is it does not know.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};

use super::calls::{Answer, Calls};
use super::errors::{CallError, Ended};
use super::handlers::Request;
use super::{ERROR, Limits};
use crate::codec::chunk::{Chunk, Direction, Order};

/// The other side of a connection. All copies of it are the same side.
#[derive(Debug, Clone)]
pub struct Peer {
    pub(super) shared: Arc<Shared>,
    /// How many calls are under way of the handler that has this, if a handler has it.
    of_handler: Option<Arc<AtomicUsize>>,
}

/// What both halves of a side share.
#[derive(Debug)]
pub(super) struct Shared {
    order: Order,
    pub(super) limits: Limits,
    state: Mutex<State>,
    /// There is something for the driver to do.
    pub(super) changed: Notify,
    /// A permit for each byte for which the outbox has room.
    room: Semaphore,
    /// Why there is no connection any more, once there is none.
    over: watch::Sender<Option<Ended>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) calls: Calls,
    /// Whole chunks that are to be written.
    outbox: Vec<u8>,
    /// How many permits the outbox has taken.
    outbox_room: usize,
    /// What was asked of this side and nobody is at work on yet.
    pub(super) queue: VecDeque<Request>,
    pub(super) queue_bytes: usize,
    /// Bytes of answers that wait for room.
    answers_bytes: usize,
    /// How many handlers have begun and not come to their ends, without those that did so when they began.
    pub(super) at_work: usize,
    /// How many of them wait for a call of theirs.
    waiting: usize,
    /// Nothing further is to be sent once the outbox is empty.
    pub(super) is_sending_over: bool,
    /// The driver is to end, for this reason.
    pub(super) is_to_end: Option<Ended>,
}

impl Peer {
    pub(super) fn new(order: Order, limits: Limits) -> Self {
        let limits = limits.at_least_one();
        let shared = Arc::new(Shared {
            order,
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            room: Semaphore::new(limits.outbox_bytes),
            over: watch::Sender::default(),
        });
        Peer { shared, of_handler: None }
    }

    /// The same, for a handler: while that waits for a call it is not at work.
    pub(super) fn for_handler(&self) -> Self {
        Peer { shared: self.shared.clone(), of_handler: Some(Arc::default()) }
    }

    /// Asks the other side to do `command` with these bytes, and waits for its answer. Whoever drops the future gives the call
    /// up; what is sent by then is done nevertheless.
    ///
    /// # Errors
    /// See [`CallError`]. Every call ends when the connection does.
    pub async fn call(&self, command: &str, buffer: impl AsRef<[u8]>) -> Result<Vec<u8>, CallError> {
        let buffer = buffer.as_ref();
        let _waiting = self.of_handler.as_ref().map(|calls| HandlerWaits::begin(&self.shared, calls));
        let room = self.shared.room_for(command, buffer).await?;
        let (id, answer) = {
            let mut state = self.shared.state();
            let (id, answer) = state.calls.begin();
            let chunk = Chunk { id, direction: Direction::Request, command, buffer };
            if let Err(why) = self.shared.put(&mut state, chunk, room) {
                state.calls.forget(id);
                return Err(why);
            }
            (id, answer)
        };
        self.shared.changed.notify_one();
        let mut unanswered = Unanswered { shared: &self.shared, id: Some(id) };
        let answer = answer.await;
        unanswered.id = None;
        answer.unwrap_or(Err(CallError::Over(Ended::Closed)))
    }

    /// The same, with an error if it takes longer than that.
    ///
    /// # Errors
    /// See [`Peer::call`].
    pub async fn call_within(
        &self,
        time: Duration,
        command: &str,
        buffer: impl AsRef<[u8]>,
    ) -> Result<Vec<u8>, CallError> {
        tokio::time::timeout(time, self.call(command, buffer)).await.unwrap_or(Err(CallError::Late(time)))
    }

    /// Tells the other side something to which there is no answer. Waits only as long as there is no room for it here.
    ///
    /// # Errors
    /// It cannot be sent, or the connection is over.
    pub async fn notify(&self, command: &str, buffer: impl AsRef<[u8]>) -> Result<(), CallError> {
        let buffer = buffer.as_ref();
        let room = self.shared.room_for(command, buffer).await?;
        // It needs no number. One is given all the same, since to some implementations 0 is none.
        let chunk = Chunk { id: 1, direction: Direction::OneWay, command, buffer };
        self.shared.put(&mut self.shared.state(), chunk, room)?;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Ends the connection: what has been said here is still sent, and no answer is waited for.
    pub fn close(&self) {
        self.end(Ended::Closed);
    }

    /// Ends the connection for this reason, if it has not ended.
    pub(super) fn end(&self, why: Ended) {
        self.shared.state().is_to_end.get_or_insert(why);
        self.shared.changed.notify_one();
    }

    /// Nothing further is sent; what comes is still read.
    pub(super) fn stop_sending(&self) {
        self.shared.state().is_sending_over = true;
        self.shared.changed.notify_one();
    }

    /// Waits until the connection is over, and says why.
    pub async fn over(&self) -> Ended {
        let mut over = self.shared.over.subscribe();
        // The other end of the channel is here.
        let over = over.wait_for(Option::is_some).await;
        over.ok().and_then(|over| over.clone()).unwrap_or(Ended::Closed)
    }

    /// Whether there is no connection any more.
    pub fn is_over(&self) -> bool {
        self.shared.is_over()
    }

    /// Answers a request, once there is room for the answer. There is nobody to tell of a connection that is over.
    pub(super) async fn respond(&self, id: u64, command: &str, answer: Result<Vec<u8>, String>) {
        let (command, buffer) = parts(command, &answer);
        let held = Held::begin(&self.shared, buffer.len());
        // An answer may still be sent when calls are over.
        let room = self.shared.room_for(command, buffer).await.unwrap_or(0);
        drop(held);
        self.respond_with(id, command, buffer, room);
        self.shared.changed.notify_one();
    }

    /// The same, if there is room for it now. For the driver alone, which looks for what there is to be written without being told.
    pub(super) fn try_respond(&self, id: u64, command: &str, answer: &Result<Vec<u8>, String>) -> bool {
        let (command, buffer) = parts(command, answer);
        let room = self.shared.room_of(command, buffer);
        let Ok(permits) = self.shared.room.try_acquire_many(room as u32) else { return false };
        permits.forget();
        self.respond_with(id, command, buffer, room);
        true
    }

    fn respond_with(&self, id: u64, command: &str, buffer: &[u8], room: usize) {
        let added = self.shared.add(&mut self.shared.state(), response(id, command, buffer), room);
        if let Err(why) = added {
            // Whoever asked is told why there is no answer.
            self.respond_at_once(id, ERROR, why.to_string().as_bytes());
        }
    }

    /// The same, and there is room for it: for what is short.
    pub(super) fn respond_at_once(&self, id: u64, command: &str, buffer: &[u8]) {
        let _ = self.shared.add(&mut self.shared.state(), response(id, command, buffer), 0);
        self.shared.changed.notify_one();
    }
}

/// The command and bytes of a response.
fn parts<'a>(command: &'a str, answer: &'a Result<Vec<u8>, String>) -> (&'a str, &'a [u8]) {
    match answer {
        Ok(buffer) => (command, buffer),
        Err(words) => (ERROR, words.as_bytes()),
    }
}

fn response<'a>(id: u64, command: &'a str, buffer: &'a [u8]) -> Chunk<'a> {
    Chunk { id, direction: Direction::Response, command, buffer }
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// How much room there has to be for that. What is longer than all the room has all of it.
    fn room_of(&self, command: &str, buffer: &[u8]) -> usize {
        (command.len() + buffer.len()).clamp(1, self.limits.outbox_bytes)
    }

    /// Waits until there is room for so much, and says how much of it is taken.
    async fn room_for(&self, command: &str, buffer: &[u8]) -> Result<usize, CallError> {
        let room = self.room_of(command, buffer);
        // Mostly there is, and to ask for it so costs less.
        let permits = match self.room.try_acquire_many(room as u32) {
            Ok(permits) => Ok(permits),
            Err(_) => self.room.acquire_many(room as u32).await,
        };
        permits.map_err(|_| self.over())?.forget();
        Ok(room)
    }

    /// Nobody can call any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    fn over(&self) -> CallError {
        CallError::Over(self.over.borrow().clone().unwrap_or(Ended::Closed))
    }

    /// Has a call or message written.
    fn put(&self, state: &mut State, chunk: Chunk<'_>, room: usize) -> Result<(), CallError> {
        // With the state in hand: nobody begins a call after those that wait have heard of the end.
        if state.is_sending_over || self.is_over() {
            self.room.add_permits(room);
            return Err(self.over());
        }
        self.add(state, chunk, room)
    }

    /// Has anything written; what cannot be written gives its room back.
    fn add(&self, state: &mut State, chunk: Chunk<'_>, room: usize) -> Result<(), CallError> {
        let added = chunk.encode(self.order, &mut state.outbox);
        match added {
            Ok(()) => state.outbox_room += room,
            Err(_) => self.room.add_permits(room),
        }
        added.map_err(CallError::Unsendable)
    }

    /// Hands over everything that is to be written, whose room is free then. `empty` becomes the new outbox.
    pub(super) fn take_outbox(&self, state: &mut State, empty: &mut Vec<u8>) {
        if !state.outbox.is_empty() {
            std::mem::swap(&mut state.outbox, empty);
            self.room.add_permits(std::mem::take(&mut state.outbox_room));
        }
    }

    /// From now on nobody calls; whoever has ends.
    pub(super) fn declare_over(&self, ended: &Ended) {
        let mut state = self.state();
        self.over.send_replace(Some(ended.clone()));
        state.calls.fail_all(&CallError::Over(ended.clone()));
        self.room.close();
    }
}

impl State {
    /// Whether a further handler may begin. One that waits for the other side does not count, or else both sides' handlers could
    /// wait for each other's to be done.
    pub(super) fn may_begin(&self, limits: &Limits) -> bool {
        self.at_work.saturating_sub(self.waiting) < limits.handlers && self.at_work < limits.waiting
    }

    /// Takes what was asked first.
    pub(super) fn next_in_queue(&mut self) -> Option<Request> {
        let next = self.queue.pop_front()?;
        self.queue_bytes -= next.bytes();
        Some(next)
    }

    /// Bytes that this side holds for others.
    pub(super) fn held_bytes(&self) -> usize {
        self.outbox.len() + self.queue_bytes + self.answers_bytes
    }
}

/// An answer waits for room.
struct Held<'a> {
    shared: &'a Shared,
    bytes: usize,
}

impl<'a> Held<'a> {
    fn begin(shared: &'a Shared, bytes: usize) -> Self {
        shared.state().answers_bytes += bytes;
        Held { shared, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shared.state().answers_bytes -= self.bytes;
    }
}

/// A handler waits for a call, or for more than one.
struct HandlerWaits<'a> {
    shared: &'a Shared,
    calls: &'a AtomicUsize,
}

impl<'a> HandlerWaits<'a> {
    fn begin(shared: &'a Shared, calls: &'a AtomicUsize) -> Self {
        let mut state = shared.state();
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            state.waiting += 1;
        }
        HandlerWaits { shared, calls }
    }
}

impl Drop for HandlerWaits<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if self.calls.fetch_sub(1, Ordering::Relaxed) == 1 {
            state.waiting -= 1;
        }
    }
}

/// A call, while it has no answer.
struct Unanswered<'a> {
    shared: &'a Shared,
    id: Option<u64>,
}

impl Drop for Unanswered<'_> {
    /// It was given up.
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.shared.state().calls.forget(id);
        }
    }
}

/// What a call is answered with.
pub(super) fn answer(command: &str, buffer: &[u8]) -> Answer {
    if command == ERROR {
        Err(CallError::Refused(String::from_utf8_lossy(buffer).into_owned()))
    } else {
        Ok(buffer.to_owned())
    }
}
