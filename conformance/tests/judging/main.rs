//! The suite as a program: what it says of pairs that are known, and of mistakes. One program, since most of its tests wait
//! for what a judged pair does, and may do so beside each other.
//!
//! Tests that drive sessions themselves are not here: whoever forks in the same process holds their ends for a moment.
#![cfg(unix)]

#[path = "../common/mod.rs"]
mod common;

mod baseline;
mod bundles;
mod command_line;
mod control;
mod dialects;
mod families;
mod null_programs;
mod pairs;
mod plugin;
mod reports;
mod review;
mod slow_machine;
mod sockets;
mod strace;
mod tiers;
mod transports;
