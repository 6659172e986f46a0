//! Opening sealed data: identities, data keys and personal facts.
//!
//! Without a matching identity a record is still listed; its phone numbers and fields are then an
//! `UnsealError`.

use crate::error::{Error, UnsealError};
use crate::output::escape::print_message;
use crate::store::store_dir::StoreDir;
use hushbox::store::fact::PhoneNumbers;
use hushbox::store::index::Record;
use hushbox::store::layout;
use hushbox::store::media::{MediaHeader, MediaMismatch, MediaReader};
use hushbox::store::seal::{
    DataKey, Identity, SealError, open_field, open_numbers, parse_identities, unwrap_key,
};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use zeroize::Zeroizing;

/// The available identities.
pub struct IdentityKeyring {
    identities: Vec<Identity>,
    /// Public keys to which this recorder seals, for messages.
    recipients: Vec<String>,
}

/// Opened personal facts.
#[derive(Default)]
pub struct PersonalFacts {
    pub numbers: PhoneNumbers,
    /// Newest value of each field.
    pub fields: BTreeMap<u8, String>,
    /// Values of all updates, in the order of `Record::history`.
    pub history: Vec<String>,
}

impl IdentityKeyring {
    /// Loads the given identity file, else the one on the recorder if present.
    pub fn open(store: &StoreDir, given: Option<&Path>) -> Result<IdentityKeyring, Error> {
        let path = given.map_or_else(|| store.path_of(layout::IDENTITY), Path::to_owned);
        let identities = match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => parse_identities(&text).map_err(|error| Error::Key { path, error })?,
            Err(error) if given.is_some() => return Err(Error::Read { path, error }),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                print_message(&format!(
                    "hushbox: {}: {error}; continuing without it\n",
                    path.display()
                ));
                Vec::new()
            }
            Err(_) => Vec::new(),
        };
        let text = std::fs::read_to_string(store.path_of(layout::RECIPIENTS)).unwrap_or_default();
        let lines = text.lines().map(str::trim);
        let mut recipients: Vec<String> =
            lines.filter(|line| line.starts_with("age1")).map(str::to_owned).collect();
        recipients.extend(store.config.store.recipients.iter().cloned());
        recipients.sort();
        recipients.dedup();
        Ok(IdentityKeyring { identities, recipients })
    }

    /// Loads the given identity file, if any.
    pub fn from_file(given: Option<&Path>) -> Result<IdentityKeyring, Error> {
        let Some(path) = given.map(Path::to_owned) else {
            return Ok(IdentityKeyring { identities: Vec::new(), recipients: Vec::new() });
        };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new);
        let text = text.map_err(|error| Error::Read { path: path.clone(), error })?;
        let identities = parse_identities(&text).map_err(|error| Error::Key { path, error })?;
        Ok(IdentityKeyring { identities, recipients: Vec::new() })
    }

    /// Returns the public keys to which this recorder seals.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// Opens the data key of a media file; `None` if it is not sealed.
    pub fn media_key(&self, header: &MediaHeader) -> Result<Option<DataKey>, UnsealError> {
        if header.wrapped.is_empty() {
            return Ok(None);
        }
        self.unwrap_data_key(&header.wrapped).map(Some)
    }

    /// Unwraps a data key.
    pub fn unwrap_data_key(&self, wrapped: &[u8]) -> Result<DataKey, UnsealError> {
        if self.identities.is_empty() {
            return Err(UnsealError::NoIdentity);
        }
        Ok(unwrap_key(wrapped, &self.identities)?)
    }

    /// Opens the personal facts of a record.
    pub fn open_personal_facts(
        &self,
        store: &StoreDir,
        record: &Record,
    ) -> Result<PersonalFacts, UnsealError> {
        if record.deleted.is_some() {
            return Err(UnsealError::Deleted);
        }
        let unreadable = |why: String| UnsealError::Media { why };
        let file = store.open_media(record).map_err(|error| match error {
            Error::NoMedia { error, .. } => unreadable(error.to_string()),
            other => unreadable(other.to_string()),
        })?;
        let reader = MediaReader::open(file)?;
        let (found, expected) = (reader.header().id, record.id());
        if found != expected {
            let other = MediaMismatch::OtherRecording { found, expected };
            return Err(unreadable(other.to_string()));
        }
        let key = self.media_key(reader.header())?;
        let key = key.as_ref();
        let fields = record.fields.iter();
        let fields = fields.map(|(field, value)| Ok((*field, open_field(key, value)?)));
        let history = record.history.iter().map(|change| open_field(key, &change.value));
        Ok(PersonalFacts {
            numbers: open_numbers(key, &record.began.numbers)?,
            fields: fields.collect::<Result<_, SealError>>()?,
            history: history.collect::<Result<_, SealError>>()?,
        })
    }
}
