//! Opening, changing, closing and stalling slots.

use super::*;

#[test]
fn positions_go_on_over_close_and_open() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.close();
    let end = u64::try_from(call.told[0].len()).unwrap();
    assert_eq!(end, 480 + 1600, "what waited came at once");
    assert_eq!(call.slots.position(1), end);
    call.wait_ms(5000);
    assert_eq!(call.slots.position(1), end, "a closed slot does not move");
    assert!(!call.slots.has_open());
    call.receive(0, &TestPacket::audio(10));
    call.slots.open(call.now_us, 1, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    call.play(0, 30..40);
    call.close();
    let place = usize::try_from(end).unwrap() + 480;
    assert_eq!(call.place_of(0, 30), Some(place), "the clock began anew where it was");
    assert_eq!(call.place_of(0, 10), None, "packets of a closed slot are ignored");
    assert_eq!(call.statistics(0).packets, 10, "counters begin anew");
}

#[test]
fn nothing_of_the_call_before_remains() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.receive(0, &TestPacket::audio(12));
    call.slots.close(1, &mut |_| {});
    let begun = call.slots.position(1);
    call.slots.open(call.now_us, 1, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    let mut heard = Vec::new();
    call.slots.advance(call.now_us + 900_000, 24_000, &mut |event| {
        if let CaptureEvent::Period(period) = event {
            assert!(period.position >= begun);
            heard.extend_from_slice(period.samples);
        }
    });
    assert_eq!(heard.len(), 14_400);
    assert!(heard.iter().all(|sample| *sample == 0));
}

#[test]
fn wrong_legs_are_refused_and_the_slot_stays_as_it_was() {
    let good = test_leg_config(RtpCodec::Pcmu);
    let none = LegConfig { payloads: Vec::new(), ..good.clone() };
    let mut slots = Slots::new(8000, 1);
    assert_eq!(
        slots.open(0, 1, std::slice::from_ref(&good)),
        Err(LegConfigError::NoSlot { slot: 1, slots: 1 })
    );
    assert_eq!(slots.open(0, 0, &[]), Err(LegConfigError::Legs { legs: 0 }));
    let three = [good.clone(), good.clone(), good.clone()];
    assert_eq!(slots.open(0, 0, &three), Err(LegConfigError::Legs { legs: 3 }));
    let second = LegConfigError::Payloads { leg: 1, payloads: 0 };
    assert_eq!(slots.open(0, 0, &[good.clone(), none.clone()]), Err(second));
    assert_eq!(
        slots.change(0, std::slice::from_ref(&good)),
        Err(LegConfigError::NotOpen { slot: 0 })
    );
    assert!(!slots.has_open());
    slots.open(0, 0, std::slice::from_ref(&good)).unwrap();
    assert_eq!(
        slots.open(0, 0, std::slice::from_ref(&good)),
        Err(LegConfigError::AlreadyOpen { slot: 0 })
    );
    assert_eq!(slots.change(0, &[good, none]), Err(second));
    assert_eq!(slots.leg_count(0), 1);
}

#[test]
fn a_second_leg_may_come_later_and_go_again() {
    let leg = test_leg_config(RtpCodec::Pcmu);
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..5);
    call.slots.change(1, &[leg.clone(), leg.clone()]).unwrap();
    for n in 5..10 {
        call.receive(0, &TestPacket::audio(n));
        call.receive(1, &TestPacket::audio(n + 20));
        call.wait_ms(20);
    }
    call.wait_ms(60);
    assert_eq!(call.place_of(0, 6), Some(480 + 6 * 160));
    assert_eq!(call.place_of(1, 26), Some(480 + 6 * 160));
    assert_eq!(call.place_of(1, 7), None);
    call.slots.change(1, &[leg]).unwrap();
    assert_eq!(call.slots.leg_count(1), 1);
    let before = call.statistics(1);
    call.receive(1, &TestPacket::audio(40));
    assert_eq!(call.statistics(1), before, "the leg is gone");
}

#[test]
fn a_board_that_is_not_read_for_long_loses_the_time_and_goes_on() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.now_us += 4_000_000;
    call.play(0, 210..220);
    call.close();
    let lost = call.lost(0);
    assert!((30_000..=33_000).contains(&lost["Overrun"]), "{lost:?}");
    for n in 210..220 {
        assert!(call.place_of(0, n).is_some(), "packet {n}");
    }
}

#[test]
fn a_short_stall_loses_nothing_that_waits_in_the_sockets() {
    let mut call = Call::with(RtpCodec::Pcmu);
    call.play(0, 0..10);
    call.now_us += 600_000;
    (10..40).for_each(|n| call.receive(0, &TestPacket::audio(n)));
    call.play(0, 40..50);
    call.close();
    assert_eq!(call.lost(0), BTreeMap::new());
    for n in 0..50 {
        assert_eq!(call.place_of(0, n), Some(480 + usize::from(n) * 160), "packet {n}");
    }
}

#[test]
fn the_budget_bounds_each_slot_and_says_that_more_is_due() {
    let mut slots = Slots::new(8000, 2);
    for slot in 0..2 {
        slots.open(0, slot, &[test_leg_config(RtpCodec::Pcmu)]).unwrap();
    }
    let mut periods = [0, 0];
    let mut visit = |event: CaptureEvent<'_>| {
        if let CaptureEvent::Period(period) = event {
            periods[period.channel] += 1;
        }
    };
    assert!(slots.advance(200_000, 500, &mut visit));
    assert!(slots.advance(200_000, 500, &mut visit));
    assert!(slots.advance(200_000, 500, &mut visit));
    assert!(!slots.advance(200_000, 500, &mut visit));
    assert_eq!(periods, [10, 10]);
}
