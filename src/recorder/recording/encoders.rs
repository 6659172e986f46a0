//! Encoders that are ready for the next stream, by rate and sides.

use crate::audio::channel::Channel;
use crate::audio::codec::{self, CodecError, Encoder};
use crate::audio::encode_stream::EncodeStream;
use crate::config::{AudioSettings, CodecKind, Config};
use crate::limits;
use protocol::{Code, Refusal};
use std::collections::BTreeMap;

/// What an encoder is for: frames per second, and sides.
type Format = (u32, u8);

/// A pool for each rate and number of sides.
pub(in crate::recorder) struct EncoderPools {
    pools: BTreeMap<Format, Vec<Encoder>>,
    /// The codec and bitrate of the encoders.
    settings: (CodecKind, u32),
    memory_bytes: u64,
}

impl EncoderPools {
    /// Makes one encoder per channel before the first call, so that libopus allocates now; but no
    /// more than may be recorded at once.
    ///
    /// # Errors
    ///
    /// When the codec rejects the configured rate or bitrate.
    pub fn new(config: &Config) -> Result<EncoderPools, CodecError> {
        let audio = &config.audio;
        let mut counts: BTreeMap<Format, usize> = BTreeMap::new();
        for board in &config.boards {
            for channel in &board.channels {
                *counts.entry((board.rate, channel.sides)).or_default() += 1;
            }
        }
        let (mut pools, mut memory_bytes) = (BTreeMap::new(), 0);
        for ((rate, sides), count) in counts {
            let count = count.min(limits::RECORDINGS_MAX);
            let make = |_| Encoder::new(audio.codec, rate, sides, audio.bitrate);
            let pool = (0..count).map(make).collect::<Result<Vec<_>, _>>()?;
            memory_bytes += pool.iter().map(Encoder::memory_bytes).sum::<u64>();
            pools.insert((rate, sides), pool);
        }
        Ok(EncoderPools { pools, settings: (audio.codec, audio.bitrate), memory_bytes })
    }

    /// Memory of all encoders made at the start, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Length of the longest chunk of any channel with any codec, in bytes, because a reload may
    /// choose another codec.
    ///
    /// # Errors
    ///
    /// When a rate or a number of sides is not supported.
    pub fn chunk_bytes_max(config: &Config) -> Result<usize, CodecError> {
        let mut longest = 0;
        for board in &config.boards {
            for channel in &board.channels {
                longest = longest.max(codec::any_grid_bytes_max(board.rate, channel.sides)?);
            }
        }
        Ok(EncodeStream::chunk_bytes_max(longest))
    }

    fn pool(&mut self, channel: &Channel) -> &mut Vec<Encoder> {
        self.pools.entry((channel.rate, channel.sides)).or_default()
    }

    /// An encoder for a channel.
    pub fn take(&mut self, channel: &Channel, audio: &AudioSettings) -> Result<Encoder, Refusal> {
        if let Some(encoder) = self.pool(channel).pop() {
            return Ok(encoder);
        }
        Encoder::new(audio.codec, channel.rate, channel.sides, audio.bitrate)
            .map_err(|error| Refusal::new(Code::Busy, error.to_string()))
    }

    /// Keeps a stream's encoder for the next one, unless a reload has replaced its settings.
    pub fn recycle(&mut self, channels: &[Channel], stream: EncodeStream) {
        let channel = &channels[stream.channel.0];
        let encoder = stream.into_encoder();
        if (encoder.kind(), encoder.bitrate_per_side()) == self.settings {
            self.pool(channel).push(encoder);
        }
    }
}
