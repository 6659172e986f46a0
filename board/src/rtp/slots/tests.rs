//! Stories of slots and legs: packets at times in, the account of every position out.
//!
//! `Call` drives one slot by a clock of its own, and checks on each event that every position of
//! a channel is told once, as audio or as lost, and that positions never go back.

use super::super::leg_config::{LegConfig, LegConfigError, RtpCodec, test_leg_config};
use super::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// What is known of one position of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Audio(i16),
    Lost(GapReason),
    /// Audio that came after the loss was told.
    Late(i16),
}

/// Everything that the board told about one channel.
#[derive(Default)]
struct Account {
    /// Each position of each side.
    told: [Vec<Told>; 2],
    /// Losses of the period that comes next: side, range, reason.
    pending: Vec<(usize, Range<usize>, GapReason)>,
    digits: Vec<(u64, u64)>,
}

struct Call {
    slots: Slots,
    now_us: u64,
    account: Account,
}

impl std::ops::Deref for Call {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.account
    }
}

/// One RTP packet of a test.
#[derive(Clone)]
struct TestPacket {
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
}

impl TestPacket {
    /// Packet `n` of a µ-law stream in steps of 20 ms, with samples that say `n`.
    fn audio(n: u16) -> TestPacket {
        let timestamp = u32::from(n) * 160;
        TestPacket { payload_type: 0, sequence: n, timestamp, ssrc: 1, payload: payload_of(n) }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0x80, self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// 160 bytes of µ-law that are unlike those of other packets, and loud.
fn payload_of(n: u16) -> Vec<u8> {
    let (low, high) = (u8::try_from(n % 32).unwrap(), u8::try_from(n / 32 % 32).unwrap());
    let byte = |at: u8| 0x80 | (if at.is_multiple_of(2) { low } else { high } ^ (at % 16));
    (0..160).map(byte).collect()
}

/// The samples of `payload_of`.
fn samples_of(n: u16) -> Vec<i16> {
    use audio_codec::Decoder as _;
    audio_codec::pcmu::PcmuDecoder::new().decode(&payload_of(n))
}

impl Call {
    fn new(legs: &[LegConfig]) -> Call {
        let mut slots = Slots::new(8000, 2);
        slots.open(0, 1, legs).unwrap();
        Call { slots, now_us: 0, account: Account::default() }
    }

    /// A call of one leg with the codec as payload type 0.
    fn with(codec: RtpCodec) -> Call {
        Call::new(&[test_leg_config(codec)])
    }

    fn receive(&mut self, leg: usize, packet: &TestPacket) {
        self.receive_bytes(leg, &packet.bytes());
    }

    fn receive_bytes(&mut self, leg: usize, bytes: &[u8]) {
        let Call { slots, account, now_us } = self;
        slots.receive(*now_us, (1, leg), bytes, &mut |event| account.note(event));
    }

    /// Lets time pass in steps of 10 ms, as the board is read.
    fn wait_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now_us += 10_000;
            let Call { slots, account, now_us } = self;
            slots.advance(*now_us, 24_000, &mut |event| account.note(event));
        }
    }

    fn close(&mut self) {
        let Call { slots, account, .. } = self;
        slots.close(1, &mut |event| account.note(event));
    }

    /// Sends packets of a leg, one each 20 ms.
    fn play(&mut self, leg: usize, packets: impl IntoIterator<Item = u16>) {
        for n in packets {
            self.receive(leg, &TestPacket::audio(n));
            self.wait_ms(20);
        }
    }

    fn statistics(&self, leg: usize) -> LegStatistics {
        self.slots.statistics(1, leg).unwrap()
    }

    /// Samples of a side, lost ones as `None`.
    fn samples(&self, side: usize) -> Vec<Option<i16>> {
        let sample = |told: &Told| match told {
            Told::Audio(sample) | Told::Late(sample) => Some(*sample),
            Told::Lost(_) => None,
        };
        self.told[side].iter().map(sample).collect()
    }

    /// Where the samples of packet `n` are, whole and unchanged.
    fn place_of(&self, side: usize, n: u16) -> Option<usize> {
        let wanted: Vec<Option<i16>> = samples_of(n).into_iter().map(Some).collect();
        self.samples(side).windows(160).position(|window| window == wanted)
    }

    /// Frames that are lost, by reason.
    fn lost(&self, side: usize) -> BTreeMap<String, usize> {
        let mut lost = BTreeMap::new();
        for told in &self.told[side] {
            if let Told::Lost(why) = told {
                *lost.entry(format!("{why:?}")).or_default() += 1;
            }
        }
        lost
    }
}

impl Account {
    fn note(&mut self, event: CaptureEvent<'_>) {
        let index = |position: u64| usize::try_from(position).unwrap();
        match event {
            CaptureEvent::Period(period) => {
                assert_eq!(period.channel, 1);
                self.note_period(index(period.position), period.samples);
            }
            CaptureEvent::SideLost { channel, side, position, frames, why } => {
                assert_eq!(channel, 1);
                assert!(index(position) >= self.told[side].len(), "told before");
                self.pending.push((side, index(position)..index(position + frames), why));
            }
            CaptureEvent::ChannelLost { channel, frames, position, why } => {
                assert_eq!((channel, self.pending.len()), (1, 0));
                for told in &mut self.told {
                    assert_eq!(told.len(), index(position));
                    told.extend((0..frames).map(|_| Told::Lost(why)));
                }
            }
            CaptureEvent::Late { channel, side, position, samples } => {
                assert_eq!(channel, 1);
                for (sample, at) in samples.iter().zip(index(position)..) {
                    let place = self.told[side].get_mut(at).expect("late, but not told yet");
                    assert!(matches!(place, Told::Lost(_)), "late, but not lost: {at} {place:?}");
                    *place = Told::Late(*sample);
                }
            }
            CaptureEvent::Digit { channel, position, frames } => {
                assert_eq!(channel, 1);
                self.digits.push((position, frames));
            }
            CaptureEvent::Lost { .. } => panic!("an event of other boards"),
        }
    }

    fn note_period(&mut self, position: usize, samples: &[i16]) {
        for (side, told) in self.told.iter_mut().enumerate() {
            assert_eq!(told.len(), position, "a position was left out, or told twice");
            told.extend(samples.chunks(2).map(|frame| Told::Audio(frame[side])));
        }
        for (side, range, why) in self.pending.drain(..) {
            for place in &mut self.told[side][range] {
                assert_eq!(*place, Told::Audio(0), "lost twice, or lost and yet audio");
                *place = Told::Lost(why);
            }
        }
    }
}

mod codecs;
mod digits;
mod order;
mod pauses;
mod random;
mod slots;
