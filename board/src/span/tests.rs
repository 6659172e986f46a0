//! A mirror port: one end of a veth pair, whose other end sends what a switch would mirror.
//!
//! The test with the pair needs root, as CI has; without it only the pure part is tested.

use super::*;
use crate::config::ChannelConfig;
use crate::rtp::RtpCodec;
use etherparse::PacketBuilder;
use std::process::Command;

fn leg(port: u16) -> MirroredLeg {
    let config = LegConfig {
        payloads: vec![(0, RtpCodec::Pcmu)],
        telephone_events: Vec::new(),
        crypto: None,
        expects_audio: true,
        sender: None,
        detects_tones: false,
    };
    MirroredLeg { destination: SocketAddr::from(([192, 0, 2, 2], port)), config }
}

fn udp_frame(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(ports.0, ports.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    frame
}

fn rtp_frame(port: u16, n: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(n.to_be_bytes());
    packet.extend((u32::from(n) * 160).to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend([0x90; 160]);
    udp_frame((9000, port), &packet)
}

fn pass(calls: &mut MirroredCalls, now_us: u64, frame: &[u8]) {
    FrameReader::new().read(now_us, frame, &mut |segment| {
        calls.receive(now_us, segment, &mut |_| {});
    });
}

#[test]
fn rtp_goes_to_the_leg_of_its_destination_and_signalling_is_passed_on() {
    let mut calls = MirroredCalls::new(8000, 2, &[5060]);
    calls.open_slot(0, 1, &[leg(4000), leg(4002)]).unwrap();
    pass(&mut calls, 0, &rtp_frame(4000, 0));
    pass(&mut calls, 0, &rtp_frame(4002, 0));
    pass(&mut calls, 0, &rtp_frame(4002, 1));
    pass(&mut calls, 0, &rtp_frame(4004, 0));
    let packets = [0, 1].map(|leg| calls.slots.statistics(1, leg).unwrap().packets);
    assert_eq!(packets, [1, 2]);
    calls.change_slot(1, &[leg(4004), leg(4002)]).unwrap();
    pass(&mut calls, 0, &rtp_frame(4000, 1));
    pass(&mut calls, 0, &rtp_frame(4004, 2));
    assert_eq!(calls.slots.statistics(1, 0).unwrap().packets, 2, "a re-INVITE moved the leg");
    assert_eq!(calls.signalling.len(), 0);
    pass(&mut calls, 0, &udp_frame((5060, 5080), b"BYE"));
    pass(&mut calls, 0, &udp_frame((7000, 7001), b"other"));
    assert_eq!(calls.signalling.pop_front().unwrap().bytes.as_slice(), b"BYE");
    (0..1100).for_each(|_| pass(&mut calls, 0, &udp_frame((5060, 5060), b"OPTIONS")));
    assert_eq!((calls.signalling.len(), calls.unfetched), (SIGNALLING_MAX, 76));
}

#[test]
fn what_the_mirror_ports_socket_drops_has_its_own_reason() {
    let mut calls = MirroredCalls::new(8000, 1, &[]);
    calls.open_slot(0, 0, &[leg(4000)]).unwrap();
    let mut lost = Vec::new();
    for n in (0..5).chain(7..12) {
        if n == 7 {
            calls.note_dropped();
        }
        let now_us = u64::from(n) * 20_000;
        pass(&mut calls, now_us, &rtp_frame(4000, n));
        calls.slots.advance(now_us, 24_000, &mut |event| {
            if let CaptureEvent::SideLost { side: 0, frames, why, .. } = event {
                lost.push((frames, why));
            }
        });
    }
    assert_eq!(lost, [(160, GapReason::Mirror), (160, GapReason::Mirror)]);
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|done| done.status.success())
}

/// A veth pair that is removed when dropped.
struct Pair(String, String);

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&["link", "delete", &self.0]);
    }
}

fn create_pair() -> Option<Pair> {
    let id = std::process::id() % 100_000;
    let pair = Pair(format!("hba{id}"), format!("hbb{id}"));
    let created = ip(&["link", "add", &pair.0, "type", "veth", "peer", "name", &pair.1]);
    let up = created && ip(&["link", "set", &pair.0, "up"]) && ip(&["link", "set", &pair.1, "up"]);
    up.then_some(pair)
}

#[test]
fn a_mirrored_call_is_heard_on_one_end_of_a_veth_pair() {
    let Some(pair) = create_pair() else {
        println!("skipped: a veth pair needs root");
        return;
    };
    let channel = ChannelConfig { id: 1, sides: 2, slots: Vec::new(), source: None };
    let kind =
        SourceKind::Span { interface: pair.0.clone(), signalling_ports: vec![5060], slots: 1 };
    let config = BoardConfig {
        name: "mirror".to_owned(),
        kind,
        rate: 8000,
        buffer_ms: 200,
        channels: vec![channel],
    };
    let mut board = SpanBoard::open(&config, 0).unwrap();
    assert!(!board.is_promiscuous());
    board.open_slot(0, 0, &[leg(4000), leg(4002)]).unwrap();
    let sender = Capture::open("sender", &pair.1).unwrap();
    let (mut loud, mut now_us) = ([0, 0], 0);
    let mut visit = |event: CaptureEvent<'_>| {
        if let CaptureEvent::Period(period) = event {
            for frame in period.samples.chunks(2) {
                (0..2).for_each(|side| loud[side] += usize::from(frame[side] > 1000));
            }
        }
    };
    sender.send(&udp_frame((5060, 5060), b"INVITE"));
    for n in 0..20 {
        sender.send(&rtp_frame(4000, n));
        if n < 10 {
            sender.send(&rtp_frame(4002, n));
        }
        now_us += 20_000;
        while board.read(now_us, 24_000, &mut visit) {}
    }
    board.close_slot(0, &mut visit);
    assert_eq!(loud, [3200, 1600]);
    let heard: Vec<Signalling> = std::iter::from_fn(|| board.next_signalling()).collect();
    assert!(
        heard
            .iter()
            .any(|message| message.bytes.as_slice() == b"INVITE" && message.stream.is_none())
    );
    assert!(board.statistics().frames >= 31);
    let missing =
        SourceKind::Span { interface: "none9".to_owned(), signalling_ports: vec![5060], slots: 1 };
    let error = SpanBoard::open(&BoardConfig { kind: missing, ..config }, 0).err().unwrap();
    assert!(error.to_string().contains("`ip link` lists the interfaces"), "{error}");
}
