//! Edits the configuration text for a console command: one change at a time, comments preserved.
//!
//! The result is validated like any file (`parse`), so an edit that would keep the box from
//! starting is rejected. The text never contains a PIN, only its hash.

use super::parse;
use core::net::SocketAddr;
use protocol::name::is_same_name;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};
use zeroize::Zeroizing;

/// A change to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// Set `[section] key = "value"`.
    Set { section: String, key: String, value: String },
    /// Add a listener with or without TLS; `None` removes it.
    Listen { address: String, tls: Option<bool> },
    /// Set a technician's PIN; plain text until it is hashed. `is_new`: add the technician.
    Pin { name: String, pin: Zeroizing<String>, is_new: bool },
    /// Replace an unusable file by the last one that worked. The shell does it; no text is edited.
    Restore,
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
    #[error("there is no technician {name}; check the name, or add new=yes to create one")]
    UnknownTechnician { name: String },
    #[error("there is a technician {name} already; leave out new=yes to set the PIN")]
    KnownTechnician { name: String },
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
            ConfigChange::Pin { name, is_new: false, .. } => {
                format!("the PIN of technician {name}")
            }
            ConfigChange::Pin { name, is_new: true, .. } => format!("new technician {name}"),
            ConfigChange::Restore => "the last file that worked".to_string(),
        }
    }

    /// The key that changes, as `difference` names it.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            ConfigChange::Set { section, key, .. } => format!("{section}.{key}"),
            ConfigChange::Listen { .. } => "listen".to_owned(),
            ConfigChange::Pin { .. } => "technician".to_owned(),
            ConfigChange::Restore => String::new(),
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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| EditError::InvalidFile(error.to_string()))?;
    match edit {
        ConfigChange::Set { section, key, value } => {
            let wrong = || EditError::InvalidFile(format!("`{section}` is not a section"));
            let table = document.entry(section).or_insert_with(toml_edit::table);
            set_value(table.as_table_like_mut().ok_or_else(wrong)?, key, value.as_str().into());
        }
        ConfigChange::Restore => {}
        ConfigChange::Listen { address, tls } => set_listener(&mut document, address, *tls)?,
        ConfigChange::Pin { name, pin, is_new } => {
            let hashed = hash(pin).map_err(EditError::Refused)?;
            set_pin(&mut document, name, (hashed, *is_new))?;
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

/// Replaces a value and keeps the comment beside it.
fn set_value(table: &mut dyn TableLike, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

/// The rows of a section, written as `[[section]]` or as a list of inline tables.
enum Rows<'a> {
    Tables(&'a mut ArrayOfTables),
    List(&'a mut Array),
}

impl Rows<'_> {
    fn of<'a>(document: &'a mut DocumentMut, section: &str) -> Result<Rows<'a>, EditError> {
        let wrong = || EditError::InvalidFile(format!("`{section}` is not a list of tables"));
        let empty = || Item::ArrayOfTables(ArrayOfTables::new());
        match document.entry(section).or_insert_with(empty) {
            Item::ArrayOfTables(tables) => Ok(Rows::Tables(tables)),
            Item::Value(Value::Array(list)) => Ok(Rows::List(list)),
            _ => Err(wrong()),
        }
    }

    /// The index of the first row whose text at `key` is wanted.
    fn position(&self, key: &str, is_wanted: impl Fn(&str) -> bool) -> Option<usize> {
        let is_row =
            |row: &dyn TableLike| row.get(key).and_then(Item::as_str).is_some_and(&is_wanted);
        match self {
            Rows::Tables(tables) => tables.iter().position(|row| is_row(row)),
            Rows::List(list) => {
                list.iter().position(|row| row.as_inline_table().is_some_and(|row| is_row(row)))
            }
        }
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut dyn TableLike> {
        match self {
            Rows::Tables(tables) => tables.get_mut(index).map(|row| row as &mut dyn TableLike),
            Rows::List(list) => {
                let row = list.get_mut(index).and_then(Value::as_inline_table_mut);
                row.map(|row| row as &mut dyn TableLike)
            }
        }
    }

    fn remove(&mut self, index: usize) {
        match self {
            Rows::Tables(tables) => drop(tables.remove(index)),
            Rows::List(list) => drop(list.remove(index)),
        }
    }

    fn push(&mut self, pairs: Vec<(&str, Value)>) {
        match self {
            Rows::Tables(tables) => {
                let mut row = Table::new();
                for (key, value) in pairs {
                    row.insert(key, Item::Value(value));
                }
                tables.push(row);
            }
            Rows::List(list) => list.push(pairs.into_iter().collect::<InlineTable>()),
        }
    }
}

fn set_pin(
    document: &mut DocumentMut,
    name: &str,
    (hash, is_new): (String, bool),
) -> Result<(), EditError> {
    let mut rows = Rows::of(document, "technician")?;
    let place = rows.position("name", |known| is_same_name(known, name));
    match (place.and_then(|place| rows.get_mut(place)), is_new) {
        (Some(_), true) => return Err(EditError::KnownTechnician { name: name.to_owned() }),
        (None, false) => return Err(EditError::UnknownTechnician { name: name.to_owned() }),
        (Some(row), false) => set_value(row, "pin", hash.into()),
        (None, true) => rows.push(vec![("name", name.into()), ("pin", hash.into())]),
    }
    Ok(())
}

fn set_listener(
    document: &mut DocumentMut,
    address: &str,
    tls: Option<bool>,
) -> Result<(), EditError> {
    let mut rows = Rows::of(document, "listen")?;
    let wanted = address.parse::<SocketAddr>().ok();
    let is_same = |known: &str| {
        known == address || wanted.is_some() && known.parse::<SocketAddr>().ok() == wanted
    };
    let place = rows.position("address", is_same);
    match (place, tls) {
        (Some(place), None) => rows.remove(place),
        (Some(place), Some(tls)) => {
            if let Some(row) = rows.get_mut(place) {
                match tls {
                    true => set_value(row, "tls", true.into()),
                    false => drop(row.remove("tls")),
                }
            }
        }
        (None, Some(true)) => rows.push(vec![("address", address.into()), ("tls", true.into())]),
        (None, Some(false)) => rows.push(vec![("address", address.into())]),
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
        let pin = |name: &str, is_new| {
            let (name, pin) = (name.to_owned(), Zeroizing::new("4711".to_owned()));
            ConfigChange::Pin { name, pin, is_new }
        };
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$TyjQ7ygFTOcEHsXrsnq57JJb\
            StAteqOOA0/cG+bNoiU";
        let hashed = |_: &str| Ok(hash.to_owned());
        let changed = apply_change(FILE, &pin("Field", false), hashed).unwrap();
        assert!(
            changed.contains(hash) && changed.contains("# theirs") && !changed.contains("4711")
        );
        let changed = apply_change(FILE, &pin("second", true), hashed).unwrap();
        assert_eq!(changed.matches("[[technician]]").count(), 2);
        assert!(!pin("field", false).describe().contains("4711"));
    }

    #[test]
    fn h2_a_mistyped_technician_is_not_created() {
        let pin = |name: &str, is_new| {
            let (name, pin) = (name.to_owned(), Zeroizing::new("4711".to_owned()));
            apply_change(FILE, &ConfigChange::Pin { name, pin, is_new }, |_| Ok(String::new()))
        };
        let unknown = EditError::UnknownTechnician { name: "feild".to_owned() };
        assert_eq!(pin("feild", false), Err(unknown));
        let known = EditError::KnownTechnician { name: "FIELD".to_owned() };
        assert_eq!(pin("FIELD", true), Err(known), "no PIN is overwritten by mistake");
    }

    /// A file may be written in any of TOML's forms, also as editors on Windows save it.
    #[test]
    fn h2_inline_tables_and_lists_are_edited_in_place() {
        let file = "\u{feff}box = { name = \"old\", data = \"d\" } # ours\n\
                    listen = [{ address = \"127.0.0.1:7440\" }] # doors\n";
        let changed = apply_change(file, &set_box_key("name", "box-02"), no_hash).unwrap();
        assert!(
            changed.starts_with("box = { name = \"box-02\", data = \"d\" } # ours\n"),
            "{changed}"
        );
        let dotted = apply_change("box.name = \"old\"\n", &set_box_key("name", "new"), no_hash);
        assert_eq!(dotted.unwrap(), "box.name = \"new\"\n");
        let door = |address: &str, tls| ConfigChange::Listen { address: address.to_owned(), tls };
        let with = apply_change(file, &door("[::]:7441", Some(true)), no_hash).unwrap();
        assert!(with.contains("{ address = \"[::]:7441\", tls = true }] # doors"), "{with}");
        let without = apply_change(&with, &door("[0:0::0]:7441", None), no_hash).unwrap();
        assert_eq!(without, file.trim_start_matches('\u{feff}'), "the same address");
        let wrong = apply_change("listen = 3\n", &door("[::]:7441", Some(true)), no_hash);
        assert!(matches!(wrong, Err(EditError::InvalidFile(_))));
    }
}
