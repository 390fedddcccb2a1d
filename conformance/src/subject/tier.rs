//! How far subjects are kept apart, as an option of the command line and in reports. How it is done `sandbox` knows.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How far subjects are kept apart from everything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Tier {
    /// In namespaces, below an init of ours.
    A,
    /// Not kept apart, but in control groups, or job objects on Windows, so that all of them are known.
    B,
    /// Not at all: a mark in their environment is all that they are known by.
    #[default]
    C,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::A => "A, in namespaces",
            Tier::B if cfg!(windows) => "B, in job objects: kept apart from nothing, and found again",
            Tier::B => "B, in control groups: kept apart from nothing, and found again",
            Tier::C => "C, unsafe: kept apart from nothing",
        })
    }
}
