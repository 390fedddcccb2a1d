//! The watchdog's command line, in the single-dash style of the assignment: `-sp X`, `-sp=X` and `--sp X` are one.
//!
//! It checks what can be known before anything is started. It starts nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::transport::address::Address;

const ABOUT: &str = "\
Starts a server, sends it the commands that are typed, prints what it answers, and ends it in order; or does so with a
server that runs already, over a connection, which it ends in order.";

const AFTER: &str = "\
Each option may be written with one dash or with two, and with a blank or `=` before its value.

The list of -sargs is split at commas; blanks around an argument and arguments that are empty are dropped. Single or
double quotes protect commas and blanks, and keep an argument that is empty; within double quotes \\\" and \\\\ stand
for \" and \\. Nothing is passed through a shell.
  -sargs \"state=c, test=123\"            state=c | test=123
  -sargs 'text=\"a, b\", , \"  c\", \"\"'     text=a, b |   c | (empty)

The server has two pipes at descriptors 3 and 4; with -over stdio its standard input and output instead, and it is told
--stdio; with -over socketpair one local socket at 3 for both directions, with -over tcp one end of a connection over the
loopback there, and it is told --socket.

Commands, one a line, at most 1048576 bytes long:
  setmeml BYTES              no HTTP body larger than this is buffered by the server
  setproc COUNT              worker threads of the server and, on Linux, the processors that they run on
  doreq METHOD URL [BODY]    an HTTP request; the body is the rest of the line after one blank, as it is
  exit                       ends the session, as do Ctrl-D and the end of the input

Replies go to standard output in the order of the commands; what failed is said on standard error in one line.
Commands are sent without waiting for earlier replies. Control characters in what comes back are shown as \\xNN.

The end: replies that are due get one second (not after a signal), then the server's pipe is closed and it gets
SIGALRM, after the grace SIGKILL. A server that has not answered anything may still be starting, so it gets half a
second to end before the signal. Ctrl-C after a signal, and so a second Ctrl-C, kills it at once.

Instead of -sp, -connect takes the address of a server that listens: unix:PATH, unix-dgram:PATH, tcp:HOST:PORT or
udp:HOST:PORT, HOST being an IP address or localhost. With -bind, an address of the same kind for this side, a stream
goes to a peer that does not listen but is bound and connects back in the same way. Over datagrams each command is one
datagram; what is lost is sent again, up to 6 times, and what was lost, came twice or out of order is said at the end.
Over udp nobody tells that nobody is there before a command is typed, so -connect-ms means nothing and the status is 1.
At the end this side of the connection is closed, and the server has the grace to answer and to close its own.

Exit status: 0 after an ordered end; 1 if the server ended by itself, badly, or had to be killed, if the connection
failed, or if standard output could not be written; 2 if the command line is wrong or the server cannot be started or
connected to; 129, 130 or 143 after SIGHUP, SIGINT or SIGTERM.";

/// The command line, as clap sees it.
#[derive(Debug, Parser)]
#[command(
    name = "watchdog",
    version,
    about = ABOUT,
    after_help = AFTER,
    override_usage = "watchdog -sp <PATH> [-sargs <LIST>] [-over <HOW>] [-grace-ms <N>]\n       \
                      watchdog -connect <ADDRESS> [-bind <ADDRESS>] [-public] [-connect-ms <N>] [-grace-ms <N>]"
)]
struct CommandLine {
    /// The absolute path of the server's executable
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    sp: Option<OsString>,
    /// The arguments that the server is started with
    #[arg(long, value_name = "LIST", default_value = "", allow_hyphen_values = true)]
    sargs: OsString,
    /// What the server has to talk over: pipes, stdio, socketpair or tcp
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Over::Pipes, hide_possible_values = true)]
    over: Over,
    /// The address of a server that runs already, instead of -sp
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["sp", "sargs", "over"])]
    connect: Option<Address>,
    /// The address of this side
    #[arg(long, value_name = "ADDRESS", requires = "connect", conflicts_with = "sp")]
    bind: Option<Address>,
    /// Allows addresses that are not on this machine alone
    #[arg(long, requires = "connect", conflicts_with = "sp")]
    public: bool,
    /// How long connecting may take, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 10_000, requires = "connect",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    connect_ms: u64,
    /// How long the server may take to end before it is killed, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    grace_ms: u64,
}

/// The names that may stand behind a single dash.
const NAMES: [&str; 10] =
    ["sp", "sargs", "over", "connect", "bind", "connect-ms", "grace-ms", "public", "help", "version"];

/// Those of them that have no value.
const FLAGS: [&str; 3] = ["public", "help", "version"];

/// What a watchdog was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which server it is about.
    pub server: Server,
    /// How long the server may take to end before it is killed.
    pub grace: Duration,
}

/// How to come by a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// To be started.
    Start {
        /// Its executable, an absolute path.
        path: PathBuf,
        /// Its arguments.
        arguments: Vec<OsString>,
        /// What goes between.
        over: Over,
    },
    /// To be connected to.
    Connect {
        /// Its address.
        to: Address,
        /// Our own, if it is to be a certain one.
        own: Option<Address>,
        /// How long that may take.
        patience: Duration,
    },
}

/// What goes between a watchdog and the server that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Over {
    /// Two pipes of their own.
    Pipes,
    /// Two pipes as the server's standard input and output.
    Stdio,
    /// One local socket for both directions.
    Socketpair,
    /// One end of a connection over the loopback, for both directions.
    Tcp,
}

impl Options {
    /// Reads the arguments of this process; on `--help`, `--version` and what clap refuses it prints and ends the
    /// process, with status 2 after a refusal.
    pub fn from_command_line() -> Result<Self, String> {
        Self::check(CommandLine::parse_from(with_two_dashes(std::env::args_os())))
    }

    fn check(line: CommandLine) -> Result<Self, String> {
        let grace = Duration::from_millis(line.grace_ms);
        if let Some(to) = line.connect {
            let to = to.allowed(line.public)?;
            let own = line.bind.map(|own| own.allowed(line.public)).transpose()?;
            let patience = Duration::from_millis(line.connect_ms);
            return Ok(Self { server: Server::Connect { to, own, patience }, grace });
        }
        let path = line.sp.ok_or("-sp is missing: expected the absolute path of the server, as in -sp /opt/server")?;
        let path = PathBuf::from(path);
        check_path(&path)?;
        let list = line.sargs.to_str().ok_or("expected -sargs to be text in UTF-8")?;
        Ok(Self { server: Server::Start { path, arguments: split_arguments(list)?, over: line.over }, grace })
    }
}

/// `-sp` becomes `--sp`, for clap; what stands where a value is due stays as it is.
fn with_two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut translated: Vec<OsString> = Vec::new();
    let mut value_due = true;
    for argument in arguments {
        let option = argument.to_str().filter(|_| !value_due).and_then(|text| text.strip_prefix('-'));
        let option = option.map(|text| text.strip_prefix('-').unwrap_or(text).to_owned());
        let name = option.as_deref().map(|text| text.split_once('=').map_or(text, |(name, _)| name));
        let known = name.is_some_and(|name| NAMES.contains(&name));
        value_due = known && option.as_deref() == name && name.is_some_and(|name| !FLAGS.contains(&name));
        match option.filter(|_| known) {
            Some(option) => translated.push(format!("--{option}").into()),
            None => translated.push(argument),
        }
    }
    translated
}

fn check_path(path: &Path) -> Result<(), String> {
    let shown = path.display();
    if path.as_os_str().is_empty() {
        return Err("expected -sp to be the absolute path of the server, found nothing".into());
    }
    if !path.is_absolute() {
        return Err(format!("expected -sp to be an absolute path, found {shown}; try: -sp \"$PWD/{shown}\""));
    }
    let metadata = path.metadata().map_err(|error| format!("cannot start the server {shown}: {error}"))?;
    if metadata.is_dir() {
        return Err(format!("expected -sp to be an executable file, found the directory {shown}"));
    }
    if !metadata.is_file() {
        return Err(format!("expected -sp to be an executable file, found something else at {shown}"));
    }
    #[cfg(unix)]
    if nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_err() {
        return Err(format!("expected -sp to be an executable file, but {shown} is not executable; try: chmod +x"));
    }
    Ok(())
}

/// Splits the list of `-sargs`, as the help says.
fn split_arguments(list: &str) -> Result<Vec<OsString>, String> {
    let mut arguments = Vec::new();
    let mut symbols = list.chars().peekable();
    let mut argument = String::new();
    // What stands in quotes is kept when blanks at the end are trimmed.
    let mut kept = 0;
    let mut quoted = false;
    loop {
        match symbols.next() {
            end @ (None | Some(',')) => {
                argument.truncate(kept + argument[kept..].trim_end().len());
                if quoted || !argument.is_empty() {
                    arguments.push(std::mem::take(&mut argument).into());
                }
                (kept, quoted) = (0, false);
                if end.is_none() {
                    return Ok(arguments);
                }
            }
            Some(quote @ ('"' | '\'')) => {
                quoted = true;
                loop {
                    match symbols.next() {
                        None => return Err(format!("-sargs: expected a closing {quote} in: {list}")),
                        Some(symbol) if symbol == quote => break,
                        Some('\\') if quote == '"' && matches!(symbols.peek(), Some('"' | '\\')) => {
                            argument.extend(symbols.next());
                        }
                        Some(symbol) => argument.push(symbol),
                    }
                }
                kept = argument.len();
            }
            Some(blank) if blank.is_whitespace() && !quoted && argument.is_empty() => {}
            Some(symbol) => argument.push(symbol),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(list: &str) -> Vec<OsString> {
        split_arguments(list).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn lists_are_split_as_the_help_says() {
        assert_eq!(arguments(""), [""; 0]);
        assert_eq!(arguments(" , ,"), [""; 0]);
        assert_eq!(arguments("state=c, test=123"), ["state=c", "test=123"]);
        assert_eq!(arguments("a b ,\tc,"), ["a b", "c"]);
        assert_eq!(arguments(r#"text="a, b", , "  c", """#), ["text=a, b", "  c", ""]);
        assert_eq!(arguments(r#"'it''s', C:\dir, "q\"\\""#), ["its", r"C:\dir", r#"q"\"#]);
        assert_eq!(arguments(r#" "a " , b"#), ["a ", "b"]);
        assert_eq!(arguments("'a' 'b'"), ["a b"]);
        assert_eq!(arguments("$HOME;*|`ls`"), ["$HOME;*|`ls`"]);
    }

    #[test]
    fn an_open_quote_is_refused() {
        for list in ["\"a", "'", "a, \"b\\\""] {
            assert!(split_arguments(list).is_err(), "{list}");
        }
    }

    #[test]
    fn one_dash_is_two_dashes_but_not_in_values() {
        let translate = |words: &[&str]| {
            let all = std::iter::once("watchdog").chain(words.iter().copied()).map(OsString::from);
            with_two_dashes(all).into_iter().skip(1).collect::<Vec<_>>()
        };
        assert_eq!(translate(&["-sp", "/s", "-sargs=-sp"]), ["--sp", "/s", "--sargs=-sp"]);
        assert_eq!(translate(&["-sargs", "-sp", "--sp", "-help"]), ["--sargs", "-sp", "--sp", "-help"]);
        assert_eq!(translate(&["-help", "-version", "-h", "-spx"]), ["--help", "--version", "-h", "-spx"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_server_must_be_an_executable_file_at_an_absolute_path() {
        let check = |path: &str| check_path(Path::new(path)).err();
        assert_eq!(check("/bin/sh"), None);
        let paths = ["", "server", "./server", "/", "/no/such/server", "/etc/passwd", "/dev/null"];
        let table: Vec<String> = paths.iter().map(|path| check(path).unwrap_or_else(|| panic!("{path}"))).collect();
        insta::assert_snapshot!(table.join("\n"));
    }
}
