//! What a process and one that it started both hold that messages can pass through, as far as the system lists what
//! processes hold. A tap stands in what is inherited; this looks at all the rest.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde::{Deserialize, Serialize};

use super::process::{descendants, parent};

/// A way between two processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// Both hold the same pipe, with a name or without.
    Pipe,
    /// Each holds an end of a connection, told in these words.
    Connection(String),
}

/// One of two processes, with whatever descends from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The one that started the other.
    Parent,
    /// The one that was started.
    Child,
}

/// Which of the two is connected to this port of the network: the child, if it is one of both.
pub fn connected(parent: i32, child: Option<i32>, port: u16) -> Option<End> {
    let (above, below) = apart(parent, child);
    let ports = ports(parent);
    let is_far = |inode: &u64| ports.get(inode).is_some_and(|(_, far)| *far == port);
    let reaches = |pids: &[i32]| held(pids).sockets.iter().any(is_far);
    match (reaches(&below), reaches(&above)) {
        (true, _) => Some(End::Child),
        (false, true) => Some(End::Parent),
        (false, false) => None,
    }
}

/// The processes on the parent's side, and those on the child's.
fn apart(parent: i32, child: Option<i32>) -> (Vec<i32>, Vec<i32>) {
    let below = child.map_or_else(Vec::new, descendants);
    let above = descendants(parent).into_iter().filter(|pid| !below.contains(pid)).collect();
    (above, below)
}

/// The way between a process and one that it started, each with whatever descends from it: a program may be started by
/// a script. A pipe comes before any connection.
pub fn between(parent: i32, child: i32) -> Option<Channel> {
    let (above, below) = apart(parent, Some(child));
    let (above, below) = (held(&above), held(&below));
    if !above.pipes.is_disjoint(&below.pipes) {
        return Some(Channel::Pipe);
    }
    connection(&above, &below, child).map(Channel::Connection)
}

/// A connection of which each side holds an end, in words, among the sockets that `child` sees.
fn connection(above: &Held, below: &Held, child: i32) -> Option<String> {
    let ports = ports(child);
    let ends = |held: &Held| held.sockets.iter().filter_map(|inode| ports.get(inode).copied()).collect::<HashSet<_>>();
    let (above_ends, below_ends) = (ends(above), ends(below));
    let (near, far) = above_ends.into_iter().find(|(near, far)| below_ends.contains(&(*far, *near)))?;
    Some(format!("a network connection between the ports {near} and {far}"))
}

/// Whether a child's socket, by inode, is an end of a connection of which somebody above the child holds the other one.
pub fn leads_to_who_started(child: i32, socket: u64) -> bool {
    let own = std::process::id().cast_signed();
    let above: Vec<_> =
        std::iter::successors(parent(child), |pid| parent(*pid)).take_while(|pid| *pid != own).collect();
    has_other_end(&above, child, socket)
}

fn has_other_end(of_these: &[i32], child: i32, socket: u64) -> bool {
    let ports = ports(child);
    let Some((near, far)) = ports.get(&socket) else { return false };
    held(of_these).sockets.iter().any(|inode| ports.get(inode) == Some(&(*far, *near)))
}

/// The pipes, by device and inode, and the sockets, by inode, that processes hold.
#[derive(Default)]
struct Held {
    pipes: HashSet<(u64, u64)>,
    sockets: HashSet<u64>,
}

fn held(pids: &[i32]) -> Held {
    let mut held = Held::default();
    for descriptor in pids.iter().flat_map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd"))).flatten().flatten() {
        // What was closed meanwhile is not held.
        let Ok(of) = std::fs::metadata(descriptor.path()) else { continue };
        if of.file_type().is_fifo() {
            held.pipes.insert((of.dev(), of.ino()));
        } else if of.file_type().is_socket() {
            held.sockets.insert(of.ino());
        }
    }
    held
}

/// A table of the network, as a process sees it: a line for each socket, after one of headings.
fn table(pid: i32, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    text.lines().skip(1).map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// The near and the far port of each connected socket.
fn ports(pid: i32) -> HashMap<u64, (u16, u16)> {
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let row = |row: Vec<String>| Some((row.get(9)?.parse().ok()?, (port(row.get(1)?)?, port(row.get(2)?)?)));
    ["tcp", "tcp6", "udp", "udp6"].into_iter().flat_map(|name| table(pid, name)).filter_map(row).collect()
}

/// How many bytes wait to be read at the near port, from the far one, in the network of this process.
pub fn unread_at(pid: i32, near: u16, far: u16) -> Option<u64> {
    let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
    let row = |row: &Vec<String>| {
        let is_this = port(row.get(1)?) == Some(near) && port(row.get(2)?) == Some(far);
        is_this.then(|| u64::from_str_radix(row.get(4)?.split_once(':')?.1, 16).ok())?
    };
    ["tcp", "tcp6"].into_iter().flat_map(|name| table(pid, name)).find_map(|found| row(&found))
}

/// The addresses at which the processes that this one sees listen at this port, by this protocol: `tcp` or `udp`. A socket
/// for datagrams that is connected to nobody listens to everybody.
pub fn listens_at(pid: i32, protocol: &str, port: u16) -> Vec<String> {
    let listening = if protocol == "tcp" { "0A" } else { "07" };
    let address = |row: &Vec<String>| {
        let (host, at) = row.get(1)?.rsplit_once(':')?;
        let is_listening = row.get(3).is_some_and(|state| state == listening);
        (is_listening && u16::from_str_radix(at, 16) == Ok(port)).then(|| host_of(host))?
    };
    let tables = [protocol.to_owned(), format!("{protocol}6")];
    tables.iter().flat_map(|name| table(pid, name)).filter_map(|row| address(&row)).collect()
}

/// An address as the table of the network has it: words of four bytes, each in the machine's order.
fn host_of(text: &str) -> Option<String> {
    let words: Option<Vec<u8>> = (0..text.len() / 8)
        .map(|n| u32::from_str_radix(text.get(8 * n..8 * n + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()
        .map(|words| words.concat());
    match words?.as_slice() {
        four if four.len() == 4 => Some(std::net::Ipv4Addr::from(<[u8; 4]>::try_from(four).ok()?).to_string()),
        six => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(six).ok()?).to_string()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn it_is_seen_how_much_is_unread() {
        use std::io::{Read, Write};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, from) = listener.accept().unwrap();
        here.write_all(b"abc").unwrap();
        there.read_exact(&mut [0]).unwrap();
        let near = there.local_addr().unwrap().port();
        assert_eq!(unread_at(std::process::id().cast_signed(), near, from.port()), Some(2));
    }

    #[test]
    fn it_is_seen_where_somebody_listens() {
        for at in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(at).unwrap();
            let at = listener.local_addr().unwrap();
            assert_eq!(listens_at(std::process::id().cast_signed(), "tcp", at.port()), [at.ip().to_string()]);
        }
        assert_eq!(host_of("00000000000000000000000001000000").as_deref(), Some("::1"));
    }
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    /// What a look at a child that was given this finds.
    fn seen<T>(end: OwnedFd, look: impl FnOnce(i32, i32) -> T) -> T {
        let mut child =
            Command::new("sleep").arg("1000").stdin(end).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let found = look(std::process::id().cast_signed(), child.id().cast_signed());
        child.kill().and_then(|()| child.wait()).unwrap();
        found
    }

    /// Whoever runs the tests may have handed a pipe to all of us: so connections are looked for alone.
    fn connection_of(end: OwnedFd) -> Option<String> {
        seen(end, |parent, child| connection(&held(&[parent]), &held(&[child]), child))
    }

    #[test]
    fn what_both_hold_is_found_and_told_apart() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(seen(reader.into(), between), Some(Channel::Pipe));
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _accepted = listener.accept().unwrap();
        let found = connection_of(near.into());
        assert!(found.as_ref().is_some_and(|words| words.contains("ports")), "{found:?}");
        assert_eq!(connection_of(std::fs::File::open("/dev/null").unwrap().into()), None);
    }

    #[test]
    fn it_is_known_of_a_connection_where_its_other_end_is() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let end = std::fs::File::from(OwnedFd::from(near));
        let inode = end.metadata().unwrap().ino();
        seen(end.into(), |parent, child| {
            assert!(has_other_end(&[parent], child, inode));
            assert!(!has_other_end(&[child], child, inode));
            drop(far);
            assert!(!has_other_end(&[parent], child, inode));
        });
    }

    #[test]
    fn who_holds_a_connection_is_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = || TcpStream::connect(("127.0.0.1", port)).unwrap();
        let end = |parent, child| connected(parent, Some(child), port);
        assert_eq!(seen(dial().into(), end), Some(End::Child));
        let own = dial();
        assert_eq!(seen(dial().into(), end), Some(End::Child), "whoever else is connected");
        let nothing = || std::fs::File::open("/dev/null").unwrap().into();
        assert_eq!(seen(nothing(), end), Some(End::Parent));
        drop(own);
        assert_eq!(seen(nothing(), end), None);
    }
}
