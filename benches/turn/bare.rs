//! Bare libopus: the cost of encoding without the recorder.
//!
//! There is one encoder per channel, set up as in the box and given the same grid frames. Buffers
//! are prepared in advance, so only `opus_encode` is timed.

use opusic_c::{Application, Bitrate, Channels, Encoder, SampleRate};
use std::hint::black_box;
use testkit::load::turns::{PERIOD_FRAMES, Speech};

/// As in `codec::opus`.
const COMPLEXITY: u8 = 5;
const BITRATE: u32 = 16_000;

/// One encoder per channel.
pub struct Bare {
    encoders: Vec<Encoder>,
    /// Next period of every channel.
    frames: Vec<[u16; PERIOD_FRAMES]>,
    packet: Vec<u8>,
    /// Bytes of all packets so far.
    pub bytes: u64,
}

impl Bare {
    pub fn new(channels: usize) -> Bare {
        Bare {
            encoders: (0..channels).map(|_| encoder()).collect(),
            frames: vec![[0; PERIOD_FRAMES]; channels],
            packet: vec![0; 1276],
            bytes: 0,
        }
    }

    /// Prepares the channels' audio of the period numbered `turn`; not timed.
    pub fn lay_out(&mut self, speech: &Speech, turn: usize) {
        for (n, frame) in self.frames.iter_mut().enumerate() {
            for (slot, sample) in frame.iter_mut().zip(speech.period(n, turn)) {
                *slot = sample.cast_unsigned();
            }
        }
    }

    /// Encodes a period of the first `channels` channels.
    pub fn code(&mut self, channels: usize) {
        for (encoder, frame) in self.encoders.iter_mut().zip(&self.frames).take(channels) {
            let coded = encoder.encode_to_slice(black_box(frame), &mut self.packet);
            self.bytes += coded.expect("a packet") as u64;
        }
    }
}

fn encoder() -> Encoder {
    let mut encoder =
        Encoder::new(Channels::Mono, SampleRate::Hz8000, Application::Voip).expect("an encoder");
    encoder.set_bitrate(Bitrate::Value(BITRATE)).expect("bitrate");
    encoder.set_vbr(true).expect("vbr");
    encoder.set_vbr_constraint(true).expect("constraint");
    encoder.set_complexity(COMPLEXITY).expect("complexity");
    encoder.set_dtx(false).expect("dtx");
    encoder
}
