//! Codecs with memory: their packets are decoded in order.

use super::*;
use audio_codec::Encoder as _;

/// Packets of 20 ms of a rising and falling tone.
fn encode_g722() -> Vec<Vec<u8>> {
    let mut encoder = audio_codec::g722::G722Encoder::new();
    let wave = |n: i32| i16::try_from((n % 40 - 20) * (n % 4000)).unwrap_or(0);
    let samples: Vec<i16> = (0..320 * 30).map(wave).collect();
    samples.chunks(320).map(|chunk| encoder.encode(chunk)).collect()
}

fn play(codec: RtpCodec, packets: &[Vec<u8>], order: &[usize]) -> Call {
    let mut call = Call::with(codec);
    for n in order {
        let n16 = u16::try_from(*n).unwrap();
        let timestamp = u32::from(n16) * codec.clock_rate() / 50;
        let payload = packets[*n].clone();
        call.receive(0, &TestPacket { payload, timestamp, ..TestPacket::audio(n16) });
        call.wait_ms(20);
    }
    call.close();
    call
}

#[test]
fn reordered_packets_decode_as_if_they_came_in_order() {
    let packets = encode_g722();
    let order: Vec<usize> = (0..30).collect();
    let straight = play(RtpCodec::G722, &packets, &order);
    let mut swapped = order.clone();
    swapped.swap(5, 6);
    swapped.swap(10, 12);
    let reordered = play(RtpCodec::G722, &packets, &swapped);
    assert!(straight.told[0].iter().any(|told| !matches!(told, Told::Audio(-9..=9))));
    assert_eq!(reordered.told, straight.told);
    assert_eq!(reordered.statistics(0).reordered, 3);
}

#[test]
fn a_gap_is_lost_and_what_follows_is_decoded() {
    let packets = encode_g722();
    let order: Vec<usize> = (0..30).filter(|n| *n != 9).collect();
    let call = play(RtpCodec::G722, &packets, &order);
    assert_eq!(call.lost(0), BTreeMap::from([("Network".to_owned(), 160)]));
    assert_eq!(call.told[0][480 + 9 * 160], Told::Lost(GapReason::Network));
    let end = call.told[0].len();
    assert!((480 + 30 * 160..=480 + 31 * 160).contains(&end), "{end}");
}

#[test]
fn a_late_packet_of_a_codec_with_memory_repairs_its_loss() {
    let packets = encode_g722();
    let mut order: Vec<usize> = (0..30).filter(|n| *n != 9).collect();
    order.insert(20, 9);
    let call = play(RtpCodec::G722, &packets, &order);
    assert!(matches!(call.told[0][480 + 9 * 160 + 80], Told::Late(_)));
    assert_eq!(call.lost(0), BTreeMap::new());
}

#[test]
fn opus_dtx_is_silence_with_a_length() {
    let rate = opusic_c::SampleRate::Hz16000;
    let mut encoder =
        opusic_c::Encoder::new(opusic_c::Channels::Mono, rate, opusic_c::Application::Voip)
            .unwrap();
    let mut packets: Vec<Vec<u8>> = Vec::new();
    for n in 0..30_u16 {
        let words: Vec<u16> = (0..320).map(|at| (n * 320 + at) % 40 * 200).collect();
        let mut packet = vec![0; 400];
        let length = encoder.encode_to_slice(&words, &mut packet).unwrap();
        packet.truncate(length);
        packets.push(packet);
    }
    packets[10] = vec![0x08];
    let codec = RtpCodec::Opus { channels: 2 };
    let mut call = Call::with(codec);
    for (sequence, n) in (0..=10).chain(25..30).enumerate() {
        while call.now_us < 20_000 * u64::try_from(n).unwrap() {
            call.wait_ms(10);
        }
        let sequence = u16::try_from(sequence).unwrap();
        let timestamp = u32::try_from(n * 960).unwrap();
        let payload = packets[n].clone();
        call.receive(0, &TestPacket { sequence, timestamp, payload, ..TestPacket::audio(0) });
    }
    call.wait_ms(40);
    call.close();
    assert_eq!(call.lost(0), BTreeMap::new());
    assert_eq!(call.statistics(0).jumps, 0);
    let loud = |n: usize| {
        let place = 480 + n * 160;
        call.told[0][place..place + 160].iter().any(|told| !matches!(told, Told::Audio(-99..=99)))
    };
    assert_eq!([loud(5), loud(15), loud(20), loud(27)], [true, false, false, true]);
}
