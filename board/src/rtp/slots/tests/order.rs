//! Loss, reordering, duplicates, late packets, jumps, SSRC changes, skew.

use super::*;

#[test]
fn ulaw_packets_come_out_byte_for_byte_sixty_milliseconds_later() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.wait_ms(40);
    call.play(0, 0..100);
    call.wait_ms(100);
    for n in 0..100 {
        let place = 320 + 480 + usize::from(n) * 160;
        let samples: Vec<_> = samples_of(n).into_iter().map(Told::Audio).collect();
        assert_eq!(call.told[0][place..place + 160], samples, "packet {n}");
        assert_eq!(call.told[1][place..place + 160], samples, "one leg sounds on both sides");
    }
    let statistics = call.statistics(0);
    assert_eq!((statistics.packets, statistics.lost, statistics.late), (100, 0, 0));
    assert_eq!(statistics.bytes, 17_200);
    assert_eq!(statistics.ssrc, Some(1));
}

#[test]
fn reordering_within_sixty_milliseconds_changes_nothing() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, [0, 1, 2, 5, 4, 3, 6, 8, 7, 9]);
    call.wait_ms(100);
    for n in 0..10 {
        assert_eq!(call.place_of(0, n), Some(480 + usize::from(n) * 160), "packet {n}");
    }
    let statistics = call.statistics(0);
    assert_eq!((statistics.reordered, statistics.lost, statistics.late), (3, 0, 0));
    let tail = call.told[0].len() - 480 - 1600;
    assert_eq!(call.lost(0), BTreeMap::from([("Network".to_owned(), tail)]), "behind the last");
}

#[test]
fn rule_15_a_sequence_that_begins_anew_costs_one_packet() {
    // 10 s back is no restart by the number alone, and 1 s back is within the known duplicates.
    for played in [500, 60] {
        let mut call = Call::with(RtpCodec::Pcmu);
        call.play(0, 0..played);
        call.play(0, 0..50);
        call.close();
        let again = 480 + usize::from(played) * 160;
        let samples: Vec<_> = (2..50).flat_map(samples_of).map(Told::Audio).collect();
        let found = call.told[0][again..].windows(samples.len()).any(|told| *told == samples[..]);
        assert!(found, "after {played} packets");
        assert!(call.statistics(0).jumps >= 1);
    }
}

#[test]
fn rule_15_one_stray_packet_begins_nothing_anew() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, (0..200).chain([20]).chain(200..210).chain([21]).chain(210..220));
    call.close();
    assert_eq!(call.statistics(0).jumps, 0);
    assert_eq!(call.statistics(0).late_dropped + call.statistics(0).duplicates, 2);
}

#[test]
fn a_missing_packet_is_lost_on_its_side_only() {
    let legs = [test_leg_config(RtpCodec::Pcmu), test_leg_config(RtpCodec::Pcmu)];
    let mut call = Call::new(&legs);
    for n in 0..20 {
        if n != 7 && n != 8 {
            call.receive(0, &TestPacket::audio(n));
        }
        call.receive(1, &TestPacket::audio(n + 20));
        call.wait_ms(20);
    }
    call.close();
    let place = 480 + 7 * 160;
    assert!(call.told[0][place..place + 320].iter().all(|t| *t == Told::Lost(GapReason::Network)));
    assert_eq!(call.lost(0), BTreeMap::from([("Network".to_owned(), 320)]));
    assert_eq!(call.lost(1), BTreeMap::new());
    assert_eq!(call.place_of(1, 27), Some(place), "the other side is whole");
    assert_eq!(call.statistics(0).lost, 2);
    assert_eq!(call.statistics(0).lost_frames, 320);
}

#[test]
fn a_packet_that_comes_too_late_repairs_the_loss_while_it_is_remembered() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, (0..20).chain(21..40));
    let place = 480 + 20 * 160;
    assert_eq!(call.told[0][place], Told::Lost(GapReason::Network));
    call.receive(0, &TestPacket::audio(20));
    let late: Vec<_> = samples_of(20).into_iter().map(Told::Late).collect();
    assert_eq!(call.told[0][place..place + 160], late);
    assert_eq!(call.told[1][place..place + 160], late, "on both sides");
    let statistics = call.statistics(0);
    assert_eq!((statistics.late, statistics.lost, statistics.repaired_frames), (1, 0, 160));
    call.receive(0, &TestPacket::audio(20));
    assert_eq!(call.statistics(0).duplicates, 1);
    assert_eq!(call.statistics(0).late, 1);
}

#[test]
fn a_packet_that_is_half_too_late_is_split() {
    let mut call = Call::with(RtpCodec::Pcmu);
    let mut long = TestPacket::audio(3);
    long.payload = [payload_of(3), payload_of(4), payload_of(5), payload_of(6)].concat();
    call.play(0, 0..3);
    let mut next = TestPacket::audio(7);
    next.sequence = 4;
    call.wait_ms(40);
    call.receive(0, &next);
    call.wait_ms(40);
    call.receive(0, &long);
    call.wait_ms(200);
    for n in 3..8 {
        assert_eq!(call.place_of(0, n), Some(480 + usize::from(n) * 160), "packet {n}");
    }
    assert!(call.told[0].iter().any(|told| matches!(told, Told::Late(_))));
    assert!(call.statistics(0).repaired_frames > 0);
}

#[test]
fn a_packet_older_than_a_second_is_dropped() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, (0..10).chain(11..100));
    call.receive(0, &TestPacket::audio(10));
    let statistics = call.statistics(0);
    assert_eq!((statistics.late, statistics.late_dropped), (1, 1));
    assert_eq!(call.place_of(0, 10), None);
}

#[test]
fn a_timestamp_that_the_arrival_denies_anchors_the_stream_anew() {
    // sipwise/rtpengine 1874 and signalwire/freeswitch 2361: jumps forward and back, same SSRC.
    for jump in [9_000_000_u32, 9_000_000_u32.wrapping_neg()] {
        let mut call = Call::with(RtpCodec::Pcmu);
        call.play(0, 0..10);
        for n in 10..30 {
            let mut packet = TestPacket::audio(n);
            packet.timestamp = packet.timestamp.wrapping_add(jump);
            call.receive(0, &packet);
            call.wait_ms(20);
        }
        call.close();
        for n in 0..30 {
            assert_eq!(call.place_of(0, n), Some(480 + usize::from(n) * 160), "packet {n}");
        }
        assert_eq!(call.statistics(0).jumps, 1);
        assert_eq!(call.lost(0), BTreeMap::new());
    }
}

#[test]
fn a_new_ssrc_is_the_same_leg_and_stragglers_of_the_old_one_are_counted() {
    // sipwise/rtpengine 1689, asterisk 1277.
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    for n in 10..20 {
        let mut packet = TestPacket::audio(n);
        (packet.ssrc, packet.sequence, packet.timestamp) = (2, n + 40_000, u32::from(n) * 160 + 7);
        call.receive(0, &packet);
        if n == 12 {
            call.receive(0, &TestPacket::audio(10));
        }
        call.wait_ms(20);
    }
    let mut back = TestPacket::audio(40);
    call.wait_ms(2000);
    back.ssrc = 1;
    call.receive(0, &back);
    call.close();
    for n in 0..20 {
        assert_eq!(call.place_of(0, n), Some(480 + usize::from(n) * 160), "packet {n}");
    }
    assert!(call.place_of(0, 40).is_some(), "a former SSRC may return");
    let statistics = call.statistics(0);
    assert_eq!((statistics.ssrc_changes, statistics.stragglers, statistics.jumps), (2, 1, 0));
}

#[test]
fn a_restarted_sequence_is_followed() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    for n in 10..20 {
        let mut packet = TestPacket::audio(n);
        packet.sequence += 20_000;
        call.receive(0, &packet);
        call.wait_ms(20);
    }
    call.close();
    assert_eq!(call.place_of(0, 19), Some(480 + 19 * 160));
    assert_eq!(call.statistics(0).jumps, 1);
}

#[test]
fn packets_dropped_by_this_box_are_an_overrun_and_not_the_networks_fault() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..5);
    call.wait_ms(40);
    call.slots.leg_mut(1, 0).unwrap().note_dropped(2, GapReason::Overrun);
    call.play(0, (7..10).chain(11..20));
    call.close();
    let lost = BTreeMap::from([("Network".to_owned(), 160), ("Overrun".to_owned(), 320)]);
    assert_eq!(call.lost(0), lost);
    assert_eq!(call.statistics(0).kernel_dropped, 2);
}

/// Plays minutes of a sender whose clock is off; quiet for 100 ms each second.
fn play_skewed(ppm: i64, seconds: u64) -> Call {
    let mut call = Call::with(RtpCodec::Pcmu);
    let mut n = 0_u64;
    while call.now_us < seconds * 1_000_000 {
        let due_us = i64::try_from(n * 20_000).unwrap() * (1_000_000 - ppm) / 1_000_000;
        while i64::try_from(call.now_us).unwrap() < due_us {
            call.wait_ms(10);
        }
        let mut packet = TestPacket::audio(u16::try_from(n % 65_536).unwrap());
        packet.timestamp = u32::try_from(n * 160).unwrap();
        if n % 50 < 5 {
            packet.payload.fill(0xff);
        }
        call.receive(0, &packet);
        n += 1;
    }
    call.wait_ms(100);
    call
}

#[test]
fn a_slow_or_fast_sender_is_followed_and_its_corrections_are_counted() {
    for (ppm, seconds) in [(500, 180), (-500, 180)] {
        let call = play_skewed(ppm, seconds);
        let statistics = call.statistics(0);
        let drift = 500 * seconds * 8000 / 1_000_000;
        let (corrected, other) = match ppm > 0 {
            true => (statistics.skew_dropped_frames, statistics.skew_inserted_frames),
            false => (statistics.skew_inserted_frames, statistics.skew_dropped_frames),
        };
        assert!(corrected.abs_diff(drift) <= 400, "{ppm}: {corrected} of {drift}");
        assert_eq!((other, statistics.late, statistics.jumps), (0, 0, 0), "{ppm}");
        let lost: usize = call.lost(0).values().sum();
        assert!(lost <= 800, "{ppm}: {lost} frames at the end");
    }
}
