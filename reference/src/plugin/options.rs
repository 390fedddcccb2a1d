//! What the two programs can be told when they are started.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use clap::Parser;

use crate::codec::chunk::Order;

/// Starts a plugin, and asks it whatever is typed:
///   call COMMAND TEXT      have it do COMMAND, and show the answer when it comes
///   notify COMMAND TEXT    tell it something to which there is no answer
///   load CALLS BYTES       have it and the host give each other so many calls at once, of some BYTES bytes each
///   stop                   end it, as the end of the input does
/// TEXT may be left out, and so may BYTES.
///
/// The plugin is started as PLUGIN ARGUMENT… READS WRITES, with the numbers of the two pipes (on Windows: the values of their
/// handles). Calls wait for nobody: as many are under way as were typed. A plugin may ask the host for `GetHost`, which is
/// answered with its name and version, and for `repeat`, which is answered with what was sent.
///
/// SIGINT, SIGTERM and SIGHUP (on Windows: Ctrl-C) end the plugin without waiting for answers; another one kills it.
///
/// Exit status: 0 if the plugin was stopped and ended with status 0, every line was understood, and every call had an answer that
/// is no error; 1 if not, or if the plugin ended by itself or had to be killed, or at a signal; 2 if an option is not as it should
/// be, or there is no plugin at that path.
#[derive(Debug, Parser)]
#[command(name = "plugin-host", version, verbatim_doc_comment)]
pub struct HostOptions {
    /// Let the plugin's standard input and output be the pipes
    #[arg(long)]
    pub standard: bool,

    /// Send the parts of a chunk in the order in which they are described, and not in that of the published library
    #[arg(long)]
    pub described: bool,

    /// Handlers at work at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub handlers: u16,

    /// How long the plugin may take to say what it is, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    start_ms: u64,

    /// How long a call may take, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    call_ms: u64,

    /// How long the plugin may take to end, in milliseconds, and as much again after it was sent SIGTERM, before it is killed
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(0..=86_400_000))]
    stop_ms: u64,

    /// The plugin: a path, not a name to be looked for; and its arguments, which the numbers of the pipes come after
    #[arg(value_names = ["PLUGIN", "ARGUMENT"], required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    command_line: Vec<OsString>,
}

/// Does what its host asks of it:
///   echo      answers with what was sent
///   fail      answers with an error in the words that were sent
///   wait      answers after so many milliseconds as were sent
///   back      asks the host for `repeat`, and answers with its answer
///   load      gives the host so many calls at once as were sent, of as many bytes each as were sent after a blank
///   crash     ends at once with status 3, without an answer
///
/// It ends when the host says so. It asks every second whether the host is there.
///
/// Exit status: 0 after the host has stopped it, 1 if the connection ended otherwise, 2 if an option or a pipe is not as it
/// should be.
#[derive(Debug, Parser)]
#[command(name = "plugin", version, verbatim_doc_comment)]
pub struct PluginOptions {
    /// The parts of a chunk are in the order in which they are described, and not in that of the published library
    #[arg(long)]
    pub described: bool,

    /// Handlers at work at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub handlers: u16,

    /// How long the host may take to answer that it is there, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..=86_400_000))]
    ping_ms: u64,

    /// The number of an inherited pipe (on Windows: the value of its handle) that the host writes to; without both, standard
    /// input and output
    #[arg(value_name = "READS", requires = "writes")]
    pub reads: Option<usize>,

    /// The number of the pipe that the host reads from
    #[arg(value_name = "WRITES")]
    pub writes: Option<usize>,
}

impl HostOptions {
    /// The plugin, and its arguments.
    pub fn plugin(&self) -> (&Path, &[OsString]) {
        let (plugin, arguments) = self.command_line.split_first().expect("it is required");
        (Path::new(plugin), arguments)
    }

    /// How long the plugin may take to say what it is.
    pub fn start_within(&self) -> Duration {
        Duration::from_millis(self.start_ms)
    }

    /// How long a call may take.
    pub fn call_within(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }

    /// How long the plugin may take to end.
    pub fn stop_within(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }
}

impl PluginOptions {
    /// How long an answer to a ping may take.
    pub fn ping_within(&self) -> Duration {
        Duration::from_millis(self.ping_ms)
    }
}

/// The order that `--described` stands for.
pub fn order(is_described: bool) -> Order {
    if is_described { Order::Described } else { Order::Published }
}
