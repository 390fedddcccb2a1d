//! A session's processes as a control group, which nobody leaves by becoming an orphan, by a session or an environment of
//! his own. One of version 2 (since Linux 5.14) keeps nobody from anything, which is tier B: it says who belongs to a session,
//! and ends all of them at once. What one with memory or with processors is for, its own file says. What a session is, none of
//! them knows.

mod memory;
mod processors;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::FlockOperation;

pub(super) use memory::Memory;
pub(super) use processors::{Hurry, Processors};

/// How the name of a run's group begins.
const PREFIX: &str = "conf-";

/// The file that lists a group's processes and takes others.
const MEMBERS: &str = "cgroup.procs";

/// The file that lists the threads of a group of version 1, and takes others.
const THREADS: &str = "tasks";

/// Whoever writes this to a list moves himself. Nobody has to wait for a thread that does; for a process that is moved, all that
/// are about to fork or to end do, on the whole machine, and it has to wait for each that has begun to.
pub(super) const MYSELF: &str = "0";

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

/// The groups below which one with these controllers may be, and whether they are of version 2. In version 1, in which each is
/// elsewhere, only the first counts.
fn that_may_have(controllers: &[&str]) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    if let Ok(own) = own(UNIFIED) {
        // Beside processes there are no groups with a controller, so it is seldom the suite's own.
        let above = own.group.ancestors().take_while(|group| group.starts_with(&own.mount));
        let hands_on = |group: &&Path| {
            let handed = fs::read_to_string(group.join(HANDED_ON)).unwrap_or_default();
            controllers.iter().all(|one| handed.split_whitespace().any(|name| name == *one))
        };
        found.extend(above.filter(hands_on).map(|group| (group.to_owned(), true)));
    }
    found.extend(own(controllers[0]).ok().map(|own| (own.group, false)));
    found
}

impl Drop for Groups {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

impl Group {
    /// The list on which a process of one thread puts itself into it, and so whoever will descend from it. In version 2 there is
    /// none.
    pub(super) fn list(&self) -> io::Result<Option<File>> {
        match fs::OpenOptions::new().write(true).open(self.0.join(THREADS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            list => list.map(Some),
        }
    }

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
        found.sort_unstable();
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
    for folder in below(own).filter(|folder| is_of_a_run(folder)) {
        if let Some(_held) = held(&folder)
            && !has_living_run(&folder)
        {
            let _ = fs::write(folder.join("cgroup.kill"), "1");
            remove(&folder);
        }
    }
}

/// Removes a group and what is below it, but for the groups of a run that lives: whoever was in this one may have begun another, and
/// gone on. What cannot be removed, as one whose last members are just about to die, stays for another time.
fn remove(folder: &Path) {
    for folder in below(folder) {
        let held = if is_of_a_run(&folder) { held(&folder).map(Some) } else { Some(None) };
        if let Some(_held) = held {
            remove(&folder);
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Whether a run that lives has its group anywhere below this one.
fn has_living_run(folder: &Path) -> bool {
    below(folder).any(|folder| is_of_a_run(&folder) && held(&folder).is_none() || has_living_run(&folder))
}

fn is_of_a_run(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
}

/// The groups in a group.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path())
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

    #[test]
    fn a_run_that_lives_in_the_group_of_another_outlives_that_one() {
        let outer = match Groups::make() {
            Ok(outer) => outer,
            Err(error) => return println!("{error}: not run"),
        };
        let (folder, suite) = (outer.folder.clone(), outer.folder.join("suite"));
        fs::create_dir(&suite).unwrap();
        let inner = Groups::below(&suite).unwrap();
        let group = inner.session().unwrap();
        drop(outer);
        // And whoever sweeps next.
        drop(Groups::make().unwrap());
        assert_eq!(group.processes().unwrap(), [0; 0]);
        drop((group, inner));
        drop(Groups::make().unwrap());
        assert!(!folder.exists());
    }
}
