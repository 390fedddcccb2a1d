//! A session with a plugin on the real system: what is typed is done, and what comes of it shown.

use std::cell::Cell;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc::{Receiver, channel, unbounded_channel};
use tokio::task::{JoinSet, LocalSet};

use super::command::{Command, parse};
use super::options::{HostOptions, order};
use super::{Ended, Handlers, Host, HostError, Limits, Peer, Start, load};
use crate::ending::Ending;
use crate::stops::Stops;
use crate::watchdog::printable::{excerpt, printable_line};

/// Lines that are read before what was typed earlier is under way.
const LINES_AHEAD: usize = 16;

/// The longest line.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Starts the plugin, does what is typed until there is nothing more, it ends or this process is to stop, and returns the exit
/// status.
///
/// # Errors
/// There is no plugin, or the system failed.
pub async fn run(options: &HostOptions) -> Result<u8, HostError> {
    let (stop, mut stops) = unbounded_channel();
    // The thread that waits for signals holds the other side as long as there is this process.
    let forwarded = Stops::watch().and_then(|stops| stops.forward(move || _ = stop.send(())));
    forwarded.map_err(HostError::System)?;
    let (mut host, session) = tokio::select! {
        started = start(options) => started?,
        // It is killed with what is dropped here.
        _ = stops.recv() => return Ok(1),
    };
    let tasks = LocalSet::new();
    let all_well = tokio::select! {
        all_well = tasks.run_until(session.all_that_is_typed(typed())) => all_well,
        _ = stops.recv() => false,
    };
    if host.peer().is_over() {
        let (why, ending) = host.ended().await?;
        let why = match why {
            Ended::EndOfFile | Ended::CutOff(_) | Ended::Gone => format!("the plugin ended by itself: {why}"),
            _ => format!("the connection to the plugin was given up: {why}"),
        };
        fail(&format!("{why}; its end: {ending}"));
        return Ok(1);
    }
    let ending = tokio::select! {
        ending = host.stop() => ending?,
        // As above.
        _ = stops.recv() => return Ok(1),
    };
    if ending != Ending::Exited(0) {
        fail(&format!("the plugin was stopped, and its end: {ending}"));
    }
    Ok(u8::from(!all_well || ending != Ending::Exited(0)))
}

/// Starts the plugin, and shows what it says of itself.
async fn start(options: &HostOptions) -> Result<(Host, Rc<Session>), HostError> {
    // How many calls of a load the plugin has had answered here.
    let repeated = Arc::new(AtomicU64::new(0));
    let (plugin, arguments) = options.plugin();
    let start = Start {
        arguments: arguments.to_vec(),
        is_on_standard: options.standard,
        order: order(options.described),
        limits: Limits { handlers: options.handlers.into(), ..Limits::default() },
        handlers: handlers(repeated.clone()),
        start_within: options.start_within(),
        stop_within: options.stop_within(),
        ..Host::at(plugin)
    };
    let host = start.start().await?;
    let session = Rc::new(Session { peer: host.peer().clone(), call_within: options.call_within(), repeated });
    for (name, value) in host.metadata() {
        show(&format!("{}: {}", printable_line(name.as_bytes()), printable_line(value.as_bytes())));
    }
    Ok((host, session))
}

/// What the plugin may ask.
fn handlers(repeated: Arc<AtomicU64>) -> Handlers {
    let version = concat!("plugin-host ", env!("CARGO_PKG_VERSION"));
    Handlers::new().on("GetHost", move |_| async move { Ok::<_, String>(version.into()) }).on(
        "repeat",
        move |request| {
            repeated.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, String>(request.buffer) }
        },
    )
}

struct Session {
    peer: Peer,
    call_within: Duration,
    repeated: Arc<AtomicU64>,
}

impl Session {
    /// Returns, once all that was typed is done, whether all of it went well.
    async fn all_that_is_typed(self: Rc<Self>, mut typed: Receiver<Result<Command, String>>) -> bool {
        let mut under_way = JoinSet::new();
        let mut all_well = true;
        loop {
            tokio::select! {
                command = typed.recv() => match command {
                    None | Some(Ok(Command::Stop)) => break,
                    Some(Ok(command)) => drop(under_way.spawn_local(self.clone().perform(command))),
                    Some(Err(why)) => all_well = fail(&why),
                },
                Some(done) = under_way.join_next() => all_well &= done.unwrap_or(false),
                _ = self.peer.over() => break,
            }
        }
        while let Some(done) = under_way.join_next().await {
            all_well &= done.unwrap_or(false);
        }
        all_well
    }

    async fn perform(self: Rc<Self>, command: Command) -> bool {
        match command {
            Command::Call { command, text } => match self.peer.call_within(self.call_within, &command, text).await {
                Ok(answer) => show(&format!("{command}: {}", printable_line(&answer))),
                Err(why) => fail(&format!("{command}: {}", printable_line(why.to_string().as_bytes()))),
            },
            Command::Notify { command, text } => match self.peer.notify(&command, text).await {
                Ok(()) => true,
                Err(why) => fail(&format!("{command}: {why}")),
            },
            Command::Load { calls, bytes } => self.load(calls, bytes).await,
            Command::Stop => true,
        }
    }

    /// Both sides at once.
    async fn load(&self, calls: usize, bytes: usize) -> bool {
        let bar = ProgressBar::new(2 * calls as u64);
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} calls, {per_sec}");
        bar.set_style(style.expect("a template that is tried by the tests"));
        let (begun, before) = (Instant::now(), self.repeated.load(Ordering::Relaxed));
        let answered = Cell::new(0);
        let tick = || {
            answered.set(answered.get() + 1);
            bar.set_position(answered.get() + self.repeated.load(Ordering::Relaxed) - before);
        };
        let (ours, theirs) = tokio::join!(
            load::run(&self.peer, "echo", (calls, bytes), tick),
            self.peer.call("load", format!("{calls} {bytes}")),
        );
        bar.finish_and_clear();
        let seconds = begun.elapsed().as_secs_f64();
        match (ours, theirs) {
            (Ok(()), Ok(_)) => show(&format!(
                "load: {calls} calls each way, {bytes} bytes each, in {seconds:.2} s: {:.0} calls a second",
                2.0 * calls as f64 / seconds
            )),
            (Err(why), _) => fail(&format!("load: {why}")),
            (_, Err(why)) => fail(&format!("load: {}", printable_line(why.to_string().as_bytes()))),
        }
    }
}

/// Each line as it is typed, as a command, or what is wrong with it. On a thread of its own, which nobody waits for.
fn typed() -> Receiver<Result<Command, String>> {
    let (sender, receiver) = channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let (parsed, is_over) = match input.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(LINE_BYTES_MAX) => (Err(format!("expected at most {LINE_BYTES_MAX} bytes in a line")), true),
                Ok(_) => (understood(&line), false),
                Err(error) => (Err(format!("cannot read the input: {error}")), true),
            };
            let is_heard = parsed.transpose().is_none_or(|parsed| sender.blocking_send(parsed).is_ok());
            if is_over || !is_heard {
                return;
            }
        }
    });
    receiver
}

fn understood(line: &[u8]) -> Result<Option<Command>, String> {
    let text = str::from_utf8(line.trim_ascii_end());
    parse(text.map_err(|_| format!("expected text in UTF-8, found {}", excerpt(line.trim_ascii_end())))?)
}

/// Says whether it could be shown.
fn show(line: &str) -> bool {
    writeln!(io::stdout(), "{line}").is_ok()
}

/// In one write, since the plugin may write to the same terminal.
fn fail(why: &str) -> bool {
    let _ = io::stderr().write_all(format!("error: {why}\n").as_bytes());
    false
}
