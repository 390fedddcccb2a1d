//! A plugin connection: a host starts a plugin, and both ask the other for whatever they like, at any time and as much at once
//! as they like, over two pipes.
//!
//! ```no_run
//! use reference::plugin::{Handlers, Host, Start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let handlers = Handlers::new().on("version", |_| async { Ok::<_, String>(b"1.0".to_vec()) });
//! let mut host = Start { handlers, ..Host::at("target/debug/plugin") }.start().await?;
//! assert_eq!(host.peer().call("echo", "hello").await?, b"hello");
//! host.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! and in the plugin:
//!
//! ```no_run
//! use reference::plugin::{Ends, Handlers, Request, serve};
//!
//! # async fn example() -> Result<(), String> {
//! let handlers = Handlers::new()
//!     .metadata([("Cmd", "echo"), ("Help", "says what it is told")])
//!     .on("echo", |request: Request| async move { Ok::<_, String>(request.buffer) })
//!     // A handler may ask back.
//!     .on("host", |request: Request| async move { request.peer.call("version", "").await });
//! let ended = serve(Ends::standard()?, handlers).await;
//! eprintln!("{ended}");
//! # Ok(())
//! # }
//! ```
//!
//! What is sent stands in [`crate::codec::chunk`]. How much may be under way is bounded, and neither bound can bring both sides to
//! a stop: see [`Limits`].

mod calls;
pub mod command;
mod driver;
#[cfg_attr(unix, path = "ends_unix.rs")]
#[cfg_attr(windows, path = "ends_windows.rs")]
mod ends;
mod errors;
mod handlers;
mod host;
pub mod load;
pub mod options;
mod peer;
mod serve;
pub mod session;
#[cfg(test)]
mod tests;

pub use driver::{Incoming, Limits, Role, connect};
pub use ends::Ends;
pub use errors::{CallError, Ended};
pub use handlers::{Handlers, Request};
pub use host::{Host, HostError, Start};
pub use peer::Peer;
pub use serve::{Served, serve};

/// The command of a response that carries an error, whose text is in its bytes.
pub const ERROR: &str = "cmd.error";

/// The command that only asks whether anybody is there.
pub const PING: &str = "cmd.ping";

/// The command by which a host ends its plugin.
pub const STOP: &str = "cmd.stop";

/// The command that a host gives first: the answer is a JSON object of texts.
pub const METADATA: &str = "GetMetadata";
