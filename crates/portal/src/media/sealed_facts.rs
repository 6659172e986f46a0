//! Sealed numbers and fields: from the recorder's rows to the tool's input, and back.
//!
//! Opened values replace the sealed ones in place, so a page need not know whether the recorder or
//! the portal opened them. Rows and tool output are wiped on drop. The connection buffers, which
//! may hold values that the recorder opened, are not.

use data_encoding::BASE64;
use protocol::client::Pairs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use zeroize::Zeroize;

/// Text shown for a value that the recording's key does not open.
const UNREADABLE_TEXT: &str = "(does not open: forged or damaged)";

/// Why rows hold no envelope, or a tool output does not match it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    #[error("The box cannot read the recording's key. `hushbox verify` on the box says more.")]
    NoKey,
    #[error("The box sent only a part of the sealed values. Try again.")]
    Incomplete,
    #[error("The opened values belong to another record.")]
    Mismatch,
}

/// The rows of a `show` reply, wiped on drop because the recorder may have opened them.
#[derive(Debug)]
pub struct RecordRows(Vec<Pairs>);

/// Sealed facts of one record: input of the tool.
#[derive(Debug, Serialize)]
pub struct SealedFacts {
    recording: String,
    key: String,
    numbers: String,
    fields: BTreeMap<String, String>,
    history: Vec<String>,
}

/// Opened facts: output of the tool. Null marks a value that does not open.
#[derive(Debug, Default, Deserialize)]
pub struct OpenedFacts {
    numbers: Option<OpenedNumbers>,
    fields: BTreeMap<String, Option<String>>,
    history: Vec<Option<String>>,
}

#[derive(Debug, Deserialize)]
struct OpenedNumbers {
    ani: Option<String>,
    dnis: Option<String>,
}

/// Wipes the values of a row.
pub fn zeroize_row(row: &mut Pairs) {
    row.0.iter_mut().for_each(|(_, value)| value.zeroize());
}

impl Drop for RecordRows {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(zeroize_row);
    }
}

impl Deref for RecordRows {
    type Target = [Pairs];

    fn deref(&self) -> &[Pairs] {
        &self.0
    }
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

fn is_row(row: &Pairs, what: &str) -> bool {
    row.get("what") == Some(what)
}

fn set_value(row: &mut Pairs, key: &str, value: &str) {
    if let Some((_, old)) = row.0.iter_mut().find(|(known, _)| known == key) {
        old.zeroize();
        value.clone_into(old);
    }
}

/// The sealed value of a row, checked to be base64.
fn sealed_value(row: &Pairs) -> Result<String, FactsError> {
    let text = row.get("sealed").ok_or(FactsError::Incomplete)?;
    BASE64.decode(text.as_bytes()).map_err(|_| FactsError::Incomplete)?;
    Ok(text.to_owned())
}

impl RecordRows {
    #[must_use]
    pub fn new(rows: Vec<Pairs>) -> RecordRows {
        RecordRows(rows)
    }

    /// Whether the recorder could not open this record's numbers and fields.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.iter().any(|row| is_row(row, "record") && row.get("sealed") == Some("yes"))
    }

    fn rows_named<'a>(&'a self, what: &'static str) -> impl Iterator<Item = &'a Pairs> {
        self.iter().filter(move |row| is_row(row, what))
    }

    /// Puts opened values where the recorder would have put them.
    pub fn merge_opened(&mut self, letter: &OpenedFacts) -> Result<(), FactsError> {
        let fields = self.rows_named("field").filter_map(|row| row.get("n"));
        let asked = (fields.count(), self.rows_named("history").count());
        if asked != (letter.fields.len(), letter.history.len()) {
            return Err(FactsError::Mismatch);
        }
        let shown =
            |value: &Option<String>| value.clone().unwrap_or_else(|| UNREADABLE_TEXT.to_owned());
        let mut history = letter.history.iter();
        for row in &mut self.0 {
            match row.get("what") {
                Some("record") => {
                    let number = |one: fn(&OpenedNumbers) -> &Option<String>| match &letter.numbers
                    {
                        Some(numbers) => one(numbers).as_deref().unwrap_or("-"),
                        None => UNREADABLE_TEXT,
                    };
                    set_value(row, "ani", number(|numbers| &numbers.ani));
                    set_value(row, "dnis", number(|numbers| &numbers.dnis));
                    set_value(row, "sealed", "no");
                }
                Some("field") => {
                    let value = row.get("n").and_then(|n| letter.fields.get(n));
                    let mut value = shown(value.ok_or(FactsError::Mismatch)?);
                    set_value(row, "value", &value);
                    value.zeroize();
                }
                Some("history") => {
                    let mut value = shown(history.next().ok_or(FactsError::Mismatch)?);
                    set_value(row, "value", &value);
                    value.zeroize();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl SealedFacts {
    /// Collects the sealed facts from the reply to `show ID sealed=on`.
    pub fn from_rows(rows: &RecordRows) -> Result<SealedFacts, FactsError> {
        let record = rows.rows_named("record").next().ok_or(FactsError::Incomplete)?;
        let mut key = Vec::new();
        for (place, row) in rows.rows_named("key").enumerate() {
            if row.get("part") != Some(&*place.to_string()) {
                return Err(FactsError::Incomplete);
            }
            let part = BASE64.decode(sealed_value(row)?.as_bytes());
            key.extend(part.map_err(|_| FactsError::Incomplete)?);
        }
        if key.is_empty() {
            return Err(FactsError::NoKey);
        }
        let field = |row: &Pairs| {
            let number = row.get("n").ok_or(FactsError::Incomplete)?;
            Ok((number.to_owned(), sealed_value(row)?))
        };
        Ok(SealedFacts {
            recording: record.get("recording").unwrap_or_default().to_owned(),
            key: BASE64.encode(&key),
            numbers: rows
                .rows_named("numbers")
                .next()
                .ok_or(FactsError::Incomplete)
                .and_then(sealed_value)?,
            fields: rows.rows_named("field").map(field).collect::<Result<_, FactsError>>()?,
            history: rows.rows_named("history").map(sealed_value).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_row(text: &str) -> Pairs {
        let pairs = text.split(' ').map(|pair| pair.split_once('=').unwrap());
        Pairs(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    const SHOW_ROWS: [&str; 6] = [
        "what=record recording=abc ani=- dnis=- sealed=yes",
        "what=key part=0 sealed=YQ==",
        "what=key part=1 sealed=Yg==",
        "what=numbers sealed=bg==",
        "what=field n=3 value=- sealed=Zg==",
        "what=history n=3 by=jdoe value=- sealed=aA==",
    ];

    fn parse_rows(texts: &[&str]) -> RecordRows {
        RecordRows::new(texts.iter().map(|text| parse_row(text)).collect())
    }

    fn parse_opened(text: &str) -> OpenedFacts {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_was_opened_stands_where_the_box_would_have_put_it() {
        let mut rows = parse_rows(&SHOW_ROWS);
        let envelope = serde_json::to_value(SealedFacts::from_rows(&rows).unwrap()).unwrap();
        let wanted = r#"{"recording":"abc","key":"YWI=","numbers":"bg==","fields":{"3":"Zg=="},
            "history":["aA=="]}"#;
        assert_eq!(envelope, serde_json::from_str::<serde_json::Value>(wanted).unwrap());
        let opened = r#"{"numbers":{"ani":"555","dnis":null},"fields":{"3":"Mr. M"},
            "history":["Mr. M"]}"#;
        assert!(rows.is_sealed());
        rows.merge_opened(&parse_opened(opened)).unwrap();
        assert!(!rows.is_sealed());
        assert_eq!((rows[0].get("ani"), rows[0].get("dnis")), (Some("555"), Some("-")));
        assert_eq!((rows[4].get("value"), rows[5].get("value")), (Some("Mr. M"), Some("Mr. M")));
        let torn = r#"{"numbers":null,"fields":{"3":null},"history":["Mr. M"]}"#;
        rows.merge_opened(&parse_opened(torn)).unwrap();
        assert_eq!(
            (rows[0].get("ani"), rows[4].get("value")),
            (Some(UNREADABLE_TEXT), Some(UNREADABLE_TEXT))
        );
        assert_eq!(rows[5].get("value"), Some("Mr. M"), "the others are told");
    }

    #[test]
    fn what_is_not_whole_is_no_envelope_and_another_answer_is_none() {
        let without = |n: usize| {
            let mut texts = SHOW_ROWS.to_vec();
            texts.remove(n);
            SealedFacts::from_rows(&parse_rows(&texts)).err()
        };
        assert_eq!([0, 1, 3].map(without), [Some(FactsError::Incomplete); 3]);
        assert_eq!(
            SealedFacts::from_rows(&parse_rows(&[SHOW_ROWS[0], SHOW_ROWS[3]])).err(),
            Some(FactsError::NoKey)
        );
        for (n, text) in [
            (1, "what=key part=1 sealed=YQ=="),
            (1, "what=key part=0 sealed=YQ="),
            (3, "what=numbers sealed=b*=="),
            (4, "what=field n=3 value=-"),
            (4, "what=field value=- sealed=Zg=="),
            (5, "what=history n=3 value=- sealed=aA"),
        ] {
            let mut texts = SHOW_ROWS;
            texts[n] = text;
            assert_eq!(
                SealedFacts::from_rows(&parse_rows(&texts)).err(),
                Some(FactsError::Incomplete),
                "{text}"
            );
        }
        for text in [
            r#"{"numbers":null,"fields":{"4":"x"},"history":["x"]}"#,
            r#"{"numbers":null,"fields":{"3":"x"},"history":[]}"#,
            r#"{"numbers":null,"fields":{},"history":["x"]}"#,
        ] {
            assert_eq!(
                parse_rows(&SHOW_ROWS).merge_opened(&parse_opened(text)),
                Err(FactsError::Mismatch),
                "{text}"
            );
        }
    }
}
