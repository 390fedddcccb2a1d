//! What keeps the subjects of a run apart from everything else: which tier, and what all its sessions share.
//!
//! In tier A that is a user and a network namespace, which a process of ours holds as long as the run lasts; each session
//! makes the rest. In tier B it is a control group, with one for each session in it. In tier C nothing is shared. In both of
//! these nothing keeps anybody apart.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::attend::greeted;
use super::cgroup::{Group, Groups};
use super::handover::{self, Confine, Order, SOCKET};
use super::limits::Limits;
use super::place::{RunFolder, SessionFolder};
use crate::forks;

/// How far subjects are kept apart from everything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Tier {
    /// In namespaces, below an init of ours.
    A,
    /// Not kept apart, but in control groups, so that all of them are known
    B,
    /// Not at all: a mark in their environment is all that they are known by.
    #[default]
    C,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::A => "A, in namespaces",
            Tier::B => "B, in control groups: kept apart from nothing, and found again",
            Tier::C => "C, unsafe: kept apart from nothing",
        })
    }
}

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
    /// The users that sessions run as, if not as the suite.
    users: Option<Arc<Users>>,
    scratch: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
    shown: Vec<PathBuf>,
    limits: Limits,
    /// Microseconds that the slowest end of a session took, until nobody was left.
    slowest_end: AtomicU64,
}

/// The process that holds the namespaces. It ends when this is dropped, or the suite gone.
#[derive(Debug)]
struct Holder {
    control: Mutex<UnixStream>,
    process: Child,
}

/// Users that nobody else runs as.
#[derive(Debug)]
struct Users {
    from: u32,
    free: Mutex<Vec<u32>>,
    /// A name of the system that only one run has at a time: whose it is, theirs are these users.
    _claim: UnixListener,
}

/// The user of one session, who is free for another one when this is dropped.
#[derive(Debug)]
pub(super) struct User(Arc<Users>, u32);

impl User {
    pub(super) fn id(&self) -> rustix::process::Uid {
        rustix::process::Uid::from_raw(self.1)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.0.free.lock().expect("not poisoned").push(self.1);
    }
}

/// How many users a run has: more than sessions at a time.
const USERS: u32 = 4096;

/// The first user of the first run, far from those of people and services.
const USERS_FROM: u32 = 1 << 30;

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

    /// Tier A, for a run of these programs. An error says what the machine does not allow.
    pub fn namespaces(run: &RunFolder, programs: &[&Path], hide: &[PathBuf], limits: Limits) -> io::Result<Self> {
        if !cfg!(target_os = "linux") {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "tier A: there are namespaces on Linux alone"));
        }
        let holder = Holder::start(run)?;
        let users = rustix::process::geteuid().is_root().then(Users::claim).transpose()?.map(Arc::new);
        holder.map(users.as_deref())?;
        let scratch: BTreeSet<_> = SCRATCH.iter().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
        let (shown, hidden) = view(&needed(programs), &scratch, hide, users.is_some())?;
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
            limits,
            slowest_end: AtomicU64::new(0),
        }))))
    }

    /// A socket bound to a free port of the loopback on which the subjects are.
    pub fn bound(&self) -> io::Result<OwnedFd> {
        match self.namespaces_of_run() {
            None => bind_loopback(),
            Some(namespaces) => {
                let socket = namespaces.holder.order(&Order::Bind)?;
                socket.ok_or_else(|| io::Error::other("the holder sent no socket"))
            }
        }
    }

    /// What of tier A this machine does not give, or not to this user; nothing in others, which promise nothing.
    pub fn lapses(&self) -> Vec<String> {
        let Some(namespaces) = self.namespaces_of_run() else { return Vec::new() };
        let one_user = namespaces.users.is_none().then_some(
            "the suite is not root: programs run as its user, may read what that may read, and share a limit on processes",
        );
        #[cfg(target_os = "linux")]
        let devices = !super::landlock::is_whole();
        #[cfg(not(target_os = "linux"))]
        let devices = false;
        let devices =
            devices.then_some("the kernel lacks Landlock, or a part of it: devices of its user are open to a program");
        one_user.into_iter().chain(devices).map(str::to_owned).collect()
    }

    /// A session's sandbox was empty so long after it was ended.
    pub(super) fn emptied_in(&self, took: Duration) {
        if let Some(namespaces) = self.namespaces_of_run() {
            let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            namespaces.slowest_end.fetch_max(took, Ordering::Relaxed);
        }
    }

    /// How long the slowest end of a session took, until nobody was left; nothing in tier C.
    pub fn slowest_end(&self) -> Duration {
        let slowest = self.namespaces_of_run().map_or(0, |namespaces| namespaces.slowest_end.load(Ordering::Relaxed));
        Duration::from_micros(slowest)
    }

    /// How the program of a session is confined, with the descriptors that go along, and the user that it is then; nothing
    /// in tier C. What it writes to `kept`, a file in its folder, outlives it.
    pub(super) fn confine(
        &self,
        folder: &SessionFolder,
        terminal: bool,
        kept: Option<&Path>,
    ) -> io::Result<Option<Confined>> {
        let Some(namespaces) = self.namespaces_of_run() else { return Ok(None) };
        let user = namespaces.users.as_ref().map(Users::take).transpose()?;
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
        let process = forks::starting(|| starter.spawn())?;
        let (control, _) = greeted(&listener)?;
        let holder = Holder { control: Mutex::new(control), process };
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
        if users.is_none() {
            // The system demands it of those who are not root.
            std::fs::write(self.about("setgroups"), "deny")?;
        }
        for (map, from) in [("uid_map", user), ("gid_map", group)] {
            std::fs::write(self.about(map), format!("{from} {from} {count}")).map_err(|error| {
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

impl Users {
    /// The first range that no other run has.
    #[cfg(target_os = "linux")]
    fn claim() -> io::Result<Self> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        for run in 0..256 {
            let name = SocketAddr::from_abstract_name(format!("conformance-users-{run}"))?;
            match UnixListener::bind_addr(&name) {
                Ok(claim) => {
                    let from = USERS_FROM + run * USERS;
                    return Ok(Users { from, free: Mutex::new((from..from + USERS).rev().collect()), _claim: claim });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("all users for subjects are taken by 256 other runs"))
    }

    /// Without namespaces of its own a run is one user's.
    #[cfg(not(target_os = "linux"))]
    fn claim() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn take(self: &Arc<Self>) -> io::Result<User> {
        let user = self.free.lock().expect("not poisoned").pop();
        Ok(User(self.clone(), user.ok_or_else(|| io::Error::other("more sessions at a time than users"))?))
    }
}

/// A socket bound to a free port of the loopback on which this process is.
pub(super) fn bind_loopback() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
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

/// What is hidden: where anybody may write, what is asked for, and, from another user, what only some may enter on the way
/// to what is needed. And what is shown in it all the same: whatever lies directly there and holds what is needed, since a
/// program often has its parts in a folder beside its own; where that would show what is asked to be hidden, its own folder.
fn view(
    needed: &BTreeSet<PathBuf>,
    scratch: &BTreeSet<PathBuf>,
    asked: &[PathBuf],
    is_another: bool,
) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut hidden = scratch.clone();
    hidden.extend(asked.iter().cloned());
    if is_another {
        let above = needed.iter().flat_map(|path| path.ancestors().skip(1));
        hidden.extend(above.filter(|folder| !is_open_to_all(folder)).map(Path::to_owned));
    }
    // One that lies in another is hidden with it.
    let is_outermost = |path: &&PathBuf| !path.ancestors().skip(1).any(|above| hidden.contains(above));
    let outermost: Vec<_> = hidden.iter().filter(is_outermost).cloned().collect();
    let mut shown = BTreeSet::new();
    for hidden in &outermost {
        for path in needed {
            let Some(first) = path.strip_prefix(hidden).ok().and_then(|below| below.components().next()) else {
                continue;
            };
            let (directly, own) =
                (hidden.join(first), if path.is_dir() { path } else { path.parent().unwrap_or(path) });
            let shows = |folder: &Path| asked.iter().find(|asked| asked.starts_with(folder));
            let is_below_asked = asked.iter().any(|asked| path.starts_with(asked));
            let folder = if is_below_asked || shows(&directly).is_some() { own } else { &directly };
            if let Some(secret) = shows(folder) {
                let (secret, own) = (secret.display(), own.display());
                return Err(io::Error::other(format!(
                    "{secret} cannot be hidden: what runs is in {own}, which holds it"
                )));
            }
            shown.insert(folder.to_owned());
        }
    }
    Ok((shown.into_iter().collect(), outermost))
}

/// The programs and the folders of the search path, where they really are.
fn needed(programs: &[&Path]) -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let both = folders.flat_map(|folder| [folder.canonicalize().ok(), Some(folder)]).flatten();
    programs.iter().map(|program| program.to_path_buf()).chain(both).collect()
}

/// Whoever passes here needs no rights of his own.
fn is_open_to_all(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|about| about.permissions().mode() & 0o001 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> BTreeSet<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_is_needed_is_shown_where_something_above_is_hidden() {
        let (shown, hidden) = view(
            &paths(&["/tmp/solution/bin/server", "/usr/bin", "/tmp"]),
            &paths(&["/tmp", "/tmp/conf-x", "/var/tmp"]),
            &[],
            false,
        )
        .unwrap();
        assert_eq!(shown, [PathBuf::from("/tmp/solution")]);
        assert_eq!(hidden, [PathBuf::from("/tmp"), PathBuf::from("/var/tmp")]);
    }

    #[test]
    fn only_from_another_user_the_way_through_a_closed_folder_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let program = folder.join("home/solution/server");
        std::fs::create_dir_all(program.parent().unwrap()).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o711)).unwrap();
        std::fs::set_permissions(folder.join("home"), PermissionsExt::from_mode(0o700)).unwrap();
        let needed = BTreeSet::from([program]);
        assert_eq!(view(&needed, &BTreeSet::new(), &[], false).unwrap(), (vec![], vec![]));
        assert_eq!(
            view(&needed, &BTreeSet::new(), &[], true).unwrap(),
            (vec![folder.join("home/solution")], vec![folder.join("home")])
        );
    }

    #[test]
    fn of_what_is_asked_to_be_hidden_only_a_programs_own_folder_is_shown() {
        let seen = |asked: &[&str]| {
            let asked: Vec<_> = asked.iter().map(PathBuf::from).collect();
            view(&paths(&["/tmp/all/one/bin/server"]), &paths(&["/tmp"]), &asked, false)
        };
        let own = (vec![PathBuf::from("/tmp/all/one/bin")], vec![PathBuf::from("/tmp")]);
        assert_eq!(seen(&["/tmp/all"]).unwrap(), own);
        assert_eq!(seen(&["/tmp/all/two"]).unwrap(), own);
        assert_eq!(seen(&["/srv/other"]).unwrap().0, [PathBuf::from("/tmp/all")]);
        let refused = seen(&["/tmp/all/one/bin/secrets"]).unwrap_err().to_string();
        assert!(refused.contains("/tmp/all/one/bin, which holds it"), "{refused}");
    }
}
