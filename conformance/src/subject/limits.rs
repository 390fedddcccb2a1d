//! What the programs of a session may use, as options of the command line and as the stand-in is told. How it is enforced is
//! not known here.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Enough for every runtime that pairs are written in.
const DEFAULT: Limits = Limits {
    max_processes: 256,
    max_memory: 2048,
    max_scratch: 64,
    max_files: 4096,
    max_cpu: 300,
    max_output: 4,
    max_time: 200,
};

/// What the programs of a session may use at most, in tier A, and what they may say and how long they may take, in any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Args)]
pub struct Limits {
    /// Processes and threads of a session
    #[arg(long, value_name = "N", default_value_t = DEFAULT.max_processes, value_parser = clap::value_parser!(u64).range(8..))]
    pub max_processes: u64,
    /// Private memory that each process may write to, in MiB, and memory of all processes of a session together, where the
    /// machine allows a bound on that
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
    /// What a verdict may take, in seconds, in any tier, and multiplied by the scale of all deadlines; what takes longer is
    /// given up
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT.max_time, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub max_time: u64,
}

impl Limits {
    /// The same, for a machine that takes so many times as long.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let time = Duration::from_secs(self.max_time).mul_f64(factor);
        Limits { max_time: time.as_secs_f64().ceil() as u64, ..self }
    }

    /// What a verdict may take, with all its attempts, before it is given up.
    pub fn time_max(&self) -> Duration {
        Duration::from_secs(self.max_time)
    }

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
