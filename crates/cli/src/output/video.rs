//! A film: sound and screen of a recording in one WebM file, wherever they are read from.
//!
//! Sound is made into packets first, in memory (7 MB an hour); the screen is read piece by piece,
//! and each finds its place by where in the sound it says it belongs. Where nothing is stored the
//! picture is black. Each file is read twice; nothing here opens one, or looks into a picture.

use crate::error::Failure;
use hushbox::audio::span::{Fate, Run};
use hushbox::export::ogg::OggWriter;
use hushbox::export::webm::{self, Packets, Pictures, WebmWriter};
use hushbox::export::{ExportError, Sound};
use hushbox::store::media::{MediaReader, Piece, Scan};
use hushbox::store::seal::DataKey;
use hushbox::time::{Position, ms_of_frames};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

/// Begins to read a file anew.
pub type Open<'a> = dyn Fn() -> Result<Box<dyn Read + 'a>, Failure> + 'a;

/// A media file, checked.
pub struct Reel<'a> {
    pub scan: &'a Scan,
    pub open: &'a Open<'a>,
    /// For people.
    pub path: PathBuf,
}

/// What is put together. A screen that was recorded by itself has no sound.
pub struct Film<'a> {
    pub sound: Option<Reel<'a>>,
    pub screen: Option<Reel<'a>>,
    /// Of the recording.
    pub key: Option<&'a DataKey>,
    /// `webm`, or `matroska`.
    pub kind: &'static str,
    pub title: String,
    pub target: PathBuf,
}

impl Reel<'_> {
    fn source(&self) -> Result<impl Read, Failure> {
        Ok((self.open)()?.take(self.scan.good_bytes))
    }
}

/// Writes it.
pub fn write<W: Write + Seek>(film: &Film<'_>, out: W) -> Result<(), Failure> {
    let export = |error| Failure::Export { path: film.target.clone(), error };
    let sound = film.sound.as_ref();
    let audio = sound.map(|reel| packets(film, reel)).transpose()?;
    let own = film.key.map(DataKey::of_screen);
    let key = if sound.is_some() { own.as_ref() } else { film.key };
    let (mut first, mut black) = (None, None);
    if let Some(reel) = &film.screen {
        each(reel, key, &mut |_, _, piece| {
            if let (None, Some(piece)) = (&first, piece)
                && let Ok(pictures) = webm::read(piece.video)
            {
                (first, black) = (Some(pictures.screen), pictures.black);
            }
            Ok(())
        })?;
    }
    let parts = (audio, first);
    let mut writer = WebmWriter::new(out, film.kind, parts, &film.title).map_err(export)?;
    if let Some(reel) = &film.screen {
        let header = &sound.unwrap_or(reel).scan.header;
        let alone = sound.is_none();
        let clock = Clock { alone, from: header.from, rate: header.rate, anchor: None };
        // Whoever converts the file takes its size from the first picture, which is black.
        let mut show = Show { writer: &mut writer, clock, black, last_ms: 0, dark: false };
        show.black_from(0).map_err(export)?;
        each(reel, key, &mut |at, run, piece| show.run(at, run, piece))?;
        show.end(reel.scan.to).map_err(export)?;
    }
    writer.finish().map_err(export)
}

/// The sound as packets.
fn packets(film: &Film<'_>, reel: &Reel<'_>) -> Result<Packets, Failure> {
    let export = |error| Failure::Export { path: film.target.clone(), error };
    let bad = |error| Failure::Media { path: reel.path.clone(), error };
    let header = &reel.scan.header;
    let (codec, rate, sides) = (header.codec, header.rate, header.sides);
    let sound = Sound { codec, rate, sides, delay_frames: header.delay };
    let mut file = zeroize::Zeroizing::new(Vec::new());
    let mut ogg = OggWriter::new(&mut *file, &sound, &[]).map_err(export)?;
    let mut wrong = None;
    let reader = MediaReader::open(reel.source()?).map_err(bad)?;
    let read = reader.chunks(film.key, |runs, payload| {
        if wrong.is_none() {
            wrong = ogg.chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(export(error));
    }
    read.map_err(bad)?;
    ogg.finish().map_err(export)?;
    Packets::of_ogg(&file).map_err(export)
}

type Visit<'a> = dyn FnMut(Position, Run, Option<Piece<'_>>) -> Result<(), ExportError> + 'a;

/// Gives every run of a screen's file to `visit`, with the piece that belongs to it.
fn each(reel: &Reel<'_>, key: Option<&DataKey>, visit: &mut Visit<'_>) -> Result<(), Failure> {
    let path = reel.path.clone();
    let mut at = reel.scan.header.from;
    let mut wrong = None;
    let reader = MediaReader::open(reel.source()?);
    let read = reader.and_then(|reader| {
        reader.chunks(key, |runs, payload| {
            for run in runs {
                let piece = (run.fate == Fate::Stored).then(|| Piece::take(payload)).flatten();
                if wrong.is_none() {
                    wrong = visit(at, *run, piece).err();
                }
                at = at.plus(run.frames.into());
            }
        })
    });
    match (wrong, read) {
        (Some(error), _) => Err(Failure::Export { path, error }),
        (None, Err(error)) => Err(Failure::Media { path, error }),
        (None, Ok(_)) => Ok(()),
    }
}

/// Where in the exported file a moment of the screen is.
struct Clock {
    alone: bool,
    /// The recording's first sample, or first millisecond.
    from: Position,
    rate: u32,
    /// The last moment of which it is known where in the sound it is.
    anchor: Option<(Position, Position)>,
}

impl Clock {
    fn ms(&self, at: Position) -> u64 {
        if self.alone {
            return at.0.saturating_sub(self.from.0);
        }
        let Some((known, audio)) = self.anchor else { return 0 };
        let behind = ms_of_frames(audio.0.saturating_sub(self.from.0), self.rate);
        let before = ms_of_frames(self.from.0.saturating_sub(audio.0), self.rate);
        (behind + at.0.saturating_sub(known.0))
            .saturating_sub(known.0.saturating_sub(at.0) + before)
    }
}

/// What is shown when.
struct Show<'a, W: Write + Seek> {
    writer: &'a mut WebmWriter<W>,
    clock: Clock,
    /// A black picture of the screen's size.
    black: Option<Vec<u8>>,
    last_ms: u64,
    dark: bool,
}

impl<W: Write + Seek> Show<'_, W> {
    fn black_from(&mut self, ms: u64) -> Result<(), ExportError> {
        if !std::mem::replace(&mut self.dark, true) {
            self.writer.black(ms, self.black.as_deref())?;
            self.last_ms = ms;
        }
        Ok(())
    }

    fn run(&mut self, at: Position, run: Run, piece: Option<Piece<'_>>) -> Result<(), ExportError> {
        let end = at.plus(run.frames.into());
        let pictures = piece.and_then(|piece| Some((piece, webm::read(piece.video).ok()?)));
        let Some((piece, Pictures { pictures, black, .. })) = pictures else {
            return self.black_from(self.clock.ms(at).max(self.last_ms));
        };
        if let Some(audio) = piece.audio {
            self.clock.anchor = Some((piece.from, audio));
        }
        if black.is_some() {
            self.black = black;
        }
        let until = self.clock.ms(end);
        for picture in &pictures {
            let ms = self.clock.ms(piece.from).saturating_add(picture.ms);
            if ms < until {
                self.writer.picture(ms, picture)?;
                (self.dark, self.last_ms) = (false, ms);
            }
        }
        Ok(())
    }

    fn end(&mut self, to: Position) -> Result<(), ExportError> {
        let ms = self.clock.ms(to).max(self.last_ms);
        self.writer.lasts(ms);
        self.black_from(ms)
    }
}
