//! `hushbox export ID --to FILE`: a recording as a file that anything plays, and its manifest.
//!
//! The media file is read twice: once without the key, to see that it is the one the journal tells
//! of, once to open it. Memory is bounded by a chunk. A running recording is exported as far as it
//! is durable, and says so. Both files appear whole or not at all.

use crate::Outcome;
use crate::cli::ExportArgs;
use crate::clock;
use crate::commands::export_screen::Screen;
use crate::error::Failure;
use crate::output::atomic_file::Part;
use crate::output::progress;
use crate::store::manifest;
use crate::store::manifest::Export;
use crate::store::record_json::Document;
use crate::store::store_dir::StoreDir;
use crate::store::unseal::Keyring;
use hushbox::audio::span::Run;
use hushbox::export::ogg::OggWriter;
use hushbox::export::wav::WavWriter;
use hushbox::export::{ExportError, Sound};
use hushbox::store::damage::Tail;
use hushbox::store::index::Record;
use hushbox::store::media::{self, MediaError, MediaReader, Scan};
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What kind of file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Wav,
    Opus,
    /// Sound and screen; `webm`, or `matroska`.
    Webm(&'static str),
}

impl Format {
    /// From the end of the file's name.
    fn of(path: &Path) -> Result<Format, Failure> {
        let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
        match end.as_deref() {
            Some("wav") => Ok(Format::Wav),
            Some("opus" | "ogg") => Ok(Format::Opus),
            Some("webm") => Ok(Format::Webm("webm")),
            Some("mkv") => Ok(Format::Webm("matroska")),
            _ => Err(Failure::Format { path: path.to_owned() }),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Format::Wav => "wav",
            Format::Opus => "opus",
            Format::Webm(kind) => kind,
        }
    }
}

pub fn run(args: &ExportArgs) -> Result<Outcome, Failure> {
    let format = Format::of(&args.to)?;
    let beside = manifest_path(&args.to);
    if let Some(path) = [&args.to, &beside].into_iter().find(|path| path.exists() && !args.force) {
        return Err(Failure::ExportExists { path: path.clone() });
    }
    let store = StoreDir::open(&args.config)?;
    let keyring = Keyring::open(&store, args.identity.as_deref())?;
    let record = &store.record(&args.id)?;
    if let Some(deletion) = &record.deleted {
        let (id, at) = (record.id().to_string(), deletion.at.to_string());
        return Err(Failure::Deleted { id, at, why: deletion.why.clone() });
    }
    let bar = progress::bar(2 * size(&store, record)?);
    let scan = scan(&store, record, &bar)?;
    let screen = crate::commands::export_screen::scan(&store, record)?;
    let intact = is_intact(record, &scan) && screen.as_ref().is_none_or(|screen| screen.intact);
    if !intact && !args.force {
        return Err(Failure::NotIntact { path: store.path(&record.media_path()) });
    }
    let part = Part::begin(&args.to)?;
    let screen = screen.as_ref();
    let with = Decode { keyring: &keyring, scan: &scan, bar: &bar, format, part: &part, screen };
    decode(&store, record, &with)?;
    let personal = keyring.personal(&store, record);
    let document = Document::make(&store, record, &personal, Some(&scan));
    let (bytes, blake3) = digest(part.file()?).map_err(|error| part.failed(error))?;
    let name = args.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let export = Export {
        file: name,
        format: format.word(),
        bytes,
        blake3,
        at: clock::wall().to_string(),
        tool: concat!("hushbox ", env!("CARGO_PKG_VERSION")),
        name: store.config.name.clone(),
        intact,
    };
    let checkpoint = store.last_checkpoint()?;
    let key = store.box_key();
    let text = manifest::write(&export, &document, checkpoint.as_ref(), &key)
        .map_err(|error| Failure::Write { path: beside.clone(), error: error.into() })?;
    let words = Part::begin(&beside)?;
    words.file()?.write_all(text.as_bytes()).map_err(|error| words.failed(error))?;
    words.keep()?;
    part.keep()?;
    bar.finish_and_clear();
    if let Err(why) = key {
        eprintln!("hushbox: the manifest is not signed: {why}");
    }
    if !intact {
        eprintln!("hushbox: exported, although it is not what the journal tells of");
    }
    tell(&args.to, &document)
}

fn tell(path: &Path, document: &Document) -> Result<Outcome, Failure> {
    let so_far = if document.complete { "" } else { ", so far: it is still running" };
    let (path, length) = (path.display(), crate::commands::records::length(document.duration_ms));
    writeln!(std::io::stdout(), "{path}: {length}{so_far}").map_err(Failure::Output)?;
    Ok(Outcome::Done)
}

/// `call.wav` has `call.wav.json` beside it.
pub fn manifest_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Bytes of the media file.
fn size(store: &StoreDir, record: &Record) -> Result<u64, Failure> {
    let path = store.path(&record.media_path());
    let meta = std::fs::metadata(&path).map_err(|error| Failure::NoMedia { path, error })?;
    Ok(meta.len())
}

fn scan(store: &StoreDir, record: &Record, bar: &ProgressBar) -> Result<Scan, Failure> {
    let path = store.path(&record.media_path());
    let scan = media::scan(bar.wrap_read(store.open_media(record)?));
    scan.map_err(|error| Failure::Media { path, error })
}

/// Whether the media file is what the journal says, or, of a running recording, not damaged.
fn is_intact(record: &Record, scan: &Scan) -> bool {
    let same = match (&record.ended, &scan.trailer) {
        (Some(ended), Some(found)) => ended.digest == found.digest && ended.size == found.size,
        // Its file failed: what was certain of it is all there is.
        (Some(ended), None) => {
            record.certain_bytes() == Some(scan.good_bytes) && ended.digest == scan.digest
        }
        (None, _) => !matches!(scan.tail, Tail::Damaged { .. }),
    };
    let whole = record.is_running() || scan.tail == Tail::Clean;
    same && whole && scan.header.id == record.id()
}

/// What decoding takes.
pub struct Decode<'a> {
    pub keyring: &'a Keyring,
    pub scan: &'a Scan,
    bar: &'a ProgressBar,
    format: Format,
    pub part: &'a Part,
    pub screen: Option<&'a Screen>,
}

fn decode(store: &StoreDir, record: &Record, with: &Decode<'_>) -> Result<(), Failure> {
    let path = store.path(&record.media_path());
    let bad = |error: MediaError| match error {
        MediaError::Seal(error) => Failure::closed(record, error.into(), with.keyring),
        error => Failure::Media { path: path.clone(), error },
    };
    let export = |error| Failure::Export { path: with.part.target().to_owned(), error };
    let header = &with.scan.header;
    let key = with.keyring.key(header);
    let key = key.map_err(|why| Failure::closed(record, why, with.keyring))?;
    let sound = Sound {
        codec: header.codec,
        rate: header.rate,
        sides: header.sides,
        delay_frames: header.delay,
    };
    let out = BufWriter::new(with.part.file()?);
    if let Format::Webm(kind) = with.format {
        return crate::commands::export_screen::write(store, record, (with, kind), key.as_ref());
    }
    let mut sink = match with.format {
        Format::Webm(_) => return Ok(()),
        Format::Wav => Sink::Wav(Box::new(WavWriter::new(out, &sound).map_err(export)?)),
        Format::Opus => {
            let (id, date) = (record.id().to_string(), record.at.to_string());
            let encoder = concat!("hushbox ", env!("CARGO_PKG_VERSION"));
            let tags = [("ENCODER", encoder), ("TITLE", &*id), ("DATE", &*date)];
            Sink::Ogg(Box::new(OggWriter::new(out, &sound, &tags).map_err(export)?))
        }
    };
    // No further than what was checked: a running recording has grown since.
    let source = store.open_media(record)?.take(with.scan.good_bytes);
    let reader = MediaReader::open(with.bar.wrap_read(source)).map_err(bad)?;
    let mut wrong = None;
    let read = reader.chunks(key.as_ref(), |runs, payload| {
        if wrong.is_none() {
            wrong = sink.chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(export(error));
    }
    read.map_err(bad)?;
    sink.finish().map_err(export)
}

/// Where decoded chunks go.
enum Sink {
    Wav(Box<WavWriter<BufWriter<File>>>),
    Ogg(Box<OggWriter<BufWriter<File>>>),
}

impl Sink {
    fn chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        match self {
            Sink::Wav(wav) => wav.chunk(runs, payload),
            Sink::Ogg(ogg) => ogg.chunk(runs, payload),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Sink::Wav(wav) => wav.finish(),
            Sink::Ogg(ogg) => ogg.finish(),
        }
    }
}

/// Bytes and BLAKE3 of a file, from its start.
pub fn digest(mut file: File) -> Result<(u64, String), std::io::Error> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}
