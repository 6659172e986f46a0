//! `hushbox decode`: a media file from stdin, as sound, film or shape on stdout.
//!
//! For programs that fetched it with `media ID`, such as the web portal: no store is needed, and
//! nothing touches a disk unless stdout is a file. What comes through a pipe is held in memory,
//! sealed as it is; it is checked as far as can be told without the journal (`verify` and `export`
//! hold it against that).

use crate::Outcome;
use crate::cli::{As, DecodeArgs};
use crate::error::Failure;
use crate::output::video;
use crate::output::video::{Film, Reel};
use crate::store::seekable::{Input, Output};
use crate::store::unseal::{Closed, Keyring};
use hushbox::audio::span::Run;
use hushbox::config::CodecKind;
use hushbox::export::ogg::OggWriter;
use hushbox::export::wav::WavWriter;
use hushbox::export::waveform::{Shape, ShapeWriter};
use hushbox::export::{ExportError, Sound};
use hushbox::store::damage::Tail;
use hushbox::store::media::{self, MediaError, MediaReader, Scan};
use hushbox::store::seal::DataKey;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What is made of chunks.
enum Sink<'a> {
    Ogg(Box<OggWriter<&'a mut Output>>),
    Wav(Box<WavWriter<&'a mut Output>>),
    Shape(Box<ShapeWriter>, &'a mut Output),
}

/// A file that is decoded.
struct Source {
    input: Input,
    scan: Scan,
    path: PathBuf,
}

impl Source {
    /// Of a file that is named, or of stdin.
    fn of(named: Option<&Path>, force: bool) -> Result<Source, Failure> {
        let path = named.unwrap_or(Path::new("stdin")).to_owned();
        let read = |error| Failure::Read { path: path.clone(), error };
        let input = named.map_or_else(Input::stdin, Input::of).map_err(read)?;
        let scan = media::scan(input.open().map_err(read)?);
        let scan = scan.map_err(|error| Failure::Media { path: path.clone(), error })?;
        if matches!(scan.tail, Tail::Damaged { .. }) && !force {
            return Err(Failure::NotIntact { path });
        }
        Ok(Source { input, scan, path })
    }

    fn open(&self) -> Result<Box<dyn Read + '_>, Failure> {
        let read = |error| Failure::Read { path: self.path.clone(), error };
        self.input.open().map_err(read)
    }

    fn bad(&self, error: MediaError) -> Failure {
        match error {
            MediaError::Seal(error) => self.closed(error.into()),
            error => Failure::Media { path: self.path.clone(), error },
        }
    }

    fn closed(&self, why: Closed) -> Failure {
        Failure::Closed { id: self.scan.header.id.to_string(), why, recipients: Vec::new() }
    }
}

pub fn run(args: &DecodeArgs) -> Result<Outcome, Failure> {
    let keyring = Keyring::of(args.identity.as_deref())?;
    if args.kind == As::Facts {
        return crate::store::facts::run(&keyring);
    }
    let main = Source::of(None, args.force)?;
    let key = keyring.key(&main.scan.header).map_err(|why| main.closed(why))?;
    let mut out = Output::stdout();
    let made = match (args.kind, main.scan.header.codec) {
        (As::Webm, _) => webm(args, &main, key.as_ref(), &mut out),
        (As::Shape, CodecKind::Screen) => dark(&main, &mut out).map_err(failed),
        _ => sound(args, &main, key.as_ref(), &mut out),
    };
    if let Err(failure) = made {
        out.discard().map_err(Failure::Output)?;
        return Err(failure);
    }
    out.keep().map_err(Failure::Output)?;
    Ok(Outcome::Done)
}

fn failed(error: ExportError) -> Failure {
    match error {
        ExportError::Io(error) => Failure::Output(error),
        error => Failure::Export { path: "stdout".into(), error },
    }
}

/// Sound, and the screen where there is one.
fn webm(
    args: &DecodeArgs,
    main: &Source,
    key: Option<&DataKey>,
    out: &mut Output,
) -> Result<(), Failure> {
    let beside = args.screen.as_deref();
    let beside = beside.map(|path| Source::of(Some(path), args.force)).transpose()?;
    let id = main.scan.header.id;
    if let Some(other) = beside.as_ref().filter(|other| other.scan.header.id != id) {
        return Err(Failure::NotIntact { path: other.path.clone() });
    }
    let open = || main.open();
    let open_screen = || beside.as_ref().map_or_else(|| main.open(), Source::open);
    let reel = Reel { scan: &main.scan, open: &open, path: main.path.clone() };
    let alone = main.scan.header.codec == CodecKind::Screen;
    let screen = beside.as_ref().map(|other| Reel {
        scan: &other.scan,
        open: &open_screen,
        path: other.path.clone(),
    });
    let (sound, screen) = if alone { (None, Some(reel)) } else { (Some(reel), screen) };
    let (title, target) = (id.to_string(), "stdout".into());
    let film = Film { sound, screen, key, kind: "webm", title, target };
    video::write(&film, out)
}

/// The shape of a screen: nothing is heard.
fn dark(main: &Source, out: &mut Output) -> Result<(), ExportError> {
    let shape = Shape::of_screen(&main.scan.spans, main.scan.header.from, main.scan.to);
    serde_json::to_writer(&mut *out, &shape).map_err(std::io::Error::from)?;
    Ok(writeln!(out)?)
}

fn sound(
    args: &DecodeArgs,
    main: &Source,
    key: Option<&DataKey>,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut sink = Sink::new(args, &main.scan, out).map_err(failed)?;
    let reader = MediaReader::open(main.open()?).map_err(|error| main.bad(error))?;
    let mut wrong = None;
    let read = reader.chunks(key, |runs, payload| {
        if wrong.is_none() {
            wrong = sink.chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(failed(error));
    }
    read.map_err(|error| main.bad(error))?;
    sink.finish().map_err(failed)
}

impl<'a> Sink<'a> {
    fn new(args: &DecodeArgs, scan: &Scan, out: &'a mut Output) -> Result<Sink<'a>, ExportError> {
        let header = &scan.header;
        let sound = Sound {
            codec: header.codec,
            rate: header.rate,
            sides: header.sides,
            delay_frames: header.delay,
        };
        Ok(match args.kind {
            As::Wav => Sink::Wav(Box::new(WavWriter::new(out, &sound)?)),
            As::Shape => {
                let frames = scan.ledger.captured();
                Sink::Shape(Box::new(ShapeWriter::new(&sound, frames, args.peaks)?), out)
            }
            As::Opus | As::Webm | As::Facts => {
                let (id, encoder) =
                    (header.id.to_string(), concat!("hushbox ", env!("CARGO_PKG_VERSION")));
                let tags = [("ENCODER", encoder), ("TITLE", &*id)];
                Sink::Ogg(Box::new(OggWriter::new(out, &sound, &tags)?))
            }
        })
    }

    fn chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        match self {
            Sink::Ogg(ogg) => ogg.chunk(runs, payload),
            Sink::Wav(wav) => wav.chunk(runs, payload),
            Sink::Shape(shape, _) => shape.chunk(runs, payload),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Sink::Ogg(ogg) => ogg.finish(),
            Sink::Wav(wav) => wav.finish(),
            Sink::Shape(shape, out) => {
                serde_json::to_writer(&mut *out, &shape.finish()).map_err(std::io::Error::from)?;
                Ok(writeln!(out)?)
            }
        }
    }
}
