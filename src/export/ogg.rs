//! Ogg Opus export (RFC 3533, RFC 7845).
//!
//! An Opus recording is remuxed without re-encoding: one packet per grid frame, and a silent
//! packet where nothing is stored. Any other recording is encoded at 24 kbit/s per side, resampled
//! if Opus lacks its rate. Its silence is not encoded, because encoded zeros decode to faint noise.
//! The pre-skip removes the codec's delay and the last granule position trims the end, so that
//! players show exactly the recording's frames. Granules count at 48 kHz, as RFC 7845 requires; a
//! page holds at most one second.
//!
//! The serial number is derived from the tags, so the same recording gives the same file.

use super::resample::{StreamResampler, opus_rate};
use super::{AudioFormat, ExportError};
use crate::audio::codec::opus::{OpusEncoder, entry_reader, sample_rate, take_entry};
use crate::audio::codec::{
    CodecError, Decoder, FrameLayout, GRID_HZ, checked_grid_frames, total_frames,
};
use crate::audio::span::Run;
use crate::config::CodecKind;
use ogg::{PacketWriteEndInfo, PacketWriter};
use std::io::Write;

/// Bitrate for re-encoding, in bit/s per side.
const BITRATE: u32 = 24_000;
/// Rate of granule positions, independent of the audio's rate.
const GRANULE_HZ: u32 = 48_000;
const PACKETS_PER_PAGE: u64 = 50;
/// Maximum size of all tags; players reject larger headers (RFC 7845, 5.2).
const TAG_BYTES_MAX: usize = 60_000;

/// Source of the packets.
enum PacketSource {
    /// Packets of the recording, and silent ones where it has none.
    Remux,
    /// Samples encoded here; `samples` holds an incomplete grid frame.
    Encode { decoder: Box<SampleReader>, coder: DtxEncoder, samples: Vec<i16> },
}

/// Decodes a recording to samples at a rate of Opus.
struct SampleReader {
    decoder: Decoder,
    resampler: Option<StreamResampler>,
    decoded: Vec<i16>,
}

impl SampleReader {
    fn new(sound: &AudioFormat, rate: u32) -> Result<SampleReader, ExportError> {
        let sides = usize::from(sound.sides);
        let resampler = (rate != sound.rate)
            .then(|| StreamResampler::new(sound.rate, rate, sides))
            .transpose()?;
        Ok(SampleReader { decoder: sound.new_decoder()?, resampler, decoded: Vec::new() })
    }

    fn read_chunk(
        &mut self,
        runs: &[Run],
        payload: &[u8],
        samples: &mut Vec<i16>,
    ) -> Result<(), ExportError> {
        self.decoder.decode_chunk(runs, payload, &mut self.decoded)?;
        self.pass_on(samples)
    }

    fn finish(&mut self, samples: &mut Vec<i16>) -> Result<(), ExportError> {
        self.decoder.finish(&mut self.decoded);
        self.pass_on(samples)?;
        self.resampler.as_mut().map_or(Ok(()), |resampler| resampler.finish(samples))
    }

    fn pass_on(&mut self, samples: &mut Vec<i16>) -> Result<(), ExportError> {
        match &mut self.resampler {
            None => samples.append(&mut self.decoded),
            Some(resampler) => resampler.resample(&self.decoded, samples)?,
        }
        self.decoded.clear();
        Ok(())
    }
}

/// An encoder that omits silence.
struct DtxEncoder {
    encoder: Box<OpusEncoder>,
    /// The look-ahead holds audio.
    has_pending_tail: bool,
    /// The last grid frame was omitted.
    has_gap: bool,
}

impl DtxEncoder {
    /// Writes the packet of one grid frame. Zeros are encoded only to drain the look-ahead. After
    /// omitted silence the encoder is reset, as the player's decoder is.
    fn write_frame<W: Write>(
        &mut self,
        piece: &[i16],
        sides: usize,
        stream: &mut LogicalStream<W>,
    ) -> Result<(), ExportError> {
        let silent = |samples: &[i16]| samples.iter().all(|sample| *sample == 0);
        let leave_out = silent(piece) && !self.has_pending_tail;
        if self.has_gap && !leave_out {
            self.encoder.reset();
        }
        self.has_gap = leave_out;
        let look_ahead = usize::from(self.encoder.delay_frames()) * sides;
        self.has_pending_tail = !silent(&piece[piece.len().saturating_sub(look_ahead)..]);
        if leave_out {
            stream.write_packet(&silent_packet(sides))
        } else {
            stream.write_packet(self.encoder.encode_samples(piece))
        }
    }
}

pub struct OggWriter<W: Write> {
    stream: LogicalStream<W>,
    source: PacketSource,
    /// Of the packets.
    layout: FrameLayout,
    rate: u32,
    /// The codec's look-ahead, in frames.
    delay: u64,
    /// Frames of the recording so far, and their rate.
    frames: u64,
    recorded_rate: u32,
    /// The last grid frame or the look-ahead's packet was written.
    ended: bool,
}

impl<W: Write> OggWriter<W> {
    /// Writes the headers. `tags`: standard names and values (`TITLE`, `DATE`, …).
    pub fn new(
        out: W,
        sound: &AudioFormat,
        tags: &[(&str, &str)],
    ) -> Result<OggWriter<W>, ExportError> {
        let rate = opus_rate(sound.rate);
        let grid = FrameLayout::new(rate, sound.sides)?;
        let decoder = Box::new(SampleReader::new(sound, rate)?);
        let encoder = Box::new(OpusEncoder::new(rate, grid, BITRATE)?);
        let (source, delay) = match sound.codec {
            CodecKind::Opus => (PacketSource::Remux, sound.delay_frames),
            CodecKind::Screen => return Err(CodecError::NoAudio.into()),
            CodecKind::Pcm | CodecKind::Ulaw => {
                let delay = encoder.delay_frames();
                let coder = DtxEncoder { encoder, has_pending_tail: false, has_gap: false };
                (PacketSource::Encode { decoder, coder, samples: Vec::new() }, delay)
            }
        };
        let comments = comment_header(tags)?;
        let digest = blake3::hash(&comments);
        let [a, b, c, d, ..] = *digest.as_bytes();
        let mut stream = LogicalStream::new(out, u32::from_le_bytes([a, b, c, d]));
        stream.write_header(id_header(sound, rate, delay))?;
        stream.write_header(comments)?;
        let delay = u64::from(delay);
        let recorded_rate = sound.rate;
        let (layout, frames, ended) = (grid, 0, false);
        Ok(OggWriter { stream, source, layout, rate, delay, frames, recorded_rate, ended })
    }

    /// Writes the next chunk. After an error the file is unusable.
    pub fn write_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        let frames = total_frames(runs);
        if self.ended && frames > 0 {
            return Err(CodecError::AfterEnd { grid_frames: self.layout.frame_count }.into());
        }
        // Otherwise the decoder counts the frames.
        let is_same_rate = self.rate == self.recorded_rate;
        self.ended |= is_same_rate && !frames.is_multiple_of(self.layout.frame_count);
        match &mut self.source {
            PacketSource::Remux => self.remux_chunk(runs, payload)?,
            PacketSource::Encode { decoder, coder, samples } => {
                decoder.read_chunk(runs, payload, samples)?;
                let whole = samples.chunks_exact(self.layout.sample_count());
                let left = whole.remainder().len();
                for piece in whole {
                    coder.write_frame(piece, self.layout.sides, &mut self.stream)?;
                }
                samples.drain(..samples.len() - left);
            }
        }
        self.frames += frames as u64;
        Ok(())
    }

    /// Ends the file. The last frames of an interrupted recording, which have no packet, are
    /// silent.
    pub fn finish(mut self) -> Result<(), ExportError> {
        let sides = self.layout.sides;
        if let PacketSource::Encode { decoder, coder, samples } = &mut self.source {
            decoder.finish(samples)?;
            // Without a resampler it is less than one frame.
            for piece in samples.chunks(self.layout.sample_count()) {
                coder.write_frame(piece, sides, &mut self.stream)?;
            }
        }
        // One more packet drains the look-ahead.
        let (from, to) = (u64::from(self.recorded_rate), u64::from(self.rate));
        let needed = (self.frames * to).div_ceil(from) + self.delay;
        if self.stream.packet_count * (self.layout.frame_count as u64) < needed
            || self.stream.packet_count == 0
        {
            match &mut self.source {
                PacketSource::Remux => self.stream.write_packet(&silent_packet(sides))?,
                PacketSource::Encode { coder, .. } => {
                    coder.write_frame(&[], sides, &mut self.stream)?
                }
            }
        }
        let decoded = self.stream.packet_count * (self.layout.frame_count as u64);
        assert!(needed <= decoded, "{decoded} frames in packets, {needed} needed");
        self.stream.finish_at(needed * u64::from(GRANULE_HZ / self.rate))
    }

    fn remux_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        let mut rest = payload;
        let next = entry_reader(runs, payload);
        for stored in stored_grid_frames(runs, self.layout.frame_count) {
            let packet = next(&mut rest)?;
            if packet.is_empty() && stored {
                return Err(
                    CodecError::MissingPacket { grid_frame: self.stream.packet_count }.into()
                );
            }
            if !packet.is_empty() {
                check_packet(packet, self.rate, self.stream.packet_count)?;
            }
            let silence = silent_packet(self.layout.sides);
            self.stream.write_packet(if packet.is_empty() { &silence } else { packet })?;
        }
        if !rest.is_empty() {
            let packet = take_entry(&mut rest)?;
            check_packet(packet, self.rate, self.stream.packet_count)?;
            self.stream.write_packet(packet)?;
            self.ended = true;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(CodecError::TrailingBytes { bytes: rest.len() }.into())
        }
    }
}

/// Returns a packet that decodes to zeros and resets the decoder: 20 ms of full-band CELT with
/// the silence flag (RFC 6716, 3.1 and 4.3).
fn silent_packet(sides: usize) -> [u8; 3] {
    let stereo = u8::from(sides > 1) << 2;
    [31 << 3 | stereo, 0xff, 0xfe]
}

/// Returns for each grid frame of a chunk whether any of it is stored.
fn stored_grid_frames(runs: &[Run], grid_frames: usize) -> Vec<bool> {
    let mut stored = vec![false; total_frames(runs).div_ceil(grid_frames)];
    let mut at = 0;
    for run in runs {
        let end = at + run.frames as usize;
        if run.fate.is_stored() && at < end {
            stored[at / grid_frames..end.div_ceil(grid_frames)].fill(true);
        }
        at = end;
    }
    stored
}

/// Checks that a packet is 20 ms long; otherwise all later audio would shift.
fn check_packet(packet: &[u8], rate: u32, grid_frame: u64) -> Result<(), CodecError> {
    let wanted = checked_grid_frames(rate)?;
    let found = opusic_c::utils::get_nb_samples(packet, sample_rate(rate)?)
        .map_err(|code| CodecError::Packet { grid_frame, code })?;
    if found == wanted {
        return Ok(());
    }
    Err(CodecError::Length { grid_frame, wanted, found })
}

/// Builds the identification header (RFC 7845, 5.1); `delay` in frames at the rate of the packets.
fn id_header(sound: &AudioFormat, rate: u32, delay: u16) -> Vec<u8> {
    let pre_skip = u32::from(delay) * (GRANULE_HZ / rate);
    let [low, high, ..] = pre_skip.to_le_bytes();
    assert!(pre_skip <= GRANULE_HZ / GRID_HZ, "the delay is below a grid frame");
    let mut head = b"OpusHead\x01".to_vec();
    head.extend([sound.sides, low, high]);
    head.extend(sound.rate.to_le_bytes());
    // No gain; mapping family 0: mono or stereo.
    head.extend([0, 0, 0]);
    head
}

/// Builds the comment header (RFC 7845, 5.2).
fn comment_header(tags: &[(&str, &str)]) -> Result<Vec<u8>, ExportError> {
    let mut bytes = b"OpusTags".to_vec();
    append_string(opusic_c::version(), &mut bytes)?;
    bytes.extend(length_field(tags.len())?);
    for (name, value) in tags {
        let plain = |byte: u8| (0x20..=0x7d).contains(&byte) && byte != b'=';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(ExportError::TagName { name: (*name).to_owned() });
        }
        append_string(&format!("{name}={value}"), &mut bytes)?;
    }
    length_field(bytes.len())?;
    Ok(bytes)
}

fn append_string(text: &str, bytes: &mut Vec<u8>) -> Result<(), ExportError> {
    bytes.extend(length_field(text.len())?);
    bytes.extend(text.as_bytes());
    Ok(())
}

/// Encodes a length within the limit.
fn length_field(bytes: usize) -> Result<[u8; 4], ExportError> {
    let limit = TAG_BYTES_MAX;
    match u32::try_from(bytes) {
        Ok(length) if bytes <= limit => Ok(length.to_le_bytes()),
        _ => Err(ExportError::TagsTooLong { bytes, limit }),
    }
}

/// One logical Ogg stream of 20 ms packets.
struct LogicalStream<W: Write> {
    pages: PacketWriter<'static, W>,
    serial: u32,
    /// The newest packet, held back because the last packet must be marked.
    pending_packet: Option<Vec<u8>>,
    /// Packets so far, including the pending one.
    packet_count: u64,
}

impl<W: Write> LogicalStream<W> {
    fn new(out: W, serial: u32) -> LogicalStream<W> {
        LogicalStream {
            pages: PacketWriter::new(out),
            serial,
            pending_packet: None,
            packet_count: 0,
        }
    }

    fn write_header(&mut self, packet: Vec<u8>) -> Result<(), ExportError> {
        let end = PacketWriteEndInfo::EndPage;
        Ok(self.pages.write_packet(packet, self.serial, end, 0)?)
    }

    fn write_packet(&mut self, packet: &[u8]) -> Result<(), ExportError> {
        if let Some(packet) = self.pending_packet.replace(packet.to_vec()) {
            let full = self.packet_count.is_multiple_of(PACKETS_PER_PAGE);
            let end =
                if full { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            let granule = self.packet_count * u64::from(GRANULE_HZ / GRID_HZ);
            self.pages.write_packet(packet, self.serial, end, granule)?;
        }
        self.packet_count += 1;
        Ok(())
    }

    /// Marks the last packet; audio after `granule` is trimmed.
    fn finish_at(mut self, granule: u64) -> Result<(), ExportError> {
        let packet = self.pending_packet.take();
        assert!(packet.is_some(), "a stream has a last packet");
        let end = PacketWriteEndInfo::EndStream;
        self.pages.write_packet(packet.unwrap_or_default(), self.serial, end, granule)?;
        Ok(self.pages.into_inner().flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::span::Fate;

    const SOUND: AudioFormat =
        AudioFormat { codec: CodecKind::Opus, rate: 8_000, sides: 2, delay_frames: 52 };

    #[test]
    fn the_headers_are_as_rfc_7845_draws_them() {
        let wanted = b"OpusHead\x01\x02\x38\x01\x40\x1f\0\0\0\0\0";
        assert_eq!(id_header(&SOUND, 8_000, 52), wanted);
        let tags = comment_header(&[("TITLE", "a=b")]).unwrap();
        assert_eq!(tags[..8], *b"OpusTags");
        assert!(tags.ends_with(b"\x01\0\0\0\x09\0\0\0TITLE=a=b"));
    }

    #[test]
    fn impossible_files_are_refused_by_name() {
        let new = |sound: &AudioFormat, tags: &[(&str, &str)]| {
            OggWriter::new(Vec::new(), sound, tags).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(new(&SOUND, &[("TITLE", "x")]), Ok(()));
        let pcm = AudioFormat { codec: CodecKind::Pcm, rate: 44_100, delay_frames: 0, ..SOUND };
        assert_eq!(new(&pcm, &[]), Ok(()));
        assert!(new(&AudioFormat { codec: CodecKind::Opus, ..pcm }, &[]).is_err());
        for name in ["", "A=B", "TÄG", "A\n"] {
            assert!(new(&SOUND, &[(name, "x")]).is_err(), "{name:?}");
        }
        assert!(new(&SOUND, &[("TITLE", &"x".repeat(TAG_BYTES_MAX))]).is_err());
    }

    #[test]
    fn packets_that_would_shift_the_timeline_are_refused() {
        let run = Run { fate: Fate::Stored, frames: 160 };
        let new = || OggWriter::new(Vec::new(), &SOUND, &[]).unwrap();
        // Config 0 is 10 ms, 1 is 20 ms (RFC 6716, 3.1).
        assert!(new().write_chunk(&[run], &[2, 1 << 3, 0]).is_ok());
        assert!(new().write_chunk(&[run], &[2, 0, 0]).is_err());
        assert!(new().write_chunk(&[run], &[0]).is_err());
        assert!(new().write_chunk(&[run], &[]).is_err());
        let mut ended = new();
        ended.write_chunk(&[run], &[2, 1 << 3, 0, 2, 1 << 3, 0]).unwrap();
        assert!(
            ended.write_chunk(&[run], &[2, 1 << 3, 0]).is_err(),
            "after the look-ahead's packet"
        );
    }
}
