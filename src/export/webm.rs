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
mod piece;

pub use piece::{Picture, Pictures, PieceError, read};

use super::ExportError;
use ebml::{Element, put, put_f64, put_text, put_uint};
use std::io::{Seek, SeekFrom, Write};

/// A cluster is closed after so many milliseconds: block times are relative to it, in 16 bits.
const CLUSTER_MS: u64 = 2000;
/// Length of an Opus packet.
const PACKET_MS: u64 = 20;
const VIDEO: u8 = 1;
const AUDIO: u8 = 2;
/// Bytes that are kept free in front for what is only known at the end.
const SEEK_BYTES: usize = 64;

/// The sound of a file: Opus packets of 20 ms, and the header that Ogg has, too.
pub struct Packets {
    pub head: Vec<u8>,
    pub packets: std::vec::IntoIter<Vec<u8>>,
}

impl Packets {
    /// From an Ogg Opus file in memory.
    pub fn of_ogg(file: &[u8]) -> Result<Packets, ExportError> {
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
        Ok(Packets { head, packets })
    }

    /// What a player leaves out at the start, in nanoseconds.
    fn delay_ns(&self) -> u64 {
        let skip = self.head.get(10..12).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
        u64::from(skip) * 1_000_000_000 / 48_000
    }

    fn sides(&self) -> u64 {
        self.head.get(9).copied().unwrap_or(1).into()
    }
}

/// What the pictures are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Matroska's name of the codec: `V_VP9`.
    pub codec: String,
    pub width: u64,
    pub height: u64,
}

/// A file in the making.
pub struct WebmWriter<W: Write + Seek> {
    out: W,
    audio: Option<Packets>,
    next_audio_ms: u64,
    screen: Option<Screen>,
    /// Where the segment's contents begin.
    start: u64,
    /// Where its length, and what is found where, is written at the end.
    holes: (u64, u64, u64),
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
        (audio, screen): (Option<Packets>, Option<Screen>),
        title: &str,
    ) -> Result<WebmWriter<W>, ExportError> {
        let mut bytes = Vec::new();
        put(&mut bytes, Element::Ebml, |body| {
            put_uint(body, Element::EbmlVersion, 1);
            put_uint(body, Element::EbmlReadVersion, 1);
            put_uint(body, Element::EbmlMaxIdLength, 4);
            put_uint(body, Element::EbmlMaxSizeLength, 8);
            put_text(body, Element::DocType, kind);
            put_uint(body, Element::DocTypeVersion, 4);
            put_uint(body, Element::DocTypeReadVersion, 2);
        });
        ebml::put_id(&mut bytes, Element::Segment);
        let length_at = bytes.len() as u64;
        bytes.extend_from_slice(&ebml::UNKNOWN_SIZE);
        let start = bytes.len() as u64;
        ebml::put_void(&mut bytes, SEEK_BYTES);
        let info_at = bytes.len() as u64 - start;
        let mut duration_at = 0;
        let mut info = Vec::new();
        put_uint(&mut info, Element::TimestampScale, 1_000_000);
        put_text(&mut info, Element::Title, title);
        put_text(&mut info, Element::MuxingApp, "hushbox");
        put_text(&mut info, Element::WritingApp, concat!("hushbox ", env!("CARGO_PKG_VERSION")));
        let within = info.len() as u64 + ebml::FLOAT_HEAD_BYTES;
        put_f64(&mut info, Element::Duration, 0.0);
        put(&mut bytes, Element::Info, |body| {
            body.extend_from_slice(&info);
        });
        duration_at += bytes.len() as u64 - info.len() as u64 + within;
        let tracks_at = bytes.len() as u64 - start;
        put(&mut bytes, Element::Tracks, |body| {
            screen.iter().for_each(|screen| put_screen(body, screen));
            audio.iter().for_each(|audio| put_audio(body, audio));
        });
        out.write_all(&bytes)?;
        let mut writer = WebmWriter {
            out,
            audio,
            next_audio_ms: 0,
            screen,
            start,
            holes: (length_at, duration_at, 0),
            cluster: None,
            cues: Vec::new(),
            last_ms: 0,
            end_ms: 0,
        };
        writer.put_seek_later((info_at, tracks_at));
        Ok(writer)
    }

    /// Info and tracks are found from the start; the cues' place follows.
    fn put_seek_later(&mut self, (info_at, tracks_at): (u64, u64)) {
        self.holes.2 = info_at << 32 | tracks_at;
    }

    /// A picture, and what is heard until then. Pictures come in order; one that comes too early
    /// is shown as soon as the one before.
    pub fn picture(&mut self, ms: u64, picture: &Picture) -> Result<(), ExportError> {
        let ms = ms.max(self.last_ms);
        self.hear_until(ms)?;
        self.block(ms, VIDEO, (picture.key, &picture.data))?;
        self.last_ms = ms;
        self.end_ms = self.end_ms.max(ms);
        Ok(())
    }

    /// Black from here on.
    pub fn black(&mut self, ms: u64, made: Option<&[u8]>) -> Result<(), ExportError> {
        let Some(screen) = &self.screen else { return Ok(()) };
        let data = made.or_else(|| black::of(&screen.codec)).unwrap_or_default().to_vec();
        if data.is_empty() {
            return Err(ExportError::NoBlack { codec: screen.codec.clone() });
        }
        self.picture(ms, &Picture { ms: 0, key: true, data })
    }

    /// The file is at least so long.
    pub fn lasts(&mut self, ms: u64) {
        self.end_ms = self.end_ms.max(ms);
    }

    fn hear_until(&mut self, ms: u64) -> Result<(), ExportError> {
        while self.next_audio_ms <= ms {
            let Some(packet) = self.audio.as_mut().and_then(|audio| audio.packets.next()) else {
                return Ok(());
            };
            let at = self.next_audio_ms;
            self.block(at, AUDIO, (true, &packet))?;
            self.next_audio_ms += PACKET_MS;
            self.end_ms = self.end_ms.max(self.next_audio_ms);
        }
        Ok(())
    }

    fn block(&mut self, ms: u64, track: u8, (key, data): (bool, &[u8])) -> Result<(), ExportError> {
        let jump = track == VIDEO && key;
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
        if jump || self.screen.is_none() && cluster.bytes.is_empty() {
            self.cues.push((ms, cluster.at));
        }
        let relative = i16::try_from(ms.saturating_sub(cluster.from_ms)).unwrap_or(i16::MAX);
        put(&mut cluster.bytes, Element::SimpleBlock, |body| {
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
        put(&mut bytes, Element::Cluster, |body| {
            put_uint(body, Element::Timestamp, cluster.from_ms);
            body.extend_from_slice(&cluster.bytes);
        });
        Ok(self.out.write_all(&bytes)?)
    }

    /// Writes what is left of the sound, then what lies where and how long all is.
    pub fn finish(mut self) -> Result<(), ExportError> {
        self.hear_until(u64::MAX)?;
        self.close_cluster()?;
        let cues_at = self.out.stream_position()? - self.start;
        let track = u64::from(if self.screen.is_some() { VIDEO } else { AUDIO });
        let mut bytes = Vec::new();
        put(&mut bytes, Element::Cues, |body| {
            for (ms, at) in &self.cues {
                put(body, Element::CuePoint, |point| {
                    put_uint(point, Element::CueTime, *ms);
                    put(point, Element::CueTrackPositions, |place| {
                        put_uint(place, Element::CueTrack, track);
                        put_uint(place, Element::CueClusterPosition, *at);
                    });
                });
            }
        });
        if !self.cues.is_empty() {
            self.out.write_all(&bytes)?;
        }
        let end = self.out.stream_position()?;
        let (length_at, duration_at, places) = self.holes;
        self.out.seek(SeekFrom::Start(length_at))?;
        self.out.write_all(&ebml::size_of_8(end - self.start))?;
        self.out.seek(SeekFrom::Start(duration_at))?;
        self.out.write_all(&ebml::float(self.end_ms))?;
        self.out.seek(SeekFrom::Start(self.start))?;
        let cues_at = (!self.cues.is_empty()).then_some(cues_at);
        let places = [Some(places >> 32), Some(places & 0xffff_ffff), cues_at];
        self.out.write_all(&seek_head(places))?;
        self.out.seek(SeekFrom::Start(end))?;
        Ok(self.out.flush()?)
    }
}

/// Where info, tracks and cues are, in exactly `SEEK_BYTES`.
fn seek_head(places: [Option<u64>; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, Element::SeekHead, |body| {
        for (id, at) in [Element::Info, Element::Tracks, Element::Cues].into_iter().zip(places) {
            let Some(at) = at else { continue };
            put(body, Element::Seek, |seek| {
                put(seek, Element::SeekId, |named| ebml::put_id(named, id));
                put_uint(seek, Element::SeekPosition, at);
            });
        }
    });
    assert!(bytes.len() + 2 <= SEEK_BYTES, "{} bytes", bytes.len());
    let rest = SEEK_BYTES - bytes.len();
    ebml::put_void(&mut bytes, rest);
    bytes
}

fn put_screen(body: &mut Vec<u8>, screen: &Screen) {
    put(body, Element::TrackEntry, |track| {
        put_uint(track, Element::TrackNumber, VIDEO.into());
        put_uint(track, Element::TrackUid, VIDEO.into());
        put_uint(track, Element::TrackType, 1);
        put_uint(track, Element::FlagLacing, 0);
        put_text(track, Element::CodecId, &screen.codec);
        put(track, Element::Video, |video| {
            put_uint(video, Element::PixelWidth, screen.width);
            put_uint(video, Element::PixelHeight, screen.height);
        });
    });
}

fn put_audio(body: &mut Vec<u8>, audio: &Packets) {
    put(body, Element::TrackEntry, |track| {
        put_uint(track, Element::TrackNumber, AUDIO.into());
        put_uint(track, Element::TrackUid, AUDIO.into());
        put_uint(track, Element::TrackType, 2);
        put_uint(track, Element::FlagLacing, 0);
        put_text(track, Element::CodecId, "A_OPUS");
        put_uint(track, Element::CodecDelay, audio.delay_ns());
        put_uint(track, Element::SeekPreRoll, 80_000_000);
        put(track, Element::CodecPrivate, |head| head.extend_from_slice(&audio.head));
        put(track, Element::Audio, |sound| {
            put_f64(sound, Element::SamplingFrequency, 48_000.0);
            put_uint(sound, Element::Channels, audio.sides());
        });
    });
}
