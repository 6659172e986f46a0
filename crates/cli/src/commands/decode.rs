//! `hushbox decode`: decodes a media file from stdin to audio, video or a waveform on stdout.
//!
//! For programs that fetched the file with `media ID`, such as the web portal. It needs no store
//! and writes to disk only if stdout is a file. Input from a pipe is held in memory, still sealed.
//! The caller passes what the journal says about the file: the recording and the digest. Without
//! them the file is checked as far as it describes itself.

use crate::Outcome;
use crate::cli::{DecodeArgs, DecodeFormat};
use crate::commands::export::check_media;
use crate::error::{Error, UnsealError};
use crate::output::video;
use crate::output::video::{CheckedMedia, VideoSource};
use crate::store::seekable::{PIPE_BYTES_MAX, SeekableInput, SeekableOutput};
use crate::store::unseal::IdentityKeyring;
use hushbox::audio::span::Run;
use hushbox::config::CodecKind;
use hushbox::export::ogg::OggWriter;
use hushbox::export::wav::WavWriter;
use hushbox::export::waveform::{Waveform, WaveformWriter};
use hushbox::export::{AudioFormat, ExportError};
use hushbox::store::media::{self, ExpectedMedia, MediaError, MediaReader, MediaScan};
use hushbox::store::seal::DataKey;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The writer of the decoded chunks.
enum DecodeSink<'a> {
    Ogg(Box<OggWriter<&'a mut SeekableOutput>>),
    Wav(Box<WavWriter<&'a mut SeekableOutput>>),
    Waveform(Box<WaveformWriter>, &'a mut SeekableOutput),
}

/// A checked input file.
struct DecodeSource {
    input: SeekableInput,
    scan: MediaScan,
    path: PathBuf,
}

impl DecodeSource {
    /// Opens, scans and checks the named file, or stdin.
    fn scan_input(
        named: Option<&Path>,
        expected: ExpectedMedia,
        force: bool,
    ) -> Result<DecodeSource, Error> {
        let path = named.unwrap_or(Path::new("stdin")).to_owned();
        let read = |error| Error::NoMedia { path: path.clone(), error };
        let input = named.map_or_else(
            || SeekableInput::from_stdin(PIPE_BYTES_MAX),
            |path| SeekableInput::from_path(path, PIPE_BYTES_MAX),
        );
        let input = input.map_err(read)?;
        let scan = media::scan(input.open_reader().map_err(read)?);
        let scan = scan.map_err(|error| Error::Media { path: path.clone(), error })?;
        check_media(path.clone(), &scan, expected, force)?;
        Ok(DecodeSource { input, scan, path })
    }

    fn open_reader(&self) -> Result<Box<dyn Read + '_>, Error> {
        let read = |error| Error::Read { path: self.path.clone(), error };
        self.input.open_reader().map_err(read)
    }

    fn media_error(&self, error: MediaError) -> Error {
        match error {
            MediaError::Seal(error) => self.unseal_error(error.into()),
            error => Error::Media { path: self.path.clone(), error },
        }
    }

    fn unseal_error(&self, why: UnsealError) -> Error {
        Error::Unseal { id: self.scan.header.id.to_string(), why, recipients: Vec::new() }
    }
}

pub fn run(args: &DecodeArgs) -> Result<Outcome, Error> {
    let keyring = IdentityKeyring::from_file(args.identity.as_deref())?;
    if args.kind == DecodeFormat::Facts {
        return crate::store::facts::decode_facts(&keyring);
    }
    let expected = ExpectedMedia { id: args.recording, digest: args.digest, is_running: false };
    let main = DecodeSource::scan_input(None, expected, args.force)?;
    let key = keyring.media_key(&main.scan.header).map_err(|why| main.unseal_error(why))?;
    let mut out = SeekableOutput::to_stdout();
    let made = match (args.kind, main.scan.header.codec) {
        (DecodeFormat::Webm, _) => write_webm(args, &main, key.as_ref(), &mut out),
        (DecodeFormat::Shape, CodecKind::Screen) => {
            write_screen_waveform(&main, &mut out).map_err(export_error)
        }
        _ => write_audio(args, &main, key.as_ref(), &mut out),
    };
    if let Err(failure) = made {
        out.discard().map_err(Error::Stdout)?;
        return Err(failure);
    }
    out.commit().map_err(Error::Stdout)?;
    Ok(Outcome::Done)
}

fn export_error(error: ExportError) -> Error {
    match error {
        ExportError::Io(error) => Error::Stdout(error),
        error => Error::Export { path: "stdout".into(), error },
    }
}

/// Writes the audio, with the screen if there is one.
fn write_webm(
    args: &DecodeArgs,
    main: &DecodeSource,
    key: Option<&DataKey>,
    out: &mut SeekableOutput,
) -> Result<(), Error> {
    let id = main.scan.header.id;
    let expected = ExpectedMedia { id: Some(id), digest: args.screen_digest, is_running: false };
    let beside = args.screen.as_deref();
    let beside = beside
        .map(|path| DecodeSource::scan_input(Some(path), expected, args.force))
        .transpose()?;
    let open = || main.open_reader();
    let open_screen =
        || beside.as_ref().map_or_else(|| main.open_reader(), DecodeSource::open_reader);
    let main_media = CheckedMedia { scan: &main.scan, open: &open, path: main.path.clone() };
    let alone = main.scan.header.codec == CodecKind::Screen;
    let screen = beside.as_ref().map(|other| CheckedMedia {
        scan: &other.scan,
        open: &open_screen,
        path: other.path.clone(),
    });
    let (audio, screen) = if alone { (None, Some(main_media)) } else { (Some(main_media), screen) };
    let (title, target) = (id.to_string(), "stdout".into());
    let source = VideoSource { audio, screen, key, doc_type: "webm", title, target };
    video::write_video(&source, out)
}

/// Writes the waveform of a screen recording, which has spans but no audio.
fn write_screen_waveform(main: &DecodeSource, out: &mut SeekableOutput) -> Result<(), ExportError> {
    let waveform = Waveform::for_screen(&main.scan.spans, main.scan.header.from, main.scan.to);
    serde_json::to_writer(&mut *out, &waveform).map_err(std::io::Error::from)?;
    Ok(writeln!(out)?)
}

fn write_audio(
    args: &DecodeArgs,
    main: &DecodeSource,
    key: Option<&DataKey>,
    out: &mut SeekableOutput,
) -> Result<(), Error> {
    let mut sink = DecodeSink::new(args, &main.scan, out).map_err(export_error)?;
    let reader = MediaReader::open(main.open_reader()?).map_err(|error| main.media_error(error))?;
    let mut wrong = None;
    let read = reader.for_each_chunk(key, |runs, payload| {
        if wrong.is_none() {
            wrong = sink.write_chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(export_error(error));
    }
    read.map_err(|error| main.media_error(error))?;
    sink.finish().map_err(export_error)
}

impl<'a> DecodeSink<'a> {
    fn new(
        args: &DecodeArgs,
        scan: &MediaScan,
        out: &'a mut SeekableOutput,
    ) -> Result<DecodeSink<'a>, ExportError> {
        let header = &scan.header;
        let sound = AudioFormat {
            codec: header.codec,
            rate: header.rate,
            sides: header.sides,
            delay_frames: header.delay,
        };
        Ok(match args.kind {
            DecodeFormat::Wav => DecodeSink::Wav(Box::new(WavWriter::new(
                out,
                &sound,
                scan.ledger.total_captured(),
            )?)),
            DecodeFormat::Shape => {
                let frames = scan.ledger.total_captured();
                DecodeSink::Waveform(
                    Box::new(WaveformWriter::new(&sound, frames, args.peaks)?),
                    out,
                )
            }
            DecodeFormat::Opus | DecodeFormat::Webm | DecodeFormat::Facts => {
                let (id, encoder) =
                    (header.id.to_string(), concat!("hushbox ", env!("CARGO_PKG_VERSION")));
                let tags = [("ENCODER", encoder), ("TITLE", &*id)];
                DecodeSink::Ogg(Box::new(OggWriter::new(out, &sound, &tags)?))
            }
        })
    }

    fn write_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        match self {
            DecodeSink::Ogg(ogg) => ogg.write_chunk(runs, payload),
            DecodeSink::Wav(wav) => wav.write_chunk(runs, payload),
            DecodeSink::Waveform(waveform, _) => waveform.add_chunk(runs, payload),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            DecodeSink::Ogg(ogg) => ogg.finish(),
            DecodeSink::Wav(wav) => wav.finish(),
            DecodeSink::Waveform(waveform, out) => {
                serde_json::to_writer(&mut *out, &waveform.finish())
                    .map_err(std::io::Error::from)?;
                Ok(writeln!(out)?)
            }
        }
    }
}
