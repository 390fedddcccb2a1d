//! What a side does when it is asked: a handler for each command, and so many of them at work at a time. How the asking
//! reaches it is not known here.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::METADATA;
use super::peer::{Peer, Shared};

/// What was asked, and by whom.
#[derive(Debug)]
pub struct Request {
    /// What is to be done.
    pub command: String,
    /// With what.
    pub buffer: Vec<u8>,
    /// Whoever asked; it can be asked back.
    pub peer: Peer,
    /// The number that its response has to have, if one is due.
    pub(super) response_due: Option<u64>,
}

type Handled = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;

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

/// Sets handlers to work on what is in the queue, as many as may be.
pub(super) fn set_to_work(shared: &Arc<Shared>, handlers: &Arc<Handlers>) {
    let mut state = shared.state();
    let most = state.queue.len().min(shared.limits.handlers.saturating_sub(state.at_work));
    state.at_work += most;
    drop(state);
    for _ in 0..most {
        let work = Work { shared: shared.clone() };
        tokio::spawn(work.until_the_queue_is_empty(handlers.clone()));
    }
}

/// One of those that may be at work.
struct Work {
    shared: Arc<Shared>,
}

impl Work {
    async fn until_the_queue_is_empty(self, handlers: Arc<Handlers>) {
        while let Some(request) = self.next() {
            handle(request, &handlers).await;
        }
    }

    fn next(&self) -> Option<Request> {
        let mut state = self.shared.state();
        let next = state.queue.pop_front()?;
        state.queue_bytes -= next.bytes();
        if state.reading_waits {
            self.shared.changed.notify_one();
        }
        Some(next)
    }
}

impl Drop for Work {
    /// However it ended. The driver sets another one to work if there is a need, and may have waited for the last.
    fn drop(&mut self) {
        self.shared.state().at_work -= 1;
        self.shared.changed.notify_one();
    }
}

async fn handle(request: Request, handlers: &Handlers) {
    let owed =
        request.response_due.map(|id| Owed { peer: request.peer.clone(), id, command: Some(request.command.clone()) });
    let answer = match handlers.0.get(&request.command) {
        Some(handler) => handler(request).await,
        None => Err(format!("there is no command {}", request.command)),
    };
    if let Some(owed) = owed {
        owed.pay(answer).await;
    }
}

/// A response that is due.
struct Owed {
    peer: Peer,
    id: u64,
    /// What it is a response to, until it is on its way.
    command: Option<String>,
}

impl Owed {
    async fn pay(mut self, answer: Result<Vec<u8>, String>) {
        if let Some(command) = self.command.take() {
            self.peer.respond(self.id, &command, answer).await;
        }
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
