//! Identifies the peer of a plain connection and the client kinds it may use.
//!
//! Over loopback TCP these are the kinds in `[local]`. Over the unix socket the peer's uid and
//! gid decide; root and the daemon's own user may use any kind, since they can read the files
//! anyway. The names in `[local]` are resolved when the configuration is read, because a user
//! directory may be slow and the loop must not wait. Users and PINs are checked elsewhere.

use crate::config::LocalSettings;
use crate::recorder::Peer;
use crate::shell::net::connection::Transport;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, Uid, User};
use protocol::Kind;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// The names in `[local]`, resolved to ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalIds {
    portal: Option<Uid>,
    cti: Option<Uid>,
    technicians: Vec<Uid>,
    technician_group: Option<Gid>,
}

impl LocalIds {
    /// Looks the names up in the system's user directory, which may be slow. A missing name
    /// grants nothing and is logged.
    #[must_use]
    pub fn resolve_names(local: &LocalSettings) -> LocalIds {
        let uid = |key: &str, name: &Option<String>| {
            let name = name.as_deref()?;
            let found = User::from_name(name).ok().flatten().map(|user| user.uid);
            if found.is_none() {
                log::warn!("[local] {key}: there is no user {name} here");
            }
            found
        };
        let group = local.technician_group.as_deref().and_then(|name| {
            let found = Group::from_name(name).ok().flatten();
            if found.is_none() {
                log::warn!("[local] technician_group: there is no group {name} here");
            }
            found
        });
        let members = group.iter().flat_map(|group| &group.mem);
        let member = |name: &String| User::from_name(name).ok().flatten().map(|user| user.uid);
        LocalIds {
            portal: uid("portal_user", &local.portal_user),
            cti: uid("cti_user", &local.cti_user),
            technicians: members.filter_map(member).collect(),
            technician_group: group.as_ref().map(|group| group.gid),
        }
    }

    /// Returns what a process with this uid and gid may be.
    fn peer_for(&self, uid: Uid, gid: Gid) -> Peer {
        let from = format!("unix:{uid}");
        if uid.is_root() || uid == nix::unistd::geteuid() {
            return Peer { kinds: Kind::ALL.to_vec(), from, portal: true };
        }
        let mut kinds = Vec::new();
        let portal = self.portal == Some(uid);
        if portal {
            kinds.extend([Kind::Agent, Kind::Supervisor, Kind::Monitor]);
        }
        if self.cti == Some(uid) {
            kinds.push(Kind::Cti);
        }
        if self.technician_group == Some(gid) || self.technicians.contains(&uid) {
            kinds.extend([Kind::Technician, Kind::Monitor]);
        }
        Peer { kinds, from, portal }
    }
}

/// Returns the peer for loopback TCP, or for any address of an `insecure` listener.
#[must_use]
pub fn tcp_peer(local: &LocalSettings, address: SocketAddr) -> Peer {
    let kinds = local.kinds.iter().filter_map(|word| Kind::parse(word)).collect();
    Peer { kinds, from: address.ip().to_string(), portal: false }
}

/// Returns the peer for a unix socket connection.
#[must_use]
pub fn unix_peer(ids: &LocalIds, stream: &impl AsFd) -> Peer {
    match getsockopt(stream, PeerCredentials) {
        Ok(peer) => ids.peer_for(Uid::from_raw(peer.uid()), Gid::from_raw(peer.gid())),
        Err(_) => Peer { from: "unix".to_string(), ..Peer::default() },
    }
}

/// Returns what an open plain connection may be now, after `[local]` changed; `None` for a serial
/// console, and for a client that is gone.
#[must_use]
pub fn current_peer(local: &LocalSettings, ids: &LocalIds, transport: &Transport) -> Option<Peer> {
    match transport {
        Transport::Tcp(tcp) => tcp.peer_addr().ok().map(|address| tcp_peer(local, address)),
        Transport::Unix(unix) => Some(unix_peer(ids, unix)),
        Transport::Serial(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_what_its_user_and_group_say() {
        let uid = Uid::from_raw;
        let ids = LocalIds {
            portal: Some(uid(70_001)),
            cti: Some(uid(70_002)),
            technicians: vec![uid(70_003)],
            technician_group: Some(Gid::from_raw(80_000)),
        };
        let kinds = |user, group| ids.peer_for(uid(user), Gid::from_raw(group)).kinds;
        assert_eq!(kinds(70_001, 1), [Kind::Agent, Kind::Supervisor, Kind::Monitor]);
        assert_eq!(kinds(70_002, 1), [Kind::Cti]);
        assert_eq!(kinds(70_003, 1), [Kind::Technician, Kind::Monitor]);
        assert_eq!(kinds(70_004, 80_000), [Kind::Technician, Kind::Monitor]);
        assert_eq!(kinds(70_004, 1), []);
        assert!(ids.peer_for(uid(70_001), Gid::from_raw(1)).portal);
        assert!(!ids.peer_for(uid(70_002), Gid::from_raw(1)).portal);
        assert_eq!(kinds(0, 0), Kind::ALL);
        let stranger = LocalIds::default().peer_for(uid(70_001), Gid::from_raw(1));
        assert!(stranger.kinds.is_empty() && !stranger.portal);
    }
}
