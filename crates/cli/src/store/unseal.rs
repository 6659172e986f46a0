//! Who may read: identities, the data key of a record, and its personal facts in clear.
//!
//! Without an identity, or with the wrong one, a record is still listed; its numbers and fields are
//! then `Closed`, with the reason. Nothing here writes a key or an opened fact anywhere.

use crate::error::Failure;
use crate::store::store_dir::StoreDir;
use hushbox::store::fact::Numbers;
use hushbox::store::index::Record;
use hushbox::store::layout;
use hushbox::store::media::{MediaError, MediaHeader, MediaReader};
use hushbox::store::seal::{
    DataKey, Identity, SealError, open_field, open_numbers, parse_identities, unwrap,
};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use zeroize::Zeroizing;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    #[error("sealed, and there is no identity to open it with")]
    NoIdentity,
    #[error("sealed: {0}")]
    Seal(#[from] SealError),
    #[error("its media file, which holds the key, cannot be read: {why}")]
    Media { why: String },
    #[error("deleted, and its key with it")]
    Deleted,
}

impl From<MediaError> for Closed {
    fn from(error: MediaError) -> Closed {
        match error {
            MediaError::Seal(error) => Closed::Seal(error),
            other => Closed::Media { why: other.to_string() },
        }
    }
}

/// The identities at hand.
pub struct Keyring {
    identities: Vec<Identity>,
    /// What new recordings of this box are sealed to, for people.
    recipients: Vec<String>,
}

/// Personal facts in clear.
#[derive(Default)]
pub struct Personal {
    pub numbers: Numbers,
    /// Newest value of each field.
    pub fields: BTreeMap<u8, String>,
    /// Values of all updates, as `Record::history`.
    pub history: Vec<String>,
}

impl Keyring {
    /// The identity file given, else the one that the owner left on the box, else none.
    pub fn open(store: &StoreDir, given: Option<&Path>) -> Result<Keyring, Failure> {
        let path = given.map_or_else(|| store.path(layout::IDENTITY), Path::to_owned);
        let identities = match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => parse_identities(&text).map_err(|error| Failure::Key { path, error })?,
            Err(error) if given.is_some() => return Err(Failure::Read { path, error }),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                eprintln!("hushbox: {}: {error}; going on without", path.display());
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let text = std::fs::read_to_string(store.path(layout::RECIPIENTS)).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let mut recipients: Vec<String> =
            lines.filter(|line| line.starts_with("age1")).map(str::to_owned).collect();
        recipients.extend(store.config.store.recipients.iter().cloned());
        recipients.sort();
        recipients.dedup();
        Ok(Keyring { identities, recipients })
    }

    /// Those of a file, where one is given.
    pub fn of(given: Option<&Path>) -> Result<Keyring, Failure> {
        let Some(path) = given.map(Path::to_owned) else {
            return Ok(Keyring { identities: Vec::new(), recipients: Vec::new() });
        };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.map_err(|error| Failure::Read { path: path.clone(), error })?;
        let identities = parse_identities(&text).map_err(|error| Failure::Key { path, error })?;
        Ok(Keyring { identities, recipients: Vec::new() })
    }

    /// What new recordings of this box are sealed to.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// The data key of a media file; `None`: nothing in it is sealed.
    pub fn key(&self, header: &MediaHeader) -> Result<Option<DataKey>, Closed> {
        if header.wrapped.is_empty() {
            return Ok(None);
        }
        self.open_key(&header.wrapped).map(Some)
    }

    /// A data key out of its envelope.
    pub fn open_key(&self, wrapped: &[u8]) -> Result<DataKey, Closed> {
        if self.identities.is_empty() {
            return Err(Closed::NoIdentity);
        }
        Ok(unwrap(wrapped, &self.identities)?)
    }

    /// The personal facts of a record, or why they stay closed.
    pub fn personal(&self, store: &StoreDir, record: &Record) -> Result<Personal, Closed> {
        if record.deleted.is_some() {
            return Err(Closed::Deleted);
        }
        let file = match store.open_media(record) {
            Ok(file) => file,
            Err(Failure::Read { error, .. }) => {
                return Err(Closed::Media { why: error.to_string() });
            }
            Err(other) => return Err(Closed::Media { why: other.to_string() }),
        };
        let reader = MediaReader::open(file)?;
        let key = self.key(reader.header())?;
        let key = key.as_ref();
        let fields = record.fields.iter();
        let fields = fields.map(|(field, value)| Ok((*field, open_field(key, value)?)));
        let history = record.history.iter().map(|change| open_field(key, &change.value));
        Ok(Personal {
            numbers: open_numbers(key, &record.began.numbers)?,
            fields: fields.collect::<Result<_, SealError>>()?,
            history: history.collect::<Result<_, SealError>>()?,
        })
    }
}
