//! What a plugin connection costs, measured against floors in the same run: two processes that only read and write, another
//! library for processes that talk to each other, and tokio's codec of lines over the same kind of pipes. Exits 1 if a limit is
//! exceeded.
//!
//! With many calls in flight the first and the last of these are no measure: nobody waits for a particular answer there, and a
//! message costs some 40 and 130 ns, with both processes, which is less than it takes to have a task wait for an answer and to
//! wake it. So there each message of the floor has a task that waits for its answer as well, and nothing else.
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
#[path = "../../benches/side_by_side/mod.rs"]
mod side_by_side;

#[cfg(unix)]
mod unix {
    use std::io::Write;
    use std::process::{Child, Command, ExitCode, Stdio};

    use futures_util::{SinkExt, StreamExt};
    use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender, channel};
    use reference::plugin::{Ends, Handlers, Host, Peer, Request, Start, serve};
    use tokio::net::unix::pipe::{Receiver, Sender};
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::sync::oneshot;
    use tokio::task::JoinSet;
    use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

    use crate::side_by_side::{BATCH, ECHO, Exchange, MESSAGE, Plain, echo, exchange_row, pin_to_one_processor, told};

    /// The arguments with which this is the peer of the others.
    const LINES: &str = "lines-peer";
    const CHANNEL: &str = "channel-peer";
    const PLUGIN: &str = "plugin-peer";

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [ECHO] => return echo(),
            [LINES] => return echo_lines(),
            [PLUGIN, reads, writes] => return plugin(reads, writes),
            [CHANNEL, server] => return echo_over_channel(server),
            _ => {}
        }
        pin_to_one_processor();
        let mut plugin = Plugin::start();
        let (mut plain, mut lines, mut channel) = (Plain::start(), Lines::start(), Channel::start());
        let mut waited_for = WaitedFor { runtime: runtime(), plain: Plain::start() };
        let rows = [
            exchange_row("one call / blocking ping-pong", 1.7, &mut plain, &mut plugin, 1),
            exchange_row("64 calls in flight / batches, a task for each", 3.2, &mut waited_for, &mut plugin, BATCH),
            exchange_row("one call / ipc-channel", 1.0, &mut channel, &mut plugin, 1),
            exchange_row("64 calls in flight / ipc-channel", 1.0, &mut channel, &mut plugin, BATCH),
            // They do the same with the system, so it is as good as equal; the limit is for what a run differs from another.
            exchange_row("one call / tokio's codec of lines", 1.1, &mut lines, &mut plugin, 1),
        ];
        told(&rows)
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().expect("a runtime")
    }

    fn this_program() -> Command {
        Command::new(std::env::current_exe().expect("this program"))
    }

    /// A plugin, started by a host.
    struct Plugin {
        runtime: Runtime,
        host: Host,
    }

    impl Plugin {
        fn start() -> Self {
            let runtime = runtime();
            let program = std::env::current_exe().expect("this program");
            let start = Start { arguments: vec![PLUGIN.into()], ..Host::at(program) };
            let host = runtime.block_on(start.start()).expect("the plugin");
            Self { runtime, host }
        }
    }

    fn plugin(reads: &str, writes: &str) -> ExitCode {
        let number = |text: &str| text.parse().expect("the number of a pipe");
        let echo = |request: Request| async { Ok::<_, String>(request.buffer) };
        runtime().block_on(async {
            let ends = Ends::inherited(number(reads), number(writes)).expect("two pipes");
            serve(ends, Handlers::new().on("echo", echo)).await
        });
        ExitCode::SUCCESS
    }

    impl Exchange for Plugin {
        fn exchanges(&mut self, batch: usize, count: usize) {
            async fn one_after_the_other(peer: Peer, count: usize) {
                for _ in 0..count {
                    assert_eq!(peer.call("echo", MESSAGE).await.as_deref(), Ok(MESSAGE));
                }
            }
            let peer = self.host.peer().clone();
            self.runtime.block_on(async {
                if batch == 1 {
                    return one_after_the_other(peer, count).await;
                }
                let mut in_flight = JoinSet::new();
                (0..batch).for_each(|_| drop(in_flight.spawn(one_after_the_other(peer.clone(), count))));
                in_flight.join_all().await;
            });
        }
    }

    impl Drop for Plugin {
        fn drop(&mut self) {
            let _ = self.runtime.block_on(self.host.stop());
        }
    }

    /// Plain writes and reads, with a task that waits for each message's answer.
    struct WaitedFor {
        runtime: Runtime,
        plain: Plain,
    }

    impl Exchange for WaitedFor {
        fn exchanges(&mut self, batch: usize, count: usize) {
            self.runtime.block_on(async {
                let (sender, mut receiver) = unbounded_channel();
                let mut in_flight = JoinSet::new();
                for _ in 0..batch {
                    let sender = sender.clone();
                    in_flight.spawn(async move {
                        for _ in 0..count {
                            let (answered, answer) = oneshot::channel();
                            sender.send(answered).expect("somebody receives");
                            assert_eq!(answer.await.as_deref(), Ok(MESSAGE));
                        }
                    });
                }
                drop(sender);
                let mut waiting = Vec::new();
                while receiver.recv_many(&mut waiting, batch).await > 0 {
                    self.plain.exchanges(waiting.len(), 1);
                    waiting.drain(..).for_each(|answered| answered.send(MESSAGE.to_vec()).expect("somebody waits"));
                }
            });
        }
    }

    /// Lines over pipes, as tokio cuts and joins them.
    struct Lines {
        runtime: Runtime,
        requests: Option<FramedWrite<Sender, LinesCodec>>,
        replies: FramedRead<Receiver, LinesCodec>,
        peer: Child,
    }

    impl Lines {
        fn start() -> Self {
            let (peer_in, requests) = std::io::pipe().expect("pipe");
            let (replies, peer_out) = std::io::pipe().expect("pipe");
            let peer = this_program().arg(LINES).stdin(peer_in).stdout(peer_out).stderr(Stdio::inherit()).spawn();
            let runtime = runtime();
            let (requests, replies) = runtime.block_on(async {
                (Sender::from_owned_fd(requests.into()).expect("a pipe"), Receiver::from_owned_fd(replies.into()))
            });
            Self {
                runtime,
                requests: Some(FramedWrite::new(requests, LinesCodec::new())),
                replies: FramedRead::new(replies.expect("a pipe"), LinesCodec::new()),
                peer: peer.expect("the peer"),
            }
        }
    }

    impl Exchange for Lines {
        fn exchanges(&mut self, batch: usize, count: usize) {
            let requests = self.requests.as_mut().expect("open");
            let message = str::from_utf8(MESSAGE).expect("text");
            self.runtime.block_on(async {
                for _ in 0..count {
                    for _ in 0..batch {
                        requests.feed(message).await.expect("write");
                    }
                    SinkExt::<&str>::flush(requests).await.expect("write");
                    for _ in 0..batch {
                        assert_eq!(self.replies.next().await.expect("a reply").expect("read"), message);
                    }
                }
            });
        }
    }

    impl Drop for Lines {
        fn drop(&mut self) {
            self.requests = None;
            let _ = self.peer.wait();
        }
    }

    fn echo_lines() -> ExitCode {
        use std::os::fd::AsFd;
        runtime().block_on(async {
            let (input, output) = (std::io::stdin(), std::io::stdout());
            let own = |end: std::os::fd::BorrowedFd<'_>| end.try_clone_to_owned().expect("a descriptor");
            let input = Receiver::from_owned_fd(own(input.as_fd())).expect("a pipe");
            let output = Sender::from_owned_fd(own(output.as_fd())).expect("a pipe");
            let mut requests = FramedRead::new(input, LinesCodec::new()).ready_chunks(BATCH);
            let mut replies = FramedWrite::new(output, LinesCodec::new());
            while let Some(lines) = requests.next().await {
                for line in lines {
                    replies.feed(line.expect("read")).await.expect("write");
                }
                SinkExt::<String>::flush(&mut replies).await.expect("write");
            }
        });
        ExitCode::SUCCESS
    }

    /// Channels between processes.
    struct Channel {
        requests: Option<IpcSender<Vec<u8>>>,
        replies: IpcReceiver<Vec<u8>>,
        peer: Child,
    }

    type BothEnds = (IpcSender<Vec<u8>>, IpcReceiver<Vec<u8>>);

    impl Channel {
        fn start() -> Self {
            let (server, name) = IpcOneShotServer::<BothEnds>::new().expect("a server");
            let peer = this_program().args([CHANNEL, &name]).spawn().expect("the peer");
            let (_, (requests, replies)) = server.accept().expect("its ends");
            Self { requests: Some(requests), replies, peer }
        }
    }

    impl Exchange for Channel {
        fn exchanges(&mut self, batch: usize, count: usize) {
            let requests = self.requests.as_ref().expect("open");
            for _ in 0..count {
                (0..batch).for_each(|_| requests.send(MESSAGE.to_vec()).expect("send"));
                (0..batch).for_each(|_| assert_eq!(self.replies.recv().expect("receive"), MESSAGE));
            }
        }
    }

    impl Drop for Channel {
        fn drop(&mut self) {
            self.requests = None;
            let _ = self.peer.wait();
        }
    }

    fn echo_over_channel(server: &str) -> ExitCode {
        let (requests, its_requests) = channel().expect("a channel");
        let (its_replies, replies) = channel().expect("a channel");
        let server = IpcSender::<BothEnds>::connect(server.to_owned()).expect("the server");
        server.send((requests, replies)).expect("send");
        while let Ok(request) = its_requests.recv() {
            its_replies.send(request).expect("send");
        }
        let _ = std::io::stdout().flush();
        ExitCode::SUCCESS
    }
}
