//! The suite in a subject's place: what it says as a watchdog, what it says as a server, and the first
//! session, in which it learns how the two speak.

pub mod client;
pub mod lesson;
pub mod server;
