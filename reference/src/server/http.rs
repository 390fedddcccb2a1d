//! One HTTP request, from the words that a person typed to a response or a sentence that says what went wrong.
//!
//! What is typed is what is sent: no redirect is followed, no cookie kept, no proxy taken from the environment, no
//! compression offered, and no status is an error. Each request has a connection of its own, so that what happens to
//! one cannot disturb the next. The roots of trust for https are Mozilla's, which come with the
//! library, unless a file names others.

use std::borrow::Cow;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::machine::BodyLimit;
use crate::codec::op_frame::{HttpRequest, HttpResponse, Reply};

/// How much of a response is read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Makes HTTP requests.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    timeout: Duration,
}

impl Client {
    /// A client whose requests, from the first byte to the last, take at most `timeout`, and that trusts the
    /// certificates in the PEM file `roots`, or Mozilla's. The error is a sentence about that file.
    pub fn new(timeout: Duration, roots: Option<&Path>) -> Result<Self, String> {
        let roots = roots.map_or(Ok(RootCerts::WebPki), read_roots)?;
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_idle_connections(0)
            .user_agent(concat!("reference-server/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: Agent::with_parts(config, DefaultConnector::default(), LiteralsFirst::default()), timeout })
    }

    /// Makes the request and waits for all of the response, which may have a body up to the limit.
    pub fn fetch(&self, request: HttpRequest, body_limit: BodyLimit) -> Reply {
        match self.exchange(request, body_limit) {
            Ok(response) => Reply::Http(Box::new(response)),
            Err(sentence) => Reply::Error(sentence),
        }
    }

    fn exchange(&self, request: HttpRequest, body_limit: BodyLimit) -> Result<HttpResponse, String> {
        let HttpRequest { method, url, body } = request;
        let head = || ureq::http::Request::builder().method(method.as_str()).uri(&url);
        let unusable = |error| format!("expected a method and a URL that HTTP allows: {error}");
        let sent = match body {
            Some(body) => self.agent.run(head().body(body).map_err(unusable)?),
            // These methods announce a body even if it is empty.
            None if matches!(&*method, "POST" | "PUT" | "PATCH") => {
                self.agent.run(head().body(Vec::new()).map_err(unusable)?)
            }
            None => self.agent.run(head().body(()).map_err(unusable)?),
        };
        let mut response = sent.map_err(|error| self.sentence(&error, &url))?;
        let status = response.status();
        let body = self.body(response.body_mut(), body_limit, &url)?;
        Ok(HttpResponse {
            status: status.as_u16(),
            reason: status.canonical_reason().map_or(Cow::Borrowed(""), Cow::Borrowed),
            body,
        })
    }

    fn body(&self, body: &mut ureq::Body, limit: BodyLimit, url: &str) -> Result<Vec<u8>, String> {
        let announced = body.content_length().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if announced.is_some_and(|bytes| bytes > limit.bytes()) {
            return Err(limit.refusal("response"));
        }
        let mut reader = body.as_reader();
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = reader.read(&mut chunk).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    let expected = announced.map_or(String::new(), |bytes| format!(" of {bytes}"));
                    let peer = peer(url);
                    format!(
                        "{peer} closed the connection inside the response body, after {}{expected} bytes",
                        bytes.len()
                    )
                }
                _ => self.sentence(&Error::from(error), url),
            })?;
            if count == 0 {
                return Ok(bytes);
            }
            if bytes.len() + count > limit.bytes() {
                return Err(limit.refusal("response"));
            }
            bytes.extend_from_slice(&chunk[..count]);
        }
    }

    /// What went wrong, in one sentence that names the peer.
    fn sentence(&self, error: &Error, url: &str) -> String {
        let peer = peer(url);
        match error {
            Error::Timeout(_) => format!("{peer} did not answer within {} ms", self.timeout.as_millis()),
            Error::HostNotFound => format!("the name of {peer} is not known"),
            Error::BadUri(why) => format!("expected an http or https URL with a host: {why}"),
            Error::Protocol(why) => format!("{peer} answered with something that is not HTTP: {why}"),
            Error::LargeResponseHeader(..) => format!("{peer} answered with headers that are too large: {error}"),
            Error::Rustls(why) => format!("no secure connection to {peer}: {why}"),
            Error::Tls(why) => format!("no secure connection to {peer}: {why}"),
            Error::Io(why) => match why.kind() {
                io::ErrorKind::ConnectionRefused => format!("{peer} refused the connection"),
                io::ErrorKind::ConnectionReset => format!("{peer} reset the connection before it answered"),
                io::ErrorKind::BrokenPipe => format!("{peer} closed the connection before it took the whole request"),
                io::ErrorKind::UnexpectedEof => format!("{peer} closed the connection before it answered"),
                io::ErrorKind::TimedOut => format!("{peer} did not answer within {} ms", self.timeout.as_millis()),
                // What a peer that speaks no TLS says to a client that does.
                io::ErrorKind::InvalidData => format!("no secure connection to {peer}: {why}"),
                _ => format!("no exchange with {peer}: {why}"),
            },
            other => format!("no exchange with {peer}: {other}"),
        }
    }
}

fn read_roots(file: &Path) -> Result<RootCerts, String> {
    let expected = |found: String| format!("expected certificates in PEM form in {}, {found}", file.display());
    let text = std::fs::read(file).map_err(|error| expected(format!("which cannot be read: {error}")))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&text) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(expected(format!("found: {error}"))),
        }
    }
    if certificates.is_empty() {
        return Err(expected("found none".into()));
    }
    Ok(certificates.into())
}

/// The peer that a URL names, for sentences.
fn peer(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    match uri.as_ref().and_then(Uri::authority) {
        Some(authority) => match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().into(),
        },
        None => "the peer".into(),
    }
}

/// Looks up names like the library does, but takes an address that is written out for what it is: the library starts
/// a thread for every lookup, and the worker threads are to be all that there are.
#[derive(Debug, Default)]
struct LiteralsFirst {
    names: DefaultResolver,
}

impl Resolver for LiteralsFirst {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let literal = uri.scheme().zip(uri.authority());
        let literal = literal.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        match literal.and_then(|literal| literal.parse::<SocketAddr>().ok()) {
            Some(address) => {
                let mut addresses = self.empty();
                addresses.push(address);
                Ok(addresses)
            }
            None => self.names.resolve(uri, config, timeout),
        }
    }
}
