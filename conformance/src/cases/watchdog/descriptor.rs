//! Descriptors: which the server gets, under which numbers, and who else holds an end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::steps::{hello, must_end, not_learned, ready, text};
use crate::event::{Event, What, Who, children};
use crate::observe::channel::{Channel, between};
use crate::outcome::{Outcome, Stop};
use crate::stage::Stage;
use crate::stage::watchdog::{Alone, Watchdog};
use crate::subject::handover::{Descriptor, Kind};

crate::cases::cases! {
    "descriptor.pipe" => pipe,
    "descriptor.two-way" => two_way,
    "descriptor.numbers" => numbers,
    "descriptor.nothing-else" => nothing_else,
    "descriptor.standard" => standard,
    "descriptor.own-ends" => own_ends,
    "descriptor.watchdog-ends" => watchdog_ends,
    "descriptor.inherited" => inherited,
    "descriptor.without-pipes" => without_pipes,
}

/// The server's descriptors for the messages, as the stand-in found them.
fn ends(stage: &Stage) -> Result<Vec<&Descriptor>, Stop> {
    let wiring = stage.dialect().wiring;
    let read = wiring.read.ok_or_else(|| not_learned("the server's descriptors", "[dialect.wiring]\nread = 3"))?;
    let wanted = |d: &&Descriptor| d.number == read || Some(d.number) == wiring.write;
    Ok(hello(stage)?.descriptors.iter().filter(wanted).collect())
}

fn list(descriptors: &[&Descriptor]) -> String {
    let one = |d: &&Descriptor| format!("{} ({:?})", d.number, d.kind);
    descriptors.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Messages pass through pipes of the operating system, which may have names.
async fn pipe(stage: &Stage) -> Outcome {
    let expected = "messages pass through pipes of the operating system";
    if let Ok(ends) = ends(stage) {
        // A local stream pair is what several languages' libraries call a pipe to a child.
        if !ends.is_empty() && ends.iter().all(|d| matches!(d.kind, Kind::Pipe | Kind::Socket)) {
            return Ok(());
        }
        return Err(Stop::failure(expected, format!("the server's descriptors {}", list(&ends))));
    }
    let run = ready(stage).await?;
    let to_server = |event: &Event| matches!(event.what, What::Passed { to: Who::Server(_), .. });
    if run.record.look(|events| events.iter().any(to_server)) {
        // What passes there could not be read; the tap takes nothing but pipes and local streams.
        return Ok(());
    }
    let hello = run.hello(0).ok_or_else(|| Stop::Missing("no start of the server was seen".into()))?;
    match run.record.answer("what the two hold that messages can pass through", || between(run.pid, hello.pid)) {
        Some(Channel::Pipe) => Ok(()),
        Some(Channel::Connection(which)) => Err(Stop::failure(expected, which)),
        // A pipe with a name may be opened for each message.
        None => Err(Stop::Missing("nothing was seen that messages pass through".into())),
    }
}

/// Bytes pass in both directions.
async fn two_way(stage: &Stage) -> Outcome {
    let stderr = 2;
    let back = |fd: i32| fd != stderr || stage.dialect().wiring.write == Some(stderr);
    let came = stage
        .lesson
        .record
        .look(|events| events.iter().any(|e| matches!(e.what, What::Passed { to: Who::Watchdog, fd, .. } if back(fd))));
    if came {
        return Ok(());
    }
    ends(stage)?;
    Err(Stop::failure("bytes pass in both directions", "nothing came from the server"))
}

/// The server reads from descriptor 3 and writes to descriptor 4.
async fn numbers(stage: &Stage) -> Outcome {
    let wiring = stage.dialect().wiring;
    match wiring.both() {
        Some((3, 4)) => Ok(()),
        Some((read, write)) => {
            Err(Stop::failure("the server reads from 3 and writes to 4", format!("{read} and {write}")))
        }
        None => Err(not_learned("the server's descriptors", "[dialect.wiring]\nread = 3\nwrite = 4")),
    }
}

/// The server gets no descriptors but 0, 1, 2 and its two ends.
async fn nothing_else(stage: &Stage) -> Outcome {
    let ends: Vec<i32> = ends(stage)?.iter().map(|d| d.number).collect();
    let others = hello(stage)?.descriptors.iter().filter(|d| d.number > 2 && !ends.contains(&d.number));
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Stop::failure("no descriptors but 0, 1, 2 and the two ends", format!("also {}", list(&others))))
}

/// The server has standard input, output and error.
async fn standard(stage: &Stage) -> Outcome {
    let all = &hello(stage)?.descriptors;
    let missing = (0..=2).find(|number| !all.iter().any(|descriptor| descriptor.number == *number));
    match missing {
        None => Ok(()),
        Some(number) => Err(Stop::failure("descriptors 0, 1 and 2 are open in the server", format!("{number} is not"))),
    }
}

/// The server holds one end of each pipe, not both.
async fn own_ends(stage: &Stage) -> Outcome {
    let all = &hello(stage)?.descriptors;
    for end in ends(stage)? {
        if let Some(other) = all.iter().find(|other| other.is_other_end_of(end)) {
            let what = if end.kind == Kind::Pipe { "pipe" } else { "stream" };
            let seen = format!("{} and {} are both ends of one {what}", end.number, other.number);
            return Err(Stop::failure("the server holds one end of each pipe", seen));
        }
    }
    Ok(())
}

/// The ends of a pipe that a process holds, from /proc: for each descriptor whether it can write.
#[cfg(target_os = "linux")]
fn holds(pid: i32, inode: u64) -> Vec<bool> {
    let name = format!("pipe:[{inode}]");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let of_pipe =
        descriptors.filter(|d| std::fs::read_link(d.path()).is_ok_and(|link| link.as_os_str() == name.as_str()));
    let writes = |d: std::fs::DirEntry| {
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", d.file_name().to_string_lossy())).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        Some(i32::from_str_radix(&flags, 8).ok()? & libc::O_ACCMODE != libc::O_RDONLY)
    };
    of_pipe.filter_map(writes).collect()
}

#[cfg(not(target_os = "linux"))]
fn holds(_pid: i32, _inode: u64) -> Vec<bool> {
    Vec::new()
}

/// The watchdog closes the ends that it gave to the server.
async fn watchdog_ends(stage: &Stage) -> Outcome {
    let run = ready(stage).await?;
    let wiring = stage.dialect().wiring;
    let (read, write) =
        wiring.both().ok_or_else(|| not_learned("the server's descriptors", "[dialect.wiring]\nread = 3"))?;
    let hello = run.hello(0).ok_or_else(|| Stop::Missing("no start of the server was seen".into()))?;
    for (number, watchdog_writes) in [(read, true), (write, false)] {
        let Some(end) = hello.descriptors.iter().find(|d| d.number == number && d.kind == Kind::Pipe) else {
            return Err(Stop::NotApplicable("the two are not connected by pipes".into()));
        };
        let question = format!("the ends that the watchdog holds of the pipe at {number}");
        let held = run.record.answer(&question, || holds(run.pid, end.identity.1));
        if held.is_empty() {
            return Err(Stop::Missing("the watchdog's descriptors could not be seen".into()));
        }
        if held.contains(&!watchdog_writes) {
            let which = if watchdog_writes { "reading" } else { "writing" };
            return Err(Stop::failure(
                "the watchdog closes the ends that it gave to the server",
                format!("it holds the {which} end of the pipe that the server has as {number}"),
            ));
        }
    }
    Ok(())
}

/// A descriptor that the watchdog itself inherited does not reach the server.
async fn inherited(stage: &Stage) -> Outcome {
    let (_reader, writer) = os_pipe::pipe()?;
    let writer = Arc::new(OwnedFd::from(writer));
    let inode = rustix::fs::fstat(&*writer).map_err(std::io::Error::from)?.st_ino;
    let inode = stage.notes.answer("the descriptor that was handed on", || inode);
    let how = Watchdog { extra: vec![(19, writer)], ..Watchdog::default() };
    let run = stage.start(how).await?;
    run.line(&format!("doreq GET {}/wake {{}}", run.url)).await?;
    run.until(|events| children(events).first().copied()).await;
    let hello = run.hello(0).ok_or_else(|| Stop::Missing("the server was not started".into()))?;
    match hello.descriptors.iter().find(|d| d.identity.1 == inode) {
        None => Ok(()),
        Some(found) => Err(Stop::failure(
            "a descriptor that the watchdog itself inherited does not reach the server",
            format!("descriptor 19 of the watchdog is {} of the server", found.number),
        )),
    }
}

/// A server that was started without its pipes says so and exits with a status other than 0.
async fn without_pipes(stage: &Stage) -> Outcome {
    if ends(stage)?.iter().any(|d| d.number <= 2) {
        return Err(Stop::NotApplicable("its pipes are standard input and output, which every program has".into()));
    }
    let run = stage.server(Alone::default()).await?;
    run.close_input().await?;
    let status = must_end(&run, Who::Server(0), "a start without its pipes").await?;
    super::steps::must_close(&run).await?;
    if status == Some(crate::event::Status::Exited(0)) {
        return Err(Stop::failure("a server without its pipes exits with a status that says so", "exit status 0"));
    }
    let complaint = run.record.look(super::steps::complaints);
    if complaint.trim_ascii().is_empty() {
        return Err(Stop::failure("a server without its pipes says so on standard error", text(&complaint)));
    }
    Ok(())
}
