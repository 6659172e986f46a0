//! Edits the configuration text for a console command: one change at a time, comments preserved.
//!
//! The result is validated like any file (`parse`), so an edit that would keep the box from
//! starting is rejected. The text never contains a PIN, only its hash.

use super::parse;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};
use zeroize::Zeroizing;

/// A change to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set `[section] key = "value"`.
    Set { section: String, key: String, value: String },
    /// Add a listener with or without TLS; `None` removes it.
    Listen { address: String, tls: Option<bool> },
    /// Set a technician's PIN; plain text until it is hashed.
    Pin { name: String, pin: Zeroizing<String> },
}

/// Why an edit was rejected, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("the file itself is wrong: {0}")]
    InvalidFile(String),
    #[error("{0}")]
    Refused(String),
    #[error("{address} is not listened on; the file has no such [[listen]]")]
    NoListener { address: String },
}

impl ConfigChange {
    /// Describes the change for the journal and for people, without secrets.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            ConfigChange::Set { section, key, value } => format!("{section}.{key} = {value}"),
            ConfigChange::Listen { address, tls: Some(true) } => {
                format!("listen {address} with TLS")
            }
            ConfigChange::Listen { address, tls: Some(false) } => {
                format!("listen {address} in plain")
            }
            ConfigChange::Listen { address, tls: None } => format!("listen no more on {address}"),
            ConfigChange::Pin { name, .. } => format!("the PIN of technician {name}"),
        }
    }

    /// Whether the change needs a restart to take effect.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        match self {
            ConfigChange::Set { key, .. } => key == "name",
            ConfigChange::Listen { .. } => true,
            ConfigChange::Pin { .. } => false,
        }
    }
}

/// Returns the edited text; `hash` hashes a PIN.
///
/// # Errors
/// The file cannot be parsed, or the result would be invalid.
pub fn apply_change(
    text: &str,
    edit: &ConfigChange,
    hash: impl FnOnce(&str) -> Result<String, String>,
) -> Result<String, EditError> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| EditError::InvalidFile(error.to_string()))?;
    match edit {
        ConfigChange::Set { section, key, value } => {
            let section = document.entry(section).or_insert_with(toml_edit::table);
            let wrong = || EditError::InvalidFile(format!("[{key}] is in no section"));
            set_value(section.as_table_mut().ok_or_else(wrong)?, key, value.as_str().into());
        }
        ConfigChange::Listen { address, tls } => set_listener(&mut document, address, *tls)?,
        ConfigChange::Pin { name, pin } => {
            let hashed = hash(pin).map_err(EditError::Refused)?;
            let all = table_array(&mut document, "technician")?;
            let place = all.iter().position(|table| has_value(table, "name", name));
            match place.and_then(|place| all.get_mut(place)) {
                Some(table) => set_value(table, "pin", hashed.into()),
                None => {
                    let mut table = Table::new();
                    table.insert("name", value(name));
                    table.insert("pin", value(hashed));
                    all.push(table);
                }
            }
        }
    }
    let changed = document.to_string();
    match parse(&changed) {
        Ok(_) => Ok(changed),
        Err(errors) => {
            let first = errors.first().map(ToString::to_string).unwrap_or_default();
            Err(EditError::Refused(first))
        }
    }
}

fn has_value(table: &Table, key: &str, wanted: &str) -> bool {
    table.get(key).and_then(Item::as_str) == Some(wanted)
}

/// Replaces a value and keeps the comment beside it.
fn set_value(table: &mut Table, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

fn table_array<'a>(
    document: &'a mut DocumentMut,
    key: &str,
) -> Result<&'a mut ArrayOfTables, EditError> {
    let item = document.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let wrong = || EditError::InvalidFile(format!("`{key}` is not written as [[{key}]]"));
    item.as_array_of_tables_mut().ok_or_else(wrong)
}

fn set_listener(
    document: &mut DocumentMut,
    address: &str,
    tls: Option<bool>,
) -> Result<(), EditError> {
    let all = table_array(document, "listen")?;
    let place = all.iter().position(|table| has_value(table, "address", address));
    match (place.and_then(|place| all.get_mut(place)), tls) {
        (Some(table), Some(true)) => set_value(table, "tls", true.into()),
        (Some(table), Some(false)) => drop(table.remove("tls")),
        (Some(_), None) => drop(all.remove(place.unwrap_or(0))),
        (None, Some(tls)) => {
            let mut table = Table::new();
            table.insert("address", value(address));
            if tls {
                table.insert("tls", value(true));
            }
            all.push(table);
        }
        (None, None) => return Err(EditError::NoListener { address: address.to_owned() }),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[box]\nname = \"old\"   # its name\ndata = \"d\"\n\n# doors\n\
        [[listen]]\naddress = \"127.0.0.1:7440\"  # here\n\n[[technician]]\nname = \"field\"\n\
        pin = \"$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStA\
        teqOOA0/cG+bNoiU\" # theirs\n[[board]]\nname = \"b\"\nkind = \"sim\"\nrate = 8000\n\
        buffer_ms = 200\nactivity = \"cti\"\nchannels = [{ id = 1, device = \"1001\", sides = \
        \"mono\", source = \"x.wav\" }]\n";

    fn set_box_key(key: &str, value: &str) -> ConfigChange {
        let (section, key) = ("box".to_owned(), key.to_owned());
        ConfigChange::Set { section, key, value: value.to_owned() }
    }

    fn no_hash(_: &str) -> Result<String, String> {
        Err("nothing to hash".to_owned())
    }

    #[test]
    fn h2_a_change_keeps_comments_and_everything_else() {
        let changed = apply_change(FILE, &set_box_key("name", "box-02"), no_hash).unwrap();
        assert_eq!(changed, FILE.replace("\"old\"", "\"box-02\""));
        let changed =
            apply_change(FILE, &set_box_key("time_zone", "Europe/Berlin"), no_hash).unwrap();
        assert!(changed.contains("data = \"d\"\ntime_zone = \"Europe/Berlin\"\n"), "{changed}");
        let door = |tls| ConfigChange::Listen { address: "0.0.0.0:7441".to_owned(), tls };
        let with = apply_change(FILE, &door(Some(true)), no_hash).unwrap();
        assert!(with.contains("# here") && with.contains("address = \"0.0.0.0:7441\"\ntls = true"));
        assert_eq!(apply_change(&with, &door(None), no_hash).unwrap().trim(), FILE.trim());
        let wrong = apply_change(FILE, &door(None), no_hash).unwrap_err();
        assert!(matches!(wrong, EditError::NoListener { .. }));
    }

    #[test]
    fn h2_a_change_that_a_start_would_refuse_is_refused() {
        for (key, value) in [("name", "box 02"), ("time_zone", "Mars/Olympus")] {
            let wrong = apply_change(FILE, &set_box_key(key, value), no_hash).unwrap_err();
            assert!(wrong.to_string().contains(key), "{wrong}");
        }
        // An edit must refuse plain text off loopback, as startup does.
        let open = ConfigChange::Listen { address: "0.0.0.0:7440".to_owned(), tls: Some(false) };
        assert!(apply_change(FILE, &open, no_hash).is_err());
    }

    #[test]
    fn h2_a_pin_is_written_as_its_hash_only() {
        let pin = |name: &str| {
            let (name, pin) = (name.to_owned(), Zeroizing::new("4711".to_owned()));
            ConfigChange::Pin { name, pin }
        };
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$TyjQ7ygFTOcEHsXrsnq57JJb\
            StAteqOOA0/cG+bNoiU";
        let hashed = |_: &str| Ok(hash.to_owned());
        let changed = apply_change(FILE, &pin("field"), hashed).unwrap();
        assert!(
            changed.contains(hash) && changed.contains("# theirs") && !changed.contains("4711")
        );
        let changed = apply_change(FILE, &pin("second"), hashed).unwrap();
        assert_eq!(changed.matches("[[technician]]").count(), 2);
        assert!(!pin("field").describe().contains("4711"));
    }
}
