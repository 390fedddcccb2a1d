//! The conformance suite: drives any watchdog/server pair as a black box and says, sentence by sentence of
//! a written specification, what conforms and what does not.

pub mod baseline;
pub mod chunk;
pub mod dialect;
pub mod escape;
pub mod event;
pub mod family;
pub mod message;
pub mod outcome;
pub mod profile;
pub mod record;
pub mod spec;
pub mod verdict;

// What runs pairs does so by pty, pipes and signals as Unix has them; what is only known of them is there on every system.
#[cfg(unix)]
pub mod acts;
#[cfg(unix)]
mod attempt;
#[cfg(unix)]
pub mod bundle;
#[cfg(unix)]
pub mod cases;
#[cfg(unix)]
mod descriptors;
#[cfg(unix)]
mod forks;
#[cfg(unix)]
pub mod interrupts;
#[cfg(unix)]
pub mod journal;
#[cfg(unix)]
pub mod observe;
#[cfg(unix)]
pub mod probe;
#[cfg(unix)]
pub mod report;
#[cfg(unix)]
pub mod run;
#[cfg(unix)]
mod slow;
#[cfg(unix)]
pub mod stage;
#[cfg(unix)]
pub mod subject;
#[cfg(unix)]
pub mod suite;
#[cfg(unix)]
pub mod timeline;
#[cfg(unix)]
pub mod turns;
