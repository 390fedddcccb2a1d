//! A session's processes as a control group, which nobody leaves by becoming an orphan, by a session or an environment of
//! his own. One of version 2 (since Linux 5.14) keeps nobody from anything, which is tier B: it says who belongs to a session,
//! and ends all of them at once. One with memory, of either version, bounds what all of them have. One with processors shares
//! them out between a run and the rest of the machine. What a session is, it does not know.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::FlockOperation;

/// How the name of a run's group begins.
const PREFIX: &str = "conf-";

/// The file that lists a group's processes and takes others.
const MEMBERS: &str = "cgroup.procs";

/// The file that lists what a group of version 2 hands on to those below it.
const HANDED_ON: &str = "cgroup.subtree_control";

/// The hierarchy of version 2.
const UNIFIED: &str = "unified";

/// The groups of a run, in one of its own below the suite's. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Groups {
    folder: PathBuf,
    sessions: AtomicUsize,
    /// Locked as long as the run lives, however it ends.
    _held: File,
}

/// The group of a session. It is gone when this is dropped, and whoever was in it.
#[derive(Debug)]
pub(super) struct Group(PathBuf);

impl Groups {
    /// Makes the run's group, for tier B. An error says what the machine does not allow.
    pub(super) fn make() -> io::Result<Self> {
        let groups = Groups::below(&own(UNIFIED)?.group)?;
        // Whether it can do what it is for is known before anybody relies on it.
        groups
            .session()
            .and_then(|group| group.set("cgroup.kill", "1"))
            .map_err(|error| not_below(&groups.folder, error))?;
        Ok(groups)
    }

    /// Makes a run's group in this one.
    fn below(above: &Path) -> io::Result<Self> {
        let told = |error| not_below(above, error);
        // Whoever moves processes from there to below has to be allowed to write to that one.
        fs::OpenOptions::new().write(true).open(above.join(MEMBERS)).map_err(told)?;
        sweep(above);
        for number in 0.. {
            let folder = above.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(told)?,
            }
            if let Some(held) = held(&folder) {
                return Ok(Groups { folder, sessions: AtomicUsize::new(0), _held: held });
            }
        }
        unreachable!("there are more numbers than groups")
    }

    /// A group for a session.
    pub(super) fn session(&self) -> io::Result<Group> {
        let folder = self.folder.join(self.sessions.fetch_add(1, Ordering::Relaxed).to_string());
        fs::create_dir(&folder)?;
        Ok(Group(folder))
    }
}

/// Groups in which all processes of a session together have so much memory and no more: whoever has most of it ends when there
/// is none left.
#[derive(Debug)]
pub(super) struct Memory {
    groups: Groups,
    bound: &'static str,
    bytes: u64,
}

impl Memory {
    /// Makes the run's group where groups with memory may be made. An error says what the machine does not allow.
    pub(super) fn bounded(bytes: u64) -> io::Result<Self> {
        let mut refused = io::Error::new(io::ErrorKind::Unsupported, "no control group here has memory below it");
        for (above, is_unified) in that_may_have("memory") {
            let bound = if is_unified { "memory.max" } else { "memory.limit_in_bytes" };
            let made = Groups::below(&above).and_then(|groups| {
                // A group of version 2 has below it what it was told to hand on, and nothing else; in version 1 there is
                // nothing to be told. If it does not, there is no bound to set for a session.
                let _ = fs::write(groups.folder.join(HANDED_ON), "+memory");
                let memory = Memory { groups, bound, bytes };
                memory.session().map(|_| memory)
            });
            match made {
                Ok(memory) => return Ok(memory),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// A group for a session.
    pub(super) fn session(&self) -> io::Result<Group> {
        let group = self.groups.session()?;
        group.set(self.bound, &self.bytes.to_string())?;
        // Else it would have as much again on a disk, where there is a place for that.
        let _ = group.set("memory.swap.max", "0");
        Ok(group)
    }
}

/// A group with processors for this process and whoever descends from it: to the rest of the machine they are one, however many
/// they are, and whatever sessions they begin; and among themselves priorities count, which elsewhere a kernel may heed only
/// within a session. This process is back where it was when the last of these is dropped.
#[derive(Debug, Clone)]
pub(super) struct Processors(Option<Arc<Moved>>);

/// The group that this process is in, which can be in one alone. Whoever moves it has this locked, there and back: else it could be
/// moved away from under somebody who came in between.
static MOVED: Mutex<Weak<Moved>> = Mutex::new(Weak::new());

/// The group, and where this process came from.
#[derive(Debug)]
struct Moved {
    groups: Groups,
    before: PathBuf,
    share: &'static Share,
    /// How many of its sessions are being ended.
    ending: Mutex<usize>,
}

/// What of the machine's processors a group has beside others, in one of the two versions.
#[derive(Debug)]
struct Share {
    file: &'static str,
    /// Eight cases run at a time, and each of their sessions would count as much as any other of the machine.
    usual: &'static str,
    /// All that there is.
    most: &'static str,
}

const SHARES: [Share; 2] = [
    Share { file: "cpu.shares", usual: "8192", most: "262144" },
    Share { file: "cpu.weight", usual: "800", most: "10000" },
];

impl Processors {
    /// Moves this process, if it is not there already. An error says what the machine does not allow.
    pub(super) fn share() -> io::Result<Self> {
        let mut shared = MOVED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moved) = shared.upgrade() {
            return Ok(Processors(Some(moved)));
        }
        let mut refused = io::Error::new(io::ErrorKind::Unsupported, "no control group here has processors below it");
        for (above, is_unified) in that_may_have("cpu") {
            let before = if is_unified { own(UNIFIED)?.group } else { above.clone() };
            let moved = Groups::below(&above).and_then(|groups| {
                let share = &SHARES[usize::from(is_unified)];
                fs::write(groups.folder.join(share.file), share.usual)?;
                move_self(&groups.folder)?;
                Ok(Arc::new(Moved { groups, before, share, ending: Mutex::default() }))
            });
            match moved {
                Ok(moved) => {
                    *shared = Arc::downgrade(&moved);
                    return Ok(Processors(Some(moved)));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// As long as this is there, the rest of the machine waits: a thousand processes that are to end have to have their turn once
    /// more.
    pub(super) fn hurry(&self) -> Hurry {
        let moved = self.moved();
        let mut ending = moved.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending += 1;
        if *ending == 1 {
            moved.set(moved.share.most);
        }
        Hurry(self.clone())
    }

    fn moved(&self) -> &Moved {
        self.0.as_ref().expect("it is there until this is dropped")
    }
}

impl Drop for Processors {
    fn drop(&mut self) {
        let _moving = MOVED.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.take());
    }
}

impl Moved {
    /// It was set to something before, and only the time that things take depends on it.
    fn set(&self, share: &str) {
        let _ = fs::write(self.groups.folder.join(self.share.file), share);
    }
}

/// A session of the group is being ended.
#[derive(Debug)]
pub(super) struct Hurry(Processors);

impl Drop for Hurry {
    fn drop(&mut self) {
        let moved = self.0.moved();
        let mut ending = moved.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending -= 1;
        if *ending == 0 {
            moved.set(moved.share.usual);
        }
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Err(error) = move_self(&self.before) {
            eprintln!("conformance: {} stays, since {}: {error}", self.groups.folder.display(), self.before.display());
        }
    }
}

fn move_self(group: &Path) -> io::Result<()> {
    fs::write(group.join(MEMBERS), std::process::id().to_string())
}

/// The groups below which one with this controller may be, and whether they are of version 2.
fn that_may_have(controller: &str) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    if let Ok(own) = own(UNIFIED) {
        // Beside processes there are no groups with a controller, so it is seldom the suite's own.
        let above = own.group.ancestors().take_while(|group| group.starts_with(&own.mount));
        let hands_on = |group: &&Path| {
            let handed = fs::read_to_string(group.join(HANDED_ON));
            handed.is_ok_and(|handed| handed.split_whitespace().any(|name| name == controller))
        };
        found.extend(above.filter(hands_on).map(|group| (group.to_owned(), true)));
    }
    found.extend(own(controller).ok().map(|own| (own.group, false)));
    found
}

impl Drop for Groups {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

impl Group {
    /// Puts a process, which has no children yet, into it, and so whoever will descend from it.
    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        self.set(MEMBERS, &pid.to_string())
    }

    fn set(&self, what: &str, value: &str) -> io::Result<()> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {what}: {error}", self.0.display()));
        fs::OpenOptions::new()
            .write(true)
            .open(self.0.join(what))
            .map_err(told)?
            .write_all(value.as_bytes())
            .map_err(told)
    }

    /// Everybody in it, and in what they made below it.
    pub(super) fn processes(&self) -> io::Result<Vec<i32>> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            let listed = fs::read_to_string(folder.join(MEMBERS))?;
            found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
            let below =
                fs::read_dir(folder)?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.extend(below.map(|entry| entry.path()));
        }
        Ok(found)
    }

    /// Whether nobody is in it, nor below it: no list that could be outrun.
    pub(super) fn is_empty(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events"));
        events.is_ok_and(|events| events.lines().any(|line| line == "populated 0"))
    }

    /// Kills everybody in it, however fast they multiply.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.set("cgroup.kill", "1")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.kill();
        remove(&self.0);
    }
}

/// The group that this process is in, and the one above all that are to be seen.
struct Own {
    mount: PathBuf,
    group: PathBuf,
}

/// Of the hierarchy of version 2, or of that of version 1 with this controller.
fn own(controller: &str) -> io::Result<Own> {
    let unknown = || io::Error::new(io::ErrorKind::Unsupported, format!("no {controller} control groups are mounted"));
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(|_| unknown())?;
    let group = groups.lines().find_map(|line| member(line, controller)).ok_or_else(unknown)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|_| unknown())?;
    let (root, mount) = mounts.lines().find_map(|line| mounted(line, controller)).ok_or_else(unknown)?;
    let below = Path::new(group).strip_prefix(root).map_err(|_| unknown())?;
    Ok(Own { mount: mount.into(), group: Path::new(mount).join(below) })
}

/// The group of this process, if a line of `/proc/self/cgroup` is about this hierarchy.
fn member<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let (number, rest) = line.split_once(':')?;
    let (controllers, group) = rest.split_once(':')?;
    let is_it =
        if controller == UNIFIED { number == "0" } else { controllers.split(',').any(|name| name == controller) };
    is_it.then_some(group)
}

/// Which group a line of mountinfo shows, and where, if it shows one of this hierarchy.
fn mounted<'a>(line: &'a str, controller: &str) -> Option<(&'a str, &'a str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let is_it = match kind.next()? {
        "cgroup2" => controller == UNIFIED,
        "cgroup" => kind.nth(1)?.split(',').any(|option| option == controller),
        _ => false,
    };
    let mut fields = mount.split(' ').skip(3);
    is_it.then_some((fields.next()?, fields.next()?))
}

fn not_below(group: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("no control group in {}: {error}", group.display()))
}

/// Locks a group, unless somebody who took it for a dead run's was faster.
fn held(folder: &Path) -> Option<File> {
    let file = File::open(folder).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (held, named) = (file.metadata().ok()?, folder.metadata().ok()?);
    (held.ino() == named.ino()).then_some(file)
}

/// Ends what killed runs have left, and removes their groups.
fn sweep(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let is_run = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if let Some(_held) = is_run.then(|| held(&entry.path())).flatten() {
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            remove(&entry.path());
        }
    }
}

/// Removes a group and what is below it. One whose last members are just about to die stays for another time.
fn remove(folder: &Path) {
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).for_each(|entry| remove(&entry.path()));
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hierarchy_is_found_by_its_lines() {
        let line = "31 23 0:27 /a /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        let first = "32 23 0:28 / /sys/fs/cgroup/mem rw - cgroup cgroup rw,cpu,memory";
        assert_eq!(mounted(line, UNIFIED), Some(("/a", "/sys/fs/cgroup/unified")));
        assert_eq!(mounted(first, "memory"), Some(("/", "/sys/fs/cgroup/mem")));
        assert_eq!((mounted(line, "memory"), mounted(first, UNIFIED)), (None, None));
        assert_eq!(mounted("33 23 0:29 / /tmp rw - tmpfs tmpfs rw", UNIFIED), None);
        assert_eq!(member("0::/a/b", UNIFIED), Some("/a/b"));
        assert_eq!(member("4:cpu,memory:/c:d", "memory"), Some("/c:d"));
        assert_eq!((member("0::/a/b", "memory"), member("4:cpu,memory:/c", UNIFIED)), (None, None));
    }

    #[test]
    fn what_a_killed_run_left_goes_with_the_next_and_a_living_runs_stays() {
        let living = match Groups::make() {
            Ok(living) => living,
            Err(error) => return println!("{error}: not run"),
        };
        let sleeping = || std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (mut ours, mut left) = (sleeping(), sleeping());
        let group = living.session().unwrap();
        group.add(ours.id().cast_signed()).unwrap();
        let killed = own(UNIFIED).unwrap().group.join(format!("{PREFIX}{}-killed", std::process::id()));
        fs::create_dir_all(killed.join("0")).unwrap();
        fs::write(killed.join("0/cgroup.procs"), left.id().to_string()).unwrap();
        drop(Groups::make().unwrap());
        assert!(left.wait().unwrap().code().is_none(), "it was killed");
        assert!(!group.is_empty() && group.processes().unwrap() == [ours.id().cast_signed()]);
        drop(group);
        assert!(ours.wait().unwrap().code().is_none(), "it was killed with its group");
        drop(Groups::make().unwrap());
        assert!(!killed.exists());
        let folder = living.folder.clone();
        drop(living);
        assert!(!folder.exists());
    }
}
