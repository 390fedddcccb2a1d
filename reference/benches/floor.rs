//! How near the reference comes to what the system allows, measured against floors in the same run.
//!
//! Three ratios, each against a program that does the same with nothing in between: bare memchr for the codec, two
//! processes that only read and write for the connection, once with one message under way and once with 64. Both
//! sides of an exchange run on one processor, where a blocking exchange is cheapest. Rounds alternate, each round of
//! ours is held against the floor's beside it, and the median of these ratios counts, so that a busy machine slows
//! both. Exits 1 if a limit is exceeded.
//!
//! Unix only: elsewhere it says so and measures nothing.

#[cfg(not(unix))]
fn main() {
    println!("the floors are measured on Unix only");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::hint::black_box;
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe, stdin, stdout};
    use std::path::Path;
    use std::process::{Child, Command, ExitCode, Stdio};
    use std::time::{Duration, Instant};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use reference::codec::delimited::{Delimited, Piece};
    use reference::codec::op_frame::{
        END_SYMBOL, HttpRequest, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request, split,
    };
    use reference::process::Process;
    use reference::transport::inherited;
    use reference::transport::pipe::{Connection, Received};

    const ROUNDS: usize = 41;
    const STREAM_PASSES: usize = 4;
    const EXCHANGES: usize = 2_000;
    const BATCH: usize = 64;
    const BATCHES: usize = 1_000;
    const ECHO: &str = "echo-peer";

    pub(super) fn main() -> ExitCode {
        if std::env::args().nth(1).as_deref() == Some(ECHO) {
            return echo();
        }
        pin_to_one_processor();
        let mut rows = vec![codec_row()];
        let mut floor = Plain::start();
        let mut ours = Real::start();
        rows.push(exchange_row("one request in flight / blocking ping-pong", 1.7, &mut floor, &mut ours, 1, EXCHANGES));
        rows.push(exchange_row(
            "64 requests in flight / batched plain writes",
            2.0,
            &mut floor,
            &mut ours,
            BATCH,
            BATCHES,
        ));
        println!("{:<46} {:>11} {:>11} {:>6} {:>8}", "", "floor", "ours", "ratio", "limit");
        for row in &rows {
            println!("{}", row.text);
        }
        if rows.iter().all(|row| row.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    struct Row {
        text: String,
        ok: bool,
    }

    /// Cutting a stream of requests of some KiB into op byte and payload, against only finding the end symbols.
    fn codec_row() -> Row {
        let mut stream = Vec::new();
        while stream.len() < 8 * 1024 * 1024 {
            let body = vec![b'a' + (stream.len() % 23) as u8; 1_000 + stream.len() % 6_000];
            let (method, url) = ("POST".into(), "http://127.0.0.1:8080/".into());
            Request::Http(Box::new(HttpRequest { method, url, body: Some(body) })).encode(&mut stream);
        }
        let messages = memchr::memchr_iter(END_SYMBOL, &stream).count();
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (mut scanning, mut cutting) = (Duration::ZERO, Duration::ZERO);
            let (mut found, mut cut) = (0, 0);
            let mut inbox = Delimited::new(END_SYMBOL, REQUEST_BYTES_MAX);
            let mut bare = vec![0; 64 * 1024];
            for chunk in std::iter::repeat_n(&stream, STREAM_PASSES).flat_map(|stream| stream.chunks(64 * 1024)) {
                // The clock is read as often on both sides: at these speeds that counts.
                let started = Instant::now();
                let bare = &mut bare[..chunk.len()];
                scanning += started.elapsed();
                bare.copy_from_slice(chunk);
                let started = Instant::now();
                for at in memchr::memchr_iter(END_SYMBOL, black_box(bare)) {
                    found += usize::from(black_box(at) < chunk.len());
                }
                scanning += started.elapsed();

                let started = Instant::now();
                let space = inbox.space();
                cutting += started.elapsed();
                // What a read would do; it is no part of the codec.
                space[..chunk.len()].copy_from_slice(chunk);
                let started = Instant::now();
                inbox.filled(chunk.len());
                while let Ok(Piece::Whole(message)) = inbox.next_piece() {
                    cut += usize::from(black_box(split(message)).is_ok());
                }
                cutting += started.elapsed();
            }
            assert_eq!((found, cut), (STREAM_PASSES * messages, STREAM_PASSES * messages));
            floor.push(scanning);
            ours.push(cutting);
        }
        // Of throughputs, so the other way round than of times.
        let ratio = 1.0 / median_ratio(&ours, &floor);
        let gigabytes = |time: Duration| (STREAM_PASSES * stream.len()) as f64 / time.as_secs_f64() / 1e9;
        let (floor, ours) = (gigabytes(median(floor)), gigabytes(median(ours)));
        let ok = ratio >= 0.8;
        let text = format!(
            "{:<46} {floor:>6.1} GB/s {ours:>6.1} GB/s {ratio:>6.2} {:>8} {}",
            "codec / bare memchr scan",
            ">= 0.80",
            verdict(ok)
        );
        Row { text, ok }
    }

    fn exchange_row(name: &str, limit: f64, floor: &mut Plain, ours: &mut Real, batch: usize, count: usize) -> Row {
        let (mut floors, mut all_ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floors.push(time(count, || floor.exchange(batch)));
            all_ours.push(time(count, || ours.exchange(batch)));
        }
        let ratio = median_ratio(&all_ours, &floors);
        let micros = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
        let (floor, ours) = (micros(median(floors)), micros(median(all_ours)));
        let ok = ratio <= limit;
        let limit = format!("<= {limit:.2}");
        let text = format!("{name:<46} {floor:>8.2} us {ours:>8.2} us {ratio:>6.2} {limit:>8} {}", verdict(ok));
        Row { text, ok }
    }

    fn time(count: usize, mut exchange: impl FnMut()) -> Duration {
        let started = Instant::now();
        for _ in 0..count {
            exchange();
        }
        started.elapsed()
    }

    fn median(mut times: Vec<Duration>) -> Duration {
        times.sort();
        times[times.len() / 2]
    }

    fn median_ratio(ours: &[Duration], floors: &[Duration]) -> f64 {
        let ratio = |(ours, floor): (&Duration, &Duration)| ours.as_secs_f64() / floor.as_secs_f64();
        let mut ratios: Vec<f64> = ours.iter().zip(floors).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn verdict(ok: bool) -> &'static str {
        if ok { "ok" } else { "EXCEEDED" }
    }

    const MESSAGE: &[u8] = b"1{Value: 123000}#";

    /// The floor: a process that writes back what it reads, with blocking calls.
    struct Plain {
        requests: Option<PipeWriter>,
        replies: PipeReader,
        peer: Child,
    }

    impl Plain {
        fn start() -> Self {
            let (peer_in, requests) = pipe().expect("pipe");
            let (replies, peer_out) = pipe().expect("pipe");
            let program = std::env::current_exe().expect("this program");
            let peer = Command::new(program).arg(ECHO).stdin(peer_in).stdout(peer_out).stderr(Stdio::inherit()).spawn();
            Self { requests: Some(requests), replies, peer: peer.expect("the echo peer") }
        }

        fn exchange(&mut self, batch: usize) {
            let mut bytes = [0; BATCH * MESSAGE.len()];
            for slot in bytes.chunks_exact_mut(MESSAGE.len()).take(batch) {
                slot.copy_from_slice(MESSAGE);
            }
            let bytes = &mut bytes[..batch * MESSAGE.len()];
            self.requests.as_mut().expect("open").write_all(bytes).expect("write");
            self.replies.read_exact(bytes).expect("read");
        }
    }

    impl Drop for Plain {
        fn drop(&mut self) {
            self.requests = None;
            let _ = self.peer.wait();
        }
    }

    fn echo() -> ExitCode {
        let (mut stdin, mut stdout) = (stdin().lock(), stdout());
        let mut bytes = [0; 64 * 1024];
        // Each message has no newline in it, so standard output holds it back until the flush: one write.
        while let Ok(count @ 1..) = stdin.read(&mut bytes) {
            stdout.write_all(&bytes[..count]).and_then(|()| stdout.flush()).expect("write");
        }
        ExitCode::SUCCESS
    }

    /// The real server, started as a watchdog starts it, over the real connection.
    struct Real {
        connection: Connection,
        process: Process,
    }

    impl Real {
        fn start() -> Self {
            let (process, ends) =
                Process::start(Path::new(env!("CARGO_BIN_EXE_server")), &[], inherited::arguments).expect("the server");
            let inbox = Delimited::new(END_SYMBOL, REPLY_BYTES_MAX);
            let connection = Connection::new(ends.from_child, ends.to_child, inbox).expect("connection");
            Self { connection, process }
        }

        fn exchange(&mut self, batch: usize) {
            let request = Request::MemoryLimit { bytes: 123_000 };
            for _ in 0..batch {
                request.encode(self.connection.outbox());
            }
            self.connection.send().expect("send");
            let mut answered = 0;
            while answered < batch {
                match self.connection.receive_soon().expect("receive") {
                    Received::Bytes => {}
                    Received::Nothing => self.sleep(),
                    Received::End => panic!("the server ended"),
                }
                while let Ok(Piece::Whole(message)) = self.connection.inbox.next_piece() {
                    let (op, payload) = split(message).expect("an op byte");
                    assert_eq!(Reply::decode(op, payload), Ok(Reply::Value(123_000)));
                    answered += 1;
                }
            }
        }

        fn sleep(&self) {
            let mut fds = [PollFd::new(self.connection.incoming(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::NONE).expect("poll");
        }
    }

    impl Drop for Real {
        fn drop(&mut self) {
            self.connection.close_outgoing();
            while self.connection.receive().is_ok_and(|received| received != Received::End) {
                self.sleep();
            }
            let _ = self.process.try_wait();
        }
    }

    #[cfg(target_os = "linux")]
    fn pin_to_one_processor() {
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
    fn pin_to_one_processor() {}
}
