//! Closing days: folds a journal into its summary, and repairs missing or damaged summaries.
//!
//! Days are closed in order. A day's journal is folded from the state at the end of the day before.
//! Changes to recordings of earlier days go into their summaries first; the day's own summary is
//! written last. A closing that is interrupted starts over with the same result: each summary
//! states the last entry it includes, and only later entries change it.
//!
//! When a summary is damaged, it and all later ones are removed, newest first, and rebuilt, oldest
//! first. A valid summary therefore never follows a missing one.

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

/// The reason why a day was not closed.
#[derive(Debug)]
enum CloseError {
    /// The summary of an earlier day is missing or invalid.
    Damaged(Day),
    /// A summary cannot be written.
    Write(io::Error),
    /// A journal cannot be read.
    Recover(RecoverError),
}

impl From<RecoverError> for CloseError {
    fn from(error: RecoverError) -> CloseError {
        CloseError::Recover(error)
    }
}

/// Store state after a number of days.
pub struct ArchiveState {
    /// Content of the summaries.
    pub catalogue: Catalogue,
    /// Content that is in no summary.
    pub index: Index,
    /// Position at which the journal continues.
    pub journal: JournalState,
    /// Whether the hash chain is unbroken up to `journal`.
    pub is_linked: bool,
    /// Skipped journal parts, one sentence each.
    pub damages: Vec<String>,
}

impl Default for ArchiveState {
    /// The state before the first day.
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
    /// Folds all days from their journals, without reading summaries.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn from_journals<F: StoreFs>(
        files: &F,
        journals: &JournalFiles,
    ) -> Result<ArchiveState, RecoverError> {
        let mut state = ArchiveState::default();
        for day in journals.days() {
            state.fold_day(files, journals, day)?;
        }
        Ok(state)
    }

    /// Returns the state after `days` without writing summaries. Missing summaries are folded in
    /// memory.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn read_exactly<F: StoreFs>(
        files: &F,
        journals: &JournalFiles,
        days: &[Day],
    ) -> Result<ArchiveState, RecoverError> {
        let summarised = list_summaries(files)?;
        let mut present = days.iter().take_while(|day| summarised.contains(day)).count();
        let mut state = ArchiveState::default();
        while let Some(newest) = present.checked_sub(1) {
            if let Some(found) = load_state(files, days[newest]) {
                state = found;
                break;
            }
            present = newest;
        }
        for day in &days[present..] {
            state.fold_day(files, journals, *day)?;
        }
        Ok(state)
    }

    /// Folds all journal files of the next day.
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

/// Days with a summary file, valid or not.
fn list_summaries<F: StoreFs>(files: &F) -> Result<BTreeSet<Day>, RecoverError> {
    let path = layout::JOURNAL;
    let names = files.list_folder(path);
    let names = names.map_err(|error| RecoverError::File { path: path.to_owned(), error })?;
    let paths = names.iter().map(|name| format!("{path}/{name}"));
    Ok(paths.filter_map(|path| layout::parse_summary(&path)).collect())
}

/// Reads the state at the end of a day from its summary.
fn load_state<F: StoreFs>(files: &F, day: Day) -> Option<ArchiveState> {
    let path = layout::summary_path(day);
    let header = read_header(files, day)?;
    let from = header.offsets().footer;
    let footer = DayFooter::from_bytes(&header, &read(files, &path, from, header.footer_bytes)?)?;
    let DayFooter { journal, is_linked, retained, mut catalogue } = footer;
    catalogue.upsert_day(header.day_entry);
    let index = Index::from_retained(retained);
    Some(ArchiveState { catalogue, index, journal, is_linked, damages: Vec::new() })
}

fn read_header<F: StoreFs>(files: &F, day: Day) -> Option<SummaryHeader> {
    let bytes = read(files, &layout::summary_path(day), 0, super::HEADER_BYTES as u64)?;
    SummaryHeader::from_bytes(&bytes).filter(|header| header.day_entry.day == day)
}

/// Reads exactly `count` bytes; `None` on an error or a shorter file.
fn read<F: StoreFs>(files: &F, path: &str, from: u64, count: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    files.open_file_at(path, from).ok()?.take(count).read_to_end(&mut bytes).ok()?;
    (bytes.len() == u64_to_len(count)).then_some(bytes)
}

/// Reads a whole summary and checks every part.
fn read_summary<F: StoreFs>(files: &F, day: Day) -> Option<Summary> {
    let mut bytes = Vec::new();
    files.open_file(&layout::summary_path(day)).ok()?.read_to_end(&mut bytes).ok()?;
    Summary::from_bytes(&bytes).filter(|summary| summary.day == day)
}

/// Closes `day` and advances `state` to its end.
fn close_day<F: StoreFs>(
    files: &mut F,
    journals: &JournalFiles,
    day: Day,
    state: &mut ArchiveState,
) -> Result<(), CloseError> {
    let before = state.index.summarised_through();
    state.fold_day(files, journals, day)?;
    amend_summaries(files, state)?;
    let new = state.index.records().filter(|record| record.sequence > before);
    let through = state.index.last_sequence();
    let summary = Summary {
        day,
        through_sequence: through,
        rows: new.map(RecordRow::from_record).collect(),
        footer: DayFooter {
            journal: state.journal,
            is_linked: state.is_linked,
            retained: state.index.to_retained(),
            catalogue: state.catalogue.clone(),
        },
    };
    let (bytes, entry) = summary.to_bytes();
    files.replace_file(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
    state.catalogue.upsert_day(entry);
    state.index.retire_through(through);
    Ok(())
}

/// Writes later facts about recordings of earlier days into the summaries of those days.
fn amend_summaries<F: StoreFs>(files: &mut F, state: &mut ArchiveState) -> Result<(), CloseError> {
    let changed: BTreeMap<RecordingId, &Record> =
        state.index.changed_summarised().map(|record| (record.id(), record)).collect();
    let late: BTreeMap<RecordingId, &[LateFact]> = state.index.all_late_facts().collect();
    let mut wanted: BTreeSet<RecordingId> = changed.keys().chain(late.keys()).copied().collect();
    let days: Vec<Day> = state.catalogue.days().iter().rev().map(|day| day.day).collect();
    let through = state.index.last_sequence();
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
            let facts = late.get(&row.id).copied().unwrap_or_default();
            facts.iter().filter(|late| late.sequence > known).for_each(|late| row.apply_late(late));
        }
        if touched && known < through {
            summary.through_sequence = through;
            let (bytes, entry) = summary.to_bytes();
            files.replace_file(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
            state.catalogue.upsert_day(entry);
        } else if let Some(header) = read_header(files, day) {
            // An interrupted closing has already written it.
            state.catalogue.upsert_day(header.day_entry);
        }
    }
    let unknown = wanted.len();
    state.index.set_deleted_start_times(&deleted);
    if unknown > 0 {
        log::warn!(
            "the journal has facts about {} recordings without a start; they are ignored",
            unknown
        );
    }
    Ok(())
}

/// Looks up the start times of deleted recordings for which `index` only has ids.
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

/// Closes those of `days` that are still open and returns the state after them. When a summary
/// cannot be written, the remaining days are kept in memory.
///
/// # Errors
/// When a journal cannot be read.
pub fn close_days<F: StoreFs>(
    files: &mut F,
    journals: &JournalFiles,
    days: &[Day],
) -> Result<ArchiveState, RecoverError> {
    let present = list_summaries(files)?;
    let mut from = days.iter().take_while(|day| present.contains(day)).count();
    loop {
        match close_days_from(files, journals, days, from) {
            Ok(state) => return Ok(state),
            Err(CloseError::Recover(error)) => return Err(error),
            Err(CloseError::Write(error)) => {
                log::error!("cannot write a day's summary, keeping it in memory: {error}");
                return ArchiveState::read_exactly(files, journals, days);
            }
            Err(CloseError::Damaged(day)) => {
                let place = days.iter().position(|known| *known == day);
                let Some(earlier) = place.filter(|place| *place < from) else {
                    log::error!(
                        "the summary of {day} is damaged and cannot be rebuilt; reading journals"
                    );
                    return ArchiveState::read_exactly(files, journals, days);
                };
                log::warn!("the summary of {day} is damaged; rebuilding it from the journal");
                from = earlier;
            }
        }
    }
}

/// Rebuilds the summaries of `days[from..]`.
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
    let mut state = match from.checked_sub(1).map(|newest| days[newest]) {
        Some(day) => load_state(files, day).ok_or(CloseError::Damaged(day))?,
        None => ArchiveState::default(),
    };
    for day in &days[from..] {
        close_day(files, journals, *day, &mut state)?;
    }
    Ok(state)
}

/// Closes every open day before `today`, and returns the catalogue and the last sequence in it.
/// With `damaged`, that day's summary and all later ones are rebuilt first.
///
/// The caller makes sure that today's journal is durable far enough: no later file of today may
/// re-log entries of the days closed here.
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
    let state = close_days(files, &journals, &days)?;
    let newest = state.catalogue.days().last().map(|entry| entry.day);
    if newest < days.last().copied() {
        let path = layout::JOURNAL.to_owned();
        return Err(RecoverError::File { path, error: io::ErrorKind::WriteZero.into() });
    }
    Ok((state.catalogue, state.index.summarised_through()))
}
