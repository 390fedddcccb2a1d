//! The suite in a subject's place: what it says as a watchdog and as a server, as a supervisor and as a service, as a
//! host and as a plugin, as who calls and who is called; and the first session, in which it learns how a watchdog and its server speak.

pub mod callee;
pub mod caller;
pub mod client;
pub mod connection;
pub mod datagrams;
pub mod host;
pub mod lesson;
pub mod plugin;
pub mod server;
pub mod service;
pub mod stream;
pub mod supervisor;
