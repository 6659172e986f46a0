//! `hushbox export ID --to FILE`: exports a recording to a playable file with a manifest.
//!
//! The media file is read twice: first without the key, to compare it with the journal, then to
//! decode it. Memory is bounded by one chunk. A running recording is exported up to its durable
//! end. Both output files are created atomically.

use crate::Outcome;
use crate::cli::ExportArgs;
use crate::clock;
use crate::commands::export_screen::CheckedScreen;
use crate::error::Error;
use crate::output::atomic_file::AtomicFile;
use crate::output::escape::print_message;
use crate::output::progress;
use crate::store::manifest;
use crate::store::manifest::ExportInfo;
use crate::store::record_json::RecordJson;
use crate::store::store_dir::StoreDir;
use crate::store::unseal::IdentityKeyring;
use hushbox::audio::span::Run;
use hushbox::export::ogg::OggWriter;
use hushbox::export::wav::WavWriter;
use hushbox::export::{AudioFormat, ExportError};
use hushbox::store::index::Record;
use hushbox::store::media::{
    self, ExpectedMedia, MediaError, MediaMismatch, MediaReader, MediaScan,
};
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportFormat {
    Wav,
    Opus,
    /// Audio and screen; the document type is `webm` or `matroska`.
    Webm(&'static str),
}

impl ExportFormat {
    /// Selects the format by the file's extension.
    fn from_path(path: &Path) -> Result<ExportFormat, Error> {
        let end = path.extension().and_then(|end| end.to_str()).map(str::to_ascii_lowercase);
        match end.as_deref() {
            Some("wav") => Ok(ExportFormat::Wav),
            Some("opus" | "ogg") => Ok(ExportFormat::Opus),
            Some("webm") => Ok(ExportFormat::Webm("webm")),
            Some("mkv") => Ok(ExportFormat::Webm("matroska")),
            _ => Err(Error::UnknownFormat { path: path.to_owned() }),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            ExportFormat::Wav => "wav",
            ExportFormat::Opus => "opus",
            ExportFormat::Webm(kind) => kind,
        }
    }
}

pub fn run(args: &ExportArgs) -> Result<Outcome, Error> {
    let format = ExportFormat::from_path(&args.to)?;
    let beside = manifest_path(&args.to);
    if let Some(path) = [&args.to, &beside].into_iter().find(|path| path.exists() && !args.force) {
        return Err(Error::ExportExists { path: path.clone() });
    }
    let store = StoreDir::open(&args.config)?;
    let keyring = IdentityKeyring::open(&store, args.identity.as_deref())?;
    let record = &store.find_record(&args.id)?;
    if let Some(deletion) = &record.deleted {
        let (id, at) = (record.id().to_string(), deletion.at.to_string());
        return Err(Error::Deleted { id, at, why: deletion.why.clone() });
    }
    let source = store.open_media(record)?;
    let bar = progress::new_byte_bar(2 * file_bytes(source.get_ref().get_ref()));
    let path = store.path_of(&record.media_path());
    let scan = media::scan(bar.wrap_read(source))
        .map_err(|error| Error::Media { path: path.clone(), error })?;
    let audio = check_media(path, &scan, ExpectedMedia::of_audio(record), args.force)?;
    let screen = crate::commands::export_screen::scan_screen(&store, record, args.force)?;
    let intact = audio && screen.as_ref().is_none_or(|screen| screen.is_intact);
    let part = AtomicFile::create(&args.to)?;
    let screen = screen.as_ref();
    let with =
        ExportContext { keyring: &keyring, scan: &scan, bar: &bar, format, file: &part, screen };
    write_export(&store, record, &with)?;
    let personal = keyring.open_personal_facts(&store, record);
    let document = RecordJson::from_record(&store, record, &personal, Some(&scan));
    let (bytes, blake3) =
        file_digest(part.try_clone_file()?).map_err(|error| part.write_error(error))?;
    let name = args.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let export = ExportInfo {
        file: name,
        format: format.as_str(),
        bytes,
        blake3,
        at: clock::wall_now().to_string(),
        tool: concat!("hushbox ", env!("CARGO_PKG_VERSION")),
        name: store.config.name.clone(),
        intact,
    };
    let checkpoint = store.last_checkpoint()?;
    let key = store.box_key();
    let text = manifest::build_manifest(&export, &document, checkpoint.as_ref(), &key)
        .map_err(|error| Error::Write { path: beside.clone(), error: error.into() })?;
    let words = AtomicFile::create(&beside)?;
    words.try_clone_file()?.write_all(text.as_bytes()).map_err(|error| words.write_error(error))?;
    words.commit()?;
    part.commit()?;
    bar.finish_and_clear();
    if let Err(why) = key {
        print_message(&format!("hushbox: the manifest is not signed: {why}\n"));
    }
    if !intact {
        print_message("hushbox: exported all the same, because of --force\n");
    }
    print_summary(&args.to, &document)
}

fn print_summary(path: &Path, document: &RecordJson) -> Result<Outcome, Error> {
    let so_far = if document.complete { "" } else { " so far (still running)" };
    let (path, length) = (path.display(), protocol::text::format_duration(document.duration_ms));
    writeln!(std::io::stdout(), "{path}: {length}{so_far}").map_err(Error::Stdout)?;
    Ok(Outcome::Done)
}

/// Returns the manifest's path: `call.wav.json` for `call.wav`.
pub fn manifest_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Returns the size of a file in bytes; 0 if it is unknown.
fn file_bytes(file: &File) -> u64 {
    file.metadata().map_or(0, |meta| meta.len())
}

/// Compares a media file with the journal. Returns whether it matches; `force` accepts a damaged
/// file, but never the file of another recording.
pub fn check_media(
    path: PathBuf,
    scan: &MediaScan,
    expected: ExpectedMedia,
    force: bool,
) -> Result<bool, Error> {
    match expected.check_scan(scan) {
        Ok(()) => Ok(true),
        Err(why @ MediaMismatch::OtherRecording { .. }) => Err(Error::OtherRecording { path, why }),
        Err(why) if force => {
            print_message(&format!("hushbox: {}: {why}\n", path.display()));
            Ok(false)
        }
        Err(why) => Err(Error::NotIntact { path, why }),
    }
}

/// The inputs of an export.
pub struct ExportContext<'a> {
    pub keyring: &'a IdentityKeyring,
    pub scan: &'a MediaScan,
    bar: &'a ProgressBar,
    format: ExportFormat,
    pub file: &'a AtomicFile,
    pub screen: Option<&'a CheckedScreen>,
}

fn write_export(store: &StoreDir, record: &Record, with: &ExportContext<'_>) -> Result<(), Error> {
    let path = store.path_of(&record.media_path());
    let bad = |error: MediaError| match error {
        MediaError::Seal(error) => {
            Error::from_unseal(record, error.into(), with.keyring.recipients())
        }
        error => Error::Media { path: path.clone(), error },
    };
    let export = |error| Error::Export { path: with.file.target().to_owned(), error };
    let header = &with.scan.header;
    let key = with.keyring.media_key(header);
    let key = key.map_err(|why| Error::from_unseal(record, why, with.keyring.recipients()))?;
    let sound = AudioFormat {
        codec: header.codec,
        rate: header.rate,
        sides: header.sides,
        delay_frames: header.delay,
    };
    let out = BufWriter::new(with.file.try_clone_file()?);
    if let ExportFormat::Webm(kind) = with.format {
        return crate::commands::export_screen::write_webm(
            store,
            record,
            (with, kind),
            key.as_ref(),
        );
    }
    let mut sink = match with.format {
        ExportFormat::Webm(_) => return Ok(()),
        ExportFormat::Wav => {
            let frames = with.scan.ledger.total_captured();
            ExportSink::Wav(Box::new(WavWriter::new(out, &sound, frames).map_err(export)?))
        }
        ExportFormat::Opus => {
            let (id, date) = (record.id().to_string(), record.started_at().to_string());
            let encoder = concat!("hushbox ", env!("CARGO_PKG_VERSION"));
            let tags = [("ENCODER", encoder), ("TITLE", &*id), ("DATE", &*date)];
            ExportSink::Ogg(Box::new(OggWriter::new(out, &sound, &tags).map_err(export)?))
        }
    };
    // Only up to what was checked: a running recording may have grown since.
    let source = store.open_media(record)?.take(with.scan.good_bytes);
    let reader = MediaReader::open(with.bar.wrap_read(source)).map_err(bad)?;
    let mut wrong = None;
    let read = reader.for_each_chunk(key.as_ref(), |runs, payload| {
        if wrong.is_none() {
            wrong = sink.write_chunk(runs, payload).err();
        }
    });
    if let Some(error) = wrong {
        return Err(export(error));
    }
    read.map_err(bad)?;
    sink.finish().map_err(export)
}

/// The writer of the decoded chunks.
enum ExportSink {
    Wav(Box<WavWriter<BufWriter<File>>>),
    Ogg(Box<OggWriter<BufWriter<File>>>),
}

impl ExportSink {
    fn write_chunk(&mut self, runs: &[Run], payload: &[u8]) -> Result<(), ExportError> {
        match self {
            ExportSink::Wav(wav) => wav.write_chunk(runs, payload),
            ExportSink::Ogg(ogg) => ogg.write_chunk(runs, payload),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            ExportSink::Wav(wav) => wav.finish(),
            ExportSink::Ogg(ogg) => ogg.finish(),
        }
    }
}

/// Returns size and BLAKE3 of a file, from its start.
pub fn file_digest(mut file: File) -> Result<(u64, String), std::io::Error> {
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
}
