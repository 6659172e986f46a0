//! `hushbox decode`: a media file from stdin, as sound or as a shape on stdout.
//!
//! For programs that fetched it with `media ID`, such as the web portal: no store is needed, and
//! nothing touches a disk. The file is held in memory, sealed as it is; it is checked as far as can
//! be told without the journal (`verify` and `export` hold it against that).

use crate::Outcome;
use crate::cli::{As, DecodeArgs};
use crate::failure::Failure;
use crate::unseal::{Closed, Keyring};
use hushbox::export::ogg::OggWriter;
use hushbox::export::shape::ShapeWriter;
use hushbox::export::wav::WavWriter;
use hushbox::export::{ExportError, Sound};
use hushbox::span::Run;
use hushbox::store::damage::Tail;
use hushbox::store::media::{self, MediaError, MediaReader, Scan};
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

/// What is made of chunks.
enum Sink<'a> {
    Ogg(Box<OggWriter<&'a mut Cursor<Vec<u8>>>>),
    Wav(Box<WavWriter<&'a mut Cursor<Vec<u8>>>>),
    Shape(Box<ShapeWriter>, &'a mut Cursor<Vec<u8>>),
}

pub fn run(args: &DecodeArgs) -> Result<Outcome, Failure> {
    let mut file = Vec::new();
    std::io::stdin().lock().read_to_end(&mut file).map_err(Failure::Input)?;
    let scan = media::scan(&file[..]).map_err(bad)?;
    if let Tail::Damaged { .. } = scan.tail
        && !args.force
    {
        return Err(Failure::NotIntact { path: stdin() });
    }
    let keyring = Keyring::of(args.identity.as_deref())?;
    let key = keyring.key(&scan.header).map_err(|why| closed(&scan, why))?;
    let mut bytes = Cursor::new(Vec::new());
    let mut sink = Sink::new(args, &scan, &mut bytes).map_err(failed)?;
    let reader = MediaReader::open(&file[..]).map_err(bad)?;
    let mut wrong = None;
    let read = reader.chunks(key.as_ref(), |runs, payload| {
        if wrong.is_none() {
            wrong = sink.chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(failed(error));
    }
    read.map_err(|error| match error {
        MediaError::Seal(error) => closed(&scan, error.into()),
        error => bad(error),
    })?;
    sink.finish().map_err(failed)?;
    let mut out = std::io::stdout().lock();
    out.write_all(bytes.get_ref()).and_then(|()| out.flush()).map_err(Failure::Output)?;
    Ok(Outcome::Done)
}

fn stdin() -> PathBuf {
    PathBuf::from("stdin")
}

fn bad(error: MediaError) -> Failure {
    Failure::Media { path: stdin(), error }
}

fn closed(scan: &Scan, why: Closed) -> Failure {
    Failure::Closed { id: scan.header.id.to_string(), why, recipients: Vec::new() }
}

fn failed(error: ExportError) -> Failure {
    match error {
        ExportError::Io(error) => Failure::Output(error),
        error => Failure::Export { path: "stdout".into(), error },
    }
}

impl<'a> Sink<'a> {
    fn new(
        args: &DecodeArgs,
        scan: &Scan,
        out: &'a mut Cursor<Vec<u8>>,
    ) -> Result<Sink<'a>, ExportError> {
        let header = &scan.header;
        let sound = Sound {
            codec: header.codec,
            rate: header.rate,
            sides: header.sides,
            delay_frames: header.delay,
        };
        Ok(match args.kind {
            As::Opus => {
                let (id, encoder) =
                    (header.id.to_string(), concat!("hushbox ", env!("CARGO_PKG_VERSION")));
                let tags = [("ENCODER", encoder), ("TITLE", &*id)];
                Sink::Ogg(Box::new(OggWriter::new(out, &sound, &tags)?))
            }
            As::Wav => Sink::Wav(Box::new(WavWriter::new(out, &sound)?)),
            As::Shape => {
                let frames = scan.ledger.captured();
                Sink::Shape(Box::new(ShapeWriter::new(&sound, frames, args.peaks)?), out)
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
