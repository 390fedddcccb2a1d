//! What a program could leave behind or change, looked at before and after it was judged.
//!
//! Whose doing a difference is, is not known here: whatever programs of the corpus make has the mark in its name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// In the name of whatever a program of the corpus makes.
const MARK: &str = "hostile-mark";

/// Where anybody may write, or where nobody but the system should.
const PLACES: [&str; 12] = [
    "/",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev",
    "/etc",
    "/run",
    "/usr/bin",
    "/var/lib",
    "/root",
    "/sys/fs/cgroup",
    "/proc/sys/kernel",
];

/// What there is at a moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks at the system, and at a folder that nobody is to change.
    pub(super) fn now(guarded: &Path) -> Self {
        let mut found = BTreeSet::new();
        for place in PLACES {
            let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.path().display().to_string());
            found.extend(names.filter(|name| name.contains(MARK)).map(|name| format!("file {name}")));
        }
        for (kind, path) in [
            ("shared memory", "/proc/sysvipc/shm"),
            ("message queue", "/proc/sysvipc/msg"),
            ("semaphores", "/proc/sysvipc/sem"),
            ("mount", "/proc/self/mountinfo"),
        ] {
            // The first two columns tell one from another; what follows changes as it is used.
            let lines = std::fs::read_to_string(path).unwrap_or_default();
            let named = lines.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
            found.extend(named.map(|name| format!("{kind} {name}")));
        }
        let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let marked = sockets.lines().filter(|line| line.contains(MARK));
        found.extend(marked.map(|line| format!("socket {line}")));
        walk(guarded, &mut found);
        Traces(found)
    }

    /// What is there now and was not, or was there and is not.
    pub(super) fn differences(&self, before: &Traces) -> Vec<String> {
        let left = self.0.difference(&before.0).map(|trace| format!("left: {trace}"));
        left.chain(before.0.difference(&self.0).map(|trace| format!("gone: {trace}"))).collect()
    }
}

/// The control groups that runs by these numbers have left.
pub(super) fn groups_of(pids: [u32; 2]) -> Vec<String> {
    let names = pids.map(|pid| format!("conf-{pid}-"));
    let mut left = Vec::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        let below = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for group in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            let name = group.file_name();
            let is_theirs = |prefix: &String| name.to_str().is_some_and(|name| name.starts_with(prefix));
            left.extend(names.iter().any(is_theirs).then(|| format!("left: control group {}", group.path().display())));
            folders.push(group.path());
        }
    }
    left
}

fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = entry.metadata() else { continue };
        let content = if about.is_file() { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let kind = about.file_type();
        found.insert(format!("{kind:?} {} {:?} {}", path.display(), about.permissions(), hash(&content)));
        if about.is_dir() {
            walk(&path, found);
        }
    }
}

fn hash(content: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_has_the_same_mark() {
        let shared = std::fs::read_to_string(crate::workspace().join("fixtures/hostile/hostile.py")).unwrap();
        assert!(shared.contains(&format!("MARK = {MARK:?}")));
    }

    #[test]
    fn what_is_made_changed_or_gone_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "before").unwrap();
        let before = Traces::now(folder.path());
        assert!(Traces::now(folder.path()).differences(&before).is_empty());
        std::fs::write(&file, "after").unwrap();
        assert_eq!(Traces::now(folder.path()).differences(&before).len(), 2, "another content instead of the one");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(Traces::now(folder.path()).differences(&before).len(), 1);
    }
}
