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

use super::{Catalogue, Closing, Header, Ids, Row, Summary};
use crate::id::RecordingId;
use crate::store::bytes::narrow;
use crate::store::day::Day;
use crate::store::index::{Index, Late, Record};
use crate::store::journal::JournalState;
use crate::store::journals::Journals;
use crate::store::layout;
use crate::store::recover::{Files, RecoverError};
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
pub struct Past {
    /// What summaries say of them.
    pub catalogue: Catalogue,
    /// What they do not say.
    pub index: Index,
    /// Where the journal goes on.
    pub journal: JournalState,
    /// The chain is known there.
    pub linked: bool,
    /// What was skipped of journals, one sentence each.
    pub damages: Vec<String>,
}

impl Default for Past {
    /// Before the first day.
    fn default() -> Past {
        Past {
            catalogue: Catalogue::default(),
            index: Index::default(),
            journal: JournalState::START,
            linked: true,
            damages: Vec::new(),
        }
    }
}

impl Past {
    /// After all days, by their journals alone.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn of_journals<F: Files>(files: &F, journals: &Journals) -> Result<Past, RecoverError> {
        let mut past = Past::default();
        for day in journals.days() {
            past.fold(files, journals, day)?;
        }
        Ok(past)
    }

    /// After `days`, of which no summary is made: those that are missing are folded in memory.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn read<F: Files>(
        files: &F,
        journals: &Journals,
        days: &[Day],
    ) -> Result<Past, RecoverError> {
        let summarised = summaries(files)?;
        let mut there = days.iter().take_while(|day| summarised.contains(day)).count();
        let mut past = Past::default();
        while let Some(newest) = there.checked_sub(1) {
            if let Some(found) = load(files, days[newest]) {
                past = found;
                break;
            }
            there = newest;
        }
        for day in &days[there..] {
            past.fold(files, journals, *day)?;
        }
        Ok(past)
    }

    /// Takes in the next day, all of its files.
    pub(in crate::store) fn fold<F: Files>(
        &mut self,
        files: &F,
        journals: &Journals,
        day: Day,
    ) -> Result<(), RecoverError> {
        for part in journals.of(day) {
            let next = self.journal.sequence;
            let ending = part.fold(files, next, &mut self.index, &mut self.damages)?;
            if let Some(ending) = ending {
                (self.journal, self.linked) = (ending.state, ending.linked);
            }
        }
        Ok(())
    }
}

/// Days that have a summary, valid or not.
fn summaries<F: Files>(files: &F) -> Result<BTreeSet<Day>, RecoverError> {
    let path = layout::JOURNAL;
    let names = files.list(path);
    let names = names.map_err(|error| RecoverError::File { path: path.to_owned(), error })?;
    let paths = names.iter().map(|name| format!("{path}/{name}"));
    Ok(paths.filter_map(|path| layout::parse_summary(&path)).collect())
}

/// How things stood at the end of a day, as its summary has it.
fn load<F: Files>(files: &F, day: Day) -> Option<Past> {
    let path = layout::summary_path(day);
    let header = header(files, day)?;
    let from = header.parts().closing;
    let closing = Closing::take(&header, &read(files, &path, from, header.closing_bytes)?)?;
    let Closing { journal, linked, carried, mut catalogue } = closing;
    catalogue.put(header.entry);
    let index = Index::resume(carried);
    Some(Past { catalogue, index, journal, linked, damages: Vec::new() })
}

fn header<F: Files>(files: &F, day: Day) -> Option<Header> {
    let bytes = read(files, &layout::summary_path(day), 0, super::HEADER_BYTES as u64)?;
    Header::take(&bytes).filter(|header| header.entry.day == day)
}

/// Exactly so many bytes of a file.
fn read<F: Files>(files: &F, path: &str, from: u64, count: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    files.open_at(path, from).ok()?.take(count).read_to_end(&mut bytes).ok()?;
    (bytes.len() == narrow(count)).then_some(bytes)
}

/// A whole summary, everything checked.
fn whole<F: Files>(files: &F, day: Day) -> Option<Summary> {
    let mut bytes = Vec::new();
    files.open(&layout::summary_path(day)).ok()?.read_to_end(&mut bytes).ok()?;
    Summary::take(&bytes).filter(|summary| summary.day == day)
}

/// Closes a day, after which `past` stands at its end.
fn close<F: Files>(
    files: &mut F,
    journals: &Journals,
    day: Day,
    past: &mut Past,
) -> Result<(), CloseError> {
    let before = past.index.summarised();
    past.fold(files, journals, day)?;
    amend(files, past)?;
    let new = past.index.records().filter(|record| record.sequence > before);
    let through = past.index.last_sequence();
    let summary = Summary {
        day,
        through,
        rows: new.map(Row::of).collect(),
        closing: Closing {
            journal: past.journal,
            linked: past.linked,
            carried: past.index.carry(),
            catalogue: past.catalogue.clone(),
        },
    };
    let (bytes, entry) = summary.put();
    files.replace(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
    past.catalogue.put(entry);
    past.index.retire(through);
    Ok(())
}

/// Writes what was heard of recordings of earlier days into the summaries of those.
fn amend<F: Files>(files: &mut F, past: &mut Past) -> Result<(), CloseError> {
    let changed: BTreeMap<RecordingId, &Record> =
        past.index.changed_old().map(|record| (record.id(), record)).collect();
    let late: BTreeMap<RecordingId, &[Late]> = past.index.all_late().collect();
    let mut wanted: BTreeSet<RecordingId> = changed.keys().chain(late.keys()).copied().collect();
    let days: Vec<Day> = past.catalogue.days().iter().rev().map(|day| day.day).collect();
    let through = past.index.last_sequence();
    let mut deleted = Vec::new();
    for day in days {
        if wanted.is_empty() {
            break;
        }
        let ids = ids(files, day).ok_or(CloseError::Damaged(day))?;
        if !wanted.iter().any(|id| ids.pages(*id).next().is_some()) {
            continue;
        }
        let mut summary = whole(files, day).ok_or(CloseError::Damaged(day))?;
        let (known, mut touched) = (summary.through, false);
        for row in &mut summary.rows {
            if !wanted.remove(&row.id) {
                continue;
            }
            touched = true;
            deleted.push((row.id, row.at));
            if let Some(record) = changed.get(&row.id) {
                *row = Row::of(record);
            }
            let said = late.get(&row.id).copied().unwrap_or_default();
            said.iter().filter(|late| late.sequence > known).for_each(|late| row.take(late));
        }
        if touched && known < through {
            summary.through = through;
            let (bytes, entry) = summary.put();
            files.replace(&layout::summary_path(day), &bytes).map_err(CloseError::Write)?;
            past.catalogue.put(entry);
        } else if let Some(header) = header(files, day) {
            // An interrupted closing has done it already.
            past.catalogue.put(header.entry);
        }
    }
    let strangers = wanted.len();
    past.index.deleted_began_all(&deleted);
    if strangers > 0 {
        log::warn!("the journal tells of {} recordings that nobody began", strangers);
    }
    Ok(())
}

/// Finds out when deleted recordings began that `index` only has the ids of.
pub fn find_deleted<F: Files>(files: &F, catalogue: &Catalogue, index: &mut Index) {
    let unknown = index.deletions().filter(|(_, at)| at.is_none()).map(|(id, _)| id);
    let mut wanted: BTreeSet<RecordingId> = unknown.collect();
    for day in catalogue.days().iter().rev().map(|day| day.day) {
        if wanted.is_empty() {
            break;
        }
        let Some(ids) = ids(files, day) else { continue };
        if !wanted.iter().any(|id| ids.pages(*id).next().is_some()) {
            continue;
        }
        let rows = whole(files, day).map(|summary| summary.rows).unwrap_or_default();
        let here = rows.iter().filter(|row| wanted.remove(&row.id)).map(|row| (row.id, row.at));
        index.deleted_began_all(&here.collect::<Vec<_>>());
    }
}

/// Whether a closed day may have a recording; what cannot be read may.
pub fn may_know<F: Files>(files: &F, catalogue: &Catalogue, id: RecordingId) -> bool {
    let mut newest_first = catalogue.days().iter().rev();
    newest_first.any(|day| ids(files, day.day).is_none_or(|ids| ids.pages(id).next().is_some()))
}

fn ids<F: Files>(files: &F, day: Day) -> Option<Ids> {
    let header = header(files, day)?;
    let parts = header.parts();
    let bytes = read(files, &layout::summary_path(day), parts.ids, parts.pages - parts.ids)?;
    Ids::take(&header, bytes)
}

/// Closes all of `days` that are not closed yet, and gives how things stand after them. Where no
/// summary can be written, the rest is kept in memory.
///
/// # Errors
/// When a journal cannot be read.
pub fn bring_up<F: Files>(
    files: &mut F,
    journals: &Journals,
    days: &[Day],
) -> Result<Past, RecoverError> {
    let there = summaries(files)?;
    let mut from = days.iter().take_while(|day| there.contains(day)).count();
    loop {
        match bring_up_from(files, journals, days, from) {
            Ok(past) => return Ok(past),
            Err(CloseError::Recover(error)) => return Err(error),
            Err(CloseError::Write(error)) => {
                log::error!("a day cannot be summarised: {error}");
                return Past::read(files, journals, days);
            }
            Err(CloseError::Damaged(day)) => {
                let place = days.iter().position(|known| *known == day);
                let Some(earlier) = place.filter(|place| *place < from) else {
                    log::error!("the summary of {day} is damaged and cannot be made anew");
                    return Past::read(files, journals, days);
                };
                log::warn!("the summary of {day} is damaged; it is made anew from the journal");
                from = earlier;
            }
        }
    }
}

/// Makes the summaries of `days[from..]` anew.
fn bring_up_from<F: Files>(
    files: &mut F,
    journals: &Journals,
    days: &[Day],
    from: usize,
) -> Result<Past, CloseError> {
    for day in days[from..].iter().rev() {
        match files.remove(&layout::summary_path(*day)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CloseError::Write(error));
            }
            _ => {}
        }
    }
    let mut past = match from.checked_sub(1).map(|newest| days[newest]) {
        Some(day) => load(files, day).ok_or(CloseError::Damaged(day))?,
        None => Past::default(),
    };
    for day in &days[from..] {
        close(files, journals, *day, &mut past)?;
    }
    Ok(past)
}

/// Closes every day before `today` that is not closed yet: of today's journal as much is durable
/// that no later part of it can tell again what they say. `damaged`: its summary, and with it all
/// later ones, are made anew. Gives what is summarised then, and through which entry.
///
/// # Errors
/// When a journal cannot be read.
pub fn mend<F: Files>(
    files: &mut F,
    today: Day,
    damaged: Option<Day>,
) -> Result<(Catalogue, u64), RecoverError> {
    let journals = Journals::read(files)?;
    let days: Vec<Day> = journals.days().into_iter().filter(|day| *day < today).collect();
    if let Some(damaged) = damaged {
        for day in days.iter().rev().filter(|day| **day >= damaged) {
            let path = layout::summary_path(*day);
            match files.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(RecoverError::File { path, error });
                }
                _ => {}
            }
        }
    }
    let past = bring_up(files, &journals, &days)?;
    let newest = past.catalogue.days().last().map(|entry| entry.day);
    if newest < days.last().copied() {
        let path = layout::JOURNAL.to_owned();
        return Err(RecoverError::File { path, error: io::ErrorKind::WriteZero.into() });
    }
    Ok((past.catalogue, past.index.summarised()))
}
