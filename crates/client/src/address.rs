//! Addresses of boxes: a host and a port, or a unix socket on this machine.
//!
//! `unix:PATH`, and any text with a `/`, is the path of a socket. Any other text is `HOST`,
//! `HOST:PORT`, or an IPv6 address, in brackets if a port follows. TLS is used with the prefix
//! `tls:` or the port 7441. Host names are looked up in `stream`, not here.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// The port where an address names none.
pub const DEFAULT_PORT: u16 = 7440;
/// The port for TLS where an address names none.
pub const DEFAULT_TLS_PORT: u16 = 7441;

/// The address of a box.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP without TLS.
    Tcp {
        /// A host name or an IP address without brackets, as written.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// TLS over TCP.
    Tls {
        /// A host name or an IP address without brackets, as written.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is empty, or has no host before the port.
    #[error("{text:?} has no host; write HOST:PORT, for example 127.0.0.1:{DEFAULT_PORT}")]
    NoHost {
        /// The whole text.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("{text:?} has the invalid port {port:?}; write a number from 1 to 65535")]
    Port {
        /// The whole text.
        text: String,
        /// The part where a port is expected.
        port: String,
    },
    /// Brackets do not enclose an IPv6 address, or several colons have no brackets.
    #[error("{text:?} is not an address; write an IPv6 address with a port as [ADDRESS]:PORT")]
    Ipv6 {
        /// The whole text.
        text: String,
    },
    /// No path follows `unix:`.
    #[error("{text:?} has no socket path; write unix:/path/to/hushbox.sock")]
    NoPath {
        /// The whole text.
        text: String,
    },
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(rest) = text.strip_prefix("tls:") {
            let (host, port) = parse_host_and_port(rest)?;
            return Ok(Address::Tls { host, port: port.unwrap_or(DEFAULT_TLS_PORT) });
        }
        let path = text.strip_prefix("unix:").or_else(|| text.contains('/').then_some(text));
        if let Some(path) = path {
            let missing = || AddressError::NoPath { text: text.to_owned() };
            return if path.is_empty() { Err(missing()) } else { Ok(Address::Unix(path.into())) };
        }
        Ok(match parse_host_and_port(text)? {
            (host, Some(port @ DEFAULT_TLS_PORT)) => Address::Tls { host, port },
            (host, port) => Address::Tcp { host, port: port.unwrap_or(DEFAULT_PORT) },
        })
    }
}

/// Parses `HOST` or `HOST:PORT`; the host is returned without brackets.
fn parse_host_and_port(text: &str) -> Result<(String, Option<u16>), AddressError> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), None));
    }
    let (host, port) = split_port(text)?;
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(AddressError::NoHost { text: text.to_owned() });
    }
    let Some(port) = port else { return Ok((host.to_owned(), None)) };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(number) if digits && number > 0 => Ok((host.to_owned(), Some(number))),
        _ => Err(AddressError::Port { text: text.to_owned(), port: port.to_owned() }),
    }
}

/// Splits a text at its port and removes the brackets of an IPv6 address.
fn split_port(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    let bad = || AddressError::Ipv6 { text: text.to_owned() };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(bad)?;
        host.parse::<Ipv6Addr>().map_err(|_| bad())?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(bad()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

impl fmt::Display for Address {
    /// Writes the form that `from_str` parses.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(out, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(out, "{host}:{port}"),
            Address::Tls { host, port } if host.contains(':') => {
                write!(out, "tls:[{host}]:{port}")
            }
            Address::Tls { host, port } => write!(out, "tls:{host}:{port}"),
            Address::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Address, AddressError> {
        Ok(Address::Tcp { host: host.to_owned(), port })
    }

    #[test]
    fn a6_addresses_are_a_host_and_port_or_a_path() {
        assert_eq!("127.0.0.1:7440".parse(), tcp("127.0.0.1", 7440));
        assert_eq!("box-01".parse(), tcp("box-01", DEFAULT_PORT));
        assert_eq!("box-01:1".parse(), tcp("box-01", 1));
        assert_eq!("[::1]:80".parse(), tcp("::1", 80));
        assert_eq!("[::1]".parse(), tcp("::1", DEFAULT_PORT));
        assert_eq!("::1".parse(), tcp("::1", DEFAULT_PORT));
        let tls = |host: &str, port| Ok(Address::Tls { host: host.to_owned(), port });
        assert_eq!("tls:box-01".parse(), tls("box-01", DEFAULT_TLS_PORT));
        assert_eq!("tls:[::1]:80".parse(), tls("::1", 80));
        assert_eq!("box-01:7441".parse(), tls("box-01", 7441));
        for path in ["/run/box.sock", "./a:b", "data/x.sock"] {
            assert_eq!(path.parse(), Ok(Address::Unix(path.into())), "{path}");
        }
        assert_eq!("unix:x".parse(), Ok(Address::Unix("x".into())));
    }

    #[test]
    fn printed_addresses_parse_to_the_same() {
        for text in [
            "127.0.0.1:7440",
            "[::1]:80",
            "unix:/run/box.sock",
            "box:1",
            "tls:box:80",
            "tls:[::1]:80",
        ] {
            let address: Result<Address, _> = text.parse();
            assert_eq!(address.map(|address| address.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn invalid_addresses_are_rejected_with_the_right_form() {
        let error = |text: &str| text.parse::<Address>().map_err(|error| error.to_string());
        for (text, says) in [
            ("", "HOST:PORT"),
            (":7440", "HOST:PORT"),
            ("a b:1", "HOST:PORT"),
            ("tls:", "HOST:PORT"),
            ("tls:a/b", "HOST:PORT"),
            ("box:", "65535"),
            ("box:0", "65535"),
            ("box:+1", "65535"),
            ("box:65536", "65535"),
            ("fe80::1:7440x", "[ADDRESS]"),
            ("[::1]7440", "[ADDRESS]"),
            ("[box]:1", "[ADDRESS]"),
            ("unix:", "unix:/"),
        ] {
            assert!(error(text).is_err_and(|error| error.contains(says)), "{text}");
        }
    }
}
