//! Calls from the lines of a call log.
//!
//! Each line is one event of one call. The configuration says which column holds what, and which
//! words of the event column begin, change, hold, resume and end a call.

use super::call::{CallChange, CallFacts, CallKey, CallState, known_number};
use super::device_filter::DeviceFilter;
use super::reporter::BoxCall;
use protocol::Direction;
use protocol::tolerant::shorten_call_id;
use std::collections::{BTreeMap, BTreeSet};

/// The most calls that are tracked; lines of further ones are counted as faulty.
pub const CALLS_MAX: usize = 20_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Column {
    Event,
    Device,
    Call,
    Ani,
    Dnis,
    Direction,
    Group,
    Gate,
    Agent,
    Of,
    /// Not used.
    #[serde(rename = "-")]
    Unused,
}

/// What an event does to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvEvent {
    Start,
    Update,
    Hold,
    Resume,
    Stop,
}

/// Why a line was left out. The texts repeat nothing of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    #[error("the line has no column \"{}\"; compare it with [csv] columns", name_of(.0))]
    Missing(Column),
    #[error("the word in the event column is in no list of [csv.events]")]
    Event,
    #[error("the line ends or changes a call that has not begun")]
    NoCall,
    #[error("more than {CALLS_MAX} calls run; check that the log reports the end of calls")]
    TooMany,
}

fn name_of(column: &Column) -> String {
    format!("{column:?}").to_lowercase()
}

/// How to translate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvSettings {
    pub columns: Vec<Column>,
    /// Words of the event column, in lower case.
    pub events: BTreeMap<String, CsvEvent>,
    /// Words of the direction column, in lower case.
    pub directions: BTreeMap<String, Direction>,
    pub devices: DeviceFilter,
}

/// What the log has said.
#[derive(Clone, Default)]
pub struct CsvTranslator {
    settings: CsvSettings,
    prefix: String,
    calls: BTreeMap<CallKey, CallState>,
    changed: BTreeSet<CallKey>,
}

impl CsvTranslator {
    /// `prefix` begins every call id.
    #[must_use]
    pub fn new(settings: CsvSettings, prefix: &str) -> CsvTranslator {
        CsvTranslator { settings, prefix: prefix.to_owned(), ..CsvTranslator::default() }
    }

    /// Replaces the devices of the box.
    pub fn set_devices(&mut self, known: BTreeSet<String>) {
        self.settings.devices.known = Some(known);
    }

    /// Takes over calls that the box still knows from before, because a log lists no calls.
    pub fn adopt(&mut self, calls: &[BoxCall]) {
        for call in calls.iter().filter(|call| call.key.call.starts_with(&self.prefix)) {
            let state = CallState { held: call.held, ..CallState::default() };
            self.calls.entry(call.key.clone()).or_insert(state);
        }
    }

    /// Takes one line. `now_s` is the time in seconds; it makes an id for a call without one. A
    /// line about a telephone that is no device of the box does nothing.
    ///
    /// # Errors
    ///
    /// When the line does not fit the configured columns.
    pub fn take_row(&mut self, row: &[String], now_s: u64) -> Result<(), RowError> {
        if row.is_empty() {
            return Ok(());
        }
        let event = self.value(row, Column::Event).ok_or(RowError::Missing(Column::Event))?;
        let event = self.settings.events.get(&event.to_lowercase()).ok_or(RowError::Event)?;
        let event = *event;
        let telephone = self.value(row, Column::Device).ok_or(RowError::Missing(Column::Device))?;
        let Some(device) = self.settings.devices.device_of(telephone) else { return Ok(()) };
        let key = self.call_key(row, device, event, now_s)?;
        self.apply_event(row, key, event)
    }

    /// The calls that began, changed or ended since the last time.
    pub fn take_changes(&mut self) -> Vec<CallChange> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key.clone(), self.calls.get(&key).cloned())).collect()
    }

    fn value<'a>(&self, row: &'a [String], wanted: Column) -> Option<&'a str> {
        let at = self.settings.columns.iter().position(|column| *column == wanted)?;
        row.get(at).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn call_key(
        &self,
        row: &[String],
        device: String,
        event: CsvEvent,
        now_s: u64,
    ) -> Result<CallKey, RowError> {
        let has_ids = self.settings.columns.contains(&Column::Call);
        if has_ids {
            let id = self.value(row, Column::Call).ok_or(RowError::Missing(Column::Call))?;
            let call = shorten_call_id(&format!("{}{id}", self.prefix)).into_owned();
            return Ok(CallKey { device, call });
        }
        // Without ids a device has one call at a time.
        let running = self.calls.keys().find(|key| key.device == device);
        match (event, running) {
            (CsvEvent::Start, _) => {
                let call = format!("{}{device}-{now_s}", self.prefix);
                Ok(CallKey { device, call })
            }
            (_, Some(key)) => Ok(key.clone()),
            (_, None) => Err(RowError::NoCall),
        }
    }

    fn apply_event(
        &mut self,
        row: &[String],
        key: CallKey,
        event: CsvEvent,
    ) -> Result<(), RowError> {
        if event == CsvEvent::Stop {
            self.calls.remove(&key).ok_or(RowError::NoCall)?;
            self.changed.insert(key);
            return Ok(());
        }
        if event == CsvEvent::Start {
            if self.calls.len() >= CALLS_MAX && !self.calls.contains_key(&key) {
                return Err(RowError::TooMany);
            }
            self.end_others(&key, self.value(row, Column::Of).is_some());
            self.calls.entry(key.clone()).or_default();
        }
        let facts = self.facts_of(row);
        let state = self.calls.get_mut(&key).ok_or(RowError::NoCall)?;
        merge_facts(&mut state.facts, facts);
        match event {
            CsvEvent::Hold => state.held = true,
            CsvEvent::Resume => state.held = false,
            _ => {}
        }
        self.changed.insert(key);
        Ok(())
    }

    /// Without ids, a new call on a device means that the end of the one before was missed.
    fn end_others(&mut self, key: &CallKey, is_consult: bool) {
        if is_consult || self.settings.columns.contains(&Column::Call) {
            return;
        }
        let others = self.calls.keys().filter(|other| other.device == key.device && *other != key);
        for other in others.cloned().collect::<Vec<_>>() {
            self.calls.remove(&other);
            self.changed.insert(other);
        }
    }

    fn facts_of(&self, row: &[String]) -> CallFacts {
        let text = |column| self.value(row, column).map(str::to_owned);
        let direction = self.value(row, Column::Direction);
        CallFacts {
            ani: self.value(row, Column::Ani).and_then(known_number),
            dnis: self.value(row, Column::Dnis).and_then(known_number),
            direction: direction
                .and_then(|word| self.settings.directions.get(&word.to_lowercase()).copied()),
            group: text(Column::Group),
            gate: text(Column::Gate),
            agent: text(Column::Agent),
            of: self.value(row, Column::Of).map(|id| format!("{}{id}", self.prefix)),
        }
    }
}

/// A later line adds what an earlier one left empty, or corrects it.
fn merge_facts(known: &mut CallFacts, new: CallFacts) {
    let merge = |old: &mut Option<String>, new: Option<String>| {
        if new.is_some() {
            *old = new;
        }
    };
    merge(&mut known.ani, new.ani);
    merge(&mut known.dnis, new.dnis);
    merge(&mut known.group, new.group);
    merge(&mut known.gate, new.gate);
    merge(&mut known.agent, new.agent);
    merge(&mut known.of, new.of);
    known.direction = new.direction.or(known.direction);
}

#[cfg(test)]
mod tests;
