//! Frames as switches mirror them.

use super::*;
use etherparse::PacketBuilder;

/// What came out: addresses, kind, payload.
type Found = Vec<(SocketAddr, SocketAddr, SegmentKind, Vec<u8>)>;

fn read_all(frames: &[Vec<u8>]) -> Found {
    let mut reader = FrameReader::new();
    let mut found = Vec::new();
    for frame in frames {
        reader.read(0, frame, &mut |segment| {
            let Segment { source, destination, kind, payload } = segment;
            found.push((source, destination, kind, payload.to_vec()));
        });
    }
    found
}

fn udp_frame(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

/// A frame with a GRE packet: flags, protocol and what follows.
fn gre_frame(flags: u8, protocol: u16, rest: &[&[u8]]) -> Vec<u8> {
    let gre = [&[flags, 0][..], &protocol.to_be_bytes(), &rest.concat()].concat();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([192, 0, 2, 8], [192, 0, 2, 9], 64);
    let mut frame = Vec::new();
    builder.write(&mut frame, IpNumber::GRE, &gre).unwrap();
    frame
}

fn expected(payload: &[u8]) -> Found {
    let source = SocketAddr::from(([192, 0, 2, 1], 4000));
    let destination = SocketAddr::from(([192, 0, 2, 2], 5060));
    vec![(source, destination, SegmentKind::Udp, payload.to_vec())]
}

#[test]
fn plain_tagged_and_tunnelled_frames_give_the_same_datagram() {
    let plain = udp_frame((4000, 5060), b"OPTIONS");
    let tag =
        |frame: &[u8], tags: &[[u8; 4]]| [&frame[..12], &tags.concat(), &frame[12..]].concat();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &plain].concat();
    let frames = [
        ("plain", plain.clone()),
        ("802.1Q", tag(&plain, &[[0x81, 0, 0, 5]])),
        ("802.1ad", tag(&plain, &[[0x88, 0xa8, 0, 5], [0x81, 0, 0, 6]])),
        ("VXLAN", udp_frame((50_000, 4789), &vxlan)),
        ("ERSPAN I", gre_frame(0, 0x88be, &[&plain])),
        ("ERSPAN II", gre_frame(0x10, 0x88be, &[&[0; 4], &[0x10; 8], &plain])),
        ("ERSPAN III", gre_frame(0x10, 0x22eb, &[&[0; 4], &[0x20; 11], &[0], &plain])),
        ("with a subheader", gre_frame(0x10, 0x22eb, &[&[0; 4], &[1; 12], &[0; 8], &plain])),
        ("with a key", gre_frame(0x30, 0x88be, &[&[0; 8], &[0x10; 8], &plain])),
    ];
    for (name, frame) in frames {
        assert_eq!(read_all(&[frame]), expected(b"OPTIONS"), "{name}");
    }
}

#[test]
fn a_fragmented_invite_of_both_ip_versions_is_whole() {
    let body: Vec<u8> = (0..5298_u16).map(|n| n.to_le_bytes()[0]).collect();
    let whole = udp_frame((4000, 5060), &body);
    let (ethernet, ip) = whole.split_at(14);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    for (n, part) in ip[20..].chunks(1480).enumerate() {
        let mut header = ip[..20].to_vec();
        let more = if n < 3 { 0x2000 } else { 0 };
        let length = u16::try_from(20 + part.len()).unwrap();
        let place = u16::try_from(n * 185).unwrap() | more;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[6..8].copy_from_slice(&place.to_be_bytes());
        frames.push([ethernet, &header, part].concat());
    }
    assert_eq!(frames.len(), 4);
    frames.swap(0, 2);
    assert_eq!(read_all(&frames), expected(&body));
    assert_eq!(read_all(&frames[1..]), Vec::new(), "one is missing");

    let ips = ([1; 16], [2; 16]);
    let udp = ip[20..].to_vec();
    let frames: Vec<Vec<u8>> = udp
        .chunks(1448)
        .enumerate()
        .map(|(n, part)| {
            let place = u16::try_from(n * 1448).unwrap() | u16::from(n < 3);
            let [high, low] = place.to_be_bytes();
            let extension = [17, 0, high, low, 0, 0, 0, 9];
            let builder = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv6(ips.0, ips.1, 64);
            let mut frame = Vec::new();
            builder.write(&mut frame, IpNumber(44), &[&extension[..], part].concat()).unwrap();
            frame
        })
        .collect();
    let found = read_all(&frames);
    assert_eq!((found.len(), &found[0].3), (1, &body));
    assert_eq!(found[0].0, SocketAddr::new(IpAddr::from(ips.0), 4000));
}

#[test]
fn tcp_segments_come_with_their_place() {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .tcp(4000, 5060, 77, 1000)
        .syn();
    let mut frame = Vec::new();
    builder.write(&mut frame, b"x").unwrap();
    let kind = SegmentKind::Tcp { sequence: 77, is_first: true, is_last: false };
    let found = read_all(&[frame]);
    assert_eq!((found[0].2, found[0].3.as_slice()), (kind, &b"x"[..]));
}

#[test]
fn cut_random_and_nested_frames_never_panic() {
    let mut nested = udp_frame((4000, 5060), b"OPTIONS");
    for _ in 0..6 {
        nested = udp_frame((1, 4789), &[&[8, 0, 0, 0, 0, 0, 7, 0][..], &nested].concat());
    }
    assert_eq!(read_all(std::slice::from_ref(&nested)), Vec::new(), "too deep");
    let mut reader = FrameReader::new();
    let mut state = 1_u64;
    for length in 0..nested.len() {
        reader.read(0, &nested[..length], &mut |_| {});
        let mut garbage = nested.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let place = usize::try_from(state >> 40).unwrap() % garbage.len();
            garbage[place] = state.to_le_bytes()[3];
        }
        reader.read(0, &garbage, &mut |_| {});
    }
    assert!(reader.malformed > 0);
}
