//! Permission sets: the union of an agent's roles; no role denies a permission.
//!
//! `protocol::Permission` defines the permissions, and the protocol's command table which command
//! requires which. The recorder's command handling enforces them.

pub use protocol::Permission;

/// Lists every permission name, for error messages.
#[must_use]
pub fn words() -> String {
    let names: Vec<String> = Permission::without_fields().map(|right| right.to_string()).collect();
    format!("{}, update.1 … update.15", names.join(", "))
}

/// Bit of `update.1`; permissions that are no field come before it.
const FIRST_FIELD_BIT: u8 = 32;

fn bit(permission: Permission) -> u64 {
    if let Permission::Update(field) = permission {
        assert!((1..=protocol::permission::FIELDS).contains(&field), "field {field}");
        return 1 << (FIRST_FIELD_BIT + field - 1);
    }
    let place = Permission::without_fields().position(|known| known == permission);
    let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(FIRST_FIELD_BIT);
    assert!(place < FIRST_FIELD_BIT, "{permission} has no place");
    1 << place
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u64);

impl Permissions {
    pub fn insert(&mut self, permission: Permission) {
        self.0 |= bit(permission);
    }

    pub fn add_all(&mut self, other: Permissions) {
        self.0 |= other.0;
    }

    #[must_use]
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }

    /// Returns the names, comma separated, or `-` if empty. `update.N` are omitted, because the
    /// client is sent the fields themselves.
    #[must_use]
    pub fn to_names(self) -> String {
        let words = Permission::without_fields().filter(|right| self.contains(*right));
        let words = words.map(|right| right.to_string()).collect::<Vec<_>>().join(",");
        if words.is_empty() { "-".to_string() } else { words }
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
        for permission in Permission::all() {
            let own = bit(permission);
            assert_eq!((own.count_ones(), seen & own), (1, 0), "{permission} shares its bit");
            seen |= own;
        }
        assert_eq!(seen, 0x7fff_0001_ffff);
    }

    #[test]
    fn d3_rights_are_told_in_words_that_fit_a_line() {
        let all: Permissions = Permission::without_fields().collect();
        assert!(all.to_names().len() <= 190, "beside 15 labels in one line: {}", all.to_names());
        let words: Permissions = all.to_names().split(',').filter_map(Permission::parse).collect();
        assert_eq!(words, all);
        let update = Permissions::from_iter([Permission::Update(3), Permission::Play]);
        assert_eq!(update.to_names(), "play");
        assert_eq!(Permissions::default().to_names(), "-");
    }
}
