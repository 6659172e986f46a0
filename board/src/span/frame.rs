//! Ethernet frames of a mirror port: what is inside of them.
//!
//! VLAN tags, VXLAN (RFC 7348) and ERSPAN types I to III (GRE, RFC 2784) are taken off, fragments
//! are put together, and UDP datagrams and TCP segments come out. Everything else is ignored.

use super::fragments::{Fragment, FragmentKey, FragmentTable};
use etherparse::{
    IpNumber, Ipv6ExtensionSlice, LaxIpv4Slice, LaxIpv6Slice, LaxNetSlice, LaxSlicedPacket,
    TcpSlice, UdpSlice,
};
use std::net::{IpAddr, SocketAddr};

/// Tunnels inside of each other that are taken off.
const DEPTH_MAX: u8 = 3;

const VXLAN_PORT: u16 = 4789;
const VXLAN_HEADER: usize = 8;
/// A VXLAN header whose network identifier is valid.
const VXLAN_VALID: u8 = 0x08;

const GRE_ERSPAN_I_II: u16 = 0x88be;
const GRE_ERSPAN_III: u16 = 0x22eb;
/// Flags of a GRE header: checksum, key and sequence number follow.
const GRE_CHECKSUM: u8 = 0x80;
const GRE_KEY: u8 = 0x20;
const GRE_SEQUENCE: u8 = 0x10;

/// A datagram or segment.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub kind: SegmentKind,
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentKind {
    Udp,
    Tcp { sequence: u32, is_first: bool, is_last: bool },
}

/// Reads frames. It remembers only incomplete packets.
pub(super) struct FrameReader {
    fragments: FragmentTable,
    /// Frames with a tunnel inside of a tunnel beyond `DEPTH_MAX`, or cut off.
    pub malformed: u64,
}

/// Addresses and payload of an IP packet.
struct IpPacket<'a> {
    source: IpAddr,
    destination: IpAddr,
    ip_number: IpNumber,
    payload: &'a [u8],
}

impl FrameReader {
    pub fn new() -> FrameReader {
        FrameReader { fragments: FragmentTable::new(), malformed: 0 }
    }

    /// Packets whose fragments did not come.
    pub fn incomplete(&self) -> u64 {
        self.fragments.given_up
    }

    /// Reads a frame, and passes what is in it to `visit`.
    pub fn read(&mut self, now_us: u64, frame: &[u8], visit: &mut dyn FnMut(Segment<'_>)) {
        self.read_at_depth(now_us, frame, 0, visit);
    }

    fn read_at_depth(
        &mut self,
        now_us: u64,
        frame: &[u8],
        depth: u8,
        visit: &mut dyn FnMut(Segment<'_>),
    ) {
        if depth > DEPTH_MAX {
            self.malformed += 1;
            return;
        }
        let Ok(sliced) = LaxSlicedPacket::from_ethernet(frame) else {
            self.malformed += 1;
            return;
        };
        let (packet, fragment) = match &sliced.net {
            Some(LaxNetSlice::Ipv4(v4)) => split_v4(v4),
            Some(LaxNetSlice::Ipv6(v6)) => split_v6(v6),
            Some(LaxNetSlice::Arp(_)) | None => return,
        };
        match fragment {
            None => self.read_packet((now_us, depth), &packet, visit),
            Some((key, fragment)) => {
                let Some(payload) = self.fragments.add(now_us, key, fragment) else { return };
                let whole = IpPacket { payload: &payload, ..packet };
                self.read_packet((now_us, depth), &whole, visit);
            }
        }
    }

    fn read_packet(
        &mut self,
        (now_us, depth): (u64, u8),
        packet: &IpPacket<'_>,
        visit: &mut dyn FnMut(Segment<'_>),
    ) {
        let addresses = |source, destination| {
            let source = SocketAddr::new(packet.source, source);
            (source, SocketAddr::new(packet.destination, destination))
        };
        match packet.ip_number {
            IpNumber::UDP => {
                let Ok(udp) = UdpSlice::from_slice(packet.payload) else {
                    self.malformed += 1;
                    return;
                };
                if udp.destination_port() == VXLAN_PORT {
                    if let Some(inner) = strip_vxlan(udp.payload()) {
                        self.read_at_depth(now_us, inner, depth + 1, visit);
                    }
                    return;
                }
                let (source, destination) = addresses(udp.source_port(), udp.destination_port());
                let (kind, payload) = (SegmentKind::Udp, udp.payload());
                visit(Segment { source, destination, kind, payload });
            }
            IpNumber::TCP => {
                let Ok(tcp) = TcpSlice::from_slice(packet.payload) else {
                    self.malformed += 1;
                    return;
                };
                let (source, destination) = addresses(tcp.source_port(), tcp.destination_port());
                let kind = SegmentKind::Tcp {
                    sequence: tcp.sequence_number(),
                    is_first: tcp.syn(),
                    is_last: tcp.fin() || tcp.rst(),
                };
                visit(Segment { source, destination, kind, payload: tcp.payload() });
            }
            IpNumber::GRE => match strip_erspan(packet.payload) {
                Some(inner) => self.read_at_depth(now_us, inner, depth + 1, visit),
                None => self.malformed += 1,
            },
            _ => {}
        }
    }
}

/// An IP packet, and its fragment if it is one.
type Split<'a> = (IpPacket<'a>, Option<(FragmentKey, Fragment<'a>)>);

fn split_v4<'a>(v4: &LaxIpv4Slice<'a>) -> Split<'a> {
    let (header, payload) = (v4.header(), v4.payload());
    let (source, destination) =
        (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()));
    let ip_number = payload.ip_number;
    let fragment = header.is_fragmenting_payload().then(|| {
        let identification = u32::from(header.identification());
        let (offset, has_more) = (header.fragments_offset(), header.more_fragments());
        let key = FragmentKey { source, destination, identification, ip_number };
        (key, Fragment { offset, has_more, payload: payload.payload })
    });
    (IpPacket { source, destination, ip_number, payload: payload.payload }, fragment)
}

fn split_v6<'a>(v6: &LaxIpv6Slice<'a>) -> Split<'a> {
    let (header, payload) = (v6.header(), v6.payload());
    let (source, destination) =
        (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()));
    let ip_number = payload.ip_number;
    let found = v6.extensions().clone().into_iter().find_map(|extension| match extension {
        Ipv6ExtensionSlice::Fragment(found) if found.is_fragmenting_payload() => Some(found),
        _ => None,
    });
    let fragment = found.map(|found| {
        let identification = found.identification();
        let (offset, has_more) = (found.fragment_offset(), found.more_fragments());
        let key = FragmentKey { source, destination, identification, ip_number };
        (key, Fragment { offset, has_more, payload: payload.payload })
    });
    (IpPacket { source, destination, ip_number, payload: payload.payload }, fragment)
}

/// The frame inside of VXLAN.
fn strip_vxlan(payload: &[u8]) -> Option<&[u8]> {
    let (header, inner) = payload.split_at_checked(VXLAN_HEADER)?;
    (header[0] & VXLAN_VALID != 0).then_some(inner)
}

/// The mirrored frame inside of GRE.
fn strip_erspan(gre: &[u8]) -> Option<&[u8]> {
    let flags = *gre.first()?;
    let protocol = u16::from_be_bytes([*gre.get(2)?, *gre.get(3)?]);
    let optional = [GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE];
    let header = 4 + 4 * optional.iter().filter(|flag| flags & **flag != 0).count();
    let inner = gre.get(header..)?;
    match protocol {
        // Type I has no header of its own, and no sequence number.
        GRE_ERSPAN_I_II if flags & GRE_SEQUENCE == 0 => Some(inner),
        GRE_ERSPAN_I_II => inner.get(8..),
        // Type III has a header of 12 bytes; its last bit says that 8 more follow.
        GRE_ERSPAN_III if inner.get(11)? & 1 == 1 => inner.get(20..),
        GRE_ERSPAN_III => inner.get(12..),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
