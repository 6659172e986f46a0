//! The board with real sockets on loopback: legs, loss, reordering, SRTP, foreign senders, RTCP.

use super::leg_config::test_leg_config;
use super::*;
use crate::config::ChannelConfig;
use crate::{Board, BoardError};
use libsrtp::{MasterKey, ProtectionProfile, SendSession, StreamConfig};
use nix::errno::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use zeroize::Zeroizing;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn test_config(bind: IpAddr, first_port: u16, slots: usize) -> BoardConfig {
    let channel = |id| ChannelConfig { id, sides: 2, slots: Vec::new(), source: None };
    BoardConfig {
        name: "calls".to_owned(),
        kind: SourceKind::Rtp { bind, first_port, slots },
        rate: 8000,
        buffer_ms: 200,
        channels: (1..).take(slots).map(channel).collect(),
    }
}

/// Opens a board on ports that are free, which other tests may take meanwhile.
fn open_board(bind: IpAddr, slots: usize) -> (RtpBoard, u16) {
    let free = UdpSocket::bind((bind, 0)).unwrap().local_addr().unwrap().port();
    for attempt in 0..50_u16 {
        let first_port = (20_000 + free.wrapping_add(attempt * 614) % 40_000) & !1;
        match RtpBoard::open(&test_config(bind, first_port, slots), 0) {
            Ok(board) => return (board, first_port),
            Err(BoardError::RtpPort { errno: Errno::EADDRINUSE, .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no free ports");
}

/// A sender of one leg.
struct Sender {
    socket: UdpSocket,
    srtp: Option<SendSession>,
}

impl Sender {
    fn new(bind: IpAddr, port: u16) -> Sender {
        let socket = UdpSocket::bind((bind, 0)).unwrap();
        socket.connect((bind, port)).unwrap();
        Sender { socket, srtp: None }
    }

    fn send(&mut self, n: u16, byte: u8) {
        let mut bytes = vec![0x80, 0];
        bytes.extend(n.to_be_bytes());
        bytes.extend((u32::from(n) * 160).to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend([byte; 160]);
        if let Some(srtp) = &mut self.srtp {
            bytes = srtp.rtp_protect(bytes).unwrap();
        }
        self.socket.send(&bytes).unwrap();
    }
}

/// What a slot delivered: samples of both sides, and which are lost.
#[derive(Default)]
struct Heard {
    sides: [Vec<Option<i16>>; 2],
    lost: Vec<(usize, u64, u64)>,
}

impl Heard {
    fn note(&mut self, event: CaptureEvent<'_>) {
        match event {
            CaptureEvent::Period(period) => {
                for (side, heard) in self.sides.iter_mut().enumerate() {
                    assert_eq!(usize::try_from(period.position).unwrap(), heard.len());
                    heard.extend(period.samples.chunks(2).map(|frame| Some(frame[side])));
                }
                for (side, position, frames) in self.lost.drain(..) {
                    let from = usize::try_from(position).unwrap();
                    let upto = from + usize::try_from(frames).unwrap();
                    self.sides[side][from..upto].fill(None);
                }
            }
            CaptureEvent::SideLost { side, position, frames, .. } => {
                self.lost.push((side, position, frames));
            }
            _ => panic!("an unexpected event"),
        }
    }

    /// The samples of packet `n` of a side.
    fn packet(&self, side: usize, n: usize) -> &[Option<i16>] {
        &self.sides[side][480 + n * 160..480 + (n + 1) * 160]
    }
}

fn decoded(byte: u8) -> Vec<Option<i16>> {
    use audio_codec::Decoder as _;
    let sample = audio_codec::pcmu::PcmuDecoder::new().decode(&[byte])[0];
    vec![Some(sample); 160]
}

#[test]
fn two_legs_come_out_on_their_sides_with_loss_and_reordering() {
    for bind in [V4, V6] {
        let (mut board, port) = open_board(bind, 3);
        let legs = [test_leg_config(RtpCodec::Pcmu), test_leg_config(RtpCodec::Pcmu)];
        // What came before the slot was opened belongs to nobody.
        Sender::new(bind, rtp_port(port, 2, 0)).send(9, 1);
        assert_eq!(board.deadline_us(), None, "no slot is open");
        board.open_slot(0, 2, &legs).unwrap();
        assert_eq!(board.deadline_us(), Some(0));
        let mut senders = [0, 1].map(|leg| Sender::new(bind, rtp_port(port, 2, leg)));
        let mut heard = Heard::default();
        for step in 0..20_u16 {
            match step {
                5 | 8 => {}
                6 => [6, 5].into_iter().for_each(|n| senders[0].send(n, 0x90 + step_byte(n))),
                n => senders[0].send(n, 0x90 + step_byte(n)),
            }
            senders[1].send(step, 0x20 + step_byte(step));
            let now_us = u64::from(step) * 20_000;
            assert!(!board.read(now_us, 24_000, &mut |event| heard.note(event)));
            assert!(board.deadline_us() > Some(now_us));
        }
        board.close_slot(400_000, 2, &mut |event| heard.note(event));
        for n in 0..20 {
            let byte = step_byte(u16::try_from(n).unwrap());
            let expected = if n == 8 { vec![None; 160] } else { decoded(0x90 + byte) };
            assert_eq!(heard.packet(0, n), expected, "packet {n}");
            assert_eq!(heard.packet(1, n), decoded(0x20 + byte), "packet {n}");
        }
        let statistics = board.leg_statistics(2, 0).unwrap();
        assert_eq!((statistics.packets, statistics.lost, statistics.reordered), (19, 1, 1));
        assert_eq!(board.lost_frames(), 160);
        assert_eq!(board.deadline_us(), None);
    }
}

fn step_byte(n: u16) -> u8 {
    u8::try_from(n).unwrap()
}

#[test]
fn srtp_is_removed_per_leg_and_survives_a_hold() {
    let suites = [
        (SrtpSuite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
        (SrtpSuite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha180),
        (SrtpSuite::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha132),
    ];
    for (suite, profile) in suites {
        let (key_bytes, salt_bytes) = suite.key_and_salt_bytes();
        let bytes: Vec<u8> = (0..).take(key_bytes + salt_bytes).map(step_byte).collect();
        let (master, salt) = bytes.split_at(key_bytes);
        let rtcp = match suite {
            SrtpSuite::AeadAes256Gcm => profile,
            _ => ProtectionProfile::Aes128CmHmacSha180,
        };
        let keys = vec![MasterKey::new(master, salt, &None)];
        let mut session = SendSession::new();
        session.add_stream(None, &StreamConfig::new(keys, &profile, &rtcp)).unwrap();
        let key = SrtpKey { suite, key_and_salt: Zeroizing::new(bytes.clone()) };
        let leg = LegConfig { crypto: Some(key), ..test_leg_config(RtpCodec::Pcmu) };

        let (mut board, port) = open_board(V4, 1);
        board.open_slot(0, 0, std::slice::from_ref(&leg)).unwrap();
        let mut sender = Sender::new(V4, port);
        sender.srtp = Some(session);
        let mut heard = Heard::default();
        for n in 0..20_u16 {
            if n == 10 {
                let held = LegConfig { expects_audio: false, ..leg.clone() };
                board.change_slot(200_000, 0, &[held]).unwrap();
            }
            // The numbers roll over, so a new context would not open what follows.
            sender.send(65_530_u16.wrapping_add(n), 0x90);
            if n == 15 {
                board.change_slot(300_000, 0, std::slice::from_ref(&leg)).unwrap();
                let plain = [&[0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1][..], &[1; 160]].concat();
                sender.socket.send(&plain).unwrap();
            }
            board.read(u64::from(n) * 20_000, 24_000, &mut |event| heard.note(event));
        }
        board.close_slot(400_000, 0, &mut |event| heard.note(event));
        let statistics = board.leg_statistics(0, 0).unwrap();
        assert_eq!((statistics.packets, statistics.srtp_failures), (20, 1), "{suite:?}");
        assert_eq!(heard.packet(0, 19), decoded(0x90), "{suite:?}");
    }
}

#[test]
fn only_the_first_or_the_announced_sender_is_heard() {
    let (mut board, port) = open_board(V4, 1);
    let (mut first, mut second) = (Sender::new(V4, port), Sender::new(V4, port));
    board.open_slot(0, 0, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    first.send(0, 0x90);
    second.send(0, 0x10);
    first.send(1, 0x90);
    board.read(0, 24_000, &mut |_| {});
    let statistics = board.leg_statistics(0, 0).unwrap();
    assert_eq!((statistics.packets, statistics.foreign), (2, 1));
    board.close_slot(0, 0, &mut |_| {});

    let sender = Some(second.socket.local_addr().unwrap());
    let leg = LegConfig { sender, ..test_leg_config(RtpCodec::Pcmu) };
    board.open_slot(0, 0, &[leg]).unwrap();
    first.send(0, 0x90);
    second.send(1, 0x10);
    first.send(2, 0x90);
    board.read(10_000, 24_000, &mut |_| {});
    let statistics = board.leg_statistics(0, 0).unwrap();
    assert_eq!((statistics.packets, statistics.foreign), (2, 1), "the announced one takes over");
}

#[test]
fn rtcp_is_read_on_its_own_port_and_between_rtp() {
    let (mut board, port) = open_board(V4, 1);
    board.open_slot(0, 0, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    let report = [&[0x80, 200, 0, 6, 0, 0, 0, 1][..], &[0; 20], &[0x81, 203, 0, 1, 0, 0, 0, 1]];
    let mut sender = Sender::new(V4, port);
    sender.send(0, 0x90);
    sender.socket.send(&report.concat()).unwrap();
    Sender::new(V4, port + 1).socket.send(&report.concat()).unwrap();
    Sender::new(V4, port + 1).socket.send(&[0x80, 200, 0, 200]).unwrap();
    board.read(0, 24_000, &mut |_| {});
    let statistics = board.leg_statistics(0, 0).unwrap();
    assert_eq!((statistics.rtcp_sender_reports, statistics.rtcp_byes), (2, 2));
    assert_eq!((statistics.packets, statistics.malformed), (1, 1));
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let (mut board, port) = open_board(V4, 1);
    board.open_slot(0, 0, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    let mut sender = Sender::new(V4, port);
    // More than any default buffer of a socket holds.
    (0..3000).for_each(|n| sender.send(n, 0x90));
    while board.read(0, 24_000, &mut |_| {}) {}
    sender.send(3000, 0x90);
    board.read(10_000, 24_000, &mut |_| {});
    let statistics = board.leg_statistics(0, 0).unwrap();
    assert!(statistics.kernel_dropped > 0, "{statistics:?}");
    assert_eq!(statistics.packets + statistics.kernel_dropped, 3001);
    board.close_slot(20_000, 0, &mut |_| {});
    board.open_slot(20_000, 0, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    (0..3).for_each(|n| sender.send(n, 0x90));
    board.read(30_000, 24_000, &mut |_| {});
    let statistics = board.leg_statistics(0, 0).unwrap();
    assert_eq!((statistics.packets, statistics.kernel_dropped), (3, 0), "not those before");
}

#[test]
fn garbage_is_counted_and_a_long_datagram_is_not_cut() {
    let (mut board, port) = open_board(V4, 1);
    board.open_slot(0, 0, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    let sender = Sender::new(V4, port);
    sender.socket.send(&[1, 2, 3]).unwrap();
    sender.socket.send(&[0x80; 3000]).unwrap();
    sender.socket.send(&[]).unwrap();
    board.read(0, 24_000, &mut |_| {});
    assert_eq!(board.leg_statistics(0, 0).unwrap().malformed, 3);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do_and_the_board_is_retried() {
    let (board, port) = open_board(V4, 2);
    let config = test_config(V4, port, 2);
    let error = RtpBoard::open(&config, 0).err().unwrap().to_string();
    assert!(error.contains(&format!("port {port}: cannot be bound")), "{error}");
    assert!(error.contains("choose other `ports`"), "{error}");
    let poll = mio::Poll::new().unwrap();
    let mut closed = Board::start(config, 0, poll.registry(), 0..crate::TOKENS_MAX).unwrap();
    assert!(matches!(closed.state(), BoardState::Failed { .. }));
    assert!(closed.as_rtp_mut().is_none());
    drop(board);
    let retry_us = closed.deadline_us().unwrap();
    closed.read(retry_us, 24_000, &mut |_| {});
    assert_eq!(*closed.state(), BoardState::Running, "a board that listens runs");
    assert!(closed.as_rtp_mut().is_some());
    let position = closed.position();
    closed.read(retry_us + 1_000_000, 24_000, &mut |_| {});
    assert_eq!(closed.position(), position + 8000, "its clock moves without a call");
}

#[test]
fn receiving_allocates_nothing_but_what_the_srtp_library_copies() {
    let codecs = [RtpCodec::Pcmu, RtpCodec::G722, RtpCodec::Opus { channels: 1 }, RtpCodec::G729];
    for (codec, has_srtp) in codecs.into_iter().flat_map(|codec| [(codec, false), (codec, true)]) {
        let suite = SrtpSuite::AesCm128HmacSha1_80;
        let key = SrtpKey { suite, key_and_salt: Zeroizing::new(vec![7; 30]) };
        let leg = LegConfig {
            crypto: has_srtp.then(|| key.clone()),
            detects_tones: true,
            ..test_leg_config(codec)
        };
        let (mut board, port) = open_board(V4, 1);
        board.open_slot(0, 0, &[leg]).unwrap();
        let mut sender = Sender::new(V4, port);
        if has_srtp {
            let profile = ProtectionProfile::Aes128CmHmacSha180;
            let keys = vec![MasterKey::new(&[7; 16], &[7; 14], &None)];
            let mut session = SendSession::new();
            session.add_stream(None, &StreamConfig::new(keys, &profile, &profile)).unwrap();
            sender.srtp = Some(session);
        }
        let mut heard = 0;
        for n in 0..300_u16 {
            // One in ten is missing, one in ten comes late.
            match n % 10 {
                3 | 4 => {}
                6 => [n, n - 2].into_iter().for_each(|n| sender.send(n, 0x78)),
                _ => sender.send(n, 0x78),
            }
            let now_us = u64::from(n) * 20_000;
            let info = allocation_counter::measure(|| {
                board.read(now_us, 24_000, &mut |_| heard += 1);
            });
            // libsrtp makes a context at the first packet, and copies the tag of one or two
            // packets a turn. Its replay window grows until it is full.
            let most = if has_srtp { 80 } else { 0 };
            assert!(n == 0 || info.bytes_total <= most, "{codec:?} {has_srtp} {n}: {info:?}");
        }
        assert!(heard >= 299);
        let statistics = board.leg_statistics(0, 0).unwrap();
        assert_eq!((statistics.packets, statistics.srtp_failures), (270, 0), "{codec:?}");
    }
}
