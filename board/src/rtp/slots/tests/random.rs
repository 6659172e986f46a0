//! Random calls: whatever comes, nothing panics, and each position is told once. The account in
//! `note` checks it at every event.

use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn random_leg(random: &mut Random) -> LegConfig {
    let codecs = [
        RtpCodec::Pcmu,
        RtpCodec::Pcma,
        RtpCodec::G722,
        RtpCodec::G729,
        RtpCodec::Opus { channels: 2 },
    ];
    let mut pick = || codecs[usize::try_from(random.below(5)).unwrap()];
    LegConfig {
        payloads: vec![(0, pick()), (96, pick())],
        expects_audio: random.below(4) > 0,
        detects_tones: random.below(2) == 0,
        ..test_leg_config(RtpCodec::Pcmu)
    }
}

/// A packet that may be anything, but is often nearly right.
fn random_packet(random: &mut Random, n: u64) -> Vec<u8> {
    if random.below(12) == 0 {
        let length = random.below(60);
        return (0..length).map(|_| random.byte()).collect();
    }
    let types = [0, 0, 0, 0, 96, 13, 101, 5];
    let wander = |random: &mut Random, value: u64, by: u64| match random.below(20) {
        0 => random.below(u64::from(u32::MAX)),
        1..4 => value.wrapping_add(random.below(by)).wrapping_sub(by / 2),
        _ => value,
    };
    let sequence = wander(random, n, 20) % 65_536;
    let timestamp = wander(random, n * 160, 20_000) % (1 << 32);
    let length = random.below(400);
    TestPacket {
        payload_type: types[usize::try_from(random.below(8)).unwrap()],
        sequence: u16::try_from(sequence).unwrap(),
        timestamp: u32::try_from(timestamp).unwrap(),
        ssrc: u32::from(random.below(100) == 0),
        payload: (0..length).map(|_| random.byte()).collect(),
    }
    .bytes()
}

#[test]
fn random_packets_never_panic_and_every_position_is_told_once() {
    for seed in 1..60 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let legs = [random_leg(&mut random), random_leg(&mut random)];
        let count = usize::try_from(1 + random.below(2)).unwrap();
        let mut call = Call::new(&legs[..count]);
        for n in 0..600 {
            for leg in 0..2 {
                if random.below(10) > 0 {
                    let bytes = random_packet(&mut random, n);
                    call.receive_bytes(leg, &bytes);
                }
            }
            match random.below(300) {
                0 => call.now_us += random.below(3_000_000),
                1 => {
                    let config = random_leg(&mut random);
                    call.slots.change(1, &[config.clone(), config]).unwrap();
                }
                2 => {
                    call.close();
                    let config = random_leg(&mut random);
                    call.slots.open(call.now_us, 1, &[config]).unwrap();
                }
                _ => {}
            }
            call.wait_ms(random.below(3) * 10);
        }
        call.close();
        let position = usize::try_from(call.slots.position(1)).unwrap();
        assert_eq!([call.told[0].len(), call.told[1].len()], [position, position]);
    }
}

#[test]
fn random_loss_and_reordering_never_change_a_ulaw_sample() {
    for seed in 1..40 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut call = Call::with(RtpCodec::Pcmu);
        let mut delayed: Vec<(u64, u16)> = Vec::new();
        let mut lost = Vec::new();
        for n in 0..300_u16 {
            let now = call.now_us;
            match random.below(20) {
                0 => lost.push(n),
                1 => delayed.push((now + random.below(400_000), n)),
                _ => call.receive(0, &TestPacket::audio(n)),
            }
            delayed.retain(|(due_us, late)| {
                if *due_us <= now {
                    call.receive(0, &TestPacket::audio(*late));
                }
                *due_us > now
            });
            call.wait_ms(20);
        }
        delayed.iter().for_each(|(_, late)| call.receive(0, &TestPacket::audio(*late)));
        call.close();
        let first = call.statistics(0).packets.min(1);
        assert_eq!(first, 1);
        let samples = call.samples(0);
        // The first packet that came is the anchor; earlier ones are before it.
        let anchor = (0..300).find(|n| call.place_of(0, *n).is_some()).unwrap();
        let base = call.place_of(0, anchor).unwrap();
        for n in anchor..300 {
            let place = base + usize::from(n - anchor) * 160;
            let expected = samples_of(n);
            let Some(heard) = samples.get(place..place + 160) else {
                assert!(lost.contains(&n), "seed {seed}: packet {n} is behind the end");
                continue;
            };
            for (sample, expected) in heard.iter().zip(&expected) {
                assert!(sample.is_none_or(|sample| sample == *expected), "seed {seed}: {n}");
            }
            assert_eq!(heard.iter().all(Option::is_none), lost.contains(&n), "seed {seed}: {n}");
        }
    }
}
