//! `cargo xtask faults`: the suite judged by known-bad pairs. Each fault breaks exactly the requirements that it says
//! it breaks, for the reason that it gives; no other gets the blame; and no requirement is without a fault.
//!
//! Before the faults of a pair are tried, the pair itself has to conform and its canary has to be caught: if either
//! is not so, nothing that the suite says of the others counts, and the run is void. What is complained of on a machine that
//! was too slow is tried once more, alone, and only that counts.

#[cfg(unix)]
mod broken;
pub(crate) mod held;
pub(crate) mod known;
#[cfg(unix)]
mod run;

#[cfg(unix)]
pub(crate) use run::run;
