//! A server with an address of its own: opens it, says where it is, and serves whoever comes.
//!
//! It knows the kinds of address, and not what is asked for.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::time::Duration;

use super::run::Alarms;
use super::service::Setup;
use super::{datagrams, listen, run};
use crate::stops::Stops;
use crate::transport::address::Address;
use crate::transport::datagrams::{Datagrams, Peer};
use crate::transport::{ends, tcp};
#[cfg(unix)]
use crate::transport::{unix, unix_datagram};

/// How long a peer that connects too is waited for.
const PEER_WAIT: Duration = Duration::from_secs(60);

/// Why a server with an address ended otherwise than in order.
#[derive(Debug)]
pub enum Failure {
    /// The address cannot be used: a sentence.
    Address(String),
    /// What worked before does not any more.
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::System(error)
    }
}

/// Serves everybody who comes to this address, until a signal comes and all of them are done.
pub fn everybody(at: &Address, setup: &Setup) -> Result<(), Failure> {
    // First, so that a signal finds nothing that would be left behind.
    let stops = Stops::watch_with_alarm()?;
    let told = |error: io::Error| Failure::Address(format!("cannot listen at {at}: {error}"));
    match at {
        Address::Tcp(at) => {
            let listener = tcp::listen(*at).map_err(told)?;
            say(&Address::Tcp(listener.local_addr()?))?;
            listen::run(setup, stops, move || tcp::at_once(listener.accept()?.0).and_then(ends::of_tcp))?;
        }
        Address::Udp(at) => {
            let socket = UdpSocket::bind(at).map_err(told)?;
            say(&Address::Udp(socket.local_addr()?))?;
            datagrams::run(setup, stops, Datagrams::Udp(socket), None)?;
        }
        #[cfg(unix)]
        Address::Unix(path) => {
            let (listener, _file) = unix::listen(path).map_err(told)?;
            say(at)?;
            listen::run(setup, stops, move || ends::of_socket(listener.accept()?.0))?;
        }
        #[cfg(unix)]
        Address::UnixDatagram(path) => {
            let (socket, _file) = unix_datagram::bind(path).map_err(told)?;
            say(at)?;
            datagrams::run(setup, stops, Datagrams::Unix(socket, None), None)?;
        }
        #[cfg(windows)]
        Address::Unix(_) | Address::UnixDatagram(_) => return Err(told(io::ErrorKind::Unsupported.into())),
    }
    Ok(())
}

/// Serves one peer, which is bound to an address and connects to ours as we do to its.
pub fn one_peer(own: &Address, peer: &Address, setup: &Setup) -> Result<(), Failure> {
    let told = |error: io::Error| Failure::Address(format!("cannot connect {own} to {peer}: {error}"));
    own.meets(peer).map_err(|why| told(io::Error::other(why)))?;
    match (own, peer) {
        (Address::Tcp(own), Address::Tcp(peer)) => {
            // Until they have met, a signal ends it as it ends any program.
            let stream = tcp::meet(*own, *peer, PEER_WAIT).map_err(told)?;
            let alarms = Alarms::of_process_and_stops()?;
            let (incoming, outgoing) = ends::of_tcp(stream)?;
            run::run(setup, alarms, incoming, outgoing, "", ())?;
        }
        (Address::Udp(own), Address::Udp(peer)) => {
            let stops = Stops::watch_with_alarm()?;
            let socket = UdpSocket::bind(own).map_err(told)?;
            datagrams::run(setup, stops, Datagrams::Udp(socket), Some(Peer::Udp(*peer)))?;
        }
        #[cfg(unix)]
        (Address::UnixDatagram(own), Address::UnixDatagram(peer)) => {
            let stops = Stops::watch_with_alarm()?;
            let (socket, _file) = unix_datagram::bind(own).map_err(told)?;
            datagrams::run(setup, stops, Datagrams::Unix(socket, None), Some(Peer::Unix(peer.clone())))?;
        }
        // They do not meet.
        _ => return Err(told(io::ErrorKind::Unsupported.into())),
    }
    Ok(())
}

/// Whoever waits for it may come now.
fn say(at: &Address) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {at}").and_then(|()| stdout.flush())
}
