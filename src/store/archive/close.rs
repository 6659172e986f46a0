//! Closing days: folding a journal into its summary, and mending summaries that are not there.
//!
//! A day is closed after all days before it. Its journal is folded from where the day before
//! closed; what it says of recordings of earlier days is written into their summaries first, and
//! its own summary last. Whoever is interrupted in between begins the day again and comes to the
//! same: a summary says through which entry it is true, and is changed by later ones only.
//!
//! When a summary is damaged, all from it on are taken away, newest first, and made again, oldest
//! first: at no moment stands one beside a day that has none before it and be believed. Journals
//! are only read here.

use super::{Catalogue, DayFooter, IdIndex, RecordRow, Summary, SummaryHeader};
use crate::id::RecordingId;
use crate::store::bytes::u64_to_len;
use crate::store::day::Day;
use crate::store::index::{Index, LateFact, Record};
use crate::store::journal::JournalState;
use crate::store::journal_files::JournalFiles;
use crate::store::layout;
use crate::store::recover::{RecoverError, StoreFs};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// Why a day was not closed.
#[derive(Debug)]
enum CloseError {
    /// The summary of an earlier day is not there, or not valid.
    Damaged(Day),
    /// A summary cannot be written.
    Write(io::Error),
    Recover(RecoverError),
}

impl From<RecoverError> for CloseError {
    fn from(error: RecoverError) -> CloseError {
        CloseError::Recover(error)
    }
}

/// How things stand after some days.
pub struct ArchiveState {
    /// What summaries say of them.
    pub catalogue: Catalogue,
    /// What they do not say.
    pub index: Index,
    /// Where the journal goes on.
    pub journal: JournalState,
    /// The chain is known there.
    pub is_linked: bool,
    /// What was skipped of journals, one sentence each.
    pub damages: Vec<String>,
}

impl Default for ArchiveState {
    /// Before the first day.
    fn default() -> ArchiveState {
        ArchiveState {
            catalogue: Catalogue::default(),
            index: Index::default(),
            journal: JournalState::START,
            is_linked: true,
            damages: Vec::new(),
        }
    }
}

impl ArchiveState {
    /// After all days, by their journals alone.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn from_journals<F: StoreFs>(
        files: &F,
        journals: &JournalFiles,
    ) -> Result<ArchiveState, RecoverError> {
        let mut past = ArchiveState::default();
        for day in journals.days() {
            past.fold_day(files, journals, day)?;
        }
        Ok(past)
    }

    /// After `days`, of which no summary is made: those that are missing are folded in memory.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn read_exactly<F: StoreFs>(
        files: &F,
        journals: &JournalFiles,
        days: &[Day],
    ) -> Result<ArchiveState, RecoverError> {
        let summarised = list_summaries(files)?;
        let mut there = days.iter().take_while(|day| summarised.contains(day)).count();
        let mut past = ArchiveState::default();
        while let Some(newest) = there.checked_sub(1) {
            if let Some(found) = load_state(files, days[newest]) {
                past = found;
                break;
            }
            there = newest;
        }
        for day in &days[there..] {
            past.fold_day(files, journals, *day)?;
        }
        Ok(past)
    }

    /// Takes in the next day, all of its files.
    pub(in crate::store) fn fold_day<F: StoreFs>(
        &mut self,
        files: &F,
        journals: &JournalFiles,
        day: Day,
    ) -> Result<(), RecoverError> {
        for part in journals.parts_of_day(day) {
            let next = self.journal.sequence;
            let ending = part.fold_into(files, next, &mut self.index, &mut self.damages)?;
            if let Some(ending) = ending {
                (self.journal, self.is_linked) = (ending.state, ending.is_linked);
            }
        }
        Ok(())
    }
}

/// Days that have a summary, valid or not.
fn list_summaries<F: StoreFs>(files: &F) -> Result<BTreeSet<Day>, RecoverError> {
    let path = layout::JOURNAL;
    let names = files.list_folder(path);
    let names = names.map_err(|error| RecoverError::File { path: path.to_owned(), error })?;
    let paths = names.iter().map(|name| format!("{path}/{name}"));
    Ok(paths.filter_map(|path| layout::parse_summary(&path)).collect())
}

/// How things stood at the end of a day, as its summary has it.
fn load_state<F: StoreFs>(files: &F, day: Day) -> Option<ArchiveState> {
    let path = layout::summary_path(day);
    let header = read_header(files, day)?;
    let from = header.offsets().footer;
    let closing = DayFooter::from_bytes(&header, &read(files, &path, from, header.footer_bytes)?)?;
    let DayFooter { journal, is_linked: linked, retained: carried, mut catalogue } = closing;
    catalogue.upsert_day(header.day_entry);
    let index = Index::from_retained(carried);
    Some(ArchiveState { catalogue, index, journal, is_linked: linked, damages: Vec::new() })
}

fn read_header<F: StoreFs>(files: &F, day: Day) -> Option<SummaryHeader> {
    let bytes = read(files, &layout::summary_path(day), 0, super::HEADER_BYTES as u64)?;
    SummaryHeader::from_bytes(&bytes).filter(|header| header.day_entry.day == day)
}

/// Exactly so many bytes of a file.
fn read<F: StoreFs>(files: &F, path: &str, from: u64, count: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    files.open_file_at(path, from).ok()?.take(count).read_to_end(&mut bytes).ok()?;
    (bytes.len() == u64_to_len(count)).then_some(bytes)
}

/// A whole summary, everything checked.
fn read_summary<F: StoreFs>(files: &F, day: Day) -> Option<Summary> {
    let mut bytes = Vec::new();
    files.open_file(&layout::summary_path(day)).ok()?.read_to_end(&mut bytes).ok()?;
    Summary::from_bytes(&bytes).filter(|summary| summary.day == day)
}

/// Closes a day, after which `past` stands at its end.
fn close_day<F: StoreFs>(
    files: &mut F,
    journals: &JournalFiles,
    day: Day,
    past: &mut ArchiveState,
) -> Result<(), CloseError> {
    let before = past.index.summarised_through();
    past.fold_day(files, journals, day)?;
    amend_summaries(files, past)?;
    let new = past.index.records().filter(|record| record.sequence > before);
    let through = past.index.last_sequence();
    let summary = Summary {
        day,
        through_sequence: through,
        rows: new.map(RecordRow::from_record).collect(),
        footer: DayFooter {
            journal: past.journal,
            is_linked: past.is_linked,
            retained: past.index.to_retained(),
            catalogue: past.catalogue.clone(),
        },
    };
    let (bytes, entry) = summary.to_bytes();
    files.replace_file(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
    past.catalogue.upsert_day(entry);
    past.index.retire_through(through);
    Ok(())
}

/// Writes what was heard of recordings of earlier days into the summaries of those.
fn amend_summaries<F: StoreFs>(files: &mut F, past: &mut ArchiveState) -> Result<(), CloseError> {
    let changed: BTreeMap<RecordingId, &Record> =
        past.index.changed_summarised().map(|record| (record.id(), record)).collect();
    let late: BTreeMap<RecordingId, &[LateFact]> = past.index.all_late_facts().collect();
    let mut wanted: BTreeSet<RecordingId> = changed.keys().chain(late.keys()).copied().collect();
    let days: Vec<Day> = past.catalogue.days().iter().rev().map(|day| day.day).collect();
    let through = past.index.last_sequence();
    let mut deleted = Vec::new();
    for day in days {
        if wanted.is_empty() {
            break;
        }
        let ids = read_ids(files, day).ok_or(CloseError::Damaged(day))?;
        if !wanted.iter().any(|id| ids.candidate_pages(*id).next().is_some()) {
            continue;
        }
        let mut summary = read_summary(files, day).ok_or(CloseError::Damaged(day))?;
        let (known, mut touched) = (summary.through_sequence, false);
        for row in &mut summary.rows {
            if !wanted.remove(&row.id) {
                continue;
            }
            touched = true;
            deleted.push((row.id, row.at));
            if let Some(record) = changed.get(&row.id) {
                *row = RecordRow::from_record(record);
            }
            let said = late.get(&row.id).copied().unwrap_or_default();
            said.iter().filter(|late| late.sequence > known).for_each(|late| row.apply_late(late));
        }
        if touched && known < through {
            summary.through_sequence = through;
            let (bytes, entry) = summary.to_bytes();
            files.replace_file(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
            past.catalogue.upsert_day(entry);
        } else if let Some(header) = read_header(files, day) {
            // An interrupted closing has done it already.
            past.catalogue.upsert_day(header.day_entry);
        }
    }
    let strangers = wanted.len();
    past.index.set_deleted_start_times(&deleted);
    if strangers > 0 {
        log::warn!("the journal tells of {} recordings that nobody began", strangers);
    }
    Ok(())
}

/// Finds out when deleted recordings began that `index` only has the ids of.
pub fn find_deleted_start_times<F: StoreFs>(files: &F, catalogue: &Catalogue, index: &mut Index) {
    let unknown = index.deletions().filter(|(_, at)| at.is_none()).map(|(id, _)| id);
    let mut wanted: BTreeSet<RecordingId> = unknown.collect();
    for day in catalogue.days().iter().rev().map(|day| day.day) {
        if wanted.is_empty() {
            break;
        }
        let Some(ids) = read_ids(files, day) else { continue };
        if !wanted.iter().any(|id| ids.candidate_pages(*id).next().is_some()) {
            continue;
        }
        let rows = read_summary(files, day).map(|summary| summary.rows).unwrap_or_default();
        let here = rows.iter().filter(|row| wanted.remove(&row.id)).map(|row| (row.id, row.at));
        index.set_deleted_start_times(&here.collect::<Vec<_>>());
    }
}

/// Whether a closed day may have a recording; what cannot be read may.
pub fn may_contain<F: StoreFs>(files: &F, catalogue: &Catalogue, id: RecordingId) -> bool {
    let mut newest_first = catalogue.days().iter().rev();
    newest_first.any(|day| {
        read_ids(files, day.day).is_none_or(|ids| ids.candidate_pages(id).next().is_some())
    })
}

fn read_ids<F: StoreFs>(files: &F, day: Day) -> Option<IdIndex> {
    let header = read_header(files, day)?;
    let parts = header.offsets();
    let bytes = read(files, &layout::summary_path(day), parts.ids, parts.pages - parts.ids)?;
    IdIndex::from_bytes(&header, bytes)
}

/// Closes all of `days` that are not closed yet, and gives how things stand after them. Where no
/// summary can be written, the rest is kept in memory.
///
/// # Errors
/// When a journal cannot be read.
pub fn close_days<F: StoreFs>(
    files: &mut F,
    journals: &JournalFiles,
    days: &[Day],
) -> Result<ArchiveState, RecoverError> {
    let there = list_summaries(files)?;
    let mut from = days.iter().take_while(|day| there.contains(day)).count();
    loop {
        match close_days_from(files, journals, days, from) {
            Ok(past) => return Ok(past),
            Err(CloseError::Recover(error)) => return Err(error),
            Err(CloseError::Write(error)) => {
                log::error!("a day cannot be summarised: {error}");
                return ArchiveState::read_exactly(files, journals, days);
            }
            Err(CloseError::Damaged(day)) => {
                let place = days.iter().position(|known| *known == day);
                let Some(earlier) = place.filter(|place| *place < from) else {
                    log::error!("the summary of {day} is damaged and cannot be made anew");
                    return ArchiveState::read_exactly(files, journals, days);
                };
                log::warn!("the summary of {day} is damaged; it is made anew from the journal");
                from = earlier;
            }
        }
    }
}

/// Makes the summaries of `days[from..]` anew.
fn close_days_from<F: StoreFs>(
    files: &mut F,
    journals: &JournalFiles,
    days: &[Day],
    from: usize,
) -> Result<ArchiveState, CloseError> {
    for day in days[from..].iter().rev() {
        match files.remove_file(&layout::summary_path(*day)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CloseError::Write(error));
            }
            _ => {}
        }
    }
    let mut past = match from.checked_sub(1).map(|newest| days[newest]) {
        Some(day) => load_state(files, day).ok_or(CloseError::Damaged(day))?,
        None => ArchiveState::default(),
    };
    for day in &days[from..] {
        close_day(files, journals, *day, &mut past)?;
    }
    Ok(past)
}

/// Closes every day before `today` that is not closed yet: of today's journal as much is durable
/// that no later part of it can tell again what they say. `damaged`: its summary, and with it all
/// later ones, are made anew. Gives what is summarised then, and through which entry.
///
/// # Errors
/// When a journal cannot be read.
pub fn repair_summaries<F: StoreFs>(
    files: &mut F,
    today: Day,
    damaged: Option<Day>,
) -> Result<(Catalogue, u64), RecoverError> {
    let journals = JournalFiles::scan_folder(files)?;
    let days: Vec<Day> = journals.days().into_iter().filter(|day| *day < today).collect();
    if let Some(damaged) = damaged {
        for day in days.iter().rev().filter(|day| **day >= damaged) {
            let path = layout::summary_path(*day);
            match files.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RecoverError::File { path, error });
                }
                _ => {}
            }
        }
    }
    let past = close_days(files, &journals, &days)?;
    let newest = past.catalogue.days().last().map(|entry| entry.day);
    if newest < days.last().copied() {
        let path = layout::JOURNAL.to_owned();
        return Err(RecoverError::File { path, error: io::ErrorKind::WriteZero.into() });
    }
    Ok((past.catalogue, past.index.summarised_through()))
}
