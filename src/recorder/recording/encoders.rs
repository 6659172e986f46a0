//! Encoders that are ready for the next stream, by board and sides.

use crate::audio::channel::Channel;
use crate::audio::codec::{CodecError, Encoder};
use crate::audio::encode_stream::EncodeStream;
use crate::config::{AudioSettings, Config};
use protocol::{Code, Refusal};

/// Two pools for each board: mono and stereo.
pub(in crate::recorder) struct EncoderPools(Vec<Vec<Encoder>>);

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
        Ok(EncoderPools(pools))
    }

    /// Length of the longest chunk, in bytes.
    pub fn chunk_bytes_max(&self) -> usize {
        self.0.iter().flatten().map(EncodeStream::chunk_bytes_max).max().unwrap_or(0)
    }

    fn pool(&mut self, channel: &Channel) -> &mut Vec<Encoder> {
        &mut self.0[channel.board * 2 + usize::from(channel.sides) - 1]
    }

    /// An encoder for a channel.
    pub fn take(&mut self, channel: &Channel, audio: &AudioSettings) -> Result<Encoder, Refusal> {
        if let Some(encoder) = self.pool(channel).pop() {
            return Ok(encoder);
        }
        Encoder::new(audio.codec, channel.rate, channel.sides, audio.bitrate)
            .map_err(|error| Refusal::new(Code::Busy, error.to_string()))
    }

    /// Keeps a stream's encoder for the next one.
    pub fn recycle(&mut self, channels: &[Channel], reel: EncodeStream) {
        self.pool(&channels[reel.channel.0]).push(reel.into_encoder());
    }
}
