//! Attending the stand-ins of a session: the one that starts its program, and those in the child's place.
//!
//! What each was given and what it is told is decided here; the session only waits for what follows.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, poll};
use tokio::task::JoinSet;

use super::MACHINE_PATIENCE;
use super::cgroup::Group;
use super::handover::{self, Become, Begun, Hello, Kind, Order};
use super::init::Init;
use super::place::{Realm, STARTER, TAP};
use super::plan::{ChildPlan, StartError};
use super::users::User;
use crate::event::{What, Who};
use crate::observe::channel;
use crate::observe::process::{self, Watch};
use crate::observe::tap::{Splice, splice};
use crate::observe::terminal::set_plain;
use crate::record::Record;

/// What the session and the tasks that serve its stand-ins share.
pub(super) struct Shared {
    pub(super) record: Arc<Record>,
    /// The program of the session.
    pub(super) who: Who,
    pub(super) child: ChildPlan,
    pub(super) own: Vec<(u64, u64)>,
    /// What every stand-in runs.
    pub(super) standin: PathBuf,
    pub(super) starts: Mutex<Vec<Start>>,
    pub(super) watching: Mutex<JoinSet<()>>,
}

impl Shared {
    /// What the `n`th stand-in in the child's place was given.
    pub(super) fn hello(&self, n: usize) -> Option<Hello> {
        self.starts.lock().expect("not poisoned").get(n).map(|start| start.hello.clone())
    }

    /// Lets go of all that was taken over of stand-ins.
    pub(super) fn let_go(&self) {
        self.starts.lock().expect("not poisoned").clear();
    }

    /// Of a session of another run.
    pub(super) fn past(record: Arc<Record>, who: Who) -> Self {
        Shared {
            record,
            who,
            child: ChildPlan::Held(Vec::new()),
            own: Vec::new(),
            standin: PathBuf::new(),
            starts: Mutex::default(),
            watching: Mutex::default(),
        }
    }
}

/// One start of the child, as the stand-in in its place saw it.
pub(super) struct Start {
    /// What it was given.
    pub(super) hello: Hello,
    /// The copying between the two, when it was tapped.
    pub(super) splice: Splice,
    /// The ends that it inherited with their numbers, when it is held.
    pub(super) held: Vec<(i32, OwnedFd)>,
    /// The way to give a held stand-in another order.
    pub(super) control: Option<UnixStream>,
}

/// The program of a session, and the init above it, if it is confined.
pub(super) struct Program {
    pub(super) pid: i32,
    pub(super) init: Option<Arc<Init>>,
}

/// What the first stand-in of a session is told.
pub(super) struct Starting {
    /// Whether it lives.
    pub(super) lives: Box<dyn Fn() -> bool + Send>,
    pub(super) order: Become,
    pub(super) ends: Vec<OwnedFd>,
    /// The terminal, if the program is started in one.
    pub(super) master: Option<OwnedFd>,
    pub(super) who: Who,
    pub(super) user: Option<User>,
    pub(super) realm: Arc<OnceLock<Realm>>,
    /// The control groups that it belongs to.
    pub(super) groups: Vec<Arc<Group>>,
}

/// After so many milliseconds it is looked for whoever should have reported long ago.
const MISSED: u16 = 1000;

/// Waits for the starter to connect and to report, as long as it lives, and has its socket then.
pub(super) fn greeted(listener: &UnixListener, lives: impl Fn() -> bool) -> io::Result<(UnixStream, Hello)> {
    let begun = Instant::now();
    while poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], MISSED)? == 0 {
        if !lives() {
            return Err(io::Error::other("the starter ended before it reported; on standard error it says why"));
        }
        if begun.elapsed() > MACHINE_PATIENCE {
            return Err(io::Error::other("the starter did not report in time"));
        }
    }
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(MACHINE_PATIENCE))?;
    let greeting = handover::receive::<Hello>(&stream)?.filter(|(hello, _)| hello.name == STARTER);
    let (hello, _) = greeting.ok_or_else(|| io::Error::other("the starter ended before it reported"))?;
    Ok((stream, hello))
}

/// Lets the first stand-in become the session's program, and says which process that is. Blocks, in one thread from
/// beginning to end: every hand-over between threads would cost as much as the start itself.
pub(super) fn begin(listener: &UnixListener, starting: Starting, shared: &Shared) -> Result<Program, StartError> {
    let Starting { lives, order, ends, master, who, user, realm, groups } = starting;
    let (stream, hello) = greeted(listener, lives)?;
    enter(&groups, &stream, hello.pid)?;
    master.as_ref().map_or(Ok(()), set_plain)?;
    let watch = Watch::new(hello.pid)?;
    if order.confine.is_none() {
        shared.record.push(What::Started { who, pid: hello.pid });
    }
    let borrowed: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
    handover::send(&stream, &Order::Become(Box::new(order)), &borrowed)?;
    // A stand-in that became the program closes the socket by that; one that could not says why.
    let (started, watch) = match handover::receive::<Begun>(&stream)? {
        None => (Program { pid: hello.pid, init: None }, watch),
        Some((Begun::NotExecuted(errno), _)) => return Err(StartError::Program(io::Error::from_raw_os_error(errno))),
        Some((Begun::NotConfined(what, errno), _)) => {
            let error = io::Error::from_raw_os_error(errno);
            return Err(io::Error::other(format!("the sandbox could not {what}: {error}")).into());
        }
        Some((Begun::Running { namespace }, pidfds)) => {
            let [program, init] = <[_; 2]>::try_from(pidfds).map_err(|_| io::Error::other("no pidfds came along"))?;
            let number = |pidfd| process::number(pidfd).ok_or_else(|| io::Error::other("a pidfd without a number"));
            let (pid, own) = (number(&program)?, number(&init)?);
            // Whoever is in it ends with the session.
            if process::namespace(std::process::id().cast_signed()) == Some(namespace) {
                return Err(io::Error::other("the sandbox has no process namespace but the suite's own").into());
            }
            realm.set(Realm { inode: namespace, init: own, starter: hello.pid }).expect("a session has one program");
            let init = Arc::new(Init::new(stream, init, hello.pid, user)?);
            shared.record.push(What::Started { who, pid });
            (Program { pid, init: Some(init) }, Watch::of(program)?)
        }
    };
    let (record, pid, init) = (shared.record.clone(), started.pid, started.init.clone());
    shared.watching.lock().expect("not poisoned").spawn(async move {
        if watch.ended().await.is_ok() {
            if let Some(for_any) = process::waited(pid) {
                record.push(What::Waited { who, for_any });
            }
            let status = init.map_or_else(|| process::reap(pid), |init| init.reap());
            record.push(What::Ended { who, status });
        }
    });
    Ok(started)
}

/// Puts the starter, which has said who it is, into its control groups.
fn enter(groups: &[Arc<Group>], starter: &UnixStream, pid: i32) -> io::Result<()> {
    let mut lists = Vec::new();
    for group in groups {
        match group.list()? {
            Some(list) => lists.push(list),
            None => group.add(pid)?,
        }
    }
    if lists.is_empty() {
        return Ok(());
    }
    handover::send(starter, &Order::Enter, &lists.iter().map(AsFd::as_fd).collect::<Vec<_>>())?;
    match handover::receive::<i32>(starter)? {
        Some((0, _)) => Ok(()),
        Some((errno, _)) => Err(io::Error::from_raw_os_error(errno)),
        None => Err(io::Error::other("the starter ended before it was in its control groups")),
    }
}

/// Serves the stand-ins in the child's place as they come.
pub(super) async fn attend(listener: UnixListener, shared: Arc<Shared>) {
    let listening = listener.set_nonblocking(true).and_then(|()| tokio::net::UnixListener::from_std(listener));
    let listener = match listening {
        Ok(listener) => listener,
        Err(error) => return shared.record.push(What::TapFailed { error: error.to_string() }),
    };
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(stream) = stream.into_std() else { continue };
        let peer = process::peer(&stream);
        // Whoever else connects only says that it is one.
        if let Some(pid) = peer.filter(|pid| process::runs(*pid, &shared.standin) == Some(false)) {
            shared.record.push(What::Posed { pid });
            continue;
        }
        let greeted = tokio::task::spawn_blocking(move || {
            stream.set_nonblocking(false)?;
            let mut greeting = handover::receive::<Hello>(&stream)?;
            if let (Some((hello, _)), Some(pid)) = (&mut greeting, peer) {
                // It may go by another number where it is.
                hello.pid = pid;
            }
            io::Result::Ok((stream, greeting))
        });
        // A stand-in that is killed before it has said anything is no news of its own.
        let Ok(Ok((stream, Some((hello, handed))))) = greeted.await else { continue };
        if hello.name != TAP {
            continue;
        }
        match serve(stream, hello, handed, &shared).await {
            // A stand-in that was killed while it was told what to do: its end is seen.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE | libc::ESRCH)) => {}
            Err(error) => shared.record.push(What::TapFailed { error: error.to_string() }),
            Ok(()) => {}
        }
    }
}

async fn serve(stream: UnixStream, mut hello: Hello, handed: Vec<OwnedFd>, shared: &Shared) -> io::Result<()> {
    let watch = Watch::new(hello.pid)?;
    let handed = between_the_two(&mut hello, handed);
    let pid = hello.pid;
    let number = shared.starts.lock().expect("not poisoned").len();
    let who = shared.who.child(number);
    let mut start = Start { hello, splice: Splice::default(), held: Vec::new(), control: None };
    let (order, ends) = match &shared.child {
        ChildPlan::Tapped(program) => {
            start.splice = splice(&start.hello, handed, &shared.own, &shared.record, who)?;
            let order = become_child(&start.hello, program, std::mem::take(&mut start.splice.place));
            (order, std::mem::take(&mut start.splice.ends))
        }
        ChildPlan::Untapped(program) => (become_child(&start.hello, program, Vec::new()), Vec::new()),
        ChildPlan::Held(ignore) => {
            let close: Vec<_> = start.hello.descriptors.iter().filter(|d| d.handed).map(|d| d.number).collect();
            start.held = close.iter().copied().zip(handed).collect();
            start.control = Some(stream.try_clone()?);
            (Order::Hold { close, ignore: ignore.clone() }, Vec::new())
        }
    };
    let executes = !matches!(shared.child, ChildPlan::Held(_));
    let told = tokio::task::spawn_blocking(move || {
        let borrowed: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
        handover::send(&stream, &order, &borrowed)?;
        drop(ends);
        // A stand-in that became the child closes the socket by that; one that could not, or that stays, answers.
        if executes {
            return Ok(handover::receive::<Begun>(&stream)?.map(|(begun, _)| begun));
        }
        handover::receive::<i32>(&stream).map(|_| None)
    });
    let begun = |start| {
        // Complete before it is told of: whoever waits for the start looks at it at once.
        shared.starts.lock().expect("not poisoned").push(start);
        shared.record.push(What::Started { who, pid });
        let watching = watch_child(watch, who, shared.record.clone());
        shared.watching.lock().expect("not poisoned").spawn(watching);
    };
    if !executes {
        // What it ignores, it ignores from the moment that it counts as started.
        told.await.map_err(io::Error::other)??;
        begun(start);
        return Ok(());
    }
    begun(start);
    if let Some(Begun::NotExecuted(errno)) = told.await.map_err(io::Error::other)?? {
        let error = io::Error::from_raw_os_error(errno);
        shared.record.push(What::NotExecuted { who, error: error.to_string() });
    }
    Ok(())
}

/// What was handed over, without connections of the network that lead elsewhere: those are the parent's own business.
fn between_the_two(hello: &mut Hello, handed: Vec<OwnedFd>) -> Vec<OwnedFd> {
    let mut kept = Vec::new();
    let child = hello.pid;
    for (one, end) in hello.descriptors.iter_mut().filter(|one| one.handed).zip(handed) {
        one.handed = one.kind != Kind::Connection || channel::leads_to_who_started(child, one.identity.1);
        if one.handed {
            kept.push(end);
        }
    }
    kept
}

async fn watch_child(watch: Watch, who: Who, record: Arc<Record>) {
    if watch.ended().await.is_ok() {
        // How it ended is known once its parent has asked, which may be at once or never.
        record.push(What::Ended { who, status: None });
        if watch.reaped().await.is_ok() {
            record.push(What::Reaped { who, status: watch.status() });
        }
    }
}

/// The child's own program, with what its parent gave, and its own path where the stand-in's was.
fn become_child(hello: &Hello, program: &Path, place: Vec<i32>) -> Order {
    let mut argv = hello.argv.clone();
    if let Some(name) = argv.first_mut()
        && Path::new(OsStr::from_bytes(name)).file_name() == Some(OsStr::new(TAP))
    {
        *name = program.as_os_str().as_bytes().to_vec();
    }
    let program = Become {
        descriptors: None,
        place,
        clean: false,
        deaf_to: Vec::new(),
        new_session: false,
        folder: None,
        confine: None,
        path: program.as_os_str().as_bytes().to_vec(),
        argv,
        env: hello.env.clone(),
    };
    Order::Become(Box::new(program))
}
