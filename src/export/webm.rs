//! WebM (or Matroska): a call's sound and its screen in one file, as they were, nothing coded anew.
//!
//! Sound is the packets of the Ogg file that the same recording would give; pictures are taken out
//! of the pieces that a workstation sent. Where there is no picture (masked, lost, not wanted) a
//! black one stands, so that no player goes on showing what was there before. Time is
//! milliseconds from the recording's first sample; a piece says where in the sound it belongs.
//!
//! `ebml` knows elements, `piece` reads what others made, `black` is what is shown instead. Nothing
//! here decodes video.

mod black;
mod ebml;
mod segment;

pub use segment::{VideoFrame, VideoSegment, WebmSegmentError, parse_segment};

use super::ExportError;
use ebml::{ElementId, put_element, put_f64, put_text, put_uint};
use std::io::{Seek, SeekFrom, Write};

/// A cluster is closed after so many milliseconds: block times are relative to it, in 16 bits.
const CLUSTER_MS: u64 = 2000;
/// Length of an Opus packet.
const PACKET_MS: u64 = 20;
const VIDEO_TRACK: u8 = 1;
const AUDIO_TRACK: u8 = 2;
/// Bytes that are kept free in front for what is only known at the end.
const SEEK_BYTES: usize = 64;

/// The sound of a file: Opus packets of 20 ms, and the header that Ogg has, too.
pub struct OpusPackets {
    pub id_header: Vec<u8>,
    pub packets: std::vec::IntoIter<Vec<u8>>,
}

impl OpusPackets {
    /// From an Ogg Opus file in memory.
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
        // The second is the comments.
        let mut packets = all.into_iter();
        let head = packets.next().unwrap_or_default();
        packets.next();
        Ok(OpusPackets { id_header: head, packets })
    }

    /// What a player leaves out at the start, in nanoseconds.
    fn delay_ns(&self) -> u64 {
        let skip = self.id_header.get(10..12).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        u64::from(skip) * 1_000_000_000 / 48_000
    }

    fn sides(&self) -> u64 {
        self.id_header.get(9).copied().unwrap_or(1).into()
    }
}

/// What the pictures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Matroska's name of the codec: `V_VP9`.
    pub codec: String,
    pub width: u64,
    pub height: u64,
}

/// A file in the making.
pub struct WebmWriter<W: Write + Seek> {
    out: W,
    audio: Option<OpusPackets>,
    next_audio_ms: u64,
    video: Option<VideoTrack>,
    /// Where the segment's contents begin.
    start: u64,
    /// Where its length, and what is found where, is written at the end.
    placeholders: (u64, u64, u64),
    cluster: Option<Cluster>,
    /// Key pictures: when, and in which cluster.
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
        (audio, screen): (Option<OpusPackets>, Option<VideoTrack>),
        title: &str,
    ) -> Result<WebmWriter<W>, ExportError> {
        let mut bytes = Vec::new();
        put_element(&mut bytes, ElementId::Ebml, |body| {
            put_uint(body, ElementId::EbmlVersion, 1);
            put_uint(body, ElementId::EbmlReadVersion, 1);
            put_uint(body, ElementId::EbmlMaxIdLength, 4);
            put_uint(body, ElementId::EbmlMaxSizeLength, 8);
            put_text(body, ElementId::DocType, kind);
            put_uint(body, ElementId::DocTypeVersion, 4);
            put_uint(body, ElementId::DocTypeReadVersion, 2);
        });
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
            screen.iter().for_each(|screen| put_video_track(body, screen));
            audio.iter().for_each(|audio| put_audio_track(body, audio));
        });
        out.write_all(&bytes)?;
        let mut writer = WebmWriter {
            out,
            audio,
            next_audio_ms: 0,
            video: screen,
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

    /// Info and tracks are found from the start; the cues' place follows.
    fn set_seek_positions(&mut self, (info_at, tracks_at): (u64, u64)) {
        self.placeholders.2 = info_at << 32 | tracks_at;
    }

    /// A picture, and what is heard until then. Pictures come in order; one that comes too early
    /// is shown as soon as the one before.
    pub fn write_frame(&mut self, ms: u64, picture: &VideoFrame) -> Result<(), ExportError> {
        let ms = ms.max(self.last_ms);
        self.write_audio_until(ms)?;
        self.write_block(ms, VIDEO_TRACK, (picture.is_key, &picture.data))?;
        self.last_ms = ms;
        self.end_ms = self.end_ms.max(ms);
        Ok(())
    }

    /// Black from here on.
    pub fn write_black(&mut self, ms: u64, made: Option<&[u8]>) -> Result<(), ExportError> {
        let Some(screen) = &self.video else { return Ok(()) };
        let data = made.or_else(|| black::for_codec(&screen.codec)).unwrap_or_default().to_vec();
        if data.is_empty() {
            return Err(ExportError::NoBlackFrame { codec: screen.codec.clone() });
        }
        self.write_frame(ms, &VideoFrame { ms: 0, is_key: true, data })
    }

    /// The file is at least so long.
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
        (key, data): (bool, &[u8]),
    ) -> Result<(), ExportError> {
        let jump = track == VIDEO_TRACK && key;
        let old = self.cluster.as_ref().is_some_and(|cluster| {
            ms.saturating_sub(cluster.from_ms) >= CLUSTER_MS || jump && cluster.from_ms < ms
        });
        if old {
            self.close_cluster()?;
        }
        if self.cluster.is_none() {
            let at = self.out.stream_position()? - self.start;
            self.cluster = Some(Cluster { from_ms: ms, at, bytes: Vec::new() });
        }
        let Some(cluster) = self.cluster.as_mut() else { return Ok(()) };
        if jump || self.video.is_none() && cluster.bytes.is_empty() {
            self.cues.push((ms, cluster.at));
        }
        let relative = i16::try_from(ms.saturating_sub(cluster.from_ms)).unwrap_or(i16::MAX);
        put_element(&mut cluster.bytes, ElementId::SimpleBlock, |body| {
            body.push(0x80 | track);
            body.extend_from_slice(&relative.to_be_bytes());
            body.push(u8::from(key) << 7);
            body.extend_from_slice(data);
        });
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

    /// Writes what is left of the sound, then what lies where and how long all is.
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

/// Where info, tracks and cues are, in exactly `SEEK_BYTES`.
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

fn put_video_track(body: &mut Vec<u8>, screen: &VideoTrack) {
    put_element(body, ElementId::TrackEntry, |track| {
        put_uint(track, ElementId::TrackNumber, VIDEO_TRACK.into());
        put_uint(track, ElementId::TrackUid, VIDEO_TRACK.into());
        put_uint(track, ElementId::TrackType, 1);
        put_uint(track, ElementId::FlagLacing, 0);
        put_text(track, ElementId::CodecId, &screen.codec);
        put_element(track, ElementId::Video, |video| {
            put_uint(video, ElementId::PixelWidth, screen.width);
            put_uint(video, ElementId::PixelHeight, screen.height);
        });
    });
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
            put_uint(sound, ElementId::Channels, audio.sides());
        });
    });
}
