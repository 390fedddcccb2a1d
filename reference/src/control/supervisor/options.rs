//! What a supervisor can be told when it is started.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Starts a service with a control pipe, shows what it tells of its life, and ends it in order.
///
/// The service is started as SERVICE ARGUMENT… --piperx=N --pipetx=N --lifetimeevents. Over the one pipe it hears nothing but
/// the end, which is the order to stop; over the other it tells where it is, in messages of
///   version (1 byte: 1), length of the type (1 byte), type, length of the payload (4 bytes, little endian), payload
/// Types that are not known are passed over; a payload is at most 65536 bytes long.
///
/// SIGINT, SIGTERM and SIGHUP (on Windows: Ctrl-C) close the pipe. A service that is still there after the grace gets SIGTERM,
/// and SIGKILL after as long again; another signal does that at once. A service whose supervisor is killed ends too.
///
/// Exit status: 0 if the service ended with status 0; 1 if it ended otherwise, had to be killed or could not be understood, or
/// if standard output could not be written; 2 if an option is not as it should be or the service could not be started.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, verbatim_doc_comment)]
pub struct Options {
    /// How long the service may take to stop, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=86_400_000))]
    grace_ms: u64,

    /// The service: a path, not a name to be looked for
    #[arg(value_name = "SERVICE")]
    pub service: PathBuf,

    /// Its arguments; --piperx, --pipetx and --lifetimeevents are added to them
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

impl Options {
    /// How long the service may take to stop.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }
}

/// What tells a service where its ends of the pipes are, and that its life is of interest.
pub fn control_arguments(control: usize, telling: usize) -> Vec<OsString> {
    vec![format!("--piperx={control}").into(), format!("--pipetx={telling}").into(), "--lifetimeevents".into()]
}
