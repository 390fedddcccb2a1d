//! What keeps the subjects of a run apart from everything else: which tier, and what all its sessions share.
//!
//! In tier A that is a user and a network namespace, which a process of ours holds as long as the run lasts; each session
//! makes the rest. In tier B it is a control group, with one for each session in it. In tier C nothing is shared. In both of
//! these nothing keeps anybody apart.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::attend::greeted;
use super::cgroup::{Group, Groups, Hurry, Memory, Processors};
use super::handover::{self, Confine, Order, SOCKET};
use super::limits::Limits;
use super::place::{RunFolder, SessionFolder};
use super::users::{USERS, USERS_FROM, User, Users, is_root_here_alone};
use super::view::{closed, needed, view};
use crate::forks;
use crate::observe::process;

/// A socket for streams that is bound to an address.
pub type Bound = OwnedFd;

/// What the sessions of a run are kept in.
#[derive(Debug)]
pub struct Sandbox(Kind);

#[derive(Debug)]
enum Kind {
    /// Tier A.
    Namespaces(Box<Namespaces>),
    /// Tier B.
    Groups(Groups),
    /// Tier C.
    None,
}

/// Tier A.
#[derive(Debug)]
struct Namespaces {
    holder: Holder,
    user: OwnedFd,
    network: OwnedFd,
    /// The users that sessions run as, or why they run as the suite's.
    users: Result<Arc<Users>, String>,
    scratch: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
    shown: Vec<PathBuf>,
    limits: Limits,
    /// Where the machine allows that all processes of a session have a bound on their memory together.
    memory: Option<Memory>,
    /// Where the machine allows that the suite and each session have a share of them.
    processors: Option<Processors>,
    /// Microseconds that the slowest end of a session took, until nobody was left.
    slowest_end: AtomicU64,
}

/// The process that holds the namespaces. It ends when this is dropped, or the suite gone.
#[derive(Debug)]
struct Holder {
    control: Mutex<UnixStream>,
    process: Child,
}

/// This process is where runs in tier A share out the processors.
pub struct Settled(#[expect(dead_code, reason = "it is there until it is dropped")] Processors);

/// Moves this process there, where the machine allows it. A run does so itself, but while there is one thread alone nobody else
/// on the machine has to wait for it.
pub fn settle() -> Option<Settled> {
    Processors::share().ok().map(Settled)
}

/// Whatever anybody may write to.
const SCRATCH: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run/user"];

impl Sandbox {
    /// Nothing is kept apart.
    pub fn none() -> Self {
        Sandbox(Kind::None)
    }

    /// Tier B. An error says what the machine does not allow.
    pub fn groups() -> io::Result<Self> {
        Groups::make().map(|groups| Sandbox(Kind::Groups(groups)))
    }

    fn namespaces_of_run(&self) -> Option<&Namespaces> {
        match &self.0 {
            Kind::Namespaces(namespaces) => Some(namespaces),
            _ => None,
        }
    }

    /// The group of a new session, in tier B.
    pub(super) fn group(&self) -> io::Result<Option<Group>> {
        match &self.0 {
            Kind::Groups(groups) => groups.session().map(Some),
            _ => Ok(None),
        }
    }

    /// The group by which a new session has its share of the processors, in tier A.
    pub(super) fn processors(&self) -> io::Result<Option<Group>> {
        let processors = self.namespaces_of_run().and_then(|namespaces| namespaces.processors.as_ref());
        processors.map(Processors::session).transpose()
    }

    /// Bounds what a new session, which is in this group, has of memory, in tier A. Returns the other group for that, if one is
    /// needed.
    pub(super) fn memory(&self, its: Option<&Group>) -> io::Result<Option<Group>> {
        let memory = self.namespaces_of_run().and_then(|namespaces| namespaces.memory.as_ref());
        memory.map_or(Ok(None), |memory| memory.session(its))
    }

    /// Tier A, for a run of these programs. An error says what the machine does not allow.
    pub fn namespaces(run: &RunFolder, programs: &[&Path], hide: &[PathBuf], limits: Limits) -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "tier A: there are namespaces on Linux alone"));
        }
        // Whoever is started from here on is in it.
        let processors = Processors::share().ok();
        let holder = Holder::start(run)?;
        let users = Self::users(programs)?;
        holder.map(users.as_deref().ok())?;
        let scratch: BTreeSet<_> = SCRATCH.iter().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
        let needed = needed(programs, &std::env::var_os("PATH").unwrap_or_default());
        let (shown, hidden) = view(&needed, &scratch, hide, users.is_ok())?;
        // Within what it may write to as well, nothing is written beside what is its own.
        let closed = hidden.iter().filter(|folder| !scratch.contains(*folder)).chain(hide);
        let closed: BTreeSet<_> = closed.cloned().collect();
        Ok(Sandbox(Kind::Namespaces(Box::new(Namespaces {
            user: File::open(holder.about("ns/user"))?.into(),
            network: File::open(holder.about("ns/net"))?.into(),
            holder,
            users,
            scratch: hidden.into_iter().filter(|folder| scratch.contains(folder)).collect(),
            hidden: closed.into_iter().collect(),
            shown,
            memory: Memory::bounded(limits.max_memory << 20, processors.as_ref()).ok(),
            processors,
            limits,
            slowest_end: AtomicU64::new(0),
        }))))
    }

    /// The users that sessions of these programs run as, or why they run as the suite's.
    fn users(programs: &[&Path]) -> io::Result<Result<Arc<Users>, String>> {
        let Some(users) = Users::claim()? else {
            let why =
                "the suite is not root and is lent no users (/etc/subuid), or is in a container without users to spare";
            return Ok(Err(why.to_owned()));
        };
        match closed(programs).map(Path::display) {
            None => Ok(Ok(Arc::new(users))),
            Some(program) if is_root_here_alone() => Ok(Err(format!("{program} is closed to other users"))),
            // Nobody's program is to run as root.
            Some(program) => Err(io::Error::other(format!(
                "programs run as users of their own, who may not start {program}: open it to them (chmod o+rx {program})"
            ))),
        }
    }

    /// Whether the limits on what a session uses are in force.
    pub fn is_confined(&self) -> bool {
        self.namespaces_of_run().is_some()
    }

    /// A socket for streams, bound to a free port of the loopback on which the subjects are.
    pub fn bound(&self) -> io::Result<OwnedFd> {
        self.bound_for(false)
    }

    /// The same for datagrams.
    pub fn bound_for_datagrams(&self) -> io::Result<OwnedFd> {
        self.bound_for(true)
    }

    fn bound_for(&self, datagrams: bool) -> io::Result<OwnedFd> {
        match self.namespaces_of_run() {
            None => bind_loopback(datagrams),
            Some(namespaces) => {
                let socket = namespaces.holder.order(&Order::Bind { datagrams })?;
                socket.ok_or_else(|| io::Error::other("the holder sent no socket"))
            }
        }
    }

    /// What of tier A this machine does not give, or not to this user; nothing in others, which promise nothing.
    pub fn lapses(&self) -> Vec<String> {
        let Some(namespaces) = self.namespaces_of_run() else { return Vec::new() };
        let one_user = namespaces.users.as_ref().err().map(|why| {
            format!(
                "{why}: programs run as the suite's user, may read what that may read, and share a limit on processes"
            )
        });
        #[cfg(target_os = "linux")]
        let devices = !super::landlock::is_whole();
        #[cfg(not(target_os = "linux"))]
        let devices = false;
        let devices =
            devices.then_some("the kernel lacks Landlock, or a part of it: devices of its user are open to a program");
        let memory = namespaces.memory.is_none().then_some(
            "no control group with memory can be made here: each process of a session has a bound, not all of them together",
        );
        one_user.into_iter().chain([devices, memory].into_iter().flatten().map(str::to_owned)).collect()
    }

    /// As long as this is there, others wait for a session that is to end, where the machine allows that.
    pub(super) fn hurry(&self, session: &SessionFolder) -> Option<Hurry> {
        let processors = self.namespaces_of_run()?.processors.as_ref()?;
        session.processors.as_ref().map(|group| processors.hurry(group))
    }

    /// A session's sandbox was empty so long after it was ended.
    pub(super) fn emptied_in(&self, took: Duration) {
        if let Some(namespaces) = self.namespaces_of_run() {
            let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            namespaces.slowest_end.fetch_max(took, Ordering::Relaxed);
        }
    }

    /// How long the slowest end of a session took, until nobody was left; nothing but in tier A.
    pub fn slowest_end(&self) -> Duration {
        let slowest = self.namespaces_of_run().map_or(0, |namespaces| namespaces.slowest_end.load(Ordering::Relaxed));
        Duration::from_micros(slowest)
    }

    /// How the program of a session is confined, with the descriptors that go along, and the user that it is then; nothing
    /// but in tier A. What it writes to `kept`, a file in its folder, outlives it.
    pub(super) fn confine(
        &self,
        folder: &SessionFolder,
        terminal: bool,
        kept: Option<&Path>,
    ) -> io::Result<Option<Confined>> {
        let Some(namespaces) = self.namespaces_of_run() else { return Ok(None) };
        let user = namespaces.users.as_ref().ok().map(Users::take).transpose()?;
        let bytes = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
        if let Some(user) = &user {
            // Whoever may write to the socket may connect.
            for path in [Some(folder.join(SOCKET).as_path()), kept].into_iter().flatten() {
                std::os::unix::fs::chown(path, Some(user.1), Some(user.1))?;
            }
        }
        let confine = Confine {
            uid: user.as_ref().map(|user| user.1),
            scratch: namespaces.scratch.iter().map(bytes).collect(),
            hidden: namespaces.hidden.iter().map(bytes).collect(),
            shown: namespaces.shown.iter().map(bytes).collect(),
            kept: kept.map(|path| path.as_os_str().as_bytes().to_vec()),
            terminal,
            gives_way: namespaces.processors.is_some(),
            limits: namespaces.limits,
        };
        let along = [namespaces.user.try_clone()?, namespaces.network.try_clone()?];
        Ok(Some(Confined { confine, along, user }))
    }
}

/// What [`Sandbox::confine`] gives.
pub(super) struct Confined {
    pub(super) confine: Confine,
    pub(super) along: [OwnedFd; 2],
    pub(super) user: Option<User>,
}

impl Holder {
    /// Starts it, in namespaces of its own.
    fn start(run: &RunFolder) -> io::Result<Self> {
        let folder = run.session()?;
        let listener = UnixListener::bind(folder.join(SOCKET))?;
        let mut starter = folder.starter();
        starter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = forks::starting(|| starter.spawn())?;
        let (control, _) = greeted(&listener, || process::is_living_child(child.id().cast_signed()))?;
        let holder = Holder { control: Mutex::new(control), process: child };
        let refused = |error| io::Error::other(format!("namespaces cannot be made here: {error}; {}", settings()));
        holder.order(&Order::Separate).map_err(refused)?;
        Ok(holder)
    }

    /// Gives an order, and returns the descriptor that came with the answer.
    fn order(&self, order: &Order) -> io::Result<Option<OwnedFd>> {
        let control = self.control.lock().expect("not poisoned");
        handover::send(&*control, order, &[])?;
        let gone = || io::Error::other("the holder of the namespaces has ended");
        let (errno, mut along) = handover::receive::<i32>(&*control)?.ok_or_else(gone)?;
        if errno == 0 { Ok(along.pop()) } else { Err(io::Error::from_raw_os_error(errno)) }
    }

    /// What the system says of it under this name.
    fn about(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.process.id().to_string()).join(name)
    }

    /// Lets these users be in its namespace, or else the suite's.
    fn map(&self, users: Option<&Users>) -> io::Result<()> {
        let (user, group, count) = match users {
            Some(users) => (users.from, users.from, USERS),
            None => (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw(), 1),
        };
        // Who is root in a container is not to be it in a session.
        let inside = |outside: u32| if outside == 0 { USERS_FROM } else { outside };
        if users.is_none() {
            // The system demands it of those who are not root.
            std::fs::write(self.about("setgroups"), "deny")?;
        }
        for (map, from) in [("uid_map", user), ("gid_map", group)] {
            std::fs::write(self.about(map), format!("{} {from} {count}", inside(from))).map_err(|error| {
                io::Error::other(format!("sessions cannot run as the users from {from} on: {error}"))
            })?;
        }
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Nobody else has the socket: that is the holder's end.
        let _ = self.control.get_mut().expect("not poisoned").shutdown(Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// A socket bound to a free port of the loopback on which this process is.
pub(super) fn bind_loopback(datagrams: bool) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let kind = if datagrams { SocketType::DGRAM } else { SocketType::STREAM };
    let socket = socket(AddressFamily::INET, kind, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket)
}

/// The settings of this machine that may be in the way.
fn settings() -> String {
    let forbids = [
        ("user/max_user_namespaces", "0"),
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ];
    let is_so = |(name, value): &(&str, &str)| {
        std::fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|found| found.trim() == *value)
    };
    match forbids.iter().find(|setting| is_so(setting)) {
        Some((name, value)) => format!("/proc/sys/{name} is {value}"),
        None => "a container may have to be allowed to (no setting of the kernel forbids it)".to_owned(),
    }
}
