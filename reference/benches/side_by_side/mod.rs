//! What the benches have in common: two ways to the same end, measured round by round in one run, and the ratio of both.
//!
//! Both sides of an exchange run on one processor, where a blocking exchange is cheapest. Rounds alternate, each round of one way
//! is held against the other's beside it, and the median of these ratios counts, so that a busy machine slows both.

#![allow(dead_code, reason = "each bench uses a part of this")]

use std::io::{PipeReader, PipeWriter, Read, Write, pipe, stdin, stdout};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

pub(crate) const ROUNDS: usize = 41;
pub(crate) const EXCHANGES: usize = 2_000;
pub(crate) const BATCH: usize = 64;
pub(crate) const BATCHES: usize = 1_000;

/// The argument with which a bench is the peer of [`Plain`].
pub(crate) const ECHO: &str = "echo-peer";

/// Sends and gets back.
pub(crate) trait Exchange {
    /// So many messages at once, so many times.
    fn exchanges(&mut self, batch: usize, count: usize);
}

/// Prints the rows; the status is that of a failure if a limit is exceeded.
pub(crate) fn told(rows: &[Row]) -> ExitCode {
    println!("{:<46} {:>11} {:>11} {:>6} {:>8}", "", "floor", "ours", "ratio", "limit");
    rows.iter().for_each(|row| println!("{}", row.text));
    if rows.iter().all(|row| row.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A line of the table.
pub(crate) struct Row {
    pub(crate) text: String,
    pub(crate) ok: bool,
}

/// What an exchange of so many messages at once takes one way, held against the other.
pub(crate) fn exchange_row(
    name: &str,
    limit: f64,
    floor: &mut impl Exchange,
    ours: &mut impl Exchange,
    batch: usize,
) -> Row {
    let count = if batch == 1 { EXCHANGES } else { BATCHES };
    let (mut floors, mut all_ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(time(|| floor.exchanges(batch, count)));
        all_ours.push(time(|| ours.exchanges(batch, count)));
    }
    let ratio = median_ratio(&all_ours, &floors);
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let (floor, ours) = (micros(median(floors)), micros(median(all_ours)));
    let ok = ratio <= limit;
    let limit = format!("<= {limit:.2}");
    let text = format!("{name:<46} {floor:>8.2} us {ours:>8.2} us {ratio:>6.2} {limit:>8} {}", verdict(ok));
    Row { text, ok }
}

fn time(exchanges: impl FnOnce()) -> Duration {
    let started = Instant::now();
    exchanges();
    started.elapsed()
}

pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

pub(crate) fn median_ratio(ours: &[Duration], floors: &[Duration]) -> f64 {
    let ratio = |(ours, floor): (&Duration, &Duration)| ours.as_secs_f64() / floor.as_secs_f64();
    let mut ratios: Vec<f64> = ours.iter().zip(floors).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

pub(crate) fn verdict(ok: bool) -> &'static str {
    if ok { "ok" } else { "EXCEEDED" }
}

pub(crate) const MESSAGE: &[u8] = b"1{Value: 123000}#";

/// The floor: a process that writes back what it reads, with blocking calls.
pub(crate) struct Plain {
    requests: Option<PipeWriter>,
    replies: PipeReader,
    peer: Child,
}

impl Plain {
    pub(crate) fn start() -> Self {
        let (peer_in, requests) = pipe().expect("pipe");
        let (replies, peer_out) = pipe().expect("pipe");
        let program = std::env::current_exe().expect("this program");
        let peer = Command::new(program).arg(ECHO).stdin(peer_in).stdout(peer_out).stderr(Stdio::inherit()).spawn();
        Self { requests: Some(requests), replies, peer: peer.expect("the echo peer") }
    }
}

impl Exchange for Plain {
    fn exchanges(&mut self, batch: usize, count: usize) {
        for _ in 0..count {
            let mut bytes = [0; BATCH * MESSAGE.len()];
            for slot in bytes.chunks_exact_mut(MESSAGE.len()).take(batch) {
                slot.copy_from_slice(MESSAGE);
            }
            let bytes = &mut bytes[..batch * MESSAGE.len()];
            self.requests.as_mut().expect("open").write_all(bytes).expect("write");
            self.replies.read_exact(bytes).expect("read");
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.peer.wait();
    }
}

pub(crate) fn echo() -> ExitCode {
    let (mut stdin, mut stdout) = (stdin().lock(), stdout());
    let mut bytes = [0; 64 * 1024];
    // Each message has no newline in it, so standard output holds it back until the flush: one write.
    while let Ok(count @ 1..) = stdin.read(&mut bytes) {
        stdout.write_all(&bytes[..count]).and_then(|()| stdout.flush()).expect("write");
    }
    ExitCode::SUCCESS
}

/// Holds this process and its children to one processor.
#[cfg(target_os = "linux")]
pub(crate) fn pin_to_one_processor() {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("affinity");
    let first = (0..CpuSet::count()).find(|&cpu| allowed.is_set(cpu) == Ok(true)).expect("a processor");
    let mut one = CpuSet::new();
    one.set(first).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &one).expect("affinity");
}

/// Elsewhere a process cannot be held to a processor; both sides of each ratio then pay for that alike.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_to_one_processor() {}
