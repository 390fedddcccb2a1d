//! Streams between processes over the internet's protocol: to who listens, or between two of whom neither does.
//!
//! It makes connections and knows nothing of what is sent over them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Socket, Type};

use super::BACKLOG;

/// So often in a row two that connect to each other try to meet before they rest. Neither's request finds anybody unless
/// both are on their way at once, which on one machine is a matter of microseconds.
const TRIES_IN_A_ROW: usize = 100;

/// They go on when the clock comes to a multiple of this: then both do, and whoever has rested is given a processor at once.
const APPOINTMENT_MILLIS: u128 = 10;

/// Listens at an address; port 0 lets the system choose one.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(at)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Connects to whoever listens at the address.
pub fn connect(to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, patience.max(Duration::from_millis(1)));
    at_once(stream.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => super::timed_out(patience),
        _ => error,
    })?)
}

/// Both ends of a connection of this process with itself, of which one is to be handed on.
pub fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    // Anybody on this machine may connect, and only one of them is us.
    loop {
        let (far, from) = listener.accept()?;
        if from == near.local_addr()? {
            return Ok((at_once(near)?, at_once(far)?));
        }
    }
}

/// Connects two of whom neither listens: each is bound to an address and connects to the other's, and where their requests
/// cross they have one connection. Who comes first tries until the other is there.
pub fn meet(own: SocketAddr, other: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    if own == other {
        return Err(io::Error::other("expected the two addresses of a peer-to-peer connection to differ"));
    }
    // On a thread of its own, which may stay where it was put.
    let trying = || {
        stay_apart(own < other);
        keep_trying(own, other, patience)
    };
    thread::scope(|scope| scope.spawn(trying).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn keep_trying(own: SocketAddr, other: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + patience;
    loop {
        for _ in 0..TRIES_IN_A_ROW {
            // A socket whose request was refused is of no more use, but on Linux.
            let socket = bound(own)?;
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            match socket.connect_timeout(&other.into(), left) {
                Ok(()) => return at_once(socket.into()),
                Err(error) if is_refusal(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(super::timed_out(patience)),
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= deadline {
            return Err(super::timed_out(patience));
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let period = APPOINTMENT_MILLIS * 1_000_000;
        let left = u64::try_from(period - now.as_nanos() % period).unwrap_or_default();
        thread::sleep(Duration::from_nanos(left));
    }
}

/// Puts the calling thread on a processor that the other of the two, whose address is the lower one or not, does not use: two
/// that have to wait for each other's processor are never on their way at once, and a busy system may leave it at that for long.
#[cfg(target_os = "linux")]
fn stay_apart(is_lower: bool) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let this_thread = Pid::from_raw(0);
    // Where it is not allowed, the system does as it likes.
    let Ok(allowed) = sched_getaffinity(this_thread) else { return };
    let mut processors = (0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or_default());
    let (Some(first), Some(second)) = (processors.next(), processors.next()) else { return };
    let mut only = CpuSet::new();
    if only.set(if is_lower { first } else { second }).is_ok() {
        let _ = sched_setaffinity(this_thread, &only);
    }
}

#[cfg(not(target_os = "linux"))]
fn stay_apart(_is_lower: bool) {}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// What is written goes at once: whole messages are put together before.
pub fn at_once(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn bound(at: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    // A connection of an earlier process that is not forgotten yet would keep the address; on Windows the same word lets
    // two processes have one address.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn anywhere() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[test]
    fn what_is_sent_arrives_and_where_nobody_listens_is_refused() {
        let listener = listen(anywhere()).unwrap();
        let at = listener.local_addr().unwrap();
        let mut here = connect(at, PATIENCE).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.write_all(b"1").unwrap();
        drop(here);
        let mut got = Vec::new();
        there.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"1");
        drop(listener);
        assert_eq!(connect(at, PATIENCE).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_process_has_both_ends_of_its_own_connection() {
        let (mut here, mut there) = pair().unwrap();
        assert_eq!(here.local_addr().unwrap(), there.peer_addr().unwrap());
        here.write_all(b"1").unwrap();
        there.read_exact(&mut [0]).unwrap();
        drop(there);
        assert_eq!(here.read(&mut [0]).unwrap(), 0);
    }

    /// On one processor two requests never are on their way at once.
    #[test]
    fn two_of_whom_neither_listens_meet() {
        if thread::available_parallelism().unwrap().get() < 2 {
            return;
        }
        let [one, other] = [(), ()].map(|()| bound(anywhere()).unwrap().local_addr().unwrap().as_socket().unwrap());
        let meeting = thread::spawn(move || meet(one, other, PATIENCE));
        let mut here = meet(other, one, PATIENCE).unwrap();
        let mut there = meeting.join().unwrap().unwrap();
        assert_eq!(here.peer_addr().unwrap(), one);
        here.write_all(b"1").unwrap();
        there.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_peer_that_does_not_come_is_not_waited_for_for_ever() {
        let [one, other] = [(), ()].map(|()| bound(anywhere()).unwrap().local_addr().unwrap().as_socket().unwrap());
        let error = meet(one, other, Duration::from_millis(5)).unwrap_err();
        assert_eq!(error.to_string(), "nobody took the connection within 5 ms");
        assert!(meet(one, one, PATIENCE).is_err());
    }
}
