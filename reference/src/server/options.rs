//! What a server can be told when it is started: arguments of the form `key=value`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// What `server --help` says below the usage.
const ABOUT: &str = "\
Serves a watchdog: reads requests from descriptor 3, writes replies to descriptor 4 (on Windows: the pipe handles
that the watchdog appends as pipe_in=… and pipe_out=…).

Arguments have the form key=value; those that are not known are ignored:
  timeout_ms=N  an HTTP request takes at most this long, from 1 to 86400000 (default 30000)
  grace_ms=N    on SIGALRM, requests under way get this long, from 0 to 60000 (default 1000)
  roots=FILE    https peers are trusted by the certificates in this PEM file (default: by Mozilla's)

Requests end at #; each gets one reply with the same op byte, in order:
  1{Value: N}#   no HTTP body larger than N bytes is buffered (at first 67108864)
  2{Value: N}#   at most N worker threads (512 at most, at first one for each processor) and, on Linux, N processors
  3{Method: \"GET\", URL: \"http://…\", Body: \"…\"}#   an HTTP request; bodies that are not UTF-8 are in Body64, in base64
A request is at most 8388608 bytes long, a response body that is carried at most 67108864.
No redirect is followed, no cookie kept, no proxy used, and no HTTP status is an error.

The end of the requests: what was received is finished, then the server exits.
SIGALRM: reading stops, requests under way get the grace, replies get half of it again to be taken. A second SIGALRM
ends the grace, a third the server. If nobody reads the replies any more, it exits at once.

Exit status: 0 after an ordered end, 1 if a pipe failed, 2 if the arguments or the pipes are not as they should be.";

/// The command line, as clap sees it.
#[derive(Debug, Parser)]
#[command(name = "server", version, about = ABOUT, override_usage = "server [KEY=VALUE]…")]
struct CommandLine {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// What a server was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long an HTTP request may take.
    pub timeout: Duration,
    /// How long requests under way have after SIGALRM.
    pub grace: Duration,
    /// The file of certificates by which https peers are trusted, if not by Mozilla's.
    pub roots: Option<PathBuf>,
    /// All arguments as they came.
    pub arguments: Vec<OsString>,
}

impl Options {
    /// Reads the arguments of this process; on `--help` and `--version` it prints and ends the process.
    pub fn from_command_line() -> Result<Self, String> {
        Self::from_arguments(CommandLine::parse().arguments)
    }

    fn from_arguments(arguments: Vec<OsString>) -> Result<Self, String> {
        let mut options = Self {
            timeout: Duration::from_millis(30_000),
            grace: Duration::from_millis(1_000),
            roots: None,
            arguments: Vec::new(),
        };
        for (key, value) in arguments.iter().filter_map(|argument| argument.to_str()?.split_once('=')) {
            match key {
                "timeout_ms" => options.timeout = duration(key, value, 1..=86_400_000)?,
                "grace_ms" => options.grace = duration(key, value, 0..=60_000)?,
                "roots" => options.roots = Some(PathBuf::from(value)),
                _ => {}
            }
        }
        options.arguments = arguments;
        Ok(options)
    }
}

fn duration(key: &str, value: &str, range: std::ops::RangeInclusive<u64>) -> Result<Duration, String> {
    let millis = value.parse().ok().filter(|millis| range.contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| {
        let (min, max) = (range.start(), range.end());
        format!("expected {key} to be a number of milliseconds from {min} to {max}, found {value:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<(u128, u128), String> {
        let arguments = arguments.iter().map(OsString::from).collect();
        Options::from_arguments(arguments).map(|options| (options.timeout.as_millis(), options.grace.as_millis()))
    }

    #[test]
    fn known_keys_count_and_others_are_ignored() {
        assert_eq!(options(&[]), Ok((30_000, 1_000)));
        assert_eq!(options(&["state=c", "test=123", "-x", "word", "timeout_ms=5"]), Ok((5, 1_000)));
        assert_eq!(options(&["grace_ms=0", "grace_ms=7"]), Ok((30_000, 7)));
    }

    #[test]
    fn a_value_out_of_range_is_refused() {
        for argument in ["timeout_ms=0", "timeout_ms=", "timeout_ms=1s", "grace_ms=-1", "grace_ms=60001"] {
            assert!(options(&[argument]).is_err(), "{argument}");
        }
    }

    #[test]
    fn the_help_names_the_limits_that_hold() {
        use crate::codec::op_frame::{REQUEST_BYTES_MAX, RESPONSE_BODY_BYTES_MAX};
        use crate::server::machine::{MEMORY_LIMIT_BYTES_DEFAULT, WORKERS_MAX};
        for number in [
            REQUEST_BYTES_MAX.to_string(),
            RESPONSE_BODY_BYTES_MAX.to_string(),
            MEMORY_LIMIT_BYTES_DEFAULT.to_string(),
            WORKERS_MAX.to_string(),
        ] {
            assert!(ABOUT.contains(&number), "{number}");
        }
    }
}
