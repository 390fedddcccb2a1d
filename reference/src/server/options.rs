//! What a server can be told when it is started: arguments of the form `key=value`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::transport::address::Address;

/// What `server --help` says below the usage.
const ABOUT: &str = "\
Serves a watchdog: reads requests from descriptor 3, writes replies to descriptor 4 (on Windows: the pipe handles
that the watchdog appends as pipe_in=… and pipe_out=…).

  --stdio                             from standard input and to standard output instead
  --socket                            over one socket at descriptor 3 instead, local or of a connection
  --listen ADDRESS                    for everybody who connects, many at once, until a signal comes
  --bind ADDRESS --connect ADDRESS    for one peer, which is bound and connects in the same way
  --public                            lets others than this machine connect
An address is unix:PATH, unix-dgram:PATH, tcp:HOST:PORT or udp:HOST:PORT, HOST being an IP address or localhost. A path
is for its owner alone and goes at the end; one to which nobody listens any more is taken over. With port 0 the system
chooses one; the line on standard output says which. Over datagrams each is SESSION NUMBER MESSAGE: what comes again is
answered again and not done again, and what came twice or out of order is said at the end.

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

The end of the requests: what was received is finished, then the server exits; one that listens serves the others.
setmeml is for who sends it, and so is the number of threads that setproc sets; the processors are the whole server's.
SIGALRM: reading stops, requests under way get the grace, replies get half of it again to be taken. A second SIGALRM
ends the grace, a third the server. If nobody reads the replies any more, it exits at once. With --listen, SIGINT,
SIGTERM and SIGHUP (on Windows Ctrl-C) do the same.

Exit status: 0 after an ordered end, 1 if a pipe failed, 2 if the arguments or the pipes are not as they should be.";

/// The command line, as clap sees it.
#[derive(Debug, Parser)]
#[command(name = "server", version, about = ABOUT, override_usage = "server [--listen ADDRESS | --stdio | --socket | --bind ADDRESS --connect ADDRESS] [--public] [KEY=VALUE]…")]
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
    /// Where it is asked.
    pub place: Place,
    /// All arguments as they came.
    pub arguments: Vec<OsString>,
}

/// Where a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Over the two pipes that it inherits.
    Pipes,
    /// Over standard input and output.
    Standard,
    /// Over one inherited socket.
    Socket,
    /// At this address, by everybody.
    Listen(Address),
    /// By one peer.
    Meet {
        /// Where the server is.
        own: Address,
        /// Where the peer is.
        peer: Address,
    },
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
            place: place(&arguments)?,
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

/// What the options say; what is none of them is for somebody else.
fn place(arguments: &[OsString]) -> Result<Place, String> {
    let (mut stdio, mut socket, mut public) = (false, false, false);
    let mut addresses: [Option<String>; 3] = [const { None }; 3];
    const NAMES: [&str; 3] = ["--listen", "--bind", "--connect"];
    let mut arguments = arguments.iter().map(|argument| argument.to_string_lossy());
    while let Some(argument) = arguments.next() {
        stdio |= argument == "--stdio";
        socket |= argument == "--socket";
        public |= argument == "--public";
        let (name, value) = argument.split_once('=').map_or((&*argument, None), |(name, value)| (name, Some(value)));
        let Some(which) = NAMES.iter().position(|known| *known == name) else { continue };
        let value = value.map(str::to_owned).or_else(|| arguments.next().map(String::from));
        if value.as_deref().is_some_and(|value| value.contains('\u{fffd}')) {
            return Err(format!("{name}: expected text in UTF-8"));
        }
        let value = value.ok_or_else(|| format!("{name}: expected {}, found nothing", Address::FORMS))?;
        if addresses[which].replace(value).is_some() {
            return Err(format!("{name} is there twice; a server has one address"));
        }
    }
    let mut address = |which: usize| {
        let parsed = addresses[which].take().map(|text| text.parse::<Address>().and_then(|a| a.allowed(public)));
        parsed.transpose().map_err(|why| format!("{}: {why}", NAMES[which]))
    };
    match (address(0)?, address(1)?, address(2)?, stdio, socket) {
        (None, None, None, false, false) => Ok(Place::Pipes),
        (None, None, None, true, false) => Ok(Place::Standard),
        (None, None, None, false, true) => Ok(Place::Socket),
        (Some(at), None, None, false, false) => Ok(Place::Listen(at)),
        (None, Some(own), Some(peer), false, false) => Ok(Place::Meet { own, peer }),
        _ => Err("expected --listen ADDRESS, or --bind and --connect, or --stdio, or --socket, alone".into()),
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
