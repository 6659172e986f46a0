//! Fuzz entry points: one function for each parser of external input.
//!
//! A function must not panic and must stay within the memory limit of its row in `TARGETS`.
//! `fuzz/fuzz_targets` passes these functions to libFuzzer. `tests/store/fuzz.rs` runs them in a
//! mutation loop with a fixed seed and measures memory.

mod repair;
mod sip;
mod siprec;

pub use sip::sip_stream;
pub use siprec::{metadata, sip_body};

use hushbox::audio::codec::Decoder;
use hushbox::config;
use hushbox::id::RecordingId;
use hushbox::store::archive::{
    Catalogue, PointLookup, RangeScan, ReadRequest, ReadStep, ReadView, Summary, SummaryHeader,
};
use hushbox::store::fact::RecordingEnd;
use hushbox::store::index::{Index, RecordFilter};
use hushbox::store::journal::{Checkpoint, JournalItem, JournalReader, JournalState};
use hushbox::store::media::{self, MediaReader};
use hushbox::store::seal;
use hushbox::store::verify::{TrustAnchor, Verifier};
use protocol::{Assembler, Client, Command, Kind, Line, Piece};

pub struct Target {
    pub name: &'static str,
    pub body: fn(&[u8]),
    /// Memory limit: a fixed part plus a part for each input byte.
    pub fixed_bytes: usize,
    pub bytes_per_byte: usize,
}

/// All fuzz targets. Windows and buffers are fixed; retained data grows with the input.
pub const TARGETS: [Target; 12] = [
    Target { name: "journal", body: journal, fixed_bytes: 1 << 18, bytes_per_byte: 64 },
    // A chunk may hold a million stereo frames, which decode to 4 MB. The reader's window and the
    // opened chunk of screen video take 1 MiB each.
    Target { name: "media", body: media, fixed_bytes: 8 << 20, bytes_per_byte: 64 },
    Target { name: "summary", body: summary, fixed_bytes: 1 << 18, bytes_per_byte: 1024 },
    Target { name: "checkpoint", body: checkpoint, fixed_bytes: 1 << 12, bytes_per_byte: 16 },
    Target { name: "keys", body: keys, fixed_bytes: 1 << 18, bytes_per_byte: 64 },
    Target { name: "config", body: config, fixed_bytes: 1 << 18, bytes_per_byte: 512 },
    Target { name: "line", body: line, fixed_bytes: 1 << 14, bytes_per_byte: 64 },
    Target { name: "command", body: command, fixed_bytes: 1 << 14, bytes_per_byte: 64 },
    Target { name: "client", body: client, fixed_bytes: 1 << 16, bytes_per_byte: 128 },
    Target { name: "sip_body", body: sip_body, fixed_bytes: 1 << 17, bytes_per_byte: 64 },
    // Three sessions and their transactions are kept, each with a copy of a head.
    Target { name: "sip_stream", body: sip_stream, fixed_bytes: 1 << 19, bytes_per_byte: 128 },
    Target { name: "metadata", body: metadata, fixed_bytes: 1 << 17, bytes_per_byte: 128 },
];

/// A journal file: read, verified and continued; then again with repaired checksums.
pub fn journal(data: &[u8]) {
    read_journal(data);
    let mut mended = data.to_vec();
    repair::journal(&mut mended);
    read_journal(&mended);
}

fn read_journal(data: &[u8]) {
    let mut verifier = Verifier::new(TrustAnchor::default());
    verifier.add_journal("journal/2026-11-22.hbj", data);
    // A later part may repeat the end of this one.
    verifier.add_journal_until("journal/2026-11-23.hbj", data, 7);
    let _ = verifier.finish();
    if let Ok(reader) = JournalReader::open(data) {
        let mut reader = reader.with_limits(5, 7);
        while let Ok(Some(_)) = reader.next_item() {}
        let _ = reader.finish();
    }
    let Ok(mut reader) = JournalReader::open(data) else { return };
    let (mut items, mut last) = (0, 0);
    while let Ok(Some(item)) = reader.next_item() {
        if let JournalItem::Entry { sequence, at, .. }
        | JournalItem::Checkpoint { sequence, at, .. } = item
        {
            assert!(sequence >= last && at < wide(data.len()));
            last = sequence;
        }
        items += 1;
    }
    let ending = reader.finish();
    assert!(items <= data.len() + 1 && ending.good_bytes <= wide(data.len()));
    assert!(ending.state.sequence >= JournalState::START.sequence || ending.good_bytes > 0);
}

/// A media file: scanned without a key, completed if truncated, and decoded if not sealed; then
/// again with repaired checksums.
pub fn media(data: &[u8]) {
    read_media(data);
    let mut mended = data.to_vec();
    repair::media(&mut mended);
    read_media(&mended);
}

fn read_media(data: &[u8]) {
    let Ok(scan) = media::scan(data) else { return };
    assert!(scan.good_bytes <= wide(data.len()));
    if let Some(closing) = scan.build_trailer(RecordingEnd::Power) {
        // A completed file is complete and keeps what the scan promised.
        let good = usize::try_from(scan.good_bytes).unwrap_or(0);
        let whole = [&data[..good], &closing.bytes].concat();
        let again = media::scan(&whole[..]).expect("it was read before");
        assert_eq!(again.trailer, Some(closing.finished));
        assert!(again.build_trailer(RecordingEnd::Power).is_none(), "it is completed once");
    }
    let Ok(reader) = MediaReader::open(data) else { return };
    let header = reader.header().clone();
    let decoder = Decoder::new(header.codec, header.rate, header.sides, header.delay);
    let mut decoder = decoder.ok();
    let (mut samples, mut left) = (Vec::new(), 1_u64 << 22);
    let _ = reader.for_each_chunk(None, |runs, payload| {
        let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
        assert!(frames <= media::MAX_CHUNK_FRAMES.max(u64::from(header.rate)));
        // Hours of forged silence take long and reach no new code.
        left = left.saturating_sub(frames);
        let read = decoder.as_mut().filter(|_| left > 0);
        if read.is_some_and(|decoder| decoder.decode_chunk(runs, payload, &mut samples).is_err()) {
            decoder = None;
        }
        samples.clear();
    });
    if let Some(mut decoder) = decoder {
        decoder.finish(&mut samples);
    }
}

/// The summary of a closed day: read whole, listed and searched; then again with repaired
/// checksums. Page checksums are not repaired: pages are inside a checked part.
pub fn summary(data: &[u8]) {
    read_summary(data);
    let mut mended = data.to_vec();
    repair::summary(&mut mended);
    read_summary(&mended);
}

fn read_summary(data: &[u8]) {
    let Some(header) = SummaryHeader::from_bytes(data) else { return };
    let Some(whole) = Summary::from_bytes(data) else { return };
    let again = Summary::from_bytes(&whole.to_bytes().0).expect("it was put");
    assert_eq!(again.rows, whole.rows);
    let mut catalogue = Catalogue::default();
    catalogue.upsert_day(header.day_entry);
    let index = Index::from_retained(whole.footer.retained);
    let known = ReadView { index: &index, catalogue: &catalogue };
    let piece = |need: &ReadRequest| {
        let from = usize::try_from(need.offset).unwrap_or(usize::MAX).min(data.len());
        &data[from..from.saturating_add(need.bytes).min(data.len())]
    };
    let mut browser =
        RangeScan::new(RecordFilter { include_deleted: true, ..RecordFilter::default() });
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 16 * (data.len() + index.records().count()), "it comes to an end");
        match browser.poll_row(known) {
            ReadStep::Found(_) => {}
            ReadStep::End => break,
            ReadStep::Read(need) => match browser.supply_bytes(piece(&need)) {
                Ok(()) => {}
                Err(_) => break,
            },
        }
    }
    let wanted = whole.rows.last().map_or(RecordingId::from_random([7; 10]), |row| row.id);
    let mut finder = PointLookup::new(wanted);
    for _ in 0..16 * data.len() {
        let ReadStep::Read(need) = finder.poll_row(known) else { return };
        if !matches!(finder.supply_bytes(known, piece(&need).to_vec()), Ok(None)) {
            return;
        }
    }
    panic!("a search does not end");
}

/// A checkpoint as text: writing the parsed value reproduces it, except for spaces.
pub fn checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(read) = Checkpoint::parse_line(text) {
        assert_eq!(Checkpoint::parse_line(&read.to_line()), Some(read));
    }
}

/// Keys as text, and a wrapped data key.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = seal::parse_recipients(&text);
    if let Ok(identities) = seal::parse_identities(&text) {
        let _ = seal::unwrap_key(data, &identities);
    }
    let stranger = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    if let Ok(identities) = seal::parse_identities(stranger) {
        let _ = seal::unwrap_key(data, &identities);
    }
}

/// A configuration: accepted, or rejected with a position for every error.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(errors) = config::parse(text) {
        assert!(!errors.is_empty(), "refused without a reason");
    }
}

/// A line, and the bytes of a connection split into lines.
pub fn line(data: &[u8]) {
    let text = std::str::from_utf8(data).unwrap_or_default();
    if let Ok(line) = Line::parse(text) {
        assert!(line.words().len() <= text.len());
    }
    let (mut assembler, mut rest) = (Assembler::new(), data);
    while let Some(piece) = assembler.next_piece(&mut rest) {
        if let Piece::Line(text) = piece {
            assert!(!text.contains('\n') && text.len() < 1024);
        }
    }
    assert!(rest.is_empty(), "everything is taken");
}

/// A command, for every kind of session: no kind gets a command that is not listed for it.
pub fn command(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = Command::parse(text).is_ok();
    for kind in [None].into_iter().chain(Kind::ALL.into_iter().map(Some)) {
        assert!(known || Command::parse_for(text, kind).is_err());
    }
}

/// Bytes to a client in two pieces; the first byte gives the split.
pub fn client(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let at = usize::from(*first).min(data.len());
    let mut client = Client::new();
    for line in ["hello agent user=a1", "status", "records", "media x"] {
        let _ = client.queue_command(line);
    }
    for piece in [&data[..at], &data[at..]] {
        client.receive(piece);
        while let Some(event) = client.poll_event() {
            drop(event);
        }
    }
    assert!(client.count_unanswered() <= 4);
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
