//! Where subjects live: a folder of the run with a folder for each session in it, and the fixed environment
//! that every subject is started with. All of it is gone when the run is dropped.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::ops::Deref;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use super::Group;
use super::limits::Limits;
use super::sandbox::Sandbox;
use crate::observe::process;

/// The name under which a stand-in starts a subject: it is told the session's folder, as its one argument.
#[cfg(unix)]
pub const STARTER: &str = "start";

/// The name under which a stand-in is in the server's place: it takes the folder that it finds itself in.
pub const TAP: &str = "server";

/// The folder of one run.
#[derive(Debug)]
pub struct RunFolder {
    folder: TempDir,
    #[cfg(unix)]
    standin: PathBuf,
    sessions: AtomicUsize,
    elsewhere: Arc<HashSet<i32>>,
    /// What its sessions are kept in.
    pub sandbox: Arc<Sandbox>,
    /// Locked as long as the run lives, however it ends.
    held: Option<File>,
}

/// The folder of one session. It is gone when its run is.
#[derive(Debug, Clone)]
pub struct SessionFolder {
    path: PathBuf,
    /// The sessions of the operating system that were there before the run: no subject can join one of them.
    pub(super) elsewhere: Arc<HashSet<i32>>,
    #[cfg(unix)]
    pub(super) standin: PathBuf,
    /// The session's control group, in tier B, which is in that of the run.
    pub(super) group: Option<Arc<Group>>,
    /// Another one, which bounds its memory, in tier A.
    pub(super) memory: Option<Arc<Group>>,
    /// And the one by which it has its share of the processors.
    pub(super) processors: Option<Arc<Group>>,
    #[cfg(unix)]
    pub(super) sandbox: Arc<Sandbox>,
    /// The session's process namespace, once there is one.
    pub(super) realm: Arc<OnceLock<Realm>>,
}

/// A process namespace.
#[derive(Debug)]
pub(super) struct Realm {
    pub(super) inode: u64,
    /// Its process 1, which is ours.
    pub(super) init: i32,
    /// Who started that, and is in the session's control groups.
    pub(super) starter: i32,
}

#[cfg(unix)]
impl SessionFolder {
    /// The command that starts a stand-in which then becomes the session's program. Its environment is empty.
    pub fn starter(&self) -> Command {
        let mut command = Command::new(&self.standin);
        command.arg(&self.path).env_clear();
        command
    }
}

impl SessionFolder {
    /// The group that all of its processes are in, where there is one.
    pub(super) fn group_of_all(&self) -> Option<&Group> {
        self.group.as_ref().or(self.processors.as_ref()).or(self.memory.as_ref()).map(Arc::as_ref)
    }
}

impl Deref for SessionFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// How the name of a run's folder begins.
const PREFIX: &str = "conf-";

/// The file in it that its run holds locked.
const LOCK: &str = "lock";

/// Locks a run's folder. The lock has its name only when it is held, so that nobody finds it open.
fn held(folder: &Path) -> io::Result<File> {
    let unnamed = folder.join("lock.new");
    let file = File::create(&unnamed)?;
    file.try_lock()?;
    std::fs::rename(unnamed, folder.join(LOCK))?;
    Ok(file)
}

/// Removes the folders of this user's runs that were killed. What cannot be removed stays for another time.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let is_run = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_ours = entry.metadata().is_ok_and(|about| about.is_dir() && is_ours(&about));
        let Some(lock) = (is_run && is_ours).then(|| File::open(entry.path().join(LOCK)).ok()).flatten() else {
            continue;
        };
        if lock.try_lock().is_ok() {
            remove(&entry.path(), lock);
        }
    }
}

/// Whether it belongs to the suite's user.
#[cfg(unix)]
fn is_ours(about: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    about.uid() == rustix::process::geteuid().as_raw()
}

/// Each user has a folder for what is temporary.
#[cfg(windows)]
fn is_ours(_: &Metadata) -> bool {
    true
}

/// Removes a run's folder, the lock last: whoever is killed meanwhile leaves it to another, and so does whoever cannot remove
/// all of it.
fn remove(folder: &Path, lock: File) {
    let others = || std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.file_name() != LOCK);
    for other in others() {
        let _ = std::fs::remove_dir_all(other.path()).or_else(|_| {
            open_up(&other.path());
            std::fs::remove_dir_all(other.path()).or_else(|_| std::fs::remove_file(other.path()))
        });
    }
    // Some systems keep a file for whoever has it open.
    drop(lock);
    if others().next().is_none() {
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// Lets the suite into folders that a subject has closed to everybody.
#[cfg(unix)]
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_folder = std::fs::symlink_metadata(folder).is_ok_and(|folder| folder.is_dir());
    if is_folder && std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).is_ok() {
        std::fs::read_dir(folder).into_iter().flatten().flatten().for_each(|entry| open_up(&entry.path()));
    }
}

/// What only its owner may write to can be removed by him.
#[cfg(windows)]
fn open_up(_: &Path) {}

impl RunFolder {
    /// Makes the folder and puts one copy of the stand-in into it, found beside the running program.
    pub fn new() -> io::Result<Self> {
        #[cfg(unix)]
        let built = built_standin()?;
        sweep(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let held = held(folder.path())?;
        #[cfg(unix)]
        let standin = {
            // Everybody may pass through: a subject that drops its rights still finds its files.
            std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            let standin = folder.path().join(STARTER);
            std::fs::copy(built, &standin)?;
            standin
        };
        let elsewhere = Arc::new(process::all()?.into_iter().filter_map(process::system_session).collect());
        let sandbox = Arc::new(Sandbox::none());
        Ok(RunFolder {
            folder,
            #[cfg(unix)]
            standin,
            sessions: AtomicUsize::new(0),
            elsewhere,
            sandbox,
            held: Some(held),
        })
    }

    /// The same, for these programs, in tier A. They do not see what is in the folders to `hide`.
    pub fn confined(programs: &[&Path], hide: &[PathBuf], limits: Limits) -> io::Result<Self> {
        let mut run = Self::new()?;
        run.sandbox = Arc::new(Sandbox::namespaces(&run, programs, hide, limits)?);
        Ok(run)
    }

    /// The same, in tier B.
    pub fn grouped() -> io::Result<Self> {
        let mut run = Self::new()?;
        run.sandbox = Arc::new(Sandbox::groups()?);
        Ok(run)
    }

    /// A new folder for a session, with the stand-in for its server in it.
    pub fn session(&self) -> io::Result<SessionFolder> {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder)?;
        #[cfg(unix)]
        std::fs::hard_link(&self.standin, folder.join(TAP))?;
        let processors = self.sandbox.processors()?;
        Ok(SessionFolder {
            path: folder,
            elsewhere: self.elsewhere.clone(),
            #[cfg(unix)]
            standin: self.standin.clone(),
            #[cfg(unix)]
            sandbox: self.sandbox.clone(),
            realm: Arc::default(),
            group: self.sandbox.group()?.map(Arc::new),
            memory: self.sandbox.memory(processors.as_ref())?.map(Arc::new),
            processors: processors.map(Arc::new),
        })
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Some(lock) = self.held.take() {
            remove(self.folder.path(), lock);
        }
        self.folder.disable_cleanup(true);
    }
}

/// The stand-in, which is beside the running program.
#[cfg(unix)]
fn built_standin() -> io::Result<PathBuf> {
    let beside = std::env::current_exe()?;
    // Test and bench programs stand one folder below the binaries.
    let mut found = beside.ancestors().skip(1).take(2).map(|folder| folder.join("conformance-standin"));
    found.find(|path| path.is_file()).ok_or_else(|| {
        io::Error::other(format!(
            "conformance-standin is not beside {}: build all binaries of the package (cargo build -p conformance)",
            beside.display()
        ))
    })
}

/// An entry of an environment.
fn entry(name: &str, value: &OsStr) -> OsString {
    let mut entry = OsString::from(name);
    entry.push("=");
    entry.push(value);
    entry
}

/// The environment of every subject, entry by entry: the search path of the suite's own environment and where the system is, a home
/// and a temporary folder of the session. Nothing else, so neither proxies nor preloaded libraries.
#[cfg(windows)]
pub fn environment(folder: &Path) -> Vec<OsString> {
    let handed_on = |name: &str| std::env::var_os(name).map(|value| entry(name, &value));
    let of_session = ["TEMP", "TMP", "USERPROFILE"].map(|name| entry(name, folder.as_os_str()));
    ["PATH", "SystemDrive", "SystemRoot"].into_iter().filter_map(handed_on).chain(of_session).collect()
}

/// The environment of every subject, entry by entry: the search path of the suite's own environment, a home
/// and a temporary folder of the session, a fixed locale and a terminal without abilities. Nothing else, so
/// neither proxies nor preloaded libraries.
#[cfg(unix)]
pub fn environment(folder: &Path) -> Vec<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    vec![
        entry("PATH", &path),
        entry("HOME", folder.as_os_str()),
        entry("TMPDIR", folder.as_os_str()),
        entry("LANG", "C.UTF-8".as_ref()),
        entry("LC_ALL", "C.UTF-8".as_ref()),
        entry("TERM", "dumb".as_ref()),
    ]
}

/// What stands before the session's folder in the entry that holds it alone.
#[cfg(unix)]
pub const HOME: &[u8] = b"HOME=";

/// Marks every process of a session, wherever it went: its environment holds this entry.
#[cfg(unix)]
pub fn mark(folder: &Path) -> Vec<u8> {
    [HOME, folder.as_os_str().as_bytes()].concat()
}

/// Nobody can look at another process's environment here.
#[cfg(windows)]
pub fn mark(_: &Path) -> Vec<u8> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_goes_and_what_others_hold_stays() {
        let place = tempfile::tempdir().unwrap();
        let run = |name: &str| {
            let folder = place.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let (killed, living, beginning, other) = (run("conf-a"), run("conf-b"), run("conf-c"), run("other"));
        drop(held(&killed).unwrap());
        drop(held(&other).unwrap());
        let _held = held(&living).unwrap();
        sweep(place.path());
        assert!(!killed.exists());
        assert!(living.exists() && beginning.exists() && other.exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_a_subject_has_closed_to_everybody_goes_too() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let run = place.path().join("conf-a");
        let deep = run.join("0/closed/deeper");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("file"), "").unwrap();
        drop(held(&run).unwrap());
        for closed in [&deep, &run.join("0/closed")] {
            std::fs::set_permissions(closed, std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        sweep(place.path());
        assert!(!run.exists());
    }
}
