//! Digits: telephone events and tones.

use super::*;

fn event(sequence: u16, start: u16, value: u8, duration: u16, is_end: bool) -> TestPacket {
    let flags = if is_end { 0x8a } else { 0x0a };
    let [high, low] = duration.to_be_bytes();
    TestPacket {
        payload_type: 101,
        sequence,
        payload: vec![value, flags, high, low],
        ..TestPacket::audio(start)
    }
}

#[test]
fn a_telephone_event_is_one_digit_and_silence_and_never_audio() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    let mut sequence = 10;
    for step in 1..=5 {
        call.receive(0, &event(sequence, 10, 4, step * 160, false));
        sequence += 1;
        call.wait_ms(20);
    }
    for _ in 0..3 {
        call.receive(0, &event(sequence, 10, 4, 800, true));
        sequence += 1;
    }
    for n in 15..25 {
        call.receive(0, &TestPacket { sequence, ..TestPacket::audio(n) });
        sequence += 1;
        call.wait_ms(20);
    }
    call.close();
    assert_eq!(call.digits, [(480 + 1600, 160)]);
    assert_eq!(call.lost(0), BTreeMap::new());
    let during = &call.told[0][480 + 1600..480 + 2400];
    assert!(during.iter().all(|told| *told == Told::Audio(0)), "the event is silent");
    assert_eq!(call.place_of(0, 15), Some(480 + 15 * 160));
    assert_eq!(call.statistics(0).digits, 1);
}

#[test]
fn i4_events_of_every_agreed_payload_type_are_digits() {
    let events = vec![101, 110];
    let both = LegConfig { telephone_events: events, ..test_leg_config(RtpCodec::Pcmu) };
    let mut call = Call::new(&[both]);
    call.play(0, 0..5);
    call.receive(0, &event(5, 5, 4, 160, true));
    call.receive(0, &TestPacket { payload_type: 110, ..event(6, 10, 4, 160, true) });
    call.wait_ms(200);
    call.close();
    assert_eq!(call.digits, [(480 + 5 * 160, 160), (480 + 10 * 160, 160)]);
    assert_eq!(call.statistics(0).unknown_payload, 0);
}

#[test]
fn end_packets_that_are_swapped_or_lost_change_nothing() {
    // rtpengine 10.5 swaps the end packets of each digit on loopback.
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    for (sequence, duration, is_end) in [(10, 160, false), (13, 480, true), (12, 480, true)] {
        call.receive(0, &event(sequence, 10, 1, duration, is_end));
    }
    call.wait_ms(60);
    call.receive(0, &event(14, 14, 2, 160, false));
    call.wait_ms(20);
    call.close();
    assert_eq!(call.digits, [(480 + 10 * 160, 160), (480 + 14 * 160, 160)]);
}

#[test]
fn events_look_the_same_whatever_their_value() {
    let told = |value: u8| {
        let mut call = Call::with(RtpCodec::Pcmu);
        call.play(0, 0..5);
        call.receive(0, &event(5, 5, value, 160, false));
        call.wait_ms(200);
        (call.digits.clone(), call.told.clone(), call.statistics(0))
    };
    let first = told(0);
    assert!((1..=16).all(|value| told(value) == first));
}

#[test]
fn tones_in_the_audio_are_found_when_the_leg_wants_it() {
    let tone = |n: usize| {
        let time = f64::from(u32::try_from(n).unwrap()) / 8000.0;
        let wave = |hz: f64| (std::f64::consts::TAU * hz * time).sin() * 4000.0;
        #[allow(clippy::cast_possible_truncation, reason = "within ±8000")]
        let sample = (wave(770.0) + wave(1336.0)) as i16;
        sample
    };
    for detects_tones in [true, false] {
        let config = LegConfig { detects_tones, ..test_leg_config(RtpCodec::Pcmu) };
        let mut call = Call::new(&[config]);
        let mut encoder = audio_codec::pcmu::PcmuEncoder::new();
        for n in 0..20 {
            let mut packet = TestPacket::audio(n);
            packet.payload = vec![0xff; 160];
            if (8..12).contains(&n) {
                let samples: Vec<i16> =
                    (0..160).map(|at| tone(usize::from(n) * 160 + at)).collect();
                packet.payload = audio_codec::Encoder::encode(&mut encoder, &samples);
            }
            call.receive(0, &packet);
            call.wait_ms(20);
        }
        call.close();
        assert_eq!(call.digits.len(), usize::from(detects_tones));
        if let Some((position, frames)) = call.digits.first() {
            let start = 480 + 8 * 160;
            assert!((start..start + 110).contains(position) && *frames == 204, "{position}");
        }
    }
}
