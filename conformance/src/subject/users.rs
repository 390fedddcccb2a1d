//! Users for sessions, each another one than any other session's at the time, in this run or another: what the system counts
//! by user, it counts for each of them apart. Only who is root has users to spare; in a container, those that it has.

use std::io;
#[cfg(any(target_os = "linux", test))]
use std::ops::Range;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

/// Users that nobody else runs as.
#[derive(Debug)]
pub(super) struct Users {
    pub(super) from: u32,
    free: Mutex<Vec<u32>>,
    /// A name of the system that only one run has at a time: whose it is, theirs are these users.
    _claim: UnixListener,
}

/// The user of one session, who is free for another one when this is dropped.
#[derive(Debug)]
pub(super) struct User(Arc<Users>, pub(super) u32);

impl Drop for User {
    fn drop(&mut self) {
        self.0.free.lock().expect("not poisoned").push(self.1);
    }
}

/// How many users a run has: more than sessions at a time.
pub(super) const USERS: u32 = 4096;

/// The first user of the first run, far from those of people and services.
pub(super) const USERS_FROM: u32 = 1 << 30;

/// The most runs at a time.
#[cfg(any(target_os = "linux", test))]
const RUNS: u32 = 256;

impl Users {
    /// The first range of users and groups that no other run has; nothing where there are none to spare.
    #[cfg(target_os = "linux")]
    pub(super) fn claim() -> io::Result<Option<Self>> {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let map = map_of("uid_map");
        let Some((first, runs)) = spare([largest(&map), largest(&map_of("gid_map"))]) else { return Ok(None) };
        for run in 0..runs {
            let from = first + run * USERS;
            // Runs in different namespaces may call different users by the same number.
            let name = format!("conformance-users-{}", outside(&map, from));
            match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
                Ok(claim) => {
                    let free = Mutex::new((from..from + USERS).rev().collect());
                    return Ok(Some(Users { from, free, _claim: claim }));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!("all users for subjects are taken by {runs} other runs")))
    }

    /// Without namespaces of its own a run is one user's.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn claim() -> io::Result<Option<Self>> {
        Ok(None)
    }

    pub(super) fn take(self: &Arc<Self>) -> io::Result<User> {
        let user = self.free.lock().expect("not poisoned").pop();
        Ok(User(self.clone(), user.ok_or_else(|| io::Error::other("more sessions at a time than users"))?))
    }
}

/// Which users or groups there are in the namespace in which the suite is.
#[cfg(target_os = "linux")]
fn map_of(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default()
}

/// The ranges of a map, each of whose lines is the first number inside, the first outside, and how many; with the outside's first.
#[cfg(any(target_os = "linux", test))]
fn ranges(map: &str) -> impl Iterator<Item = (Range<u64>, u64)> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let (inside, outside, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some((inside..inside + count, outside))
    };
    map.lines().filter_map(range)
}

/// The largest range inside.
#[cfg(any(target_os = "linux", test))]
fn largest(map: &str) -> Range<u64> {
    ranges(map).map(|(inside, _)| inside).max_by_key(|range| range.end - range.start).unwrap_or_default()
}

/// What number somebody has outside who is there inside.
#[cfg(any(target_os = "linux", test))]
fn outside(map: &str, number: u32) -> u64 {
    let number = u64::from(number);
    let of_range =
        |(inside, outside): (Range<u64>, u64)| inside.contains(&number).then(|| outside + number - inside.start);
    ranges(map).find_map(of_range).unwrap_or(number)
}

/// Whether who is root here is not root outside: he has no more rights than some user, there.
#[cfg(target_os = "linux")]
pub(super) fn is_root_here_alone() -> bool {
    outside(&map_of("uid_map"), 0) != 0
}

/// There are no namespaces.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_root_here_alone() -> bool {
    false
}

/// Where users and groups for sessions begin, and for how many runs there are some: as far away as everywhere, or in the upper half
/// of what there is, the lower one being that of people and services.
#[cfg(any(target_os = "linux", test))]
fn spare([users, groups]: [Range<u64>; 2]) -> Option<(u32, u32)> {
    let (first, end) = (users.start.max(groups.start), users.end.min(groups.end));
    let usual = u64::from(USERS_FROM);
    if first <= usual && usual + u64::from(RUNS * USERS) <= end {
        return Some((USERS_FROM, RUNS));
    }
    let upper = first + end.saturating_sub(first).div_ceil(2);
    let runs = end.saturating_sub(upper) / u64::from(USERS);
    (runs > 0).then_some((u32::try_from(upper).ok()?, u32::try_from(runs).ok()?.min(RUNS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_has_another_number_outside() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        assert_eq!([0, 1, 32_769, 70_000].map(|inside| outside(map, inside)), [1000, 100_000, 132_768, 70_000]);
    }

    #[test]
    fn there_are_users_to_spare_where_many_are_known() {
        for (users, groups, expected) in [
            // A machine, a container of somebody who is not root, one of Docker's, and namespaces with next to nobody.
            ("0 0 4294967295", "0 0 4294967295", Some((USERS_FROM, RUNS))),
            ("0 1000 1\n1 100000 65536", "0 1000 1\n1 100000 65536", Some((32_769, 8))),
            ("0 231072 65536", "0 231072 65536", Some((32_768, 8))),
            ("0 231072 65536", "0 231072 8192", Some((4096, 1))),
            ("0 231072 65536", "0 231072 8191", None),
            ("0 0 1", "0 0 1", None),
            ("", "0 0 4294967295", None),
            ("0 x 1", "0 0 4294967295", None),
        ] {
            assert_eq!(spare([users, groups].map(largest)), expected, "{users:?}, {groups:?}");
        }
    }
}
