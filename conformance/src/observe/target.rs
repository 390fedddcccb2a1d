//! The HTTP endpoint that `doreq` meets: one server for the whole run, a path of its own for each session.
//!
//! The port stays the same for the run, so that a request that was recorded in one session can be replayed
//! in another. Targets that misbehave below HTTP are in `rogue`.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::event::{Request, What};
use crate::record::Record;
use crate::subject::sandbox::Bound;

/// The running endpoint.
pub struct Target {
    uri: String,
    _server: Option<MockServer>,
    slots: Arc<Slots>,
}

/// What a session's requests are answered with.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of the usual answer.
    pub const BODY: &str = "fine";
}

impl Default for Answer {
    fn default() -> Self {
        Answer { status: 200, body: Answer::BODY.into() }
    }
}

#[derive(Default)]
struct Slots(Mutex<HashMap<String, Slot>>);

struct Slot {
    record: Arc<Record>,
    answer: Answer,
}

impl Target {
    /// Starts listening on a bound socket.
    pub async fn start(bound: Bound) -> io::Result<Self> {
        let slots = Arc::new(Slots::default());
        // Requests live in the sessions' records; the server need not keep a copy of each.
        let listener = listen(bound)?;
        // The library waits a second until it can connect to its own address, which may be one of another network: there
        // somebody answers in its place. Where the port is taken already, somebody does.
        let _in_its_place = TcpListener::bind(listener.local_addr()?);
        let server = MockServer::builder().listener(listener).disable_request_recording().start().await;
        Mock::given(any()).respond_with(Doorkeeper(slots.clone())).mount(&server).await;
        Ok(Target { uri: server.uri(), _server: Some(server), slots })
    }

    /// The endpoint of another run: nobody listens.
    pub fn past(uri: String) -> Self {
        Target { uri, _server: None, slots: Arc::default() }
    }

    /// Its address, without a slash at the end.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Where requests of the session with this path reach, without a slash at the end.
    pub fn url(&self, slot: &str) -> String {
        format!("{}/{slot}", self.uri)
    }

    /// From now on requests below `/slot` are noted in `record` and answered so.
    pub fn open(&self, slot: &str, record: Arc<Record>, answer: Answer) {
        self.slots.0.lock().expect("nobody panics with it").insert(slot.to_owned(), Slot { record, answer });
    }
}

/// Lets connections come to a bound socket.
pub(super) fn listen(bound: Bound) -> io::Result<TcpListener> {
    #[cfg(unix)]
    let bound = {
        rustix::net::listen(&bound, 1024)?;
        TcpListener::from(bound)
    };
    bound.set_nonblocking(true)?;
    Ok(bound)
}

struct Doorkeeper(Arc<Slots>);

impl Respond for Doorkeeper {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let slots = self.0.0.lock().expect("nobody panics with it");
        let query = request.url.query().map_or_else(String::new, |query| format!("?{query}"));
        let path = format!("{}{query}", request.url.path());
        let Some(slot) = path.split('/').nth(1).and_then(|name| slots.get(name)) else {
            return ResponseTemplate::new(404);
        };
        let Answer { status, body } = slot.answer.clone();
        slot.record.push(What::Requested(Request {
            method: request.method.to_string(),
            path: format!("/{}", path.splitn(3, '/').nth(2).unwrap_or_default()),
            body: request.body.clone(),
            answered: status,
        }));
        ResponseTemplate::new(status).set_body_raw(body, "text/plain; charset=utf-8")
    }
}
