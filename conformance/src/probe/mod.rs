//! The suite in a subject's place: what it says as a watchdog and as a server, as a supervisor and as a service, as a
//! host and as a plugin, as who calls and who is called; and the first session, in which it learns how a watchdog and its server speak.

#[cfg(unix)]
pub mod callee;
#[cfg(unix)]
pub mod caller;
#[cfg(unix)]
pub mod client;
pub mod connection;
#[cfg(unix)]
pub mod datagrams;
pub mod host;
#[cfg(unix)]
pub mod lesson;
#[cfg(unix)]
pub mod plugin;
#[cfg(unix)]
pub mod server;
#[cfg(unix)]
pub mod service;
#[cfg(unix)]
pub mod stream;
pub mod supervisor;
