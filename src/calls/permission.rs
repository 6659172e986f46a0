//! Permissions: one right each, gathered in sets. Roles add up; nothing denies.
//!
//! The words are those of requirement D3 and of the configuration. This module decides nothing
//! about a command (see `recorder::command`); it only says what is in a set.

/// One right (requirement D3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    RecordStart,
    RecordStop,
    RecordStopAny,
    Blackout,
    Screen,
    /// The right to set one user-defined field, 1 to 15.
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
}

/// The words without `update.N`, in the order of their bits.
const NAMES: [(&str, Permission); 14] = [
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
];

impl Permission {
    /// Reads `record.start`, `update.3`, …
    #[must_use]
    pub fn parse(word: &str) -> Option<Permission> {
        if let Some(number) = word.strip_prefix("update.") {
            let n: u8 = number.parse().ok()?;
            let plain = n.to_string() == number;
            return (plain && (1..=15).contains(&n)).then_some(Permission::Update(n));
        }
        NAMES.iter().find(|(name, _)| *name == word).map(|(_, permission)| *permission)
    }

    /// Every word that `parse` knows, for error messages.
    #[must_use]
    pub fn all_names() -> String {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        format!("{}, update.1 … update.15", names.join(", "))
    }

    fn bit_mask(self) -> u32 {
        if let Permission::Update(n) = self {
            assert!((1..=15).contains(&n), "field {n}");
            return 1 << (15 + u32::from(n));
        }
        let index = NAMES.iter().position(|(_, p)| *p == self).unwrap_or(0);
        assert!(NAMES[index].1 == self);
        1 << index
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u32);

/// What makes somebody an on-demand user; without one of these `hello agent` is refused (D3).
const ON_DEMAND_BITS: u32 = 0x7fff_0000 | 0b1_1111;

impl Permissions {
    pub fn insert(&mut self, permission: Permission) {
        self.0 |= permission.bit_mask();
    }

    /// Roles add up.
    pub fn add_all(&mut self, other: Permissions) {
        self.0 |= other.0;
    }

    #[must_use]
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit_mask() != 0
    }

    /// The words of these rights, comma separated, `-` when there are none; `update.N` are left
    /// out: whoever may know is told the fields themselves.
    #[must_use]
    pub fn to_names(self) -> String {
        let words = NAMES.iter().filter(|(_, right)| self.contains(*right)).map(|(word, _)| *word);
        let words = words.collect::<Vec<_>>().join(",");
        if words.is_empty() { "-".to_string() } else { words }
    }

    /// Whether any on-demand right is among them (D3).
    #[must_use]
    pub fn has_on_demand(self) -> bool {
        self.0 & ON_DEMAND_BITS != 0
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(items: I) -> Permissions {
        let mut set = Permissions::default();
        items.into_iter().for_each(|permission| set.insert(permission));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_every_word_is_a_right_of_its_own() {
        let mut seen = 0;
        let updates: Vec<String> = (1..=15).map(|n| format!("update.{n}")).collect();
        for word in NAMES.iter().map(|(name, _)| *name).chain(updates.iter().map(String::as_str)) {
            let bit = Permission::parse(word).expect(word).bit_mask();
            assert_eq!(seen & bit, 0, "{word} shares its bit");
            seen |= bit;
        }
        for bad in ["update.0", "update.16", "update.03", "update.+3", "record", "RECORD.START"] {
            assert_eq!(Permission::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn d3_rights_are_told_in_words_that_fit_a_line() {
        let all: Permissions = NAMES.iter().map(|(_, right)| *right).collect();
        assert!(all.to_names().len() <= 160, "beside 15 labels in one line: {}", all.to_names());
        let words: Permissions = all.to_names().split(',').filter_map(Permission::parse).collect();
        assert_eq!(words, all);
        let update = Permissions::from_iter([Permission::Update(3), Permission::Play]);
        assert_eq!(update.to_names(), "play");
        assert_eq!(Permissions::default().to_names(), "-");
    }

    #[test]
    fn d3_on_demand_rights_are_told_apart() {
        let set = |word: &str| Permissions::from_iter(Permission::parse(word));
        for word in ["record.start", "record.stop", "record.stop-any", "blackout", "screen"] {
            assert!(set(word).has_on_demand(), "{word}");
        }
        assert!(set("update.1").has_on_demand() && set("update.15").has_on_demand());
        for word in ["notify-on-demand-only", "password", "monitor", "records.all", "admin"] {
            assert!(!set(word).has_on_demand(), "{word}");
        }
    }
}
