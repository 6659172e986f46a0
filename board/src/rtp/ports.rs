//! The UDP ports of an RTP board: bound at the start, and read without blocking.
//!
//! Each leg has two neighbouring ports: RTP on the even one, RTCP on the odd one above. Only the
//! ports of open slots are in the epoll set, so packets for closed slots stay in the kernel and
//! are thrown away when the slot is opened. The set is level-triggered: each packet costs one
//! system call, and a socket with more packets is reported again.

use crate::config::PORTS_PER_SLOT;
use crate::error::BoardError;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrLike as _,
    SockaddrStorage, bind, recvmsg, setsockopt, socket, sockopt,
};
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Ready sockets that one call of epoll reports.
const EVENTS_MAX: usize = 256;

/// Bytes of a datagram that are read. Longer ones are no audio of ours.
pub(super) const DATAGRAM_MAX: usize = 2048;

/// Packets that may wait in a socket that is emptied when its slot is opened.
const STALE_MAX: usize = 4096;

/// RTP port of a leg; RTCP is one above. Pure, so that an offer can be answered without the board.
#[must_use]
pub fn rtp_port(first_port: u16, slot: usize, leg: usize) -> u16 {
    let offset = u16::try_from(PORTS_PER_SLOT * slot + 2 * leg).unwrap_or(u16::MAX);
    first_port.saturating_add(offset)
}

/// A socket's place: slot, leg, and whether it is the RTCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortPlace {
    pub slot: usize,
    pub leg: usize,
    pub is_rtcp: bool,
}

impl PortPlace {
    fn of(index: usize) -> PortPlace {
        let (slot, rest) = (index / PORTS_PER_SLOT, index % PORTS_PER_SLOT);
        PortPlace { slot, leg: rest / 2, is_rtcp: rest % 2 == 1 }
    }
}

/// A datagram that was read into the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    pub bytes: usize,
    pub sender: Option<SocketAddr>,
    /// The datagram was longer than the buffer.
    pub is_truncated: bool,
    /// Packets that the kernel dropped on this socket since it was created; 0 if it does not say.
    pub dropped_total: u32,
}

pub(super) struct Ports {
    sockets: Vec<OwnedFd>,
    epoll: Epoll,
    events: Vec<EpollEvent>,
    /// Reported sockets: the next one in `events`, and their number.
    next: usize,
    reported: usize,
    control: Vec<u8>,
}

impl Ports {
    /// Binds the ports of all slots.
    pub fn bind(
        board: &str,
        address: IpAddr,
        first_port: u16,
        slots: usize,
    ) -> Result<Ports, BoardError> {
        let mut sockets = Vec::with_capacity(slots * PORTS_PER_SLOT);
        for (port, _) in (first_port..=u16::MAX).zip(0..slots * PORTS_PER_SLOT) {
            let bound = bind_port(SocketAddr::new(address, port));
            let failed =
                |errno| BoardError::RtpPort { board: board.to_owned(), address, port, errno };
            sockets.push(bound.map_err(failed)?);
        }
        let flags = EpollCreateFlags::EPOLL_CLOEXEC;
        let epoll = Epoll::new(flags)
            .map_err(|errno| BoardError::Epoll { board: board.to_owned(), errno })?;
        let events = vec![EpollEvent::empty(); EVENTS_MAX];
        Ok(Ports { sockets, epoll, events, next: 0, reported: 0, control: cmsg_space!(u32) })
    }

    /// Begins to read a leg's ports. What came before is thrown away.
    pub fn watch(&mut self, slot: usize, leg: usize) -> Result<(), Errno> {
        for index in self.indexes(slot, leg) {
            let mut buffer = [0; DATAGRAM_MAX];
            for _ in 0..STALE_MAX {
                if self.receive_at(index, &mut buffer).is_err() {
                    break;
                }
            }
            let data = u64::try_from(index).unwrap_or(u64::MAX);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, data);
            match self.epoll.add(&self.sockets[index], event) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Ends reading a leg's ports.
    pub fn unwatch(&mut self, slot: usize, leg: usize) {
        for index in self.indexes(slot, leg) {
            // An error says that the port is not watched.
            self.epoll.delete(&self.sockets[index]).unwrap_or_default();
        }
    }

    /// Reads one datagram of any watched port. None if there is none, or if the next socket had
    /// an error, which `SO_ERROR` clears by being read.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<(PortPlace, Datagram)> {
        loop {
            if self.next == self.reported {
                self.next = 0;
                self.reported = self.epoll.wait(&mut self.events, EpollTimeout::ZERO).unwrap_or(0);
                if self.reported == 0 {
                    return None;
                }
            }
            let index = self.events[self.next].data();
            self.next += 1;
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if let Ok(datagram) = self.receive_at(index, buffer) {
                return Some((PortPlace::of(index), datagram));
            }
        }
    }

    /// Reads one more datagram of a leg's RTP port, watched or not.
    pub fn receive_from(&mut self, place: PortPlace, buffer: &mut [u8]) -> Option<Datagram> {
        let index = place.slot * PORTS_PER_SLOT + place.leg * 2 + usize::from(place.is_rtcp);
        self.receive_at(index, buffer).ok()
    }

    fn receive_at(&mut self, index: usize, buffer: &mut [u8]) -> Result<Datagram, Errno> {
        let socket = self.sockets.get(index).ok_or(Errno::EBADF)?.as_raw_fd();
        let mut slices = [IoSliceMut::new(buffer)];
        let control = Some(self.control.as_mut_slice());
        let received =
            recvmsg::<SockaddrStorage>(socket, &mut slices, control, MsgFlags::MSG_DONTWAIT)?;
        let mut dropped_total = 0;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::RxqOvfl(total) = message {
                dropped_total = total;
            }
        }
        Ok(Datagram {
            bytes: received.bytes,
            sender: received.address.as_ref().and_then(to_socket_address),
            is_truncated: received.flags.contains(MsgFlags::MSG_TRUNC),
            dropped_total,
        })
    }

    fn indexes(&self, slot: usize, leg: usize) -> std::ops::Range<usize> {
        let first = (slot * PORTS_PER_SLOT + leg * 2).min(self.sockets.len());
        first..(first + 2).min(self.sockets.len())
    }
}

fn bind_port(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Datagram, flags, None)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn to_socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    match address.family()? {
        AddressFamily::Inet => {
            let v4 = address.as_sockaddr_in()?;
            Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()))
        }
        AddressFamily::Inet6 => {
            let v6 = address.as_sockaddr_in6()?;
            Some(SocketAddr::new(IpAddr::V6(v6.ip()).to_canonical(), v6.port()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_neighbours_and_lead_back_to_their_leg() {
        assert_eq!(rtp_port(20_000, 0, 0), 20_000);
        assert_eq!(rtp_port(20_000, 0, 1), 20_002);
        assert_eq!(rtp_port(20_000, 499, 1), 21_998);
        assert_eq!(rtp_port(65_000, 1000, 0), u16::MAX, "past the end");
        for (slot, leg, is_rtcp) in [(0, 0, false), (3, 1, true), (7, 0, true)] {
            let port = rtp_port(20_000, slot, leg) + u16::from(is_rtcp);
            let index = usize::from(port - 20_000);
            assert_eq!(PortPlace::of(index), PortPlace { slot, leg, is_rtcp });
        }
    }
}
