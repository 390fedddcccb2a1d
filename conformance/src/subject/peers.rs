//! Which streams of one process are the two ends of one: whoever starts a child and closes nothing hands both on.
//!
//! What follows from that is not known here.

use std::os::fd::BorrowedFd;

use rustix::net::{AddressFamily, SocketAddrAny, getpeername, getsockname};

/// For each stream, with its inode, the inode of its other end, where that is among them or the system tells.
pub(super) fn of(streams: &[(BorrowedFd<'_>, u64)]) -> Vec<Option<u64>> {
    let names: Vec<_> = streams.iter().map(|(fd, _)| names(fd)).collect();
    let other = |own: &Option<Names>| {
        let back = own.as_ref().map(|(near, far)| (far.clone(), near.clone()));
        names.iter().position(|name| back.is_some() && *name == back).map(|at| streams[at].1)
    };
    names.iter().zip(streams).map(|(own, (_, inode))| other(own).or_else(|| local(*inode))).collect()
}

type Names = (SocketAddrAny, SocketAddrAny);

/// The near and the far address of a stream over the network. Local ones mostly have none.
fn names(stream: &BorrowedFd<'_>) -> Option<Names> {
    let (near, far) = (getsockname(stream).ok()?, getpeername(stream).ok()??);
    (near.address_family() != AddressFamily::UNIX).then_some((near, far))
}

/// The other end of a local stream, as the kernel tells everybody who asks it for one by inode.
#[cfg(target_os = "linux")]
fn local(inode: u64) -> Option<u64> {
    use rustix::net::{RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

    /// `SOCK_DIAG_BY_FAMILY`.
    const BY_FAMILY: u16 = 20;
    /// `UDIAG_SHOW_PEER`, and the attribute that it asks for.
    const SHOW_PEER: u32 = 4;
    const PEER: u16 = 2;
    /// What stands before the attributes of an answer: `nlmsghdr` and `unix_diag_msg`.
    const HEADERS: usize = 16 + 16;

    let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
    let asking = rustix::net::socket_with(family, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG)).ok()?;
    // `unix_diag_req`: the family, no protocol, padding; any state; the inode; what to show; no cookie.
    let request = [
        &[u8::try_from(libc::AF_UNIX).ok()?, 0, 0, 0][..],
        &u32::MAX.to_ne_bytes(),
        &u32::try_from(inode).ok()?.to_ne_bytes(),
        &SHOW_PEER.to_ne_bytes(),
        &[u8::MAX; 8],
    ]
    .concat();
    let length = u32::try_from(16 + request.len()).ok()?;
    let (flags, sequence, port) = (1_u16, 1_u32, 0_u32);
    let header = [
        &length.to_ne_bytes()[..],
        &BY_FAMILY.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &port.to_ne_bytes(),
    ];
    rustix::net::send(&asking, &[&header.concat()[..], &request].concat(), SendFlags::empty()).ok()?;
    let mut answer = [0; 512];
    // It is there as soon as it was asked for, if the kernel can tell at all.
    let (bytes, _) = rustix::net::recv(&asking, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    let answer = &answer[..bytes];
    let is_told = answer.get(4..6)? == BY_FAMILY.to_ne_bytes();
    attribute(answer.get(HEADERS..).filter(|_| is_told)?, PEER).map(u64::from)
}

#[cfg(not(target_os = "linux"))]
fn local(_inode: u64) -> Option<u64> {
    None
}

/// A number among attributes, each of which is its length, its kind and its value, filled up to a multiple of four bytes.
#[cfg(target_os = "linux")]
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<u32> {
    loop {
        let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        if kind == wanted {
            return Some(u32::from_ne_bytes(bytes.get(4..length)?.try_into().ok()?));
        }
        bytes = bytes.get(length.next_multiple_of(4).max(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::net::UnixStream;

    fn inode(end: &OwnedFd) -> u64 {
        crate::subject::identity(&nix::sys::stat::fstat(end).unwrap()).1
    }

    #[test]
    fn two_ends_of_one_stream_are_told_from_others() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let elsewhere = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        let (alone, _away) = UnixStream::pair().unwrap();
        let ends: Vec<OwnedFd> =
            vec![near.into(), far.into(), elsewhere.into(), one.into(), other.into(), alone.into()];
        let inodes: Vec<_> = ends.iter().map(inode).collect();
        let found = of(&ends.iter().map(AsFd::as_fd).zip(inodes.iter().copied()).collect::<Vec<_>>());
        assert_eq!(found[..3], [Some(inodes[1]), Some(inodes[0]), None]);
        if cfg!(target_os = "linux") {
            assert_eq!(found[3..5], [Some(inodes[4]), Some(inodes[3])]);
            assert!(found[5].is_some_and(|away| !inodes.contains(&away)));
        }
    }
}
