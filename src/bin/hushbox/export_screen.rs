//! `hushbox export ID --to FILE.webm`: sound and screen of a recording in one file.
//!
//! The screen's file is checked before anything is written, like the audio's. Sound is made into
//! packets first, in memory (7 MB an hour); the screen is read piece by piece, and each finds its
//! place by where in the sound it says it belongs. Where nothing is stored the picture is black.

use crate::export::Decode;
use crate::failure::Failure;
use crate::store_dir::StoreDir;
use hushbox::config::CodecKind;
use hushbox::export::ogg::OggWriter;
use hushbox::export::webm::{self, Packets, Pictures, WebmWriter};
use hushbox::export::{ExportError, Sound};
use hushbox::span::{Fate, Run};
use hushbox::store::damage::Tail;
use hushbox::store::index::Record;
use hushbox::store::media::{self, MediaReader, Piece, Scan};
use hushbox::store::seal::DataKey;
use hushbox::time::{Position, ms_of_frames};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Take};

/// A call's screen, checked.
pub struct Screen {
    pub scan: Scan,
    /// It is what the journal tells of, or it goes on and is not damaged.
    pub intact: bool,
}

type Source = Take<BufReader<File>>;

fn open(store: &StoreDir, record: &Record) -> Result<Source, Failure> {
    let file = store.file(&record.screen_path()).map(BufReader::new)?;
    let ended = record.screen_ended();
    let failed = ended.filter(|e| e.end == hushbox::store::fact::RecordingEnd::Storage);
    Ok(file.take(failed.map_or(u64::MAX, |ended| ended.size)))
}

/// Reads the file of a call's screen without the key, if there is one.
pub fn scan(store: &StoreDir, record: &Record) -> Result<Option<Screen>, Failure> {
    let nothing = record.screen_ended().is_some_and(|ended| ended.size == 0);
    if record.screen.is_none() || nothing {
        return Ok(None);
    }
    let path = store.path(&record.screen_path());
    let scan = media::scan(open(store, record)?);
    let scan = scan.map_err(|error| Failure::Media { path, error })?;
    let damaged = matches!(scan.tail, Tail::Damaged { .. });
    let intact = record.screen_ended().is_none_or(|ended| {
        let (digest, size) =
            scan.trailer.map_or((scan.digest, scan.good_bytes), |found| (found.digest, found.size));
        digest == ended.digest && size == ended.size
    });
    Ok(Some(Screen { intact: intact && !damaged && scan.header.id == record.id(), scan }))
}

/// Writes the file; `key`: of the recording.
pub fn write(
    store: &StoreDir,
    record: &Record,
    (with, kind): (&Decode<'_>, &str),
    key: Option<&DataKey>,
) -> Result<(), Failure> {
    let export = |error| Failure::Export { path: with.part.target().to_owned(), error };
    let header = &with.scan.header;
    let alone = header.codec == CodecKind::Screen;
    let audio = if alone { None } else { Some(sound(store, record, with, key)?) };
    let own = key.map(DataKey::of_screen);
    let screen = if alone { Some(with.scan) } else { with.screen.map(|screen| &screen.scan) };
    let source = || match alone {
        true => store.open_media(record).map(|file| file.into_inner().take(with.scan.good_bytes)),
        false => open(store, record),
    };
    let key = if alone { key } else { own.as_ref() };
    let mut first = None;
    if let Some(scan) = screen {
        each(store, record, (source()?, scan), key, &mut |_, _, piece| {
            let pictures = piece.and_then(|piece| webm::read(piece.video).ok());
            first = first.take().or(pictures.map(|pictures| pictures.screen));
            Ok(())
        })?;
    }
    let out = BufWriter::new(with.part.file()?);
    let title = record.id().to_string();
    let mut writer = WebmWriter::new(out, kind, (audio, first), &title).map_err(export)?;
    if let Some(scan) = screen {
        let clock = Clock { alone, from: header.from, rate: header.rate, anchor: None };
        let mut show = Show { writer: &mut writer, clock, black: None, last_ms: 0, dark: false };
        show.black_from(0).map_err(export)?;
        each(store, record, (source()?, scan), key, &mut |at, run, piece| {
            show.run(at, run, piece)
        })?;
        show.end(scan.to).map_err(export)?;
    }
    writer.finish().map_err(export)
}

/// The sound as packets.
fn sound(
    store: &StoreDir,
    record: &Record,
    with: &Decode<'_>,
    key: Option<&DataKey>,
) -> Result<Packets, Failure> {
    let export = |error| Failure::Export { path: with.part.target().to_owned(), error };
    let path = store.path(&record.media_path());
    let bad = |error| Failure::Media { path: path.clone(), error };
    let header = &with.scan.header;
    let (codec, rate, sides) = (header.codec, header.rate, header.sides);
    let sound = Sound { codec, rate, sides, delay_frames: header.delay };
    let mut file = Vec::new();
    let mut ogg = OggWriter::new(&mut file, &sound, &[]).map_err(export)?;
    let source = store.open_media(record)?.into_inner().take(with.scan.good_bytes);
    let mut wrong = None;
    let reader = MediaReader::open(source).map_err(bad)?;
    let read = reader.chunks(key, |runs, payload| {
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
fn each(
    store: &StoreDir,
    record: &Record,
    (source, scan): (Source, &Scan),
    key: Option<&DataKey>,
    visit: &mut Visit<'_>,
) -> Result<(), Failure> {
    let path = store.path(&record.screen_path());
    let mut at = scan.header.from;
    let mut wrong = None;
    let source = source.take(scan.good_bytes);
    let reader = MediaReader::open(source);
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
struct Show<'a, W: std::io::Write + std::io::Seek> {
    writer: &'a mut WebmWriter<W>,
    clock: Clock,
    /// A black picture of the screen's size.
    black: Option<Vec<u8>>,
    last_ms: u64,
    dark: bool,
}

impl<W: std::io::Write + std::io::Seek> Show<'_, W> {
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
