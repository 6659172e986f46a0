//! `hushbox decode --as facts`: opens phone numbers and fields that the recorder cannot open.
//!
//! Reads the output of `show ID sealed=on` for one recording from stdin, as JSON with base64.
//! Writes the opened values to stdout as JSON. A value that cannot be opened becomes null, and the
//! others are still returned. For programs that hold an identity, such as the web portal. Opened
//! values are wiped from memory.

use crate::Outcome;
use crate::error::{Error, FactsError};
use crate::store::seekable::{SeekableInput, SeekableOutput};
use crate::store::unseal::IdentityKeyring;
use data_encoding::BASE64;
use hushbox::store::fact::{PhoneNumbers, SealedBytes};
use hushbox::store::seal::{DataKey, open_field, open_numbers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use zeroize::Zeroize;

/// Upper bound of the input: 15 fields and 64 updates of 256 bytes, sealed and in base64.
const INPUT_BYTES: u64 = 256 << 10;

/// Sealed values, in base64.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedFacts {
    recording: String,
    key: String,
    numbers: String,
    fields: BTreeMap<u8, String>,
    /// Newest first, in the order of the rows.
    history: Vec<String>,
}

/// Opened values.
#[derive(Debug, Default, Serialize)]
struct OpenedFacts {
    /// Null if they cannot be opened.
    numbers: Option<PhoneNumbers>,
    fields: BTreeMap<u8, Option<String>>,
    history: Vec<Option<String>>,
}

impl Drop for OpenedFacts {
    fn drop(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.ani.zeroize();
            numbers.dnis.zeroize();
        }
        self.fields.values_mut().for_each(Zeroize::zeroize);
        self.history.zeroize();
    }
}

pub fn decode_facts(keyring: &IdentityKeyring) -> Result<Outcome, Error> {
    let input = SeekableInput::from_stdin(INPUT_BYTES).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => FactsError::TooLong { most: INPUT_BYTES }.into(),
        _ => Error::Stdin(error),
    })?;
    let mut text = Vec::new();
    let mut reader = input.open_reader().map_err(Error::Stdin)?.take(INPUT_BYTES + 1);
    reader.read_to_end(&mut text).map_err(Error::Stdin)?;
    let opened = open_facts(keyring, &text)?;
    let mut out = SeekableOutput::to_stdout();
    serde_json::to_writer(&mut out, &opened).map_err(|error| Error::Stdout(error.into()))?;
    writeln!(out).map_err(Error::Stdout)?;
    out.commit().map_err(Error::Stdout)?;
    Ok(Outcome::Done)
}

fn decode_base64(text: &str, what: &'static str) -> Result<Vec<u8>, FactsError> {
    BASE64.decode(text.as_bytes()).map_err(|_| FactsError::Base64 { what })
}

fn open_facts(keyring: &IdentityKeyring, text: &[u8]) -> Result<OpenedFacts, Error> {
    if text.len() as u64 > INPUT_BYTES {
        return Err(FactsError::TooLong { most: INPUT_BYTES }.into());
    }
    let sealed: SealedFacts = serde_json::from_slice(text)
        .map_err(|error| FactsError::Malformed { line: error.line(), column: error.column() })?;
    let key = keyring.unwrap_data_key(&decode_base64(&sealed.key, "key")?).map_err(|why| {
        Error::Unseal { id: sealed.recording.clone(), why, recipients: Vec::new() }
    })?;
    let field = |text: &String| -> Result<Option<String>, FactsError> {
        Ok(open_field(Some(&key), &SealedBytes(decode_base64(text, "field")?)).ok())
    };
    let mut opened = OpenedFacts::default();
    opened.numbers = decode_numbers(&key, &sealed.numbers)?;
    for (number, value) in &sealed.fields {
        opened.fields.insert(*number, field(value)?);
    }
    for value in &sealed.history {
        opened.history.push(field(value)?);
    }
    Ok(opened)
}

fn decode_numbers(key: &DataKey, text: &str) -> Result<Option<PhoneNumbers>, FactsError> {
    Ok(open_numbers(Some(key), &SealedBytes(decode_base64(text, "numbers")?)).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushbox::store::seal::{
        Envelope, generate_identity, parse_recipients, seal_field, seal_numbers,
    };
    use serde_json::{Value, json};

    fn test_keyring(text: &str) -> IdentityKeyring {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        IdentityKeyring::from_file(Some(file.path())).expect("an identity")
    }

    /// A keyring, and the output of `show` for a record that it opens.
    fn sealed_example() -> (IdentityKeyring, Value) {
        let (secret, public) = generate_identity();
        let recipients = parse_recipients(&public).expect("a key");
        let envelope = Envelope::for_recipients([7; 42], &recipients).expect("made");
        let key = envelope.key.as_ref();
        let numbers = PhoneNumbers { ani: Some("5551234".into()), dnis: None };
        let field = |n, value| BASE64.encode(&seal_field(key, n, value).0);
        let sealed = json!({
            "recording": "abc",
            "key": BASE64.encode(&envelope.wrapped),
            "numbers": BASE64.encode(&seal_numbers(key, 1, &numbers).0),
            "fields": { "3": field(3, "Mr. Miller") },
            "history": [field(3, "Mr. Miller"), field(2, "Mr. Mill")],
        });
        (test_keyring(&secret), sealed)
    }

    fn open_as_json(keyring: &IdentityKeyring, sealed: &Value) -> Result<Value, Error> {
        let opened = open_facts(keyring, sealed.to_string().as_bytes())?;
        Ok(serde_json::to_value(&opened).expect("JSON"))
    }

    #[test]
    fn facts_open_and_one_forged_value_does_not_hide_others() {
        let (keyring, mut sealed) = sealed_example();
        let mut wanted = json!({
            "numbers": { "ani": "5551234", "dnis": null },
            "fields": { "3": "Mr. Miller" },
            "history": ["Mr. Miller", "Mr. Mill"],
        });
        assert_eq!(open_as_json(&keyring, &sealed).expect("opens"), wanted);
        // A field in place of the numbers, and one truncated to valid base64.
        sealed["numbers"] = sealed["fields"]["3"].clone();
        let cut = sealed["history"][1].as_str().expect("text")[..40].to_owned();
        sealed["history"][1] = cut.into();
        wanted["numbers"] = Value::Null;
        wanted["history"][1] = Value::Null;
        assert_eq!(open_as_json(&keyring, &sealed).expect("opens"), wanted);
    }

    #[test]
    fn h5_wrong_identity_or_changed_key_is_rejected() {
        let (right, sealed) = sealed_example();
        let said = |keyring: &IdentityKeyring, sealed: &Value| {
            open_as_json(keyring, sealed).expect_err("closed").to_string()
        };
        let wrong = test_keyring(&generate_identity().0);
        assert!(said(&wrong, &sealed).contains("recording abc: sealed: wrong key"));
        let none = IdentityKeyring::from_file(None).expect("no identity");
        assert!(said(&none, &sealed).contains("no identity to open it"));
        let with = |what: &str, value: Value| {
            let mut other = sealed.clone();
            other[what] = value;
            said(&right, &other)
        };
        let key = sealed["key"].as_str().expect("text");
        let mut wrapped = BASE64.decode(key.as_bytes()).expect("base64");
        let last = wrapped.len() - 1;
        wrapped[last] ^= 1;
        assert!(with("key", BASE64.encode(&wrapped).into()).contains("not an age file"));
        assert!(with("key", BASE64.encode(&wrapped[..40]).into()).contains("not an age file"));
        assert!(with("key", key[..key.len() - 1].into()).contains("key: not valid base64"));
        assert!(with("numbers", "no*".into()).contains("numbers: not valid base64"));
        assert!(with("history", json!(["no*"])).contains("field: not valid base64"));
        assert!(with("fields", json!({ "x": "" })).contains("`show ID sealed=on`: line 1"));
        assert!(with("more", 1.into()).contains("not valid output"));
        let long = format!("{}{}", " ".repeat(256 << 10), sealed);
        let failure = open_facts(&right, long.as_bytes()).expect_err("too long");
        assert!(failure.to_string().contains("longer than"), "{failure}");
        assert_eq!(failure.exit_status(), 65);
    }
}
