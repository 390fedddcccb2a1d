//! The conformance suite: drives any watchdog/server pair as a black box and says, sentence by sentence of
//! a written specification, what conforms and what does not.

pub mod acts;
mod attempt;
pub mod baseline;
pub mod bundle;
pub mod cases;
pub mod chunk;
#[cfg(unix)]
mod descriptors;
pub mod dialect;
pub mod escape;
pub mod event;
pub mod family;
#[cfg(unix)]
mod forks;
#[cfg(windows)]
#[path = "forks_windows.rs"]
mod forks;
pub mod interrupts;
pub mod journal;
pub mod message;
pub mod observe;
pub mod outcome;
pub mod probe;
pub mod profile;
pub mod record;
pub mod report;
pub mod run;
pub mod signal;
mod slow;
pub mod spec;
pub mod stage;
pub mod subject;
pub mod suite;
pub mod timeline;
pub mod turns;
pub mod verdict;
