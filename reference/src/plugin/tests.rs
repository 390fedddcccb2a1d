//! Both sides of a connection in one process, or one side and the bare bytes of the other, over pipes as short as is wanted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::driver::Incoming;
use super::{CallError, Ended, Handlers, Limits, Peer, Request, Role, connect, load};
use crate::codec::chunk::{Chunk, Chunks, Direction, Order, Unchunked};

impl<T: tokio::io::AsyncRead> Incoming for ReadHalf<T> {}

/// Long enough for any machine; nothing that works waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("expected {what}"))
}

/// A side over one end of a pipe, driven by a task of its own.
fn side(end: DuplexStream, role: Role, limits: Limits, handlers: Handlers) -> (Peer, JoinHandle<Ended>) {
    let (peer, driven) = connect(split(end), (role, Order::Published, limits), handlers);
    (peer, tokio::spawn(driven))
}

/// A host with the bare other side.
fn host_and_bare(limits: Limits, handlers: Handlers) -> (Peer, JoinHandle<Ended>, Bare) {
    let (end, bare) = duplex(1 << 16);
    let (peer, driven) = side(end, Role::Host, limits, handlers);
    (peer, driven, Bare::over(bare))
}

/// The bytes of one side.
struct Bare {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    chunks: Chunks,
}

type Seen = (u64, Direction, String, Vec<u8>);

impl Bare {
    fn over(end: DuplexStream) -> Self {
        let (reader, writer) = split(end);
        Bare { reader, writer, chunks: Chunks::default() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        in_time("somebody to read", self.writer.write_all(bytes)).await.expect("write");
    }

    async fn say(&mut self, id: u64, direction: Direction, command: &str, buffer: &str) {
        let mut bytes = Vec::new();
        let chunk = Chunk { id, direction, command, buffer: buffer.as_bytes() };
        chunk.encode(Order::Published, &mut bytes).expect("a chunk");
        self.send(&bytes).await;
    }

    /// The next chunk, or none when nothing comes any more.
    async fn hear(&mut self) -> Option<Seen> {
        loop {
            if let Some(chunk) = self.chunks.next_chunk().expect("chunks") {
                return Some((chunk.id, chunk.direction, chunk.command.to_owned(), chunk.buffer.to_vec()));
            }
            let mut bytes = [0; 4096];
            match in_time("something to read", self.reader.read(&mut bytes)).await.expect("read") {
                0 => return None,
                read => self.chunks.push(&bytes[..read]),
            }
        }
    }
}

fn seen(id: u64, direction: Direction, command: &str, buffer: &str) -> Option<Seen> {
    Some((id, direction, command.to_owned(), buffer.as_bytes().to_vec()))
}

/// Answers with what it is given, and asks the other side for its `echo` first when that is asked for.
fn echoes() -> Handlers {
    Handlers::new()
        .on("echo", |request: Request| async move { Ok::<_, String>(request.buffer) })
        .on("back", |request: Request| async move { request.peer.call("echo", request.buffer).await })
}

#[tokio::test]
async fn both_sides_may_send_more_than_the_pipes_hold() {
    // As little of everything as there can be, which is one.
    let limits = Limits { handlers: 0, queue: 0, queue_bytes: 0, outbox_bytes: 0, ..Limits::default() };
    let (here, there) = duplex(100);
    let (host, _host) = side(here, Role::Host, limits, echoes());
    let (plugin, _plugin) = side(there, Role::Plugin, limits, echoes());
    for command in ["echo", "back"] {
        let both = async {
            tokio::join!(
                load::run(&host, command, (300, 3_000), || ()),
                load::run(&plugin, command, (300, 3_000), || ())
            )
        };
        assert_eq!(in_time("an answer to each call", both).await, (Ok(()), Ok(())), "{command}");
    }
}

#[tokio::test]
async fn handlers_that_wait_to_be_heard_do_not_keep_their_side_from_listening() {
    let limits = Limits { handlers: 1, queue: 2, outbox_bytes: 10, ..Limits::default() };
    let heard = Arc::new(AtomicUsize::new(0));
    let saying_again = || {
        let heard = heard.clone();
        let again =
            |request: Request| async move { request.peer.notify("heard", request.buffer).await.map(|()| Vec::new()) };
        Handlers::new().on("said", again).on("heard", move |_| {
            heard.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, String>(Vec::new()) }
        })
    };
    let (here, there) = duplex(64);
    let (host, host_driven) = side(here, Role::Host, limits, saying_again());
    let (plugin, _plugin) = side(there, Role::Plugin, limits, saying_again());
    // So many that a handler has its turn once in a while only.
    let say = async |peer: &Peer| {
        let mut saying = JoinSet::new();
        for _ in 0..300 {
            let peer = peer.clone();
            saying.spawn(async move { peer.notify("said", [b'x'; 50]).await });
        }
        assert!(saying.join_all().await.iter().all(Result::is_ok));
        // What was said before this has been begun by then.
        peer.call("heard", "").await
    };
    let both = async { tokio::join!(say(&host), say(&plugin)) };
    assert_eq!(in_time("room for each", both).await, (Ok(Vec::new()), Ok(Vec::new())));
    // Whatever was said is heard before the end is.
    plugin.close();
    assert_eq!(in_time("the end", host_driven).await.expect("no panic"), Ended::EndOfFile);
    assert!(heard.load(Ordering::Relaxed) >= 300, "{heard:?}");
}

#[tokio::test]
async fn answers_find_their_calls_in_whatever_order_they_come() {
    let (host, _driven, mut bare) = host_and_bare(Limits::default(), Handlers::new());
    let calls: Vec<_> = ["a", "b", "c"]
        .map(|text| {
            tokio::spawn({
                let host = host.clone();
                async move { host.call("echo", text).await }
            })
        })
        .into();
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(bare.hear().await.expect("a request"));
    }
    assert_eq!(asked.iter().map(|(id, ..)| *id).collect::<BTreeSet<_>>().len(), 3, "{asked:?}");
    bare.say(999, Direction::Response, "echo", "nobody asked that").await;
    for (id, direction, command, buffer) in asked.iter().rev() {
        assert_eq!((*direction, &**command), (Direction::Request, "echo"));
        bare.say(*id, Direction::None, "echo", "no answer").await;
        bare.say(*id, Direction::Response, "echo", str::from_utf8(buffer).expect("text")).await;
        bare.say(*id, Direction::Response, "echo", "once more").await;
    }
    for (call, text) in calls.into_iter().zip(["a", "b", "c"]) {
        assert_eq!(in_time("an answer", call).await.expect("no panic"), Ok(text.into()));
    }
}

#[tokio::test]
async fn a_request_gets_one_response_and_a_message_none() {
    let handlers = echoes().on("fail", |_| async { Err("it is so") }).on("panic", |request: Request| async move {
        tokio::task::yield_now().await;
        assert!(request.buffer.is_empty(), "this panic is part of the test");
        Ok::<_, String>(Vec::new())
    });
    let (_host, _driven, mut bare) = host_and_bare(Limits::default(), handlers);
    for (command, buffer, expected, answer) in [
        ("echo", "", "echo", ""),
        ("echo", "a\0b", "echo", "a\0b"),
        ("fail", "", "cmd.error", "it is so"),
        ("nothing", "", "cmd.error", "there is no command nothing"),
        ("panic", "x", "cmd.error", "the handler of panic broke off"),
        ("cmd.ping", "", "cmd.ping", ""),
        // Only a host may say that.
        ("cmd.stop", "", "cmd.error", "there is no command cmd.stop"),
    ] {
        // A number of its own side may be in use here as well.
        bare.say(1, Direction::OneWay, command, buffer).await;
        bare.say(0, Direction::Request, command, buffer).await;
        assert_eq!(bare.hear().await, seen(0, Direction::Response, expected, answer), "{command}");
    }
}

#[tokio::test]
async fn no_more_handlers_are_at_work_than_may_be_and_pings_are_answered_nevertheless() {
    let (at_work, most, go_on) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let counted = (at_work.clone(), most.clone(), go_on.clone());
    let handlers = Handlers::new().on("wait", move |request: Request| {
        let (at_work, most, go_on) = counted.clone();
        async move {
            most.fetch_max(at_work.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            go_on.notified().await;
            at_work.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, String>(request.buffer)
        }
    });
    let (_host, _driven, mut bare) = host_and_bare(Limits { handlers: 3, ..Limits::default() }, handlers);
    for id in 1..=10 {
        bare.say(id, Direction::Request, "wait", "").await;
    }
    bare.say(11, Direction::Request, "cmd.ping", "").await;
    assert_eq!(bare.hear().await, seen(11, Direction::Response, "cmd.ping", ""));
    assert_eq!(most.load(Ordering::Relaxed), 3);
    for answered in 1..=10 {
        go_on.notify_one();
        assert_eq!(bare.hear().await, seen(answered, Direction::Response, "wait", ""));
    }
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn the_end_of_a_handler_that_says_nothing_makes_room_for_the_next() {
    let (begun, mut is_begun) = unbounded_channel();
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let handlers = Handlers::new().on("wait", move |_| {
        let (begun, waits) = (begun.clone(), waits.clone());
        async move {
            begun.send(()).expect("somebody waits");
            waits.notified().await;
            Ok::<_, String>(Vec::new())
        }
    });
    let (_host, _driven, mut bare) = host_and_bare(Limits { handlers: 1, ..Limits::default() }, handlers);
    for _ in 0..3 {
        bare.say(1, Direction::OneWay, "wait", "").await;
    }
    for _ in 0..3 {
        in_time("a handler to begin", is_begun.recv()).await;
        assert!(is_begun.try_recv().is_err(), "two at a time");
        go_on.notify_one();
    }
}

#[tokio::test]
async fn a_side_whose_queue_is_full_reads_no_further_until_it_is_shorter() {
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let handlers = Handlers::new().on("wait", move |_| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            Ok::<_, String>(Vec::new())
        }
    });
    let (end, bare) = duplex(32);
    let limits = Limits { handlers: 1, queue: 4, ..Limits::default() };
    let (peer, _driven) = side(end, Role::Host, limits, handlers);
    let (mut reader, mut writer) = split(bare);
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..1_000 {
            writer.write_all(b"1\x001\x00wait \x00").await.expect("write");
            counted.fetch_add(1, Ordering::Relaxed);
        }
        writer
    });
    // Nothing but tasks of this runtime can have anything to do, and whoever has not done it by then never will.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert!((4..20).contains(&before), "{before} messages were taken");
    // A call of its own is to be answered, whatever comes before the answer.
    let call = tokio::spawn(async move { peer.call("echo", "").await });
    let mut asked = [0; 64];
    let length = in_time("a request", reader.read(&mut asked)).await.expect("read");
    assert_eq!(asked[..length].escape_ascii().to_string(), "1\\x002\\x00echo \\x00");
    let mut writer = in_time("to be read again", sending).await.expect("no panic");
    writer.write_all(b"1\x003\x00echo \x00").await.expect("write");
    assert_eq!(in_time("an answer", call).await.expect("no panic"), Ok(Vec::new()));
}

#[tokio::test]
async fn whoever_sends_without_bound_and_does_not_read_loses_the_connection() {
    // Whether it is requests that wait or their answers.
    for handlers in [1, 1_000_000] {
        let limits = Limits { handlers, outbox_bytes: 100, held_bytes: 100_000, ..Limits::default() };
        let (end, mut bare) = duplex(1024);
        let (_host, driven) = side(end, Role::Host, limits, echoes());
        let request = [&b"1\x002\x00echo 1000\x00"[..], &[b'x'; 1000]].concat();
        let sent = Arc::new(AtomicUsize::new(0));
        let ended = in_time("the end", async {
            while bare.write_all(&request).await.is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            driven.await.expect("no panic")
        });
        assert_eq!(ended.await, Ended::Overrun(100_000));
        assert!(sent.load(Ordering::Relaxed) < 200, "{sent:?} of a thousand bytes each");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_nothing_behind() {
    let (host, _driven, mut bare) = host_and_bare(Limits::default(), Handlers::new());
    let late = host.call_within(Duration::from_millis(1), "echo", "late").await;
    assert_eq!(late, Err(CallError::Late(Duration::from_millis(1))));
    let (late, ..) = bare.hear().await.expect("a request");
    let given_up = tokio::spawn({
        let host = host.clone();
        async move { host.call("echo", "given up").await }
    });
    let (dropped, ..) = bare.hear().await.expect("a request");
    given_up.abort();
    assert!(given_up.await.is_err());
    assert_eq!(host.shared.state().calls.len(), 0);
    for id in [late, dropped] {
        bare.say(id, Direction::Response, "echo", "too late").await;
    }
    let (answer, asked) = tokio::join!(host.call("echo", "new"), async {
        let asked = bare.hear().await.expect("a request");
        bare.say(asked.0, Direction::Response, "echo", "new").await;
        asked
    });
    assert_eq!((answer, &*asked.3), (Ok(b"new".to_vec()), &b"new"[..]));
}

#[tokio::test]
async fn each_call_ends_with_the_connection_and_says_why() {
    let unchunked = Unchunked::Number { what: "the number of a chunk", found: b"x".to_vec() };
    for (last_bytes, expected) in [
        (&b""[..], Ended::EndOfFile),
        (b"1\x003\x00echo 5\x00hel", Ended::CutOff(14)),
        (b"x", Ended::Unchunked(unchunked)),
    ] {
        let (host, driven, mut bare) = host_and_bare(Limits::default(), Handlers::new());
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let host = host.clone();
                tokio::spawn(async move { host.call("echo", "").await })
            })
            .collect();
        for _ in 0..100 {
            bare.hear().await;
        }
        bare.send(last_bytes).await;
        drop(bare);
        for call in calls {
            let ended = in_time("the end of the call", call).await.expect("no panic");
            assert_eq!(ended, Err(CallError::Over(expected.clone())));
        }
        assert_eq!(in_time("the end", driven).await.expect("no panic"), expected);
        assert_eq!(host.call("echo", "").await, Err(CallError::Over(expected.clone())));
        assert_eq!(host.notify("echo", "").await, Err(CallError::Over(expected.clone())));
        assert_eq!(host.over().await, expected);
    }
}

#[tokio::test]
async fn a_driver_that_is_dropped_ends_each_call_as_well() {
    let (host, driven, mut bare) = host_and_bare(Limits::default(), Handlers::new());
    let call = tokio::spawn({
        let host = host.clone();
        async move { host.call("echo", "").await }
    });
    bare.hear().await;
    driven.abort();
    assert_eq!(in_time("the end of the call", call).await.expect("no panic"), Err(CallError::Over(Ended::Closed)));
    assert!(host.is_over());
}

#[tokio::test]
async fn what_was_asked_before_the_stop_is_still_answered() {
    let (begun, is_begun) = oneshot::channel();
    let (begun, go_on) = (Mutex::new(Some(begun)), Arc::new(Notify::new()));
    let waits = go_on.clone();
    let handlers = echoes().on("wait", move |request: Request| {
        let begun = begun.lock().expect("not poisoned").take();
        let waits = waits.clone();
        async move {
            begun.expect("it is asked once").send(()).expect("somebody waits");
            waits.notified().await;
            Ok::<_, String>(request.buffer)
        }
    });
    let (end, bare) = duplex(1 << 16);
    let limits = Limits { handlers: 1, last_words: DEADLINE, ..Limits::default() };
    let (plugin, driven) = side(end, Role::Plugin, limits, handlers);
    let mut bare = Bare::over(bare);
    bare.say(7, Direction::Request, "wait", "first").await;
    bare.say(8, Direction::Request, "echo", "second").await;
    bare.say(9, Direction::OneWay, "cmd.stop", "").await;
    bare.say(10, Direction::Request, "echo", "after the stop").await;
    in_time("a handler", is_begun).await.expect("it tells");
    assert_eq!(in_time("the stop", plugin.over()).await, Ended::Stopped);
    go_on.notify_one();
    assert_eq!(bare.hear().await, seen(7, Direction::Response, "wait", "first"));
    assert_eq!(bare.hear().await, seen(8, Direction::Response, "echo", "second"));
    assert_eq!(bare.hear().await, None);
    assert_eq!(in_time("the end", driven).await.expect("no panic"), Ended::Stopped);
}

#[tokio::test]
async fn when_sending_is_over_whoever_waits_for_room_hears_of_it() {
    let (end, bare) = duplex(16);
    let limits = Limits { outbox_bytes: 10, ..Limits::default() };
    let (host, _driven) = side(end, Role::Host, limits, Handlers::new());
    let mut saying = JoinSet::new();
    for _ in 0..10 {
        let host = host.clone();
        saying.spawn(async move { host.notify("said", [b'x'; 50]).await });
    }
    // The first has room, the others wait for it.
    assert_eq!(in_time("room for the first", saying.join_next()).await.expect("ten").expect("no panic"), Ok(()));
    host.stop_sending();
    let mut bare = Bare::over(bare);
    while bare.hear().await.is_some() {}
    let over = Err(CallError::Over(Ended::Closed));
    let said = in_time("the end of the others", saying.join_all()).await;
    assert!(said.contains(&over) && said.iter().all(|said| said.is_ok() || *said == over), "{said:?}");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_and_takes_no_room() {
    let limits = Limits { outbox_bytes: 10, ..Limits::default() };
    let (host, _driven, mut bare) = host_and_bare(limits, Handlers::new());
    let unsendable = CallError::Unsendable(Unchunked::Command(b"a\0b".to_vec()));
    for _ in 0..20 {
        assert_eq!(in_time("room", host.call("a\0b", "")).await, Err(unsendable.clone()));
        assert_eq!(in_time("room", host.notify("a\0b", "")).await, Err(unsendable.clone()));
    }
    in_time("room", host.notify("ab", "")).await.expect("a connection");
    assert_eq!(bare.hear().await, seen(1, Direction::OneWay, "ab", ""));
}
