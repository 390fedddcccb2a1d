//! A session with a plugin on the real system: what is typed is done, and what comes of it shown.

use std::io::{self, BufRead, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::{JoinSet, LocalSet};

use super::command::{Command, parse};
use super::options::{HostOptions, order};
use super::{Handlers, Host, HostError, Limits, Peer, load};
use crate::ending::Ending;
use crate::watchdog::printable::printable_line;

/// Lines that are read before what was typed earlier is under way.
const LINES_AHEAD: usize = 16;

/// Starts the plugin, does what is typed until there is nothing more or it ends, and returns the exit status.
///
/// # Errors
/// There is no plugin, or the system failed.
pub async fn run(options: &HostOptions) -> Result<u8, HostError> {
    // How many calls of a load the plugin has had answered here.
    let repeated = Arc::new(AtomicU64::new(0));
    let (plugin, arguments) = options.plugin();
    let mut host = Host::at(plugin)
        .arguments(arguments)
        .on_standard(options.standard)
        .order(order(options.described))
        .limits(Limits { handlers: options.handlers.into(), ..Limits::default() })
        .stop_within(options.stop_within())
        .handlers(handlers(repeated.clone()))
        .start()
        .await?;
    let session = Rc::new(Session { peer: host.peer().clone(), call_within: options.call_within(), repeated });
    for (name, value) in host.metadata() {
        show(&format!("{}: {}", printable_line(name.as_bytes()), printable_line(value.as_bytes())));
    }
    let all_well = LocalSet::new().run_until(session.all_that_is_typed(typed())).await;
    if host.peer().is_over() {
        let (why, ending) = host.ended().await?;
        eprintln!("error: the plugin ended by itself: {why}; its end: {ending}");
        return Ok(1);
    }
    let ending = host.stop().await?;
    if ending != Ending::Exited(0) {
        eprintln!("error: the plugin was stopped, and its end: {ending}");
    }
    Ok(u8::from(!all_well || ending != Ending::Exited(0)))
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
    async fn all_that_is_typed(self: Rc<Self>, mut typed: Receiver<Command>) -> bool {
        let mut under_way = JoinSet::new();
        let mut all_well = true;
        loop {
            tokio::select! {
                command = typed.recv() => match command {
                    None | Some(Command::Stop) => break,
                    Some(command) => drop(under_way.spawn_local(self.clone().perform(command))),
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
        let answered = AtomicU64::new(0);
        let tick = || {
            answered.fetch_add(1, Ordering::Relaxed);
            bar.set_position(answered.load(Ordering::Relaxed) + self.repeated.load(Ordering::Relaxed) - before);
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

/// Each line as it is typed, but what is no command. On a thread of its own, which nobody waits for.
fn typed() -> Receiver<Command> {
    let (sender, receiver) = channel(LINES_AHEAD);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let parsed = match line {
                Ok(line) => parse(&line),
                Err(error) => Err(format!("cannot read the input: {error}")),
            };
            match parsed {
                Ok(None) => {}
                Ok(Some(command)) => {
                    if sender.blocking_send(command).is_err() {
                        return;
                    }
                }
                Err(why) => drop(fail(&why)),
            }
        }
    });
    receiver
}

/// Says whether it could be shown.
fn show(line: &str) -> bool {
    writeln!(io::stdout(), "{line}").is_ok()
}

fn fail(why: &str) -> bool {
    let _ = writeln!(io::stderr(), "error: {why}");
    false
}
