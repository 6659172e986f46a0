//! Which records are wanted.
//!
//! A filter looks at what a listing knows of a record, wherever that comes from: the index or the
//! summary of a closed day. Numbers are sealed and therefore not its business.

use crate::time::Wall;

/// Which records are wanted. `Default` is all that are not deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Username, whatever its case.
    pub agent: Option<String>,
    pub device: Option<String>,
    /// The PBX's word for the call.
    pub call: Option<String>,
    /// Began at this time or later.
    pub from: Option<Wall>,
    /// Began before this time.
    pub until: Option<Wall>,
    pub running: Option<bool>,
    /// Deleted ones too.
    pub deleted: bool,
    /// Only records whose sequence number is lower: to go on where a page ended.
    pub before: Option<u64>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Facets<'a> {
    pub sequence: u64,
    pub at: Wall,
    pub agent: Option<&'a str>,
    pub device: &'a str,
    pub call: &'a str,
    pub running: bool,
    pub deleted: bool,
}

impl Filter {
    /// Whether a record with these facets is wanted.
    #[must_use]
    pub fn admits(&self, record: &Facets<'_>) -> bool {
        let agent =
            |wanted: &String| record.agent.is_some_and(|agent| agent.eq_ignore_ascii_case(wanted));
        self.agent.as_ref().is_none_or(agent)
            && self.device.as_ref().is_none_or(|device| device == record.device)
            && self.call.as_ref().is_none_or(|call| call == record.call)
            && self.from.is_none_or(|from| record.at >= from)
            && self.until.is_none_or(|until| record.at < until)
            && self.running.is_none_or(|running| record.running == running)
            && (self.deleted || !record.deleted)
            && self.before.is_none_or(|before| record.sequence < before)
    }

    /// Whether any time from `first` to `last` is wanted.
    #[must_use]
    pub fn meets(&self, first: Wall, last: Wall) -> bool {
        self.from.is_none_or(|from| last >= from) && self.until.is_none_or(|until| first < until)
    }
}
