//! Silence by choice: comfort noise, DTX, hold, before the first packet, after the last one.

use super::*;

fn comfort_noise(n: u16) -> TestPacket {
    TestPacket { payload_type: 13, payload: vec![60], ..TestPacket::audio(n) }
}

/// Packet at another time than its sequence number says.
fn audio_at(sequence: u16, n: u16) -> TestPacket {
    TestPacket { sequence, ..TestPacket::audio(n) }
}

#[test]
fn comfort_noise_is_silence_with_a_length() {
    // sipwise/rtpengine 1370: pauses were concatenated.
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.receive(0, &comfort_noise(10));
    call.wait_ms(40 * 20);
    for n in 50..60 {
        call.receive(0, &audio_at(n - 39, n));
        call.wait_ms(20);
    }
    call.close();
    assert_eq!(call.place_of(0, 50), Some(480 + 50 * 160));
    assert_eq!(call.lost(0), BTreeMap::new());
    assert_eq!(call.statistics(0).lost, 0);
}

#[test]
fn packets_lost_at_the_end_of_a_pause_are_lost() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.receive(0, &comfort_noise(10));
    call.wait_ms(40 * 20);
    // Packets 11 and 12 are missing; 13 is the third of the new talk.
    for n in 52..60 {
        call.receive(0, &audio_at(n - 39, n));
        call.wait_ms(20);
    }
    call.close();
    assert_eq!(call.lost(0), BTreeMap::from([("Network".to_owned(), 320)]));
    assert_eq!(call.told[0][480 + 50 * 160], Told::Lost(GapReason::Network));
}

#[test]
fn a_pause_without_comfort_noise_is_repaired_when_no_packet_is_missing() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.wait_ms(30 * 20);
    assert!(!call.lost(0).is_empty(), "nothing says yet that this is no loss");
    for n in 40..50 {
        call.receive(0, &audio_at(n - 30, n));
        call.wait_ms(20);
    }
    call.close();
    assert_eq!(call.lost(0), BTreeMap::new());
    assert_eq!(call.place_of(0, 40), Some(480 + 40 * 160));
    assert!(call.statistics(0).repaired_frames > 3000);
}

#[test]
fn a_line_on_hold_is_silent_and_not_lost() {
    // sipwise/rtpengine 1779; rtpengine 26 sends nothing meanwhile and its numbers jump.
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    let held = LegConfig { expects_audio: false, ..test_leg_config(RtpCodec::Pcmu) };
    call.slots.change(1, &[held]).unwrap();
    call.wait_ms(2000);
    call.slots.change(1, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    call.wait_ms(200);
    call.play(0, 120..130);
    call.close();
    assert_eq!(call.lost(0), BTreeMap::new());
    assert_eq!(call.place_of(0, 120), Some(480 + 120 * 160));
}

#[test]
fn audio_on_a_held_line_is_kept() {
    let held = LegConfig { expects_audio: false, ..test_leg_config(RtpCodec::Pcmu) };
    let mut call = Call::new(&[held]);
    call.play(0, (0..5).chain(6..10));
    call.close();
    assert_eq!(call.place_of(0, 4), Some(480 + 4 * 160));
    assert_eq!(call.lost(0), BTreeMap::new());
}

#[test]
fn a_sender_that_begins_late_loses_only_what_is_behind_a_second() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.wait_ms(500);
    call.play(0, 0..5);
    assert_eq!(call.lost(0), BTreeMap::new());
    let mut call = Call::with(RtpCodec::Pcmu);
    call.wait_ms(1500);
    assert_eq!(call.lost(0), BTreeMap::from([("Network".to_owned(), 4000)]));
}

#[test]
fn a_leg_that_falls_silent_is_lost_until_the_call_ends() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..50);
    call.wait_ms(5000);
    let lost = call.lost(0)["Network"];
    assert!((39_000..=40_000).contains(&lost), "{lost}");
}
