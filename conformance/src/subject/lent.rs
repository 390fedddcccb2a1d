//! Linux: users that the system lends to somebody who is not root, in `/etc/subuid` and `/etc/subgid`, so that sessions can be
//! other users than he is.
//!
//! The suite becomes root in a user namespace in which there are these users, and nobody else but its own. From then on it
//! is as in a container of somebody's own, and nothing else knows of it. Who sessions run as, `users` decides.

#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "a child has to leave its namespace before it is executed")
)]

use std::io;

/// Becomes root where the users are known that are lent to the user of this process, unless that is root. Where none are lent,
/// nothing changes, and where something fails, nothing has changed.
///
/// # Errors
/// They are lent and cannot be used: `newuidmap` and `newgidmap` are not there or refuse, the system allows no namespaces, or
/// this process has more than one thread.
#[cfg(target_os = "linux")]
pub fn join() -> io::Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    if user.is_root() {
        return Ok(());
    }
    let name =
        nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(user.as_raw())).ok().flatten().map(|user| user.name);
    let lent = |file| range(&std::fs::read_to_string(file).unwrap_or_default(), name.as_deref(), user.as_raw());
    let (Some(users), Some(groups)) = (lent("/etc/subuid"), lent("/etc/subgid")) else { return Ok(()) };
    let there = Elsewhere::make()?;
    there.map("newuidmap", user.as_raw(), users)?;
    there.map("newgidmap", group.as_raw(), groups)?;
    there.join()
}

/// There are no namespaces here.
#[cfg(not(target_os = "linux"))]
pub fn join() -> io::Result<()> {
    Ok(())
}

/// The first number that is lent, and how many, by the lines of a file, each of a name or number, the first number that is
/// lent, and how many.
#[cfg(any(target_os = "linux", test))]
fn range(lines: &str, name: Option<&str>, user: u32) -> Option<(u32, u32)> {
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let whose = fields.next()?;
        (Some(whose) == name || whose.parse() == Ok(user)).then_some(())?;
        Some((fields.next()?.parse().ok()?, fields.next()?.trim_end().parse().ok()?))
    };
    lines.lines().filter_map(of_line).max_by_key(|(_, count)| *count)
}

/// A process in a user namespace of its own, which lives as long as this does.
#[cfg(target_os = "linux")]
struct Elsewhere(std::process::Child);

#[cfg(target_os = "linux")]
impl Elsewhere {
    fn make() -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        // It reads until nobody is there who could write.
        let mut waiting = std::process::Command::new("cat");
        waiting.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        // SAFETY: between fork and exec one system call, without memory, locks or descriptors of the parent's; the child, of
        // one thread, shares nothing that the flag would part.
        let made = unsafe {
            waiting.pre_exec(|| Ok(rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWUSER)?));
            waiting.spawn()
        };
        Ok(Elsewhere(made.map_err(|error| io::Error::other(format!("a user namespace cannot be made: {error}")))?))
    }

    /// Lets a user or group of this process be root there, and others who they are lent to be others.
    fn map(&self, tool: &str, own: u32, (lent, count): (u32, u32)) -> io::Result<()> {
        let map = [self.0.id(), 0, own, 1, 1, lent, count].map(|number| number.to_string());
        let done = std::process::Command::new(tool).args(map).stdin(std::process::Stdio::null()).output();
        let done =
            done.map_err(|error| io::Error::other(format!("{tool}: {error} (its package is often `uidmap`)")))?;
        let said = String::from_utf8_lossy(&done.stderr);
        if done.status.success() { Ok(()) } else { Err(io::Error::other(format!("{tool}: {}", said.trim_end()))) }
    }

    fn join(&self) -> io::Result<()> {
        use std::os::fd::AsFd;
        let namespace = std::fs::File::open(format!("/proc/{}/ns/user", self.0.id()))?;
        let joined =
            rustix::thread::move_into_link_name_space(namespace.as_fd(), None::<rustix::thread::LinkNameSpaceType>);
        joined.map_err(|error| io::Error::other(format!("their namespace cannot be joined: {error}")))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_is_found_by_name_and_by_number() {
        let lines = "root:1:2\nann:100000:65536\n1001:300000:10\n1001:165536:65536\nben:x:65536\nben:7\n\n";
        for (name, user, expected) in [
            (Some("ann"), 1000, Some((100_000, 65_536))),
            (Some("an"), 1000, None),
            (Some("ben"), 1001, Some((165_536, 65_536))),
            (None, 1001, Some((165_536, 65_536))),
            (Some("ben"), 1002, None),
            (None, 1, None),
        ] {
            assert_eq!(range(lines, name, user), expected, "{name:?}, {user}");
        }
    }
}
