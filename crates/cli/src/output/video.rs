//! Video export: merges audio and screen of a recording into one WebM file.
//!
//! The audio is encoded to packets first, in memory (7 MB per hour). The screen is read segment by
//! segment, and each segment states its position in the audio. Spans without stored video are
//! black. Each input file is read twice.

use crate::error::Error;
use hushbox::audio::span::{Fate, Run};
use hushbox::export::ogg::OggWriter;
use hushbox::export::webm::{OpusPackets, WebmWriter};
use hushbox::export::{AudioFormat, ExportError};
use hushbox::store::media::{MediaReader, MediaScan, ScreenSegment};
use hushbox::store::seal::DataKey;
use hushbox::time::{Position, ms_of_frames};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use webm::VideoSegment;

/// Opens a file for reading from its start.
pub type OpenMedia<'a> = dyn Fn() -> Result<Box<dyn Read + 'a>, Error> + 'a;

/// A checked media file.
pub struct CheckedMedia<'a> {
    pub scan: &'a MediaScan,
    pub open: &'a OpenMedia<'a>,
    /// Path for error messages.
    pub path: PathBuf,
}

/// The inputs of a video export. A stand-alone screen recording has no audio.
pub struct VideoSource<'a> {
    pub audio: Option<CheckedMedia<'a>>,
    pub screen: Option<CheckedMedia<'a>>,
    /// Data key of the recording.
    pub key: Option<&'a DataKey>,
    /// Document type: `webm` or `matroska`.
    pub doc_type: &'static str,
    pub title: String,
    pub target: PathBuf,
}

impl CheckedMedia<'_> {
    fn open_reader(&self) -> Result<impl Read, Error> {
        Ok((self.open)()?.take(self.scan.good_bytes))
    }
}

/// Writes the video file.
pub fn write_video<W: Write + Seek>(source: &VideoSource<'_>, out: W) -> Result<(), Error> {
    let export = |error| Error::Export { path: source.target.clone(), error };
    let sound = source.audio.as_ref();
    let audio = sound.map(|media| encode_packets(source, media)).transpose()?;
    let own = source.key.map(DataKey::derive_screen_key);
    let key = if sound.is_some() { own.as_ref() } else { source.key };
    let (mut first, mut black) = (None, None);
    if let Some(media) = &source.screen {
        visit_runs(media, key, &mut |_, _, segment| {
            if let (None, Some(segment)) = (&first, segment)
                && let Ok(pictures) = VideoSegment::parse(segment.video)
            {
                (first, black) = (Some(pictures.track), pictures.black_frame);
            }
            Ok(())
        })?;
    }
    let parts = (audio, first);
    let mut writer = WebmWriter::new(out, source.doc_type, parts, &source.title).map_err(export)?;
    if let Some(media) = &source.screen {
        let header = &sound.unwrap_or(media).scan.header;
        let alone = sound.is_none();
        let clock = MediaTimeline {
            is_screen_only: alone,
            from: header.from,
            rate: header.rate,
            sync_point: None,
        };
        // Converters take the video size from the first picture, which is black.
        let mut show = ScreenTrackWriter {
            writer: &mut writer,
            timeline: clock,
            black_frame: black,
            last_ms: 0,
            is_black: false,
        };
        show.write_black_from(0).map_err(export)?;
        visit_runs(media, key, &mut |at, run, segment| show.write_run(at, run, segment))?;
        show.finish_at(media.scan.to).map_err(export)?;
    }
    writer.finish().map_err(export)
}

/// Encodes the audio to packets.
fn encode_packets(
    source: &VideoSource<'_>,
    media: &CheckedMedia<'_>,
) -> Result<OpusPackets, Error> {
    let export = |error| Error::Export { path: source.target.clone(), error };
    let bad = |error| Error::Media { path: media.path.clone(), error };
    let header = &media.scan.header;
    let (codec, rate, sides) = (header.codec, header.rate, header.sides);
    let sound = AudioFormat { codec, rate, sides, delay_frames: header.delay };
    let mut file = zeroize::Zeroizing::new(Vec::new());
    let mut ogg = OggWriter::new(&mut *file, &sound, &[]).map_err(export)?;
    let mut wrong = None;
    let reader = MediaReader::open(media.open_reader()?).map_err(bad)?;
    let read = reader.for_each_chunk(source.key, |runs, payload| {
        if wrong.is_none() {
            wrong = ogg.write_chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(export(error));
    }
    read.map_err(bad)?;
    ogg.finish().map_err(export)?;
    OpusPackets::from_ogg(&file).map_err(export)
}

type RunVisitor<'a> =
    dyn FnMut(Position, Run, Option<ScreenSegment<'_>>) -> Result<(), ExportError> + 'a;

/// Passes every run of a screen file to `visit`, with the segment it belongs to.
fn visit_runs(
    media: &CheckedMedia<'_>,
    key: Option<&DataKey>,
    visit: &mut RunVisitor<'_>,
) -> Result<(), Error> {
    let path = media.path.clone();
    let mut at = media.scan.header.from;
    let mut wrong = None;
    let reader = MediaReader::open(media.open_reader()?);
    let read = reader.and_then(|reader| {
        reader.for_each_chunk(key, |runs, payload| {
            for run in runs {
                let segment = (run.fate == Fate::Stored)
                    .then(|| ScreenSegment::from_payload(payload))
                    .flatten();
                if wrong.is_none() {
                    wrong = visit(at, *run, segment).err();
                }
                at = at.plus(run.frames.into());
            }
        })
    });
    match (wrong, read) {
        (Some(error), _) => Err(Error::Export { path, error }),
        (None, Err(error)) => Err(Error::Media { path, error }),
        (None, Ok(_)) => Ok(()),
    }
}

/// Maps screen positions to milliseconds in the exported file.
struct MediaTimeline {
    is_screen_only: bool,
    /// The recording's first sample, or first millisecond for stand-alone screens.
    from: Position,
    rate: u32,
    /// The last known pair of screen and audio positions.
    sync_point: Option<(Position, Position)>,
}

impl MediaTimeline {
    fn to_ms(&self, at: Position) -> u64 {
        if self.is_screen_only {
            return at.0.saturating_sub(self.from.0);
        }
        let Some((known, audio)) = self.sync_point else { return 0 };
        let behind = ms_of_frames(audio.0.saturating_sub(self.from.0), self.rate);
        let before = ms_of_frames(self.from.0.saturating_sub(audio.0), self.rate);
        (behind + at.0.saturating_sub(known.0))
            .saturating_sub(known.0.saturating_sub(at.0) + before)
    }
}

/// Writes the video track.
struct ScreenTrackWriter<'a, W: Write + Seek> {
    writer: &'a mut WebmWriter<W>,
    timeline: MediaTimeline,
    /// A black picture of the screen's size.
    black_frame: Option<Vec<u8>>,
    last_ms: u64,
    is_black: bool,
}

impl<W: Write + Seek> ScreenTrackWriter<'_, W> {
    fn write_black_from(&mut self, ms: u64) -> Result<(), ExportError> {
        if !std::mem::replace(&mut self.is_black, true) {
            self.writer.write_black(ms, self.black_frame.as_deref())?;
            self.last_ms = ms;
        }
        Ok(())
    }

    fn write_run(
        &mut self,
        at: Position,
        run: Run,
        segment: Option<ScreenSegment<'_>>,
    ) -> Result<(), ExportError> {
        let end = at.plus(run.frames.into());
        let pictures =
            segment.and_then(|segment| Some((segment, VideoSegment::parse(segment.video).ok()?)));
        let Some((segment, VideoSegment { frames: pictures, black_frame: black, .. })) = pictures
        else {
            return self.write_black_from(self.timeline.to_ms(at).max(self.last_ms));
        };
        if let Some(audio) = segment.audio {
            self.timeline.sync_point = Some((segment.from, audio));
        }
        if black.is_some() {
            self.black_frame = black;
        }
        let until = self.timeline.to_ms(end);
        for picture in &pictures {
            let ms = self.timeline.to_ms(segment.from).saturating_add(picture.ms);
            if ms < until {
                self.writer.write_frame(ms, picture)?;
                (self.is_black, self.last_ms) = (false, ms);
            }
        }
        Ok(())
    }

    fn finish_at(&mut self, to: Position) -> Result<(), ExportError> {
        let ms = self.timeline.to_ms(to).max(self.last_ms);
        self.writer.extend_to(ms);
        self.write_black_from(ms)
    }
}
