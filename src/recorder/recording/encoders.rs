//! Encoders that are ready for the next stream, by board and sides.

use crate::audio::channel::Channel;
use crate::audio::codec::{self, CodecError, Encoder};
use crate::audio::encode_stream::EncodeStream;
use crate::config::{AudioSettings, CodecKind, Config};
use protocol::{Code, Refusal};

/// Two pools for each board: mono and stereo.
pub(in crate::recorder) struct EncoderPools {
    pools: Vec<Vec<Encoder>>,
    /// The codec and bitrate of the encoders.
    settings: (CodecKind, u32),
}

impl EncoderPools {
    /// Makes one encoder per channel before the first call, so that libopus allocates now.
    ///
    /// # Errors
    ///
    /// When the codec rejects the configured rate or bitrate.
    pub fn new(config: &Config) -> Result<EncoderPools, CodecError> {
        let audio = &config.audio;
        let mut pools: Vec<Vec<Encoder>> =
            (0..config.boards.len() * 2).map(|_| Vec::new()).collect();
        for (index, board) in config.boards.iter().enumerate() {
            for channel in &board.channels {
                let encoder = Encoder::new(audio.codec, board.rate, channel.sides, audio.bitrate)?;
                pools[index * 2 + usize::from(channel.sides) - 1].push(encoder);
            }
        }
        Ok(EncoderPools { pools, settings: (audio.codec, audio.bitrate) })
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
        &mut self.pools[channel.board * 2 + usize::from(channel.sides) - 1]
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
