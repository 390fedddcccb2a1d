//! How near the reference comes to what the system allows, measured against floors in the same run.
//!
//! Three ratios, each against a program that does the same with nothing in between: bare memchr for the codec, two
//! processes that only read and write for the connection, once with one message under way and once with 64. Exits 1 if a
//! limit is exceeded.
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
mod side_by_side;

#[cfg(unix)]
mod unix {
    use std::hint::black_box;
    use std::path::Path;
    use std::process::ExitCode;
    use std::time::{Duration, Instant};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use reference::codec::delimited::{Delimited, Piece};
    use reference::codec::op_frame::{
        END_SYMBOL, HttpRequest, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, Reply, Request, split,
    };
    use reference::process::Process;
    use reference::transport::inherited;
    use reference::transport::pipe::{Connection, Received};

    use crate::side_by_side::{
        BATCH, ECHO, Exchange, Plain, ROUNDS, Row, echo, exchange_row, median, median_ratio, pin_to_one_processor,
        told, verdict,
    };

    const STREAM_PASSES: usize = 4;

    pub(super) fn main() -> ExitCode {
        if std::env::args().nth(1).as_deref() == Some(ECHO) {
            return echo();
        }
        pin_to_one_processor();
        let mut rows = vec![codec_row()];
        let mut floor = Plain::start();
        let mut ours = Real::start();
        for (name, limit, batch) in [
            ("one request in flight / blocking ping-pong", 1.7, 1),
            ("64 requests in flight / batched plain writes", 2.0, BATCH),
        ] {
            rows.push(exchange_row(name, limit, &mut floor, &mut ours, batch));
        }
        told(&rows)
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
                    Received::End | Received::Reset => panic!("the server ended"),
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

    impl Exchange for Real {
        fn exchanges(&mut self, batch: usize, count: usize) {
            (0..count).for_each(|_| self.exchange(batch));
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
}
