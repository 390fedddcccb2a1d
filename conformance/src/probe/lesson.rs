//! The first session: the commands of the assignment are typed one after the other under the tap, and what
//! was seen becomes a [`Lesson`].
//!
//! Nothing is judged here. What could not be learned stays unknown, and the cases that need it say so.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dialect::learn::{self, Command, Line, Tokens};
use crate::dialect::prints;
use crate::dialect::times;
use crate::event::{self, Event, Stream, What, Who};
use crate::observe::rogue::Manner;
use crate::observe::target::Answer;
use crate::outcome::Stop;
use crate::record::Record;
use crate::slow::ATTEMPTS;
use crate::stage::watchdog::{Watchdog, replay_slot};
use crate::stage::{Run, Stage};
use crate::suite::{Lesson, Suite};

/// How many requests are recorded to be replayed: as many as there are cases that do so, and some to spare.
pub const REPLAYS: usize = 40;

/// The variable that the first session adds to the environment, and its value.
pub const VARIABLE: (&str, &str) = ("CONFORMANCE_VARIABLE", "handed on");

/// Which lines of the first session set the memory limit and the processors for the first time.
pub const SETTINGS: [usize; 2] = [0, 2];

/// The body that the target answers with in the first session.
pub const ANSWER: &str = "an-answer-that-nobody-else-gives";

/// The status beside it.
const STATUS: u16 = 203;

/// Runs the sessions that teach the pair's dialect, again where the machine was too slow for them.
pub async fn learn(suite: &Arc<Suite>) -> Lesson {
    let mut attempts = 1;
    loop {
        let lesson = attempt(suite).await;
        // Of a run that is judged again the attempt that counted is kept.
        if lesson.slow.is_none() || attempts == ATTEMPTS || suite.past.is_some() {
            return lesson;
        }
        attempts += 1;
    }
}

async fn attempt(suite: &Arc<Suite>) -> Lesson {
    let blank = Arc::new(Lesson::default());
    let stage = Stage::new(suite.clone(), blank, "learn");
    let mut lesson = Lesson::default();
    let outcome = first(&stage, &mut lesson).await;
    if let Err(stop) = &outcome {
        lesson.failed = Some(stop.clone());
    }
    // Of a pair that says more than is kept nothing more is learned, nor where the machine is too slow, nor of one that
    // would only be waited for.
    let has_failed = lesson.failed.is_some() || lesson.slow.is_some() || lesson.record.is_flooded();
    if !has_failed && !lesson.record.look(hangs) {
        for further in [second(&stage, &mut lesson).await, third(&stage, &mut lesson).await] {
            if let Err(Stop::Harness(error)) = further {
                lesson.failed = Some(Stop::Harness(error));
            }
        }
    }
    match stage.finish().await {
        Ok((_, remains)) => lesson.remains = remains,
        Err(stop) => lesson.failed = Some(stop),
    }
    // Nothing is added to it any more, and every case looks at it.
    lesson.record = Arc::new(Record::over(lesson.record.all()));
    lesson.acts = stage.acts();
    let stated = suite.profile.dialect.clone().unwrap_or_default();
    lesson.dialect = stated.over(&lesson.learned.dialect);
    lesson
}

/// Nothing came through, and not even its end.
fn hangs(events: &[Event]) -> bool {
    event::ended(events, Who::Watchdog).is_none() && event::requests(events).is_empty() && bytes_to_server(events) == 0
}

/// The settings twice each, requests, and the end.
async fn first(stage: &Stage, lesson: &mut Lesson) -> Result<(), Stop> {
    let (body, status) = (ANSWER, STATUS);
    let run = stage
        .start(Watchdog {
            env: vec![OsString::from(format!("{}={}", VARIABLE.0, VARIABLE.1))],
            answer: Answer { status, body: body.into() },
            ..Watchdog::default()
        })
        .await?;
    lesson.record = run.record.clone();
    up(&run).await;
    let mut lines = Vec::new();
    let mut typed = Vec::new();
    // Large values, which a real runtime does not notice.
    for (command, word, token) in [
        (Command::SetMemory, "setmeml", "1073741823"),
        (Command::SetMemory, "setmeml", "805306368"),
        (Command::SetProcessors, "setproc", "32"),
        (Command::SetProcessors, "setproc", "16"),
    ] {
        let before = passed_to_server(&run.record);
        let line = format!("{word} {token}");
        run.line(&line).await?;
        // Lazy pairs start the server only for the first request: then there is nothing to wait for yet.
        wait_for_bytes(&run, before).await;
        if let Some(pid) = run.record.look(|events| event::children(events).first().copied()) {
            // Else two messages might be read at once, which is for another case to judge.
            run.asleep(pid, Instant::now() + run.patience() / 10).await;
        }
        lines.push(Line { command, token: token.to_owned() });
        typed.push(line);
    }
    for n in 0..REPLAYS + 2 {
        let (method, path) = match n {
            0 => ("POST", "/learn-post".to_owned()),
            1 => ("GET", "/learn-get".to_owned()),
            _ => ("POST", format!("/{}", replay_slot(n - 2))),
        };
        // The target answers a replayed request below the replaying case's own slot.
        let url = if n < 2 { format!("{}{path}", run.url) } else { stage.suite.target.url(&path[1..]) };
        if n >= 2 {
            let answer = Answer { status, body: body.into() };
            stage.suite.target.open(&path[1..], run.record.clone(), answer);
        }
        let line = format!("doreq {method} {url} {{\"arg\": \"body\"}}");
        let events = run.record.events();
        let took = Duration::from_micros(events.last().map_or(0, |event| event.at_us));
        if n > 0 && took > stage.suite.limits.time_max() / 2 {
            // A pair that is late each time could take for ever.
            break;
        }
        let arrived = event::requests(&events).len();
        run.line(&line).await?;
        let come = run.until(|events| (event::requests(events).len() > arrived).then_some(())).await;
        lines.push(Line { command: Command::Request, token: path[1..].to_owned() });
        typed.push(line);
        if come.is_none() {
            // Nothing more will be learned from a pair whose requests do not arrive.
            break;
        }
    }
    // The last answer, where answers are shown, so that it is not cut off by the end.
    let times = lines.iter().filter(|l| l.command == Command::Request).count();
    let shows = run.record.look(|events| shown_times(events, body)) > 0;
    if shows {
        run.until(|events| (shown_times(events, body) >= times).then_some(())).await;
    }
    leave(stage, &run, lesson).await?;
    lines.push(Line { command: Command::Exit, token: "exit".to_owned() });
    typed.push("exit".to_owned());
    if !run.record.look(event::children).is_empty() {
        run.ended(Who::Server(0)).await;
    }
    lesson.hello = run.hello(0);
    lesson.typed = typed;
    let tokens = Tokens { body: body.to_owned(), status };
    // Streams are whole only once the session is over; the terminal's last words come with that.
    let record = run.record.clone();
    drop(run);
    let (_, remains) = stage.finish().await?;
    lesson.remains = remains;
    lesson.learned = learn::learn(&record.events(), &lines, &tokens);
    let requests = lines.iter().enumerate().filter(|(_, l)| l.command == Command::Request);
    lesson.replays = requests.skip(2).filter_map(|(i, _)| lesson.learned.messages[i].clone()).collect();
    Ok(())
}

/// Types `exit` and waits for the watchdog's end, and notes before and after whether the machine is too slow.
async fn leave(stage: &Stage, run: &Run, lesson: &mut Lesson) -> Result<(), Stop> {
    let mut look = || {
        let waited = stage.has_run_out();
        let slow = stage.slow(run.record.begun(), waited).excuse(run.patience());
        lesson.slow = lesson.slow.take().or(slow.filter(|_| waited));
    };
    look();
    run.line("exit").await?;
    run.ended(Who::Watchdog).await;
    look();
    Ok(())
}

/// Lets a watchdog come up, which shows something or starts its server, and then awaits what is typed: some discard what
/// was typed before that. Where nothing is seen of it, a short wait is lost.
async fn up(run: &Run) {
    let begun = Instant::now();
    let is_up = |events: &[Event]| {
        let over = event::ended(events, Who::Watchdog).is_some();
        (over || !event::shown(events, None).is_empty() || !event::children(events).is_empty()).then_some(())
    };
    run.record.until(begun + run.patience() / 10, is_up).await;
    run.asleep(run.pid, begun + run.patience() / 2).await;
}

fn shown_times(events: &[Event], word: &str) -> usize {
    times(&event::shown(events, Some(Stream::Terminal)), word.as_bytes())
}

fn passed_to_server(record: &Record) -> usize {
    record.look(bytes_to_server)
}

fn bytes_to_server(events: &[Event]) -> usize {
    let bytes = |e: &Event| match &e.what {
        What::Passed { to: Who::Server(_), bytes, .. } => bytes.len(),
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

/// Waits for a message to pass. A pair whose pipes cannot be tapped shows none; then a short wait is lost, once both have
/// come up.
async fn wait_for_bytes(run: &Run, before: usize) {
    let up = Instant::now() + run.patience() / 2;
    run.asleep(run.pid, up).await;
    if let Some(pid) = run.record.look(|events| event::children(events).first().copied()) {
        run.asleep(pid, up).await;
    }
    let soon = Instant::now() + run.patience() / 10;
    let over = |events: &[Event]| event::ended(events, Who::Watchdog).is_some();
    run.record.until(soon, |events| (bytes_to_server(events) > before || over(events)).then_some(())).await;
}

/// A session that begins with a request, whose body holds the end symbol if that can be typed: how it is carried, and what
/// both sessions show before they show anything else.
async fn second(stage: &Stage, lesson: &mut Lesson) -> Result<(), Stop> {
    let end = lesson.learned.dialect.end.clone().filter(|e| e.0.iter().all(u8::is_ascii_graphic));
    let inside = end.map(|end| end.to_string());
    let answer = Answer { status: STATUS, body: ANSWER.into() };
    let run = stage.start(Watchdog { answer, ..Watchdog::default() }).await?;
    up(&run).await;
    let end = inside.as_deref().unwrap_or_default();
    run.line(&format!("doreq POST {}/inside {{\"arg\": \"before{end}after\"}}", run.url)).await?;
    let fd = lesson.learned.dialect.wiring.read.unwrap_or_default();
    let stream = |events: &[Event]| event::passed(events, Who::Server(0), fd);
    // The message is seen, or, where it cannot be read, what it brings about.
    let seen = |events: &[Event]| {
        let sent = crate::dialect::find(&stream(events), b"after").is_some();
        (sent || !event::requests(events).is_empty()).then_some(())
    };
    run.until(seen).await;
    let sent = run.record.look(stream);
    lesson.learned.dialect.end_inside = inside.and_then(|end| learn::inside(&sent, "before", &end, "after"));
    leave(stage, &run, lesson).await?;
    run.outputs_closed().await;
    let shown = |record: &Record| record.look(|events| event::shown(events, Some(Stream::Terminal)));
    lesson.learned.dialect.prints.prompt = Some(prints::prompt(&shown(&lesson.record), &shown(&run.record)));
    Ok(())
}

/// A session with nothing but a request that cannot be made: whatever is shown in it is said of that.
async fn third(stage: &Stage, lesson: &mut Lesson) -> Result<(), Stop> {
    let rogue = stage.rogue(Manner::Refuses)?;
    let run = stage.watchdog().await?;
    up(&run).await;
    run.line(&format!("doreq GET {} {{}}", rogue.url())).await?;
    leave(stage, &run, lesson).await?;
    run.outputs_closed().await;
    let words = run.record.look(|events| prints::words(events, &lesson.learned.dialect.prints));
    lesson.learned.dialect.prints.failure = Some(!words.is_empty());
    lesson.on_failure = words;
    lesson.on_success = lesson.record.look(|events| prints::words(events, &lesson.learned.dialect.prints));
    Ok(())
}
