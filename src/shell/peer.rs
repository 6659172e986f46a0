//! Who is at the other end of a plain connection, and what that one may say hello as.
//!
//! Over loopback TCP: the kinds in `[local]`. Over the unix socket: by the peer's uid and groups;
//! root and the daemon's own user may be anything, since they could read the files anyway. Nothing
//! here checks users or PINs.

use crate::config::Local;
use crate::recorder::Peer;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Uid, User};
use protocol::Kind;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// A peer over loopback TCP, or any address where `insecure` is set.
#[must_use]
pub fn over_tcp(local: &Local, address: SocketAddr) -> Peer {
    let kinds = local.kinds.iter().filter_map(|word| Kind::parse(word)).collect();
    Peer { kinds, from: address.ip().to_string(), portal: false }
}

/// A peer over the unix socket.
#[must_use]
pub fn over_unix(local: &Local, stream: &impl AsFd) -> Peer {
    let Ok(credentials) = getsockopt(stream, PeerCredentials) else {
        return Peer { from: "unix".to_string(), ..Peer::default() };
    };
    let uid = Uid::from_raw(credentials.uid());
    let from = format!("unix:{uid}");
    if uid.is_root() || uid == nix::unistd::geteuid() {
        return Peer { kinds: Kind::ALL.to_vec(), from, portal: true };
    }
    let user = User::from_uid(uid).ok().flatten();
    let is = |name: &Option<String>| {
        name.is_some() && user.as_ref().map(|user| &user.name) == name.as_ref()
    };
    let mut kinds = Vec::new();
    let portal = is(&local.portal_user);
    if portal {
        kinds.extend([Kind::Agent, Kind::Supervisor]);
    }
    if is(&local.cti_user) {
        kinds.push(Kind::Cti);
    }
    if user.as_ref().is_some_and(|user| in_group(user, local.technician_group.as_deref())) {
        kinds.extend([Kind::Technician, Kind::Monitor]);
    }
    Peer { kinds, from, portal }
}

fn in_group(user: &User, name: Option<&str>) -> bool {
    let group = name.and_then(|name| nix::unistd::Group::from_name(name).ok().flatten());
    let Some(group) = group else { return false };
    let listed = group.mem.contains(&user.name);
    listed || user.gid == group.gid
}
