//! Permissions: the rights that roles grant to users (requirement D3).
//!
//! The words are those of the configuration and of `rights=` in the reply to `hello`; a published
//! word keeps its meaning. The rows of `table` state which command requires which permission.

use std::fmt;

/// Number of user-defined fields, numbered from 1 (requirement F1).
pub const FIELDS: u8 = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    RecordStart,
    RecordStop,
    RecordStopAny,
    Blackout,
    Screen,
    /// Set one user-defined field, 1 to `FIELDS`.
    Update(u8),
    NotifyOnDemandOnly,
    Password,
    Monitor,
    RecordsOwn,
    RecordsAll,
    Play,
    Export,
    Protect,
    Admin,
    /// Start and stop recordings of other users' calls, as a supervisor.
    RecordOthers,
    /// Start and stop blackouts in other users' calls, as a supervisor.
    BlackoutOthers,
    /// Remove a range of a recording for good.
    Redact,
}

/// Words without `update.N`, in the order of the documentation.
const WORDS: [(&str, Permission); 17] = [
    ("record.start", Permission::RecordStart),
    ("record.stop", Permission::RecordStop),
    ("record.stop-any", Permission::RecordStopAny),
    ("blackout", Permission::Blackout),
    ("screen", Permission::Screen),
    ("notify-on-demand-only", Permission::NotifyOnDemandOnly),
    ("password", Permission::Password),
    ("monitor", Permission::Monitor),
    ("records.own", Permission::RecordsOwn),
    ("records.all", Permission::RecordsAll),
    ("play", Permission::Play),
    ("export", Permission::Export),
    ("protect", Permission::Protect),
    ("admin", Permission::Admin),
    ("record.others", Permission::RecordOthers),
    ("blackout.others", Permission::BlackoutOthers),
    ("redact", Permission::Redact),
];

impl Permission {
    /// Every permission except `update.N`, in the order of the documentation.
    pub fn without_fields() -> impl Iterator<Item = Permission> {
        WORDS.into_iter().map(|(_, permission)| permission)
    }

    pub fn all() -> impl Iterator<Item = Permission> {
        Permission::without_fields().chain((1..=FIELDS).map(Permission::Update))
    }

    /// Parses `record.start`, `update.3`, …; returns `None` for any other text.
    #[must_use]
    pub fn parse(word: &str) -> Option<Permission> {
        Permission::all().find(|permission| permission.to_string() == word)
    }

    /// Permission to set this field, or `None` if the field does not exist.
    #[must_use]
    pub fn of_field(field: u8) -> Option<Permission> {
        (1..=FIELDS).contains(&field).then_some(Permission::Update(field))
    }

    /// Whether this is an on-demand permission; an agent needs at least one to say `hello` (D3).
    #[must_use]
    pub fn is_on_demand(self) -> bool {
        matches!(
            self,
            Permission::RecordStart
                | Permission::RecordStop
                | Permission::RecordStopAny
                | Permission::Blackout
                | Permission::Screen
                | Permission::Update(_)
        )
    }

    /// Whether this is a supervisor permission; a supervisor needs at least one to say `hello`.
    #[must_use]
    pub fn is_supervisors(self) -> bool {
        matches!(
            self,
            Permission::Monitor
                | Permission::RecordsOwn
                | Permission::RecordsAll
                | Permission::Play
                | Permission::Export
                | Permission::Protect
                | Permission::Admin
                | Permission::RecordOthers
                | Permission::BlackoutOthers
                | Permission::Redact
        )
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Permission::Update(field) = self {
            return write!(out, "update.{field}");
        }
        let word = WORDS.iter().find(|(_, permission)| permission == self);
        out.write_str(word.map_or("-", |(word, _)| *word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_every_permission_has_a_word_that_reads_back() {
        let words: Vec<String> = Permission::all().map(|right| right.to_string()).collect();
        assert_eq!(words.len(), 32);
        for (word, right) in words.iter().zip(Permission::all()) {
            assert_eq!(Permission::parse(word), Some(right), "{word}");
            assert_eq!(words.iter().filter(|other| *other == word).count(), 1, "{word}");
        }
        for bad in
            ["update.0", "update.16", "update.03", "update.+3", "record", "RECORD.START", "-"]
        {
            assert_eq!(Permission::parse(bad), None, "{bad}");
        }
        assert_eq!(Permission::of_field(0).or(Permission::of_field(16)), None);
    }

    #[test]
    fn d3_a_permission_is_an_agents_or_a_supervisors_or_neither() {
        let neither = [Permission::NotifyOnDemandOnly, Permission::Password];
        for right in Permission::all() {
            let sides = u8::from(right.is_on_demand()) + u8::from(right.is_supervisors());
            assert_eq!(sides, u8::from(!neither.contains(&right)), "{right}");
        }
    }
}
