//! Connecting to a recorder and logging in.
//!
//! Addresses from the command line are tried in order. From a configuration the unix socket comes
//! first, then the plain TCP listeners. Listeners admit different kinds of sessions, so a `hello`
//! that one denies is tried at the next. `client::RetryPolicy` handles later retries.

use crate::cli::{ServerArgs, UserArgs};
use crate::config_file;
use crate::error::Error;
use client::{Address, Connection, DEFAULT_PORT, Login, OpenError};
use hushbox::config::{Config, ListenSettings};
use protocol::client::{Pairs, Reply};
use protocol::{Code, Kind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Timeout for connecting and for the greeting.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses of recorders, or of one recorder's listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerList {
    pub addresses: Vec<Address>,
    /// Whether all addresses are listeners of one recorder.
    is_one_box: bool,
}

/// The result of a login.
pub enum LoginOutcome {
    /// Accepted, with the pairs of the reply.
    Accepted(Box<Connection>, Pairs),
    /// Rejected, with the reply.
    Refused(Reply),
}

impl ServerList {
    /// Returns the addresses of `--to`, else of the configuration, else the default.
    pub fn from_args(args: &ServerArgs) -> Result<ServerList, Error> {
        if !args.servers.is_empty() {
            return Ok(ServerList { addresses: args.servers.clone(), is_one_box: false });
        }
        let Some(found) = config_file::find_config(args.config.config.as_deref())? else {
            let (host, port) = (Ipv4Addr::LOCALHOST.to_string(), DEFAULT_PORT);
            return Ok(ServerList {
                addresses: vec![Address::Tcp { host, port }],
                is_one_box: true,
            });
        };
        let list = listen_addresses(&found.config);
        if list.is_empty() {
            return Err(Error::NoListen { path: found.path });
        }
        Ok(ServerList { addresses: list, is_one_box: true })
    }

    /// Connects to the first address that answers.
    pub fn connect(&self) -> Result<Connection, OpenError> {
        Connection::open(&self.addresses, TIMEOUT)
    }

    /// Logs in at the first address that accepts `login`, or returns the last rejection.
    pub fn log_in(&self, login: &Login) -> Result<LoginOutcome, Error> {
        let mut addresses = self.addresses.as_slice();
        loop {
            let mut connection = Connection::open(addresses, TIMEOUT)?;
            let hello = hello_line(login, &connection);
            let reply = send_request(&mut connection, &hello)?;
            let failure = match reply.outcome {
                Ok(pairs) => return Ok(LoginOutcome::Accepted(Box::new(connection), pairs)),
                Err(failure) => failure,
            };
            let here = addresses.iter().position(|address| address == connection.address());
            let rest = &addresses[here.map_or(addresses.len(), |here| here + 1)..];
            if failure.code() != Some(Code::Denied) || !self.is_one_box || rest.is_empty() {
                return Ok(LoginOutcome::Refused(Reply { outcome: Err(failure), ..reply }));
            }
            addresses = rest;
        }
    }
}

/// Builds the hello line. Over TLS the certificate names the machine, so the name is sent only if
/// the user gave one.
fn hello_line(login: &Login, connection: &Connection) -> String {
    if connection.is_tls() && login.machine == current_machine() {
        return Login { machine: None, ..login.clone() }.to_line();
    }
    login.to_line()
}

/// Sends a command and waits for the reply. An error names the command or the address.
pub fn send_request(connection: &mut Connection, line: &str) -> Result<Reply, Error> {
    connection.request(line).map_err(|error| match error {
        client::ConnectionError::Send(_) => Error::NotSent { command: line.to_owned(), error },
        error => Error::Connection { address: connection.address().to_string(), error },
    })
}

/// Returns the configured listeners that this tool can use, the unix socket first.
fn listen_addresses(config: &Config) -> Vec<Address> {
    let unix = config.listen.iter().filter_map(|listen| match listen {
        ListenSettings::Unix { path } => Some(Address::Unix(path.clone())),
        ListenSettings::Tcp { .. } | ListenSettings::Serial { .. } => None,
    });
    let plain = config.listen.iter().filter_map(|listen| match listen {
        ListenSettings::Tcp { address, tls: false, .. } if address.port() > 0 => {
            let host = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            Some(Address::Tcp { host: host.to_string(), port: address.port() })
        }
        ListenSettings::Tcp { .. }
        | ListenSettings::Unix { .. }
        | ListenSettings::Serial { .. } => None,
    });
    unix.chain(plain).collect()
}

/// Builds a login of this kind from the options, with this machine's names as defaults.
pub fn build_login(kind: Kind, args: &UserArgs) -> Result<Login, Error> {
    let named = matches!(kind, Kind::Agent | Kind::Supervisor | Kind::Technician);
    let user = args.user.clone().or_else(|| named.then(current_user).flatten());
    if named && user.is_none() {
        return Err(Error::NoUser);
    }
    let client = Some(concat!("hushbox/", env!("CARGO_PKG_VERSION")).to_owned());
    let machine = args.machine.clone().or_else(current_machine);
    Ok(Login { user, domain: args.domain.clone(), machine, client, ..Login::new(kind) })
}

/// Returns the name of the user logged in here.
pub fn current_user() -> Option<String> {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let of_uid = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let user = named.filter(|name| !name.is_empty()).or_else(|| of_uid().map(|user| user.name));
    user.filter(|name| name.len() <= protocol::arg::NAME_BYTES)
}

/// Returns the host name up to the first dot, if the protocol can carry it.
fn current_machine() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let name = name.split('.').next().unwrap_or_default().to_owned();
    (1..=protocol::arg::NAME_BYTES).contains(&name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_socket_comes_first_and_tls_is_skipped() {
        let text = "[[listen]]\naddress = \"127.0.0.1:7440\"\n[[listen]]\nunix = \"x.sock\"\n\
            [[listen]]\naddress = \"0.0.0.0:7441\"\ntls = true\n\
            [[listen]]\naddress = \"127.0.0.1:0\"\n\
            [[listen]]\naddress = \"0.0.0.0:7442\"\ninsecure = true\n";
        let config = hushbox::config::parse(text).map(|(config, _)| config);
        let addresses = config.map(|config| listen_addresses(&config)).unwrap_or_default();
        let words: Vec<String> = addresses.iter().map(Address::to_string).collect();
        assert_eq!(words, ["unix:x.sock", "127.0.0.1:7440", "127.0.0.1:7442"]);
    }
}
