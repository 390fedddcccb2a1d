//! What a side does when it is asked: a handler for each command, and so many of them at work at a time. How the asking
//! reaches it is not known here.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::METADATA;
use super::peer::{Peer, Shared};

/// What was asked, and by whom.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub command: Arc<str>,
    /// With what.
    pub buffer: Vec<u8>,
    /// Whoever asked; it can be asked back.
    pub peer: Peer,
    /// The number that its response has to have, if one is due.
    pub(super) response_due: Option<u64>,
}

/// The bytes of a response, or what went wrong.
type Answered = Result<Vec<u8>, String>;

type Handled = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A handler for each command.
#[derive(Default)]
pub struct Handlers(HashMap<String, Box<dyn Fn(Request) -> Handled + Send + Sync>>);

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this one for `command`. What it returns is the response, if one is due; of an error, the words.
    #[must_use]
    pub fn on<F, E>(mut self, command: &str, handler: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
        E: fmt::Display,
    {
        let handler = move |request| -> Handled {
            let handled = handler(request);
            Box::pin(async move { handled.await.map_err(|error| error.to_string()) })
        };
        self.0.insert(command.to_owned(), Box::new(handler));
        self
    }

    /// Whether there is one for `command`.
    pub(super) fn has(&self, command: &str) -> bool {
        self.0.contains_key(command)
    }

    /// The same, with what a host is told of this plugin first.
    #[must_use]
    pub fn metadata<const N: usize>(self, told: [(&str, &str); N]) -> Self {
        let told = serde_json::to_vec(&BTreeMap::from(told)).expect("texts have a JSON form");
        self.on(METADATA, move |_| std::future::ready(Ok::<_, String>(told.clone())))
    }
}

/// Has a request handled: here and now, if its handler comes to its end without waiting for anything, else by a task of its own.
/// For the driver alone, which knows whether a further one may be at work.
pub(super) fn handle(request: Request, handlers: &Handlers) {
    let shared = request.peer.shared.clone();
    let owed = Owed::of(&request);
    let Some(handler) = handlers.0.get(&*request.command) else {
        let unknown = Err(format!("there is no command {}", request.command));
        return answer_or_wait(&shared, owed, unknown);
    };
    // A handler that panics breaks off, wherever it runs; its response is due nevertheless.
    let begun = catch_unwind(AssertUnwindSafe(|| {
        let mut handled = handler(request);
        // Whatever it waits for is asked again by the task that takes it over.
        match handled.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Ok(answer),
            Poll::Pending => Err(handled),
        }
    }));
    match begun {
        Ok(Ok(answer)) => answer_or_wait(&shared, owed, answer),
        Ok(Err(handled)) => {
            let work = Work::begin(&shared);
            tokio::spawn(async move {
                let answer = handled.await;
                if let Some(owed) = owed {
                    owed.pay(answer).await;
                }
                drop(work);
            });
        }
        Err(_) => {}
    }
}

/// Sends the answer at once, if there is room for it.
fn answer_or_wait(shared: &Arc<Shared>, owed: Option<Owed>, answer: Answered) {
    if let Some(Err((owed, answer))) = owed.map(|owed| owed.pay_at_once(answer)) {
        let work = Work::begin(shared);
        tokio::spawn(async move {
            owed.pay(answer).await;
            drop(work);
        });
    }
}

/// A handler at work.
struct Work(Arc<Shared>);

impl Work {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.state().at_work += 1;
        Work(shared.clone())
    }
}

impl Drop for Work {
    /// However it ended. The driver may have something else to be worked on, or wait for the last.
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.at_work -= 1;
        if self.0.is_over() || !state.queue.is_empty() {
            self.0.changed.notify_one();
        }
    }
}

/// A response that is due.
struct Owed {
    peer: Peer,
    id: u64,
    /// What it is a response to, until it is on its way.
    command: Option<Arc<str>>,
}

impl Owed {
    fn of(request: &Request) -> Option<Self> {
        let id = request.response_due?;
        Some(Owed { peer: request.peer.clone(), id, command: Some(request.command.clone()) })
    }

    async fn pay(mut self, answer: Answered) {
        if let Some(command) = self.command.take() {
            self.peer.respond(self.id, &command, answer).await;
        }
    }

    /// The same, if there is room for it; else both come back.
    fn pay_at_once(mut self, answer: Answered) -> Result<(), (Self, Answered)> {
        let paid = self.command.as_ref().is_some_and(|command| self.peer.try_respond(self.id, command, &answer));
        if paid {
            self.command = None;
            return Ok(());
        }
        Err((self, answer))
    }
}

impl Drop for Owed {
    /// A handler that did not come to its end leaves nobody waiting.
    fn drop(&mut self) {
        if let Some(command) = &self.command {
            self.peer.respond_at_once(self.id, super::ERROR, format!("the handler of {command} broke off").as_bytes());
        }
    }
}

impl Request {
    /// What it holds.
    pub(super) fn bytes(&self) -> usize {
        self.command.len() + self.buffer.len()
    }
}
