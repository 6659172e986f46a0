//! Which records are wanted.
//!
//! A filter looks at what a listing knows of a record, wherever that comes from: the index or the
//! summary of a closed day. Numbers are sealed and therefore not its business.

use crate::time::WallTime;

/// Which records are wanted. `Default` is all that are not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Username, whatever its case.
    pub agent: Option<String>,
    pub device: Option<String>,
    /// The PBX's word for the call.
    pub call: Option<String>,
    /// Began at this time or later.
    pub from: Option<WallTime>,
    /// Began before this time.
    pub until: Option<WallTime>,
    pub is_running: Option<bool>,
    /// Deleted ones too.
    pub include_deleted: bool,
    /// Only records whose sequence number is lower: to go on where a page ended.
    pub before: Option<u64>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct RecordFacets<'a> {
    pub sequence: u64,
    pub at: WallTime,
    pub agent: Option<&'a str>,
    pub device: &'a str,
    pub call: &'a str,
    pub is_running: bool,
    pub is_deleted: bool,
}

impl RecordFilter {
    /// Whether a record with these facets is wanted.
    #[must_use]
    pub fn matches(&self, record: &RecordFacets<'_>) -> bool {
        let agent =
            |wanted: &String| record.agent.is_some_and(|agent| agent.eq_ignore_ascii_case(wanted));
        self.agent.as_ref().is_none_or(agent)
            && self.device.as_ref().is_none_or(|device| device == record.device)
            && self.call.as_ref().is_none_or(|call| call == record.call)
            && self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
            && self.is_running.is_none_or(|running| record.is_running == running)
            && (self.include_deleted || !record.is_deleted)
            && self.before.is_none_or(|before| record.sequence < before)
    }

    /// Whether any time from `first` to `last` is wanted.
    #[must_use]
    pub fn overlaps_time(&self, first: WallTime, last: WallTime) -> bool {
        self.from.is_none_or(|from| last >= from) && self.until.is_none_or(|until| first < until)
    }
}
