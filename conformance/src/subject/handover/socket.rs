//! Messages and the descriptors beside them, over a Unix socket. Both sides block: a stand-in has nothing else to do, and the
//! suite calls from a thread of its own.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most descriptors that one message carries.
pub const DESCRIPTORS_MAX: usize = 64;

/// The most bytes of one message: a large environment fits, a wild length does not.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The socket's name in the folder where a stand-in finds itself.
pub const SOCKET: &str = "socket";

/// Sends one message and the descriptors beside it.
pub fn send<T: Serialize>(socket: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    assert!(descriptors.len() <= DESCRIPTORS_MAX, "a message carries at most {DESCRIPTORS_MAX} descriptors");
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("a message over 4 GiB"))?;
    let bytes = [&length.to_le_bytes()[..], &body].concat();

    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = beside.push(SendAncillaryMessage::ScmRights(descriptors));
        assert!(fits, "the space was made for the most that can come");
    }
    let mut sent = rustix::net::sendmsg(&socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::empty())?;
    while sent < bytes.len() {
        sent += rustix::io::write(&socket, &bytes[sent..])?;
    }
    Ok(())
}

/// Receives one message and the descriptors beside it, closed on exec; `None` when the other side is gone.
pub fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut descriptors = Vec::new();
    if !fill(&socket, &mut length, &mut descriptors)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::other(format!("a message of {length} bytes, at most {MESSAGE_BYTES_MAX} are taken")));
    }
    let mut body = vec![0; length];
    if !fill(&socket, &mut body, &mut descriptors)? {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

fn fill(socket: &impl AsFd, mut buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<bool> {
    while !buffer.is_empty() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags =
            if cfg!(target_os = "linux") { RecvFlags::from_bits_retain(CMSG_CLOEXEC) } else { RecvFlags::empty() };
        let got = match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut beside, flags) {
            Ok(message) => message.bytes,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(handed) = message {
                for descriptor in handed {
                    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                    descriptors.push(descriptor);
                }
            }
        }
        if got == 0 {
            return Ok(false);
        }
        buffer = &mut buffer[got..];
    }
    Ok(true)
}

/// `MSG_CMSG_CLOEXEC`, which only Linux has.
#[cfg(target_os = "linux")]
const CMSG_CLOEXEC: u32 = libc::MSG_CMSG_CLOEXEC as u32;
#[cfg(not(target_os = "linux"))]
const CMSG_CLOEXEC: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::handover::Order;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_brings_its_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut reader, writer) = os_pipe::pipe().unwrap();
        send(&a, &Order::Exit(3), &[writer.as_fd()]).unwrap();
        drop(writer);
        let (order, mut handed) = receive::<Order>(&b).unwrap().unwrap();
        assert!(matches!(order, Order::Exit(3)));
        std::fs::File::from(handed.pop().unwrap()).write_all(b"through").unwrap();
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        assert_eq!(all, "through");
    }

    #[test]
    fn the_other_side_gone_is_no_error() {
        let (a, b) = UnixStream::pair().unwrap();
        drop(a);
        assert!(receive::<Order>(&b).unwrap().is_none());
    }

    #[test]
    fn a_wild_length_is_refused() {
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(receive::<Order>(&b).is_err());
    }
}
