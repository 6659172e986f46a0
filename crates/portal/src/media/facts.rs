//! Numbers and fields that the box has no key to: from its rows to what the tool opens, and back.
//!
//! Rows are changed in place, so that whoever shows them need not know whether the box opened them
//! or the portal did. Rows and what the tool told are wiped when they go; the buffers of the line
//! to the box, which may have opened them itself, are not. Nothing here runs the tool or asks the
//! box.

use data_encoding::BASE64;
use protocol::client::Pairs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use zeroize::Zeroize;

/// What stands in place of a value that the recording's key does not open.
const BROKEN: &str = "(does not open: forged or damaged)";

/// Why rows are no envelope, or an answer is none to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("The box cannot read the recording's key. `hushbox verify` on the box says more.")]
    NoKey,
    #[error("What the box gave of what is sealed is not whole. Try again.")]
    Cut,
    #[error("What was opened does not belong to what was asked.")]
    Other,
}

/// What `show` said of one record, wiped when it goes: the box may have opened it.
#[derive(Debug)]
pub struct Rows(Vec<Pairs>);

/// What is sealed of a record, for the tool.
#[derive(Debug, Serialize)]
pub struct Envelope {
    recording: String,
    key: String,
    numbers: String,
    fields: BTreeMap<String, String>,
    history: Vec<String>,
}

/// What the tool says of it; null: it does not open.
#[derive(Debug, Default, Deserialize)]
pub struct Letter {
    numbers: Option<Numbers>,
    fields: BTreeMap<String, Option<String>>,
    history: Vec<Option<String>>,
}

#[derive(Debug, Deserialize)]
struct Numbers {
    ani: Option<String>,
    dnis: Option<String>,
}

/// Wipes the values of a row.
pub fn wipe(row: &mut Pairs) {
    row.0.iter_mut().for_each(|(_, value)| value.zeroize());
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(wipe);
    }
}

impl Deref for Rows {
    type Target = [Pairs];

    fn deref(&self) -> &[Pairs] {
        &self.0
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            numbers.ani.zeroize();
            numbers.dnis.zeroize();
        }
        self.fields.values_mut().for_each(Zeroize::zeroize);
        self.history.zeroize();
    }
}

fn is(row: &Pairs, what: &str) -> bool {
    row.get("what") == Some(what)
}

fn set(row: &mut Pairs, key: &str, value: &str) {
    if let Some((_, old)) = row.0.iter_mut().find(|(known, _)| known == key) {
        old.zeroize();
        value.clone_into(old);
    }
}

/// What is sealed in a row, which has to be base64.
fn sealed(row: &Pairs) -> Result<String, EnvelopeError> {
    let text = row.get("sealed").ok_or(EnvelopeError::Cut)?;
    BASE64.decode(text.as_bytes()).map_err(|_| EnvelopeError::Cut)?;
    Ok(text.to_owned())
}

impl Rows {
    #[must_use]
    pub fn new(rows: Vec<Pairs>) -> Rows {
        Rows(rows)
    }

    /// Whether the box could not open this record's numbers and fields.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.iter().any(|row| is(row, "record") && row.get("sealed") == Some("yes"))
    }

    fn all<'a>(&'a self, what: &'static str) -> impl Iterator<Item = &'a Pairs> {
        self.iter().filter(move |row| is(row, what))
    }

    /// Puts what was opened where the box would have put it.
    pub fn put(&mut self, letter: &Letter) -> Result<(), EnvelopeError> {
        let fields = self.all("field").filter_map(|row| row.get("n"));
        let asked = (fields.count(), self.all("history").count());
        if asked != (letter.fields.len(), letter.history.len()) {
            return Err(EnvelopeError::Other);
        }
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| BROKEN.to_owned());
        let mut history = letter.history.iter();
        for row in &mut self.0 {
            match row.get("what") {
                Some("record") => {
                    let number = |one: fn(&Numbers) -> &Option<String>| match &letter.numbers {
                        Some(numbers) => one(numbers).as_deref().unwrap_or("-"),
                        None => BROKEN,
                    };
                    set(row, "ani", number(|numbers| &numbers.ani));
                    set(row, "dnis", number(|numbers| &numbers.dnis));
                    set(row, "sealed", "no");
                }
                Some("field") => {
                    let value = row.get("n").and_then(|n| letter.fields.get(n));
                    let mut value = shown(value.ok_or(EnvelopeError::Other)?);
                    set(row, "value", &value);
                    value.zeroize();
                }
                Some("history") => {
                    let mut value = shown(history.next().ok_or(EnvelopeError::Other)?);
                    set(row, "value", &value);
                    value.zeroize();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Envelope {
    /// Of what `show ID sealed=on` gave.
    pub fn of(rows: &Rows) -> Result<Envelope, EnvelopeError> {
        let record = rows.all("record").next().ok_or(EnvelopeError::Cut)?;
        let mut key = Vec::new();
        for (place, row) in rows.all("key").enumerate() {
            if row.get("part") != Some(&*place.to_string()) {
                return Err(EnvelopeError::Cut);
            }
            let part = BASE64.decode(sealed(row)?.as_bytes());
            key.extend(part.map_err(|_| EnvelopeError::Cut)?);
        }
        if key.is_empty() {
            return Err(EnvelopeError::NoKey);
        }
        let field = |row: &Pairs| {
            let number = row.get("n").ok_or(EnvelopeError::Cut)?;
            Ok((number.to_owned(), sealed(row)?))
        };
        Ok(Envelope {
            recording: record.get("recording").unwrap_or_default().to_owned(),
            key: BASE64.encode(&key),
            numbers: rows.all("numbers").next().ok_or(EnvelopeError::Cut).and_then(sealed)?,
            fields: rows.all("field").map(field).collect::<Result<_, EnvelopeError>>()?,
            history: rows.all("history").map(sealed).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Pairs {
        let pairs = text.split(' ').map(|pair| pair.split_once('=').unwrap());
        Pairs(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    const SHOWN: [&str; 6] = [
        "what=record recording=abc ani=- dnis=- sealed=yes",
        "what=key part=0 sealed=YQ==",
        "what=key part=1 sealed=Yg==",
        "what=numbers sealed=bg==",
        "what=field n=3 value=- sealed=Zg==",
        "what=history n=3 by=jdoe value=- sealed=aA==",
    ];

    fn rows(texts: &[&str]) -> Rows {
        Rows::new(texts.iter().map(|text| row(text)).collect())
    }

    fn letter(text: &str) -> Letter {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_was_opened_stands_where_the_box_would_have_put_it() {
        let mut rows = rows(&SHOWN);
        let envelope = serde_json::to_value(Envelope::of(&rows).unwrap()).unwrap();
        let wanted = r#"{"recording":"abc","key":"YWI=","numbers":"bg==","fields":{"3":"Zg=="},
            "history":["aA=="]}"#;
        assert_eq!(envelope, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
        let told = r#"{"numbers":{"ani":"555","dnis":null},"fields":{"3":"Mr. M"},
            "history":["Mr. M"]}"#;
        assert!(rows.is_sealed());
        rows.put(&letter(told)).unwrap();
        assert!(!rows.is_sealed());
        assert_eq!((rows[0].get("ani"), rows[0].get("dnis")), (Some("555"), Some("-")));
        assert_eq!((rows[4].get("value"), rows[5].get("value")), (Some("Mr. M"), Some("Mr. M")));
        let torn = r#"{"numbers":null,"fields":{"3":null},"history":["Mr. M"]}"#;
        rows.put(&letter(torn)).unwrap();
        assert_eq!((rows[0].get("ani"), rows[4].get("value")), (Some(BROKEN), Some(BROKEN)));
        assert_eq!(rows[5].get("value"), Some("Mr. M"), "the others are told");
    }

    #[test]
    fn what_is_not_whole_is_no_envelope_and_another_answer_is_none() {
        let without = |n: usize| {
            let mut texts = SHOWN.to_vec();
            texts.remove(n);
            Envelope::of(&rows(&texts)).err()
        };
        assert_eq!([0, 1, 3].map(without), [Some(EnvelopeError::Cut); 3]);
        assert_eq!(Envelope::of(&rows(&[SHOWN[0], SHOWN[3]])).err(), Some(EnvelopeError::NoKey));
        for (n, text) in [
            (1, "what=key part=1 sealed=YQ=="),
            (1, "what=key part=0 sealed=YQ="),
            (3, "what=numbers sealed=b*=="),
            (4, "what=field n=3 value=-"),
            (4, "what=field value=- sealed=Zg=="),
            (5, "what=history n=3 value=- sealed=aA"),
        ] {
            let mut texts = SHOWN;
            texts[n] = text;
            assert_eq!(Envelope::of(&rows(&texts)).err(), Some(EnvelopeError::Cut), "{text}");
        }
        for text in [
            r#"{"numbers":null,"fields":{"4":"x"},"history":["x"]}"#,
            r#"{"numbers":null,"fields":{"3":"x"},"history":[]}"#,
            r#"{"numbers":null,"fields":{},"history":["x"]}"#,
        ] {
            assert_eq!(rows(&SHOWN).put(&letter(text)), Err(EnvelopeError::Other), "{text}");
        }
    }
}
