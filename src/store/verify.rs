//! Verification: checks that the store is unchanged since it was written.
//!
//! A `Verifier` receives the journal files in order, then a scan of each media file. It checks the
//! chain, the signatures, the journal against the files and the files against the journal.
//! Checkpoints of an external witness are compared with both. Verification needs no private key and
//! is read-only. It proves edits, gaps and deletions; entries after the last checkpoint are covered
//! by the unsigned chain only.

mod finding;
#[cfg(test)]
mod tests;
mod witness;

pub use finding::{Finding, MediaDifference, Note};
pub use witness::WitnessCheckpoint;

use crate::id::RecordingId;
use crate::store::damage::Tail;
use crate::store::fact::{RecordingEnd, RecordingEnded};
use crate::store::index::{Index, RemovedRange};
use crate::store::journal::{
    Checkpoint, JournalEnd, JournalError, JournalItem, JournalReader, JournalState,
};
use crate::store::layout;
use crate::store::media::{FinishedFile, MediaError, MediaScan};
use crate::store::sign::BoxPublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// Trusted information from outside the store.
#[derive(Clone, Debug, Default)]
pub struct TrustAnchor {
    /// Public key. Without it signatures are not checked, and a note says so.
    pub key: Option<BoxPublicKey>,
    /// The daemon is running. Recordings without an end and a tail that is being written are then
    /// not findings.
    pub is_running: bool,
    /// Checkpoints kept outside the recorder.
    pub witness: Vec<WitnessCheckpoint>,
}

/// A verification in progress.
#[derive(Debug)]
pub struct Verifier {
    anchor: TrustAnchor,
    index: Index,
    report: VerifyReport,
    /// Expected state at the start of the next journal file. Not checked if `is_linked` is false.
    state: JournalState,
    is_linked: bool,
    /// A torn tail. In the last file of a running daemon it is not a finding.
    torn: Option<Finding>,
    checkpoints: BTreeMap<u64, Checkpoint>,
    unsigned: u64,
    /// Recordings whose media file was checked.
    seen: BTreeSet<RecordingId>,
    /// Recordings whose screen file was checked.
    seen_screens: BTreeSet<RecordingId>,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    pub findings: Vec<Finding>,
    pub notes: Vec<Note>,
    pub journals: u64,
    pub entries: u64,
    pub checkpoints: u64,
    pub media: u64,
}

impl VerifyReport {
    /// Whether there are no findings.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl Verifier {
    #[must_use]
    pub fn new(anchor: TrustAnchor) -> Verifier {
        Verifier {
            anchor,
            index: Index::default(),
            report: VerifyReport::default(),
            state: JournalState::START,
            is_linked: true,
            torn: None,
            checkpoints: BTreeMap::new(),
            unsigned: 0,
            seen: BTreeSet::new(),
            seen_screens: BTreeSet::new(),
        }
    }

    /// Adds the next journal file, by day. `path` is relative to the data directory.
    pub fn add_journal<R: Read>(&mut self, path: &str, source: R) {
        self.add_journal_until(path, source, u64::MAX);
    }

    /// Adds a journal file of which only entries before `until` count: see
    /// `journal::superseded_limits`.
    pub fn add_journal_until<R: Read>(&mut self, path: &str, source: R, until: u64) {
        self.report.journals += 1;
        self.report.findings.extend(self.torn.take());
        if let Err(why) = self.read_journal(path, source, until) {
            self.is_linked = false;
            self.push_finding(Finding::JournalUnreadable { path: path.to_owned(), why });
        }
    }

    fn read_journal<R: Read>(
        &mut self,
        path: &str,
        source: R,
        until: u64,
    ) -> Result<(), JournalError> {
        let mut reader = JournalReader::open(source)?.with_limits(self.state.sequence, until);
        if reader.header().map_or(0, |header| header.start.sequence) >= until {
            return Ok(());
        }
        if let Some(header) = reader.header() {
            let (day, start) = (header.day.clone(), header.start);
            self.check_continuity(path, &day, start);
        }
        while let Some(item) = reader.next_item()? {
            self.check_item(path, item);
        }
        let JournalEnd { tail, state, is_linked: linked, good_bytes } = reader.finish();
        if good_bytes > 0 {
            (self.state, self.is_linked) = (state, linked);
        }
        if let Tail::Torn { at } = tail {
            self.torn = Some(Finding::JournalTorn { path: path.to_owned(), at });
        }
        Ok(())
    }

    /// Checks that the file's header continues from the end of the file before.
    fn check_continuity(&mut self, path: &str, day: &str, start: JournalState) {
        let path = path.to_owned();
        if layout::parse_journal_day(&path) != Some(day) {
            self.push_finding(Finding::JournalMisnamed { path: path.clone(), day: day.to_owned() });
        }
        if !self.is_linked {
            return;
        }
        let (expected, found) = (self.state.sequence, start.sequence);
        if expected != found {
            self.push_finding(Finding::JournalGap { path, expected, found });
        } else if self.state.chain != start.chain {
            self.push_finding(Finding::JournalUnchained { path });
        }
    }

    fn check_item(&mut self, path: &str, item: JournalItem) {
        match item {
            JournalItem::Entry { sequence, entry, .. } => {
                self.report.entries += 1;
                self.unsigned += 1;
                self.index.apply(sequence, &entry);
            }
            JournalItem::Checkpoint { sequence, at, checkpoint } => {
                self.report.checkpoints += 1;
                self.unsigned = 0;
                let signed = self.anchor.key.as_ref().map(|key| checkpoint.is_signed_by(key));
                if signed == Some(false) {
                    let path = path.to_owned();
                    self.push_finding(Finding::BadSignature { path, at, sequence });
                }
                self.checkpoints.insert(checkpoint.sequence, checkpoint);
            }
            JournalItem::Damage { at, why } => {
                self.push_finding(Finding::JournalDamaged { path: path.to_owned(), at, why });
            }
        }
    }

    /// Returns the number of bytes of a media file that count, if not all do. After the valid bytes
    /// of a failed file there may be anything.
    #[must_use]
    pub fn media_bytes(&self, path: &str) -> Option<u64> {
        if let Some((_, id)) = layout::parse_screen(path) {
            let ended = self.index.record(id)?.screen_ended()?;
            return (ended.end == RecordingEnd::Storage).then_some(ended.size);
        }
        let (_, id) = layout::parse_media(path)?;
        self.index.record(id)?.certain_bytes()
    }

    /// Adds a media file, after all journals. `scan` covers the bytes that `media_bytes` allows;
    /// `path` is relative to the data directory.
    pub fn add_media(&mut self, path: &str, scan: Result<&MediaScan, &MediaError>) {
        self.report.media += 1;
        let owned = path.to_owned();
        let screen = layout::parse_screen(path).is_some();
        let named = layout::parse_media(path).or_else(|| layout::parse_screen(path));
        let named = named.map(|(_, id)| id);
        let Some(record) = named.and_then(|id| self.index.record(id)) else {
            return if self.anchor.is_running && named.is_some() {
                self.report.notes.push(Note::New { path: owned });
            } else {
                self.push_finding(Finding::MediaUnknown { path: owned });
            };
        };
        let id = record.id();
        let expected = if screen { record.screen_path() } else { record.media_path() };
        if expected != path {
            return self.push_finding(Finding::MediaMisplaced { path: owned, expected });
        }
        if record.deleted.is_some() {
            return self.push_finding(Finding::MediaNotDeleted { path: owned, id });
        }
        if screen && record.screen.is_none() {
            return self.push_finding(Finding::MediaUnknown { path: owned });
        }
        let ended = if screen { record.screen_ended() } else { record.ended.as_ref() };
        let running = self.anchor.is_running && ended.is_none();
        let never_durable = ended.is_some_and(|ended| ended.size == 0);
        let findings = match scan {
            Ok(scan) => {
                let found = compare_media(path, scan, (id, ended), running);
                self.judge_replacement(path, id, found)
            }
            Err(_) if running => Vec::new(),
            // `finish` reports it in the same way as a missing file.
            Err(MediaError::HeaderTorn { .. }) if never_durable => return,
            Err(why) => vec![Finding::MediaUnreadable { path: owned, why: why.clone() }],
        };
        let seen = if screen { &mut self.seen_screens } else { &mut self.seen };
        seen.insert(id);
        self.report.findings.extend(findings);
    }

    /// Replaces the findings about a file whose range is being removed: the new file has not taken
    /// its place yet.
    fn judge_replacement(&self, path: &str, id: RecordingId, found: Vec<Finding>) -> Vec<Finding> {
        let is_last = self.index.last_redaction().is_some_and(|last| last.path == path);
        let foreign = Finding::MediaDiffers { path: path.to_owned(), what: MediaDifference::Id };
        if !is_last || found.is_empty() || found.contains(&foreign) {
            return found;
        }
        if self.anchor.is_running {
            return Vec::new();
        }
        vec![Finding::RemovalUnfinished { path: path.to_owned(), id }]
    }

    /// Returns the report, once everything has been added.
    #[must_use]
    pub fn finish(mut self) -> VerifyReport {
        self.report.findings.extend(self.torn.take().filter(|_| !self.anchor.is_running));
        for record in self.index.list_records(&crate::store::index::RecordFilter::default()) {
            let (id, path) = (record.id(), record.media_path());
            let removed = record.removed.iter().map(|removed| Note::Removed {
                id,
                what: removed_text(removed),
                by: removed.by.clone(),
                reason: removed.reason.clone(),
            });
            self.report.notes.extend(removed);
            let screen = record.screen.as_ref();
            match (screen.map(|screen| &screen.ended), self.seen_screens.contains(&id)) {
                (Some(Some(ended)), false) if ended.size > 0 => {
                    let path = record.screen_path();
                    self.report.findings.push(Finding::MediaMissing { path, id });
                }
                (Some(None), _) if !self.anchor.is_running => {
                    let path = record.screen_path();
                    self.report.findings.push(Finding::NotRecovered { path, id });
                }
                _ => {}
            }
            match (&record.ended, self.seen.contains(&id)) {
                (Some(ended), false) if ended.size == 0 => {
                    self.report.notes.push(Note::NeverDurable { id });
                }
                (Some(_), false) => {
                    self.report.findings.push(Finding::MediaMissing { path, id });
                }
                (Some(_), true) => {}
                (None, _) if self.anchor.is_running => self.report.notes.push(Note::Running { id }),
                (None, _) => self.report.findings.push(Finding::NotRecovered { path, id }),
            }
        }
        self.compare_witness();
        if self.anchor.key.is_none() {
            self.report.notes.push(Note::NoKey);
        }
        if self.unsigned > 0 {
            self.report.notes.push(Note::Unsigned { entries: self.unsigned });
        }
        self.report
    }

    fn compare_witness(&mut self) {
        let TrustAnchor { key, witness, .. } = &self.anchor;
        let last = self.state.sequence.saturating_sub(1);
        let found = witness::compare_witness(witness, key.as_ref(), (&self.checkpoints, last));
        self.report.findings.extend(found);
    }

    fn push_finding(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }
}

/// Says which range was removed, in the words of the journal.
fn removed_text(removed: &RemovedRange) -> String {
    let RemovedRange { from, to, frames, .. } = removed;
    let unit = if removed.is_screen { "ms of the screen" } else { "frames" };
    format!("{frames} {unit} ({from} to {to})")
}

/// Compares a media file with its record. `running`: the daemon is still writing it.
fn compare_media(
    path: &str,
    scan: &MediaScan,
    (id, ended): (RecordingId, Option<&RecordingEnded>),
    running: bool,
) -> Vec<Finding> {
    let path = || path.to_owned();
    let differs = |what| Finding::MediaDiffers { path: path(), what };
    let mut findings = Vec::new();
    match scan.tail {
        Tail::Damaged { at, why } => {
            findings.push(Finding::MediaDamaged { path: path(), at, why });
        }
        Tail::Torn { at } if !running => findings.push(Finding::MediaTorn { path: path(), at }),
        Tail::Torn { .. } | Tail::Clean => {}
    }
    if scan.header.id != id {
        findings.push(differs(MediaDifference::Id));
    }
    let Some(ended) = ended else { return findings };
    if let (RecordingEnd::Storage, Some(closing)) = (ended.end, scan.build_trailer(ended.end)) {
        findings.extend(compare_interrupted(scan, &closing.finished, ended).map(differs));
        return findings;
    }
    let Some(FinishedFile { digest, size, ledger, end, .. }) = scan.trailer else {
        let (expected, found) = (ended.size, scan.good_bytes);
        findings.push(differs(MediaDifference::Size { expected, found }));
        return findings;
    };
    if size != ended.size {
        findings.push(differs(MediaDifference::Size { expected: ended.size, found: size }));
    } else if digest != ended.digest {
        findings.push(differs(MediaDifference::Digest));
    }
    if ledger != ended.ledger || ledger.total_captured() != scan.ledger.total_captured() {
        findings.push(differs(MediaDifference::Ledger));
    }
    if end != ended.end {
        findings.push(differs(MediaDifference::End));
    }
    findings
}

/// Compares a file that failed. Its valid bytes must be unchanged.
fn compare_interrupted(
    scan: &MediaScan,
    cut: &FinishedFile,
    ended: &RecordingEnded,
) -> Option<MediaDifference> {
    let (expected, found) = (ended.size, scan.good_bytes);
    if found != expected {
        return Some(MediaDifference::Size { expected, found });
    }
    if scan.digest != ended.digest {
        return Some(MediaDifference::Digest);
    }
    (cut.ledger != ended.ledger).then_some(MediaDifference::Ledger)
}
