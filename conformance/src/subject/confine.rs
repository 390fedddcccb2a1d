//! Linux: how a stand-in confines its program, in namespaces with an init of ours above it.
//!
//! The stand-in joins the user and network namespaces of the run, makes process, mount and ipc namespaces, and starts the
//! init, which is process 1 there: it can neither be signalled nor traced from inside, and its end is everybody's. The init
//! changes what can be seen and written, starts the program below itself (process 1 would be deaf to a default SIGALRM),
//! tells the suite how it ended when it is asked to, and ends with the suite's end of the socket. What is confined, and
//! why, it does not know.

#![expect(unsafe_code, reason = "fork, ioctls of terminal and interface, and mount_setattr have no safe call")]

use std::ffi::{CStr, CString, OsStr, c_int};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_change, move_mount, open_tree,
};
use rustix::process::{PidfdFlags, Resource, Rlimit, getrlimit, pidfd_open, setrlimit};
use rustix::thread::{CapabilitySet, Gid, LinkNameSpaceType, Uid, UnshareFlags};

use super::handover::{self, Become, Begun, Confine, Order};
use super::landlock;

/// Files and folders in each file system in memory, for each MiB of it.
const FILES_PER_MIB: u64 = 256;

/// Devices that are nobody's.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"];

/// Of keyctl: begin another session keyring.
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// In an error number's place: the suite knows already.
const TOLD: i32 = 0;

/// Leaves for namespaces of its own in which sessions meet their target, and where no further ones can be made.
pub(super) fn separate() -> io::Result<()> {
    // SAFETY: one thread, which shares nothing with another process that the flags would part.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)? };
    // Those that a session needs are made in it by whoever comes from outside, which counts there.
    fs::write("/proc/sys/user/max_user_namespaces", "0")?;
    loopback_up()
}

fn loopback_up() -> io::Result<()> {
    // Any socket will do.
    let socket = UnixDatagram::unbound()?;
    // SAFETY: all zeroes is a request without a name; it is a local of the type that both calls expect.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request) != 0 {
            return Err(io::Error::last_os_error());
        }
        request.ifr_ifru.ifru_flags |= libc::IFF_UP as libc::c_short;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What was tried when something failed.
struct Failed(&'static str, io::Error);

/// Names what is tried, should it fail.
trait Trying<T> {
    fn trying(self, what: &'static str) -> Result<T, Failed>;
}

impl<T, E: Into<io::Error>> Trying<T> for Result<T, E> {
    fn trying(self, what: &'static str) -> Result<T, Failed> {
        self.map_err(|error| Failed(what, error.into()))
    }
}

/// Starts the program confined, and returns when everybody in its namespaces has ended. `become_it` takes the place of the
/// process that is to be the program, and returns only if it could not.
pub(super) fn run(
    program: &Become,
    mut placed: Vec<OwnedFd>,
    suite: UnixStream,
    become_it: impl FnOnce(&Become, Vec<OwnedFd>) -> io::Error,
) -> io::Result<c_int> {
    let confine = program.confine.as_ref().expect("it was asked for");
    let namespaces = placed.split_off(program.place.len());
    if let Err(Failed(what, error)) = leave(confine, &namespaces) {
        return not_confined(&suite, what, &error);
    }
    drop(namespaces);
    // SAFETY: one thread; the child goes on as this process would.
    match unsafe { libc::fork() } {
        -1 => not_confined(&suite, "fork an init", &io::Error::last_os_error()),
        0 => {
            let status = match init(program, confine, placed, &suite, become_it) {
                Ok(status) => status,
                Err(Failed(what, error)) => not_confined(&suite, what, &error).unwrap_or(super::standin::BROKEN),
            };
            std::process::exit(status)
        }
        pid => {
            // What is held here as well would hide from the suite that the others have let go of it.
            drop((placed, suite));
            close_standard();
            raw_status(Pid::from_raw(pid))?;
            Ok(0)
        }
    }
}

fn not_confined(suite: &UnixStream, what: &str, error: &io::Error) -> io::Result<c_int> {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    handover::send(suite, &Begun::NotConfined(what.to_owned(), errno), &[])?;
    Ok(super::standin::BROKEN)
}

/// Joins the run's namespaces, makes the session's, and lets go of the terminal.
fn leave(confine: &Confine, namespaces: &[OwnedFd]) -> Result<(), Failed> {
    for namespace in namespaces {
        let joined = rustix::thread::move_into_link_name_space(namespace.as_fd(), None::<LinkNameSpaceType>);
        joined.trying("join a namespace of the run")?;
    }
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
    // SAFETY: one thread, which shares nothing with another process that the flags would part.
    unsafe { rustix::thread::unshare_unsafe(own) }.trying("make namespaces")?;
    if confine.terminal {
        // The leader that gives its terminal up is told that it hung up.
        // SAFETY: a disposition of a one-threaded process, and a request without an argument.
        let given_up = unsafe {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::ioctl(0, libc::TIOCNOTTY)
        };
        if given_up != 0 {
            return Err(Failed("give up the terminal", io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Standard input and outputs lead nowhere from here on.
fn close_standard() {
    // SAFETY: closing numbers that nothing of this process uses any more.
    (0..3).for_each(|number| _ = unsafe { libc::close(number) });
}

/// Process 1: prepares, starts the program, and stays until the suite is gone.
fn init(
    program: &Become,
    confine: &Confine,
    placed: Vec<OwnedFd>,
    suite: &UnixStream,
    become_it: impl FnOnce(&Become, Vec<OwnedFd>) -> io::Error,
) -> Result<c_int, Failed> {
    let mut ends = SigSet::empty();
    ends.add(Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&ends), None).trying("await children")?;
    let ends = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).trying("await children")?;
    let folder = program.folder.as_deref().expect("a confined program has a folder");
    change_view(confine, Path::new(OsStr::from_bytes(folder)))?;
    // A change of the user forgets both. The one above ends when the suite ends it, and this one with it.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).trying("end with another")?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable).trying("be untraceable")?;
    let (mut executed, failed) = io::pipe().trying("make a pipe")?;
    // SAFETY: one thread; the child becomes the program or ends.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(Failed("fork", io::Error::last_os_error())),
        0 => {
            drop(executed);
            let errno = match restrict(confine, Path::new(OsStr::from_bytes(folder))) {
                Ok(()) => become_it(program, placed).raw_os_error().unwrap_or(libc::EIO),
                Err(Failed(what, error)) => {
                    let _ = not_confined(suite, what, &error);
                    TOLD
                }
            };
            let _ = (&failed).write_all(&errno.to_ne_bytes());
            std::process::exit(super::standin::BROKEN)
        }
        pid => Pid::from_raw(pid),
    };
    drop((placed, failed));
    close_standard();
    // Watched from before it can have been reaped.
    let watch = |pid: Pid| {
        let pid = rustix::process::Pid::from_raw(pid.as_raw()).expect("a process has a number");
        pidfd_open(pid, PidfdFlags::empty()).trying("let the suite watch")
    };
    let (its, own) = (watch(pid)?, watch(Pid::this())?);
    let mut errno = [0; 4];
    if executed.read_exact(&mut errno).is_ok() {
        let errno = i32::from_ne_bytes(errno);
        if errno != TOLD {
            handover::send(suite, &Begun::NotExecuted(errno), &[]).trying("tell of a failure")?;
        }
        return Ok(super::standin::BROKEN);
    }
    let namespace = fs::metadata("/proc/self/ns/pid").trying("name the namespace")?.ino();
    handover::send(suite, &Begun::Running { namespace }, &[its.as_fd(), own.as_fd()]).trying("tell of the start")?;
    drop((its, own));
    serve(pid, suite, &ends).trying("serve the suite")?;
    Ok(0)
}

/// Reaps, the program only when it is asked how that ended, until nobody asks any more.
fn serve(program: Pid, suite: &UnixStream, ends: &SignalFd) -> io::Result<()> {
    let mut is_asked = false;
    loop {
        reap(program, is_asked)?;
        let mut awaited = [suite.as_fd(), ends.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        poll(&mut awaited, PollTimeout::NONE)?;
        if awaited[1].any() == Some(true) {
            while ends.read_signal()?.is_some() {}
        }
        if awaited[0].any() == Some(true) {
            match handover::receive::<Order>(suite)? {
                Some((Order::Reap, _)) => {
                    handover::send(suite, &raw_status(program)?, &[])?;
                    is_asked = true;
                }
                Some((Order::Alone, _)) => {
                    reap(program, is_asked)?;
                    handover::send(suite, &matches!(ended()?, Children::None), &[])?;
                }
                _ => return Ok(()),
            }
        }
    }
}

/// How a child ended, as the kernel writes it down; it is reaped then.
fn raw_status(child: Pid) -> io::Result<i32> {
    let mut raw = 0;
    // SAFETY: a child of this process, and a local for the answer.
    match unsafe { libc::waitpid(child.as_raw(), &raw mut raw, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(raw),
    }
}

/// What is to be said of this process's children.
enum Children {
    None,
    AllLive,
    Ended(Pid),
}

/// Whether a child has ended, by whatever signal: nix has no name for some and takes them for an error.
fn ended() -> io::Result<Children> {
    // SAFETY: a local for the answer, in which all zeros is a valid one: that of nobody.
    let (pid, result) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let result = libc::waitid(libc::P_ALL, 0, &raw mut info, look);
        (info.si_pid(), result)
    };
    match (result, io::Error::last_os_error()) {
        (-1, error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(Children::None),
        (-1, error) => Err(error),
        _ if pid == 0 => Ok(Children::AllLive),
        _ => Ok(Children::Ended(Pid::from_raw(pid))),
    }
}

/// Reaps whoever has ended, but the program only when that has been asked about.
fn reap(program: Pid, is_asked: bool) -> io::Result<()> {
    while let Children::Ended(child) = ended()? {
        // The program would come first again and again; the others can wait for it, since they are dead.
        if child == program && !is_asked {
            break;
        }
        raw_status(child)?;
    }
    Ok(())
}

/// Everything is to be read only, some of it empty, and the session's folder one in memory to be written to, which holds
/// what the suite has put there; processes are those of the session.
fn change_view(confine: &Confine, folder: &Path) -> Result<(), Failed> {
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).trying("part from other mounts")?;
    let path = |bytes: &[u8]| Path::new(OsStr::from_bytes(bytes)).to_owned();
    let copy = |bytes: &Vec<u8>| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        let tree = open_tree(rustix::fs::CWD, path(bytes), flags).trying("show a folder")?;
        Ok((path(bytes), tree))
    };
    let is_link = |bytes: &&Vec<u8>| path(bytes).is_symlink();
    let (links, shown): (Vec<_>, Vec<_>) = confine.shown.iter().partition(is_link);
    // A link that was followed from here could show what the program may not reach.
    let links =
        links.into_iter().map(|link| Ok((path(link), fs::read_link(path(link))?))).collect::<io::Result<Vec<_>>>();
    let links = links.trying("read a link")?;
    let shown = shown.into_iter().map(copy).collect::<Result<Vec<_>, _>>()?;
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.trying("list the session's folder")?.into_iter();
    let given = entries.map(|entry| copy(&entry.path().into_os_string().into_vec()));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    make_read_only(rustix::fs::CWD.as_raw_fd(), c"/").trying("make everything read only")?;
    // Only now: the way to what is shown may be open to the suite's user alone. Nobody can make files as a user that the
    // namespace does not know. Capabilities stay, since the user that is left is not root here.
    if let Some(uid) = confine.uid {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::thread::set_thread_groups(&[]).trying("leave all groups")?;
        rustix::thread::set_thread_res_gid(group, group, group).trying("change the group")?;
        rustix::thread::set_thread_res_uid(user, user, user).trying("change the user")?;
    }
    let mib = confine.limits.max_scratch;
    let options = CString::new(format!("size={mib}m,nr_inodes={},mode=1777", mib * FILES_PER_MIB)).expect("no NUL");
    let in_memory = |path: &Path| {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", path, "tmpfs", flags, Some(options.as_c_str()))
    };
    for hidden in confine.scratch.iter().chain(&confine.hidden).map(|bytes| path(bytes)) {
        // It may be in one that is empty by now.
        fs::create_dir_all(&hidden).and_then(|()| Ok(in_memory(&hidden)?)).trying("hide a folder")?;
    }
    for (path, tree) in &shown {
        make_read_only(tree.as_raw_fd(), c"").trying("make a folder read only")?;
        put(tree, path).trying("put a folder into place")?;
    }
    for (path, target) in &links {
        fs::create_dir_all(path.parent().expect("a link is in a folder")).trying("make a link's folder")?;
        std::os::unix::fs::symlink(target, path).trying("put a link into place")?;
    }
    // What it writes has a bound, and is gone with it, however deep or closed its folders are. Of other sessions there is
    // nothing to be seen.
    let run = folder.parent().expect("a session's folder is in that of its run");
    fs::create_dir_all(run).trying("make the run's folder")?;
    in_memory(run).trying("hide other sessions")?;
    fs::create_dir(folder).trying("make the session's folder")?;
    for hidden in confine.hidden.iter().map(Vec::as_slice).chain([run.as_os_str().as_bytes()]) {
        let hidden = CString::new(hidden).expect("a path holds no NUL");
        make_read_only(rustix::fs::CWD.as_raw_fd(), &hidden).trying("make a hidden folder read only")?;
    }
    in_memory(folder).trying("empty the session's folder")?;
    for (path, tree) in &given {
        if confine.kept.as_deref() != Some(path.as_os_str().as_bytes()) {
            make_read_only(tree.as_raw_fd(), c"").trying("make what it was given read only")?;
        }
        put(tree, path).trying("put what it was given into the session's folder")?;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).trying("show the processes")
}

/// Mounts a tree where it was, whose folders may be hidden.
fn put(tree: &OwnedFd, path: &Path) -> io::Result<()> {
    if !path.exists() {
        match path.parent() {
            _ if is_folder(tree) => fs::create_dir_all(path)?,
            Some(parent) => {
                fs::create_dir_all(parent)?;
                File::create(path)?;
            }
            None => {}
        }
    }
    Ok(move_mount(tree, "", rustix::fs::CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn is_folder(tree: &OwnedFd) -> bool {
    rustix::fs::fstat(tree).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Every mount of a tree, given by a folder's descriptor and a path from there, or by its own descriptor.
fn make_read_only(at: RawFd, path: &CStr) -> io::Result<()> {
    let set = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = libc::AT_RECURSIVE | if path.is_empty() { libc::AT_EMPTY_PATH } else { 0 };
    // SAFETY: the kernel reads a C string, and a struct of the stated size.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, at, path.as_ptr(), flags, &raw const set, size_of::<libc::mount_attr>())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where the program may change anything: mounts leave much less of it. Other terminals may be those of the suite's user.
fn changeable(confine: &Confine, folder: &Path) -> Vec<PathBuf> {
    let terminal = match confine.uid {
        Some(_) => Some(PathBuf::from("/dev/pts")),
        None => fs::read_link("/proc/self/fd/0").ok().filter(|_| confine.terminal),
    };
    let scratch = confine.scratch.iter().map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let devices = DEVICES.iter().map(PathBuf::from);
    [folder.to_owned(), PathBuf::from("/proc")].into_iter().chain(scratch).chain(devices).chain(terminal).collect()
}

/// A process of this priority has a tenth of the time that one of the usual priority has beside it.
const LOW_PRIORITY: i32 = 10;

/// Gives up what the program, whose folder this is, is not to have.
fn restrict(confine: &Confine, folder: &Path) -> Result<(), Failed> {
    // SAFETY: setsid has no arguments; the terminal, if any, is standard input here, and nobody else's.
    unsafe {
        if libc::setsid() < 0 {
            return Err(Failed("begin a session", io::Error::last_os_error()));
        }
        if confine.terminal && libc::ioctl(0, libc::TIOCSCTTY, 0) != 0 {
            return Err(Failed("take the terminal", io::Error::last_os_error()));
        }
    }
    let limits = &confine.limits;
    for (resource, most, what) in [
        (Resource::Nproc, limits.max_processes, "limit the number of processes"),
        (Resource::Data, limits.max_memory << 20, "limit memory"),
        (Resource::Fsize, limits.max_scratch << 20, "limit the size of files"),
        (Resource::Nofile, limits.max_files, "limit the number of open files"),
        (Resource::Cpu, limits.max_cpu, "limit processor time"),
        (Resource::Core, 0, "allow no core files"),
    ] {
        // Nobody may raise what is lower already.
        let most = getrlimit(resource).maximum.map_or(most, |before| before.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).trying(what)?;
    }
    if confine.gives_way {
        use rustix::process::{getpriority_process, setpriority_process};
        // Nobody may raise his own, and lower than this is low enough.
        let own = getpriority_process(None).trying("see its priority")?;
        setpriority_process(None, own.max(LOW_PRIORITY)).trying("give way to the suite")?;
    }
    // What whoever started the suite has for itself is not for the program. A kernel may know of no keys at all.
    // SAFETY: a system call without pointers that lead anywhere.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) };
    rustix::thread::set_no_new_privs(true).trying("gain no rights")?;
    landlock::restrict_to(&changeable(confine, folder)).trying("change nothing but what is the session's")?;
    let known = (0..64).filter_map(|number| CapabilitySet::from_bits(1 << number));
    // Whichever this kernel does not know is the first of many.
    known.take_while(|one| rustix::thread::remove_capability_from_bounding_set(*one).is_ok()).for_each(drop);
    // Those that this process has are lost when it becomes the program: it is not root, and never was in this namespace.
    Ok(())
}
