//! Tier B: a session's processes as a control group (version 2, since Linux 5.14), which nobody leaves by becoming an
//! orphan, by a session or an environment of his own. The group keeps nobody from anything; it says who belongs to a session,
//! and ends all of them at once. What a session is, it does not know.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::FlockOperation;

/// How the name of a run's group begins.
const PREFIX: &str = "conf-";

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
    /// Makes the run's group. An error says what the machine does not allow.
    pub(super) fn make() -> io::Result<Self> {
        let own = own_group()?;
        let told =
            |error: io::Error| io::Error::new(error.kind(), format!("no control group in {}: {error}", own.display()));
        // Whoever moves processes from here to below has to be allowed to write to this one.
        fs::OpenOptions::new().write(true).open(own.join("cgroup.procs")).map_err(told)?;
        sweep(&own);
        for number in 0.. {
            let folder = own.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match fs::create_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made.map_err(told)?,
            }
            if let Some(held) = held(&folder) {
                let groups = Groups { folder, sessions: AtomicUsize::new(0), _held: held };
                // Whether it can do what it is for is known before anybody relies on it.
                groups.session().and_then(|group| group.kill()).map_err(told)?;
                return Ok(groups);
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

impl Drop for Groups {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

impl Group {
    /// Puts a process, which has no children yet, into it, and so whoever will descend from it.
    pub(super) fn add(&self, pid: i32) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
    }

    /// Everybody in it, and in what they made below it.
    pub(super) fn processes(&self) -> io::Result<Vec<i32>> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            let listed = fs::read_to_string(folder.join("cgroup.procs"))?;
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
        fs::write(self.0.join("cgroup.kill"), "1")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.kill();
        remove(&self.0);
    }
}

/// The group that this process is in.
fn own_group() -> io::Result<PathBuf> {
    let unknown = || io::Error::new(io::ErrorKind::Unsupported, "control groups of version 2 are not mounted");
    let groups = fs::read_to_string("/proc/self/cgroup").map_err(|_| unknown())?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::")).ok_or_else(unknown)?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|_| unknown())?;
    let mount = mounts.lines().find_map(mounted).ok_or_else(unknown)?;
    let below = Path::new(own).strip_prefix(mount.0).map_err(|_| unknown())?;
    Ok(Path::new(mount.1).join(below))
}

/// Which group a line of mountinfo shows, and where, if it shows one of version 2.
fn mounted(line: &str) -> Option<(&str, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    kind.starts_with("cgroup2 ").then_some((fields.next()?, fields.next()?))
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
    fn only_a_mount_of_version_2_is_one() {
        let line = "31 23 0:27 /a /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(mounted(line), Some(("/a", "/sys/fs/cgroup/unified")));
        assert_eq!(mounted("32 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"), None);
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
        let killed = own_group().unwrap().join(format!("{PREFIX}{}-killed", std::process::id()));
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
