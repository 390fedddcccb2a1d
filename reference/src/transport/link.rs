//! A connection to a server that somebody else started, over whatever its address says.
//!
//! It knows how to get one, and nothing of what is sent over it.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::address::Address;
use super::datagrams::Datagrams;
use super::ends::{self, Incoming, Outgoing};
use super::relay::{self, TooLong};
use super::{tcp, udp};
#[cfg(unix)]
use super::{unix, unix_datagram};

/// Why a connection came to its end, where there is more to say than that it did.
#[derive(Debug, Clone, Default)]
pub struct Why(Arc<OnceLock<String>>);

impl Why {
    /// Says it, once.
    pub fn say(&self, why: String) {
        let _ = self.0.set(why);
    }

    /// What was said.
    pub fn said(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// A connection.
#[derive(Debug)]
pub struct Link {
    /// Why it ended, once it has.
    pub why: Why,
    /// A path of our own, which goes with it.
    #[cfg(unix)]
    _place: Option<unix_datagram::Place>,
}

impl Link {
    /// Connects to an address, from an address of our own if it is to be a certain one. Without that a stream goes to whoever
    /// listens; with it, to a peer that is bound and connects in the same way. Over datagrams, `too_long` makes the reply
    /// to a request that does not fit into one. The error is a sentence.
    pub fn connect(
        to: &Address,
        own: Option<&Address>,
        patience: Duration,
        too_long: TooLong,
    ) -> Result<(Self, Incoming, Outgoing), String> {
        let told = |error: io::Error| match own {
            Some(own) => format!("cannot connect {own} to {to}: {error}"),
            None => format!("cannot connect to {to}: {error}"),
        };
        if let Some(own) = own {
            own.meets(to).map_err(|why| told(io::Error::other(why)))?;
        }
        let why = Why::default();
        #[cfg(unix)]
        let mut place = None;
        let (incoming, outgoing) = match (to, own) {
            (Address::Tcp(to), None) => tcp::connect(*to, patience).and_then(ends::of_tcp),
            (Address::Tcp(to), Some(Address::Tcp(own))) => tcp::meet(*own, *to, patience).and_then(ends::of_tcp),
            (Address::Udp(to), own) => {
                let (own, waits) = match own {
                    Some(Address::Udp(own)) => (Some(*own), true),
                    _ => (None, false),
                };
                udp::connect(own, *to)
                    .and_then(|socket| relay::start(Datagrams::Udp(socket), waits, why.clone(), too_long))
            }
            #[cfg(unix)]
            (Address::Unix(path), _) => unix::connect(path, patience).and_then(ends::of_socket),
            #[cfg(unix)]
            (Address::UnixDatagram(path), own) => {
                let (own, waits) = match own {
                    Some(Address::UnixDatagram(own)) => (Some(own.as_path()), true),
                    _ => (None, false),
                };
                unix_datagram::connect(own, path, patience).and_then(|(socket, at)| {
                    place = Some(at);
                    relay::start(socket, waits, why.clone(), too_long)
                })
            }
            // The two do not meet.
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
        .map_err(told)?;
        let link = Link {
            why,
            #[cfg(unix)]
            _place: place,
        };
        Ok((link, incoming, outgoing))
    }
}
