//! Where a server listens and a watchdog connects: `unix:PATH`, `unix-dgram:PATH`, `tcp:HOST:PORT` or `udp:HOST:PORT`.
//!
//! It knows how addresses are written and which of them leave this machine, and opens nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a socket, and with it the kind of socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A stream of bytes at a path.
    Unix(PathBuf),
    /// Datagrams at a path.
    UnixDatagram(PathBuf),
    /// A stream of bytes at an internet address.
    Tcp(SocketAddr),
    /// Datagrams at an internet address.
    Udp(SocketAddr),
}

impl Address {
    /// How addresses are written.
    pub const FORMS: &str = "unix:PATH, unix-dgram:PATH, tcp:HOST:PORT or udp:HOST:PORT";

    /// Refuses an address that others than this machine can reach, or that is elsewhere, unless that was asked for.
    pub fn allowed(self, public: bool) -> Result<Self, String> {
        match self {
            Address::Tcp(at) | Address::Udp(at) if !public && !at.ip().is_loopback() => {
                Err(format!("{self} is not on this machine alone; to use a public address, add --public"))
            }
            other => Ok(other),
        }
    }

    /// Whether one side can be here and the other one there. The error says why not.
    pub fn meets(&self, other: &Address) -> Result<(), String> {
        match (self, other) {
            (Address::Unix(_), Address::Unix(_)) => {
                Err("local streams have no form in which both sides connect; one of them has to listen".into())
            }
            (own, other) if own == other => Err("expected two addresses, found one twice".into()),
            (Address::UnixDatagram(_), Address::UnixDatagram(_)) => Ok(()),
            (Address::Tcp(own), Address::Tcp(other)) | (Address::Udp(own), Address::Udp(other)) => {
                if own.is_ipv4() != other.is_ipv4() {
                    return Err("expected two addresses of one family, found one of IPv4 and one of IPv6".into());
                }
                match own.port() == 0 || other.port() == 0 {
                    true => Err("expected two ports that are not 0: each side has to know the other's".into()),
                    false => Ok(()),
                }
            }
            _ => Err("expected two addresses of one kind".into()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// The error is a sentence about what was expected.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |found: &str| format!("expected {}, found {found}", Address::FORMS);
        let (kind, rest) = text.split_once(':').ok_or_else(|| wrong(&format!("{text:?}")))?;
        match kind {
            "unix" => path(rest).map(Address::Unix),
            "unix-dgram" => path(rest).map(Address::UnixDatagram),
            "tcp" => internet(rest).map(Address::Tcp),
            "udp" => internet(rest).map(Address::Udp),
            _ => Err(wrong(&format!("the kind {kind:?}"))),
        }
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if !cfg!(unix) {
        return Err(
            "local sockets are not supported on this system; use tcp:127.0.0.1:PORT or udp:127.0.0.1:PORT".into()
        );
    }
    if text.is_empty() {
        return Err("expected a path after the colon, found nothing".into());
    }
    Ok(PathBuf::from(text))
}

fn internet(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    local.map(|port: u16| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).map_or_else(
        || {
            let expected = "an IP address (or localhost), a colon and a port, as in 127.0.0.1:4000 or [::1]:4000";
            text.parse().map_err(|_| format!("expected {expected}, found {text:?}"))
        },
        Ok,
    )
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::UnixDatagram(path) => write!(f, "unix-dgram:{}", path.display()),
            Address::Tcp(at) => write!(f, "tcp:{at}"),
            Address::Udp(at) => write!(f, "udp:{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["tcp:127.0.0.1:4000", "udp:[::1]:0", "tcp:0.0.0.0:80"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("tcp:localhost:1".parse::<Address>().unwrap().to_string(), "tcp:127.0.0.1:1");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_all_that_follows_the_first_colon() {
        for text in ["unix:/tmp/a:b c", "unix-dgram:relative"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("unix:".parse::<Address>().is_err());
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for text in
            ["", "4000", "/tmp/socket", "http://127.0.0.1:80", "tcp:", "tcp:host", "tcp:127.0.0.1", "udp::1:2:3x"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.starts_with("expected "), "{text}: {error}");
        }
    }

    #[test]
    fn two_sides_meet_at_two_addresses_of_one_kind() {
        let meet = |own: &str, other: &str| own.parse::<Address>().unwrap().meets(&other.parse().unwrap()).is_ok();
        assert!(meet("udp:127.0.0.1:1", "udp:127.0.0.1:2") && meet("tcp:[::1]:1", "tcp:[::1]:2"));
        for (own, other) in [
            ("udp:127.0.0.1:1", "udp:127.0.0.1:1"),
            ("udp:127.0.0.1:1", "tcp:127.0.0.1:2"),
            ("udp:127.0.0.1:1", "udp:[::1]:2"),
            ("tcp:127.0.0.1:1", "tcp:127.0.0.1:0"),
        ] {
            assert!(!meet(own, other), "{own} {other}");
        }
    }

    #[test]
    fn what_others_can_reach_has_to_be_asked_for() {
        for (text, is_public) in
            [("tcp:0.0.0.0:1", true), ("udp:[::]:1", true), ("tcp:192.0.2.1:1", true), ("udp:127.9.9.9:1", false)]
        {
            let address = || text.parse::<Address>().unwrap();
            assert_eq!(address().allowed(false).is_err(), is_public, "{text}");
            assert_eq!(address().allowed(true), Ok(address()));
        }
    }
}
