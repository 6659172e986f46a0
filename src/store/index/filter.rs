//! Record filters.
//!
//! A filter examines the properties that a listing has, from the index or from a summary. Phone
//! numbers are sealed and cannot be filtered here.

use crate::id::RecordingId;
use crate::time::WallTime;
use protocol::name::is_same_name;

/// A record filter. The default matches all records that are not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Username, compared case-insensitively.
    pub agent: Option<String>,
    pub device: Option<String>,
    /// The PBX's call id.
    pub call: Option<String>,
    /// Matches records that began at this time or later.
    pub from: Option<WallTime>,
    /// Matches records that began before this time.
    pub until: Option<WallTime>,
    pub is_running: Option<bool>,
    /// The first characters of the ID, in lower case.
    pub id_prefix: Option<String>,
    /// Also matches deleted records.
    pub include_deleted: bool,
    /// Matches records with a lower sequence only; used to continue a paged listing.
    pub before: Option<u64>,
}

/// Whether a number is the wanted one. `withheld` finds records without a number, which the caller
/// withheld or the telephone system did not tell; so do `-` and the empty text.
#[must_use]
pub fn number_matches(wanted: Option<&str>, found: Option<&str>) -> bool {
    match wanted {
        None => true,
        Some("withheld" | "-" | "") => found.unwrap_or_default().is_empty(),
        wanted => wanted == found,
    }
}

/// The properties a filter examines.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacets<'a> {
    pub id: RecordingId,
    pub sequence: u64,
    pub at: WallTime,
    pub agent: Option<&'a str>,
    pub device: &'a str,
    pub call: &'a str,
    pub is_running: bool,
    pub is_deleted: bool,
}

impl RecordFilter {
    /// Whether a record with these properties matches.
    #[must_use]
    pub fn matches(&self, record: &RecordFacets<'_>) -> bool {
        let agent = |wanted: &String| record.agent.is_some_and(|agent| is_same_name(agent, wanted));
        self.agent.as_ref().is_none_or(agent)
            && self.device.as_ref().is_none_or(|device| device == record.device)
            && self.call.as_ref().is_none_or(|call| call == record.call)
            && self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
            && self.is_running.is_none_or(|running| record.is_running == running)
            && (self.include_deleted || !record.is_deleted)
            && self.id_prefix.as_ref().is_none_or(|start| record.id.to_string().starts_with(start))
            && self.before.is_none_or(|before| record.sequence < before)
    }

    /// Whether the filter's time range overlaps `first` to `last`.
    #[must_use]
    pub fn overlaps_time(&self, first: WallTime, last: WallTime) -> bool {
        self.from.is_none_or(|from| last >= from) && self.until.is_none_or(|until| first < until)
    }
}
