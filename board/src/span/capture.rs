//! Frames of a network interface, by a packet socket (packet(7)).
//!
//! The ring buffer of the kernel (TPACKET_V3) needs shared memory, which safe code cannot map. So
//! each frame is one system call. The kernel counts what it drops. Frames that this machine sends
//! are left out.

use crate::error::BoardError;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recvmsg, setsockopt, socket, sockopt,
};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Bytes of a frame that are read: a jumbo frame in a tunnel.
pub(super) const FRAME_MAX: usize = 10_240;

/// Bytes that wait in the socket: 0.3 s of 100,000 packets a second.
const SOCKET_BUFFER: usize = 32 << 20;

/// `sll_pkttype` of a frame that this machine sends.
const PACKET_OUTGOING: u8 = 4;

pub(super) struct Capture {
    socket: OwnedFd,
    control: Vec<u8>,
    dropped_total: Option<u32>,
    /// Whether the interface also takes frames for other machines.
    pub is_promiscuous: bool,
}

/// A frame that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub bytes: usize,
    /// Frames that the kernel dropped before this one.
    pub dropped: u32,
    pub is_outgoing: bool,
}

impl Capture {
    /// Opens the interface.
    pub fn open(board: &str, interface: &str) -> Result<Capture, BoardError> {
        let failed = |errno| BoardError::Capture {
            board: board.to_owned(),
            interface: interface.to_owned(),
            errno,
        };
        let found = getifaddrs().map_err(failed)?.find_map(|entry| {
            let address =
                entry.address.as_ref().and_then(|address| address.as_link_addr().copied());
            address.filter(|_| entry.interface_name == interface).map(|link| (link, entry.flags))
        });
        let (link, flags) = found.ok_or_else(|| failed(Errno::ENODEV))?;
        let options = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, options, SockProtocol::EthAll)
            .map_err(failed)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1).map_err(failed)?;
        // Needs CAP_NET_ADMIN; without it the socket has what the system allows.
        setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER))
            .map_err(failed)?;
        // The address has no protocol, so the socket keeps its own: all.
        bind(socket.as_raw_fd(), &link).map_err(failed)?;
        Ok(Capture {
            socket,
            control: cmsg_space!(u32),
            dropped_total: None,
            is_promiscuous: flags.contains(InterfaceFlags::IFF_PROMISC),
        })
    }

    /// Reads one frame; None if there is none.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Frame>, Errno> {
        let mut slices = [IoSliceMut::new(buffer)];
        let control = Some(self.control.as_mut_slice());
        let socket = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = match recvmsg::<LinkAddr>(socket, &mut slices, control, flags) {
            Ok(received) => received,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut total = 0;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::RxqOvfl(dropped) = message {
                total = dropped;
            }
        }
        let before = self.dropped_total.replace(total);
        Ok(Some(Frame {
            bytes: received.bytes,
            dropped: before.map_or(0, |before| total.wrapping_sub(before)),
            is_outgoing: received.address.is_some_and(|link| link.pkttype() == PACKET_OUTGOING),
        }))
    }
}

#[cfg(test)]
impl Capture {
    /// Sends a frame, as a switch would.
    pub fn send(&self, frame: &[u8]) {
        let socket = self.socket.as_raw_fd();
        nix::sys::socket::send(socket, frame, MsgFlags::empty()).unwrap();
    }
}
