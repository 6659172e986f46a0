//! WebM or Matroska export: the sound and the screen of a call in one file, without re-encoding.
//!
//! The sound is the packets of the Ogg file of the same recording. The frames come from the
//! segments that a workstation sent. Where there is no frame (masked, lost, not wanted) the file
//! has a black one, so that players do not keep showing the frame before. Time is milliseconds from
//! the recording's first sample; a segment says where in the sound it belongs.
//!
//! The crate `webm` has the elements and the segments, `black` the black frames. Nothing here
//! decodes video.

mod black;

use super::ExportError;
use std::io::{Seek, SeekFrom, Write};
use webm::ebml::{self, ElementId, put_element, put_f64, put_text, put_uint};
use webm::{VideoFrame, VideoTrack, put_block, put_header, put_video_track};

/// The length of a cluster in milliseconds. Block times are relative to it, in 16 bits.
const CLUSTER_MS: u64 = 2000;
/// The length of an Opus packet.
const PACKET_MS: u64 = 20;
const VIDEO_TRACK: u8 = 1;
const AUDIO_TRACK: u8 = 2;
/// The bytes reserved at the start for the seek head, which is known at the end.
const SEEK_BYTES: usize = 64;

/// The sound of a file: Opus packets of 20 ms, and the identification header.
pub struct OpusPackets {
    pub id_header: Vec<u8>,
    pub packets: std::vec::IntoIter<Vec<u8>>,
}

impl OpusPackets {
    /// Reads an Ogg Opus file in memory.
    pub fn from_ogg(file: &[u8]) -> Result<OpusPackets, ExportError> {
        let mut reader = ogg::PacketReader::new(std::io::Cursor::new(file));
        let mut all = Vec::new();
        loop {
            match reader.read_packet() {
                Ok(Some(packet)) => all.push(packet.data),
                Ok(None) => break,
                Err(error) => return Err(ExportError::Io(std::io::Error::other(error))),
            }
        }
        // The second packet is the comment header.
        let mut packets = all.into_iter();
        let id_header = packets.next().unwrap_or_default();
        packets.next();
        Ok(OpusPackets { id_header, packets })
    }

    /// The time that players skip at the start, in nanoseconds.
    fn delay_ns(&self) -> u64 {
        let skip = self.id_header.get(10..12).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        u64::from(skip) * 1_000_000_000 / 48_000
    }

    fn channels(&self) -> u64 {
        self.id_header.get(9).copied().unwrap_or(1).into()
    }
}

/// Writes a file.
pub struct WebmWriter<W: Write + Seek> {
    out: W,
    audio: Option<OpusPackets>,
    next_audio_ms: u64,
    video: Option<VideoTrack>,
    /// The position of the segment's contents.
    start: u64,
    /// The positions of the segment's size and duration, and of info and tracks (32 bits each).
    placeholders: (u64, u64, u64),
    cluster: Option<Cluster>,
    /// The key frames: the time, and the position of the cluster.
    cues: Vec<(u64, u64)>,
    last_ms: u64,
    end_ms: u64,
}

struct Cluster {
    from_ms: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl<W: Write + Seek> WebmWriter<W> {
    /// Writes the headers. `kind`: `webm` or `matroska`.
    pub fn new(
        mut out: W,
        kind: &str,
        (audio, video): (Option<OpusPackets>, Option<VideoTrack>),
        title: &str,
    ) -> Result<WebmWriter<W>, ExportError> {
        let mut bytes = Vec::new();
        put_header(&mut bytes, kind);
        ebml::put_id(&mut bytes, ElementId::Segment);
        let length_at = bytes.len() as u64;
        bytes.extend_from_slice(&ebml::UNKNOWN_SIZE);
        let start = bytes.len() as u64;
        ebml::put_void(&mut bytes, SEEK_BYTES);
        let info_at = bytes.len() as u64 - start;
        let mut duration_at = 0;
        let mut info = Vec::new();
        put_uint(&mut info, ElementId::TimestampScale, 1_000_000);
        put_text(&mut info, ElementId::Title, title);
        put_text(&mut info, ElementId::MuxingApp, "hushbox");
        put_text(&mut info, ElementId::WritingApp, concat!("hushbox ", env!("CARGO_PKG_VERSION")));
        let within = info.len() as u64 + ebml::FLOAT_HEAD_BYTES;
        put_f64(&mut info, ElementId::Duration, 0.0);
        put_element(&mut bytes, ElementId::Info, |body| {
            body.extend_from_slice(&info);
        });
        duration_at += bytes.len() as u64 - info.len() as u64 + within;
        let tracks_at = bytes.len() as u64 - start;
        put_element(&mut bytes, ElementId::Tracks, |body| {
            video.iter().for_each(|video| put_video_track(body, VIDEO_TRACK, video));
            audio.iter().for_each(|audio| put_audio_track(body, audio));
        });
        out.write_all(&bytes)?;
        let mut writer = WebmWriter {
            out,
            audio,
            next_audio_ms: 0,
            video,
            start,
            placeholders: (length_at, duration_at, 0),
            cluster: None,
            cues: Vec::new(),
            last_ms: 0,
            end_ms: 0,
        };
        writer.set_seek_positions((info_at, tracks_at));
        Ok(writer)
    }

    /// Stores the positions of info and tracks for the seek head.
    fn set_seek_positions(&mut self, (info_at, tracks_at): (u64, u64)) {
        self.placeholders.2 = info_at << 32 | tracks_at;
    }

    /// Writes a frame, and the sound up to its time. Frames come in order; a frame with an earlier
    /// time than the one before gets that time.
    pub fn write_frame(&mut self, ms: u64, frame: &VideoFrame) -> Result<(), ExportError> {
        let ms = ms.max(self.last_ms);
        self.write_audio_until(ms)?;
        self.write_block(ms, VIDEO_TRACK, (frame.is_key, &frame.data))?;
        self.last_ms = ms;
        self.end_ms = self.end_ms.max(ms);
        Ok(())
    }

    /// Writes a black frame. `own`: the black frame of the segment.
    pub fn write_black(&mut self, ms: u64, own: Option<&[u8]>) -> Result<(), ExportError> {
        let Some(video) = &self.video else { return Ok(()) };
        let data = own.or_else(|| black::for_codec(&video.codec)).unwrap_or_default().to_vec();
        if data.is_empty() {
            return Err(ExportError::NoBlackFrame { codec: video.codec.clone() });
        }
        self.write_frame(ms, &VideoFrame { ms: 0, is_key: true, data })
    }

    /// Makes the file at least this long.
    pub fn extend_to(&mut self, ms: u64) {
        self.end_ms = self.end_ms.max(ms);
    }

    fn write_audio_until(&mut self, ms: u64) -> Result<(), ExportError> {
        while self.next_audio_ms <= ms {
            let Some(packet) = self.audio.as_mut().and_then(|audio| audio.packets.next()) else {
                return Ok(());
            };
            let at = self.next_audio_ms;
            self.write_block(at, AUDIO_TRACK, (true, &packet))?;
            self.next_audio_ms += PACKET_MS;
            self.end_ms = self.end_ms.max(self.next_audio_ms);
        }
        Ok(())
    }

    fn write_block(
        &mut self,
        ms: u64,
        track: u8,
        (is_key, data): (bool, &[u8]),
    ) -> Result<(), ExportError> {
        let is_seek_point = track == VIDEO_TRACK && is_key;
        let old = self.cluster.as_ref().is_some_and(|cluster| {
            ms.saturating_sub(cluster.from_ms) >= CLUSTER_MS
                || is_seek_point && cluster.from_ms < ms
        });
        if old {
            self.close_cluster()?;
        }
        if self.cluster.is_none() {
            let at = self.out.stream_position()? - self.start;
            self.cluster = Some(Cluster { from_ms: ms, at, bytes: Vec::new() });
        }
        let Some(cluster) = self.cluster.as_mut() else { return Ok(()) };
        if is_seek_point || self.video.is_none() && cluster.bytes.is_empty() {
            self.cues.push((ms, cluster.at));
        }
        let relative_ms = ms.saturating_sub(cluster.from_ms);
        put_block(&mut cluster.bytes, (track, relative_ms), is_key, data);
        Ok(())
    }

    fn close_cluster(&mut self) -> Result<(), ExportError> {
        let Some(cluster) = self.cluster.take() else { return Ok(()) };
        let mut bytes = Vec::with_capacity(cluster.bytes.len() + 32);
        put_element(&mut bytes, ElementId::Cluster, |body| {
            put_uint(body, ElementId::Timestamp, cluster.from_ms);
            body.extend_from_slice(&cluster.bytes);
        });
        Ok(self.out.write_all(&bytes)?)
    }

    /// Writes the rest of the sound, then the cues, the sizes and the seek head.
    pub fn finish(mut self) -> Result<(), ExportError> {
        self.write_audio_until(u64::MAX)?;
        self.close_cluster()?;
        let cues_at = self.out.stream_position()? - self.start;
        let track = u64::from(if self.video.is_some() { VIDEO_TRACK } else { AUDIO_TRACK });
        let mut bytes = Vec::new();
        put_element(&mut bytes, ElementId::Cues, |body| {
            for (ms, at) in &self.cues {
                put_element(body, ElementId::CuePoint, |point| {
                    put_uint(point, ElementId::CueTime, *ms);
                    put_element(point, ElementId::CueTrackPositions, |place| {
                        put_uint(place, ElementId::CueTrack, track);
                        put_uint(place, ElementId::CueClusterPosition, *at);
                    });
                });
            }
        });
        if !self.cues.is_empty() {
            self.out.write_all(&bytes)?;
        }
        let end = self.out.stream_position()?;
        let (length_at, duration_at, places) = self.placeholders;
        self.out.seek(SeekFrom::Start(length_at))?;
        self.out.write_all(&ebml::eight_byte_size(end - self.start))?;
        self.out.seek(SeekFrom::Start(duration_at))?;
        self.out.write_all(&ebml::ms_to_float(self.end_ms))?;
        self.out.seek(SeekFrom::Start(self.start))?;
        let cues_at = (!self.cues.is_empty()).then_some(cues_at);
        let places = [Some(places >> 32), Some(places & 0xffff_ffff), cues_at];
        self.out.write_all(&build_seek_head(places))?;
        self.out.seek(SeekFrom::Start(end))?;
        Ok(self.out.flush()?)
    }
}

/// Builds the seek head, in exactly `SEEK_BYTES`: the positions of info, tracks and cues.
fn build_seek_head(places: [Option<u64>; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_element(&mut bytes, ElementId::SeekHead, |body| {
        for (id, at) in
            [ElementId::Info, ElementId::Tracks, ElementId::Cues].into_iter().zip(places)
        {
            let Some(at) = at else { continue };
            put_element(body, ElementId::Seek, |seek| {
                put_element(seek, ElementId::SeekId, |named| ebml::put_id(named, id));
                put_uint(seek, ElementId::SeekPosition, at);
            });
        }
    });
    assert!(bytes.len() + 2 <= SEEK_BYTES, "{} bytes", bytes.len());
    let rest = SEEK_BYTES - bytes.len();
    ebml::put_void(&mut bytes, rest);
    bytes
}

fn put_audio_track(body: &mut Vec<u8>, audio: &OpusPackets) {
    put_element(body, ElementId::TrackEntry, |track| {
        put_uint(track, ElementId::TrackNumber, AUDIO_TRACK.into());
        put_uint(track, ElementId::TrackUid, AUDIO_TRACK.into());
        put_uint(track, ElementId::TrackType, 2);
        put_uint(track, ElementId::FlagLacing, 0);
        put_text(track, ElementId::CodecId, "A_OPUS");
        put_uint(track, ElementId::CodecDelay, audio.delay_ns());
        put_uint(track, ElementId::SeekPreRoll, 80_000_000);
        put_element(track, ElementId::CodecPrivate, |head| {
            head.extend_from_slice(&audio.id_header)
        });
        put_element(track, ElementId::Audio, |sound| {
            put_f64(sound, ElementId::SamplingFrequency, 48_000.0);
            put_uint(sound, ElementId::Channels, audio.channels());
        });
    });
}
