//! `hushbox export ID --to FILE.webm`: opens the media files for a video export.
//!
//! The screen file is checked before anything is written, like the audio file. `output::video`
//! merges the two.

use crate::commands::export::{ExportContext, check_media};
use crate::error::Error;
use crate::output::video;
use crate::output::video::{CheckedMedia, VideoSource};
use crate::store::store_dir::StoreDir;
use hushbox::config::CodecKind;
use hushbox::store::index::Record;
use hushbox::store::media::{self, ExpectedMedia, MediaScan};
use hushbox::store::seal::DataKey;
use std::io::{BufWriter, Read};

/// The checked screen file of a call.
pub struct CheckedScreen {
    pub scan: MediaScan,
    /// Whether it matches the journal or, if still running, is undamaged.
    pub is_intact: bool,
}

/// Scans the screen file of a call without the key, if there is one. `force` accepts a damaged one.
pub fn scan_screen(
    store: &StoreDir,
    record: &Record,
    force: bool,
) -> Result<Option<CheckedScreen>, Error> {
    let nothing = record.screen_ended().is_some_and(|ended| ended.size == 0);
    if record.screen.is_none() || nothing {
        return Ok(None);
    }
    let path = store.path_of(&record.screen_path());
    let scan = media::scan(store.open_screen(record)?);
    let scan = scan.map_err(|error| Error::Media { path: path.clone(), error })?;
    let is_intact = check_media(path, &scan, ExpectedMedia::of_screen(record), force)?;
    Ok(Some(CheckedScreen { scan, is_intact }))
}

/// Writes the video. `key` is the recording's data key.
pub fn write_webm(
    store: &StoreDir,
    record: &Record,
    (with, kind): (&ExportContext<'_>, &'static str),
    key: Option<&DataKey>,
) -> Result<(), Error> {
    let good = with.scan.good_bytes;
    let media = || {
        let file = store.open_media(record)?.into_inner().take(good);
        Ok(Box::new(file) as Box<dyn Read>)
    };
    let beside = || Ok(Box::new(store.open_screen(record)?) as Box<dyn Read>);
    let alone = with.scan.header.codec == CodecKind::Screen;
    let main =
        CheckedMedia { scan: with.scan, open: &media, path: store.path_of(&record.media_path()) };
    let screen = with.screen.map(|screen| CheckedMedia {
        scan: &screen.scan,
        open: &beside,
        path: store.path_of(&record.screen_path()),
    });
    let (audio, screen) = if alone { (None, Some(main)) } else { (Some(main), screen) };
    let target = with.file.target().to_owned();
    let source =
        VideoSource { audio, screen, key, doc_type: kind, title: record.id().to_string(), target };
    video::write_video(&source, BufWriter::new(with.file.try_clone_file()?))
}
