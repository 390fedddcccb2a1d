//! What one terminal check of the suite costs, against the bare thing: a pseudo terminal, fork, exec, write, read, wait, of
//! the same trivial program; and what it costs to start that program in tier A, against a start in tier C. Each alternates
//! with its floor in one run; the ratios of medians are held to limits.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::dialect::find;
use conformance::event::{Who, shown};
use conformance::record::Record;
use conformance::subject::limits::Limits;
use conformance::subject::place::RunFolder;
use conformance::subject::plan::{ChildPlan, Plan};
use conformance::subject::session::Session;
use rexpect::process::PtyProcess;

/// The program: it shows what is typed, and ends with its input.
const PROGRAM: &str = "/bin/cat";

/// A check of the suite costs at most this much more than the bare thing.
const RATIO_MAX: f64 = 3.0;

/// A confined start costs at most this much more than a plain one.
const CONFINED_RATIO_MAX: f64 = 3.0;

/// Nor more than this.
const CONFINEMENT_MAX: Duration = Duration::from_millis(15);

const ROUNDS: usize = 200;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let plain = RunFolder::new().unwrap();
    let confined = RunFolder::confined(&[Path::new(PROGRAM)], &[], Limits::default());
    let check = |run| runtime.block_on(suite_check(run));
    println!("{:<34} {:>9} {:>9} {:>7} {:>7}", "", "ours", "floor", "ratio", "limit");
    let (mut bare, mut checked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(timed(bare_check));
        checked.push(timed(|| _ = check(&plain)));
    }
    let mut is_held = is_within("one terminal check / bare", median(checked), median(bare), RATIO_MAX, Duration::MAX);
    match confined {
        // Apart: a namespace that has ended keeps the system busy for a moment.
        Ok(confined) => {
            let (ours, floor): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (check(&confined), check(&plain))).unzip();
            let (ours, floor) = (median(ours), median(floor));
            is_held &= is_within("a start in tier A / in tier C", ours, floor, CONFINED_RATIO_MAX, CONFINEMENT_MAX);
        }
        Err(error) => println!("{:<34} not measured: {error}", "a start in tier A / in tier C"),
    }
    if is_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line of the table, and says whether it is so often the floor at most, and no more than `beside` it.
fn is_within(name: &str, ours: Duration, floor: Duration, limit: f64, beside: Duration) -> bool {
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    let is_held = ratio <= limit && ours.saturating_sub(floor) <= beside;
    let verdict = if is_held { "ok" } else { "EXCEEDED" };
    println!("{name:<34} {:>6} us {:>6} us {ratio:>7.2} {limit:>7.2}  {verdict}", ours.as_micros(), floor.as_micros());
    is_held
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn bare_check() {
    let process = PtyProcess::new(Command::new(PROGRAM)).unwrap();
    let mut master = process.get_file_handle().unwrap();
    master.write_all(b"a line\n").unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 256];
    while find(&seen, b"a line").is_none() {
        let n = master.read(&mut buffer).unwrap();
        seen.extend_from_slice(&buffer[..n]);
    }
    master.write_all(b"\x04").unwrap();
    process.wait().unwrap();
}

/// How long it took until the program ran.
async fn suite_check(run: &RunFolder) -> Duration {
    let plan = Plan {
        program: PROGRAM.into(),
        args: Vec::new(),
        env: Vec::new(),
        terminal: true,
        child: ChildPlan::Held(Vec::new()),
        extra: Vec::new(),
        deaf_to: Vec::new(),
        strace: None,
        who: Who::Watchdog,
    };
    let begun = Instant::now();
    let folder = run.session().unwrap();
    let session = Session::start(Arc::new(Record::default()), folder, plan, Duration::from_secs(60)).await;
    let session = session.unwrap_or_else(|error| panic!("{error:?}"));
    let start = begun.elapsed();
    session.line("a line").await.unwrap();
    session.until(|events| find(&shown(events, None), b"a line").map(drop)).await.unwrap();
    session.close_input().await.unwrap();
    session.ended(Who::Watchdog).await.unwrap();
    session.finish().await.unwrap();
    start
}
