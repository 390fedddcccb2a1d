//! What one terminal check of the suite costs, against the bare thing: a pseudo terminal, fork, exec, write,
//! read, wait, of the same trivial program. Both alternate in one run; the ratio of medians is held to a limit.

use std::io::{Read, Write};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::dialect::find;
use conformance::event::{Who, shown};
use conformance::record::Record;
use conformance::subject::attend::ServerPlan;
use conformance::subject::place::RunFolder;
use conformance::subject::session::Session;
use conformance::subject::start::Plan;
use rexpect::process::PtyProcess;

/// The program: it shows what is typed, and ends with its input.
const PROGRAM: &str = "/bin/cat";

/// A check of the suite costs at most this much more than the bare thing.
const RATIO_MAX: f64 = 3.0;

const ROUNDS: usize = 200;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = RunFolder::new().unwrap();
    let (mut bare, mut checked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(timed(bare_check));
        checked.push(timed(|| runtime.block_on(suite_check(&folder))));
    }
    let (bare, checked) = (median(bare), median(checked));
    let ratio = checked.as_secs_f64() / bare.as_secs_f64();
    let verdict = if ratio <= RATIO_MAX { "ok" } else { "EXCEEDED" };
    println!("{:<34} {:>9} {:>9} {:>7} {:>7}", "", "suite", "bare", "ratio", "limit");
    println!(
        "{:<34} {:>6} us {:>6} us {ratio:>7.2} {RATIO_MAX:>7.2}  {verdict}",
        "one terminal check",
        checked.as_micros(),
        bare.as_micros()
    );
    if ratio <= RATIO_MAX { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

async fn suite_check(run: &RunFolder) {
    let plan = Plan {
        program: PROGRAM.into(),
        args: Vec::new(),
        env: Vec::new(),
        terminal: true,
        server: ServerPlan::Held(Vec::new()),
        extra: Vec::new(),
        deaf_to: Vec::new(),
        strace: None,
        who: Who::Watchdog,
    };
    let folder = run.session().unwrap();
    let session = Session::start(Arc::new(Record::default()), folder, plan, Duration::from_secs(60)).await;
    let session = session.unwrap_or_else(|error| panic!("{error:?}"));
    session.line("a line").await.unwrap();
    session.until(|events| find(&shown(events, None), b"a line").map(drop)).await.unwrap();
    session.close_input().await.unwrap();
    session.ended(Who::Watchdog).await.unwrap();
    session.finish().await.unwrap();
}
