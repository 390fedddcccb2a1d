//! What the programs of a session may use, as options of the command line and as the stand-in is told. How it is enforced is
//! not known here.

use clap::Args;
use serde::{Deserialize, Serialize};

/// Enough for every runtime that pairs are written in.
const DEFAULT: Limits =
    Limits { max_processes: 256, max_memory: 2048, max_scratch: 64, max_files: 4096, max_cpu: 300, max_output: 4 };

/// What the programs of a session may use at most, in tier A, and what they may say, in any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Args)]
pub struct Limits {
    /// Processes and threads of a session
    #[arg(long, value_name = "N", default_value_t = DEFAULT.max_processes, value_parser = clap::value_parser!(u64).range(8..))]
    pub max_processes: u64,
    /// Private memory that each process may write to, in MiB
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT.max_memory, value_parser = clap::value_parser!(u64).range(16..=1 << 30))]
    pub max_memory: u64,
    /// What a session may write to its folder and to each scratch folder, in MiB
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT.max_scratch, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_scratch: u64,
    /// Open files of each process
    #[arg(long, value_name = "N", default_value_t = DEFAULT.max_files, value_parser = clap::value_parser!(u64).range(64..))]
    pub max_files: u64,
    /// Processor time of each process, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT.max_cpu, value_parser = clap::value_parser!(u64).range(1..))]
    pub max_cpu: u64,
    /// What they may say to each other and to the terminal, in MiB, in any tier; whoever says more has to wait
    #[arg(long, value_name = "MIB", default_value_t = DEFAULT.max_output, value_parser = clap::value_parser!(u64).range(DEFAULT.max_output..=1 << 10))]
    pub max_output: u64,
}

impl Limits {
    /// How much of what the programs of a session say is kept of it, in bytes.
    pub fn kept_bytes(&self) -> usize {
        usize::try_from(self.max_output << 20).unwrap_or(usize::MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        DEFAULT
    }
}
