//! The form of *Update call record*: one row per field that the agent may set now.
//!
//! A row begins empty and is empty again after it was sent: what the record holds is never asked
//! for and never comes here (requirement F2). What the box would refuse (F4) is refused while it is
//! typed, by the protocol's own rule, with the reason.
//!
//! Nothing here draws or sends.

use protocol::command::{VALUE_BYTES, bad_character};

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error("{} is not taken; nor are any of < > ! = + % and control characters", shown(*.0))]
    Character(char),
    #[error("too long: {0} bytes, at most {VALUE_BYTES}")]
    TooLong(usize),
}

fn shown(c: char) -> String {
    if c.is_control() {
        format!("control character U+{:04X}", u32::from(c))
    } else {
        format!("\"{c}\"")
    }
}

/// Whether the box would take this value.
pub fn check(value: &str) -> Result<(), FieldError> {
    if let Some(bad) = bad_character(value) {
        return Err(FieldError::Character(bad));
    }
    if value.len() > VALUE_BYTES {
        return Err(FieldError::TooLong(value.len()));
    }
    Ok(())
}

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub field: u8,
    pub label: String,
    /// What was typed since the form was opened or sent.
    pub text: String,
    /// The last that was known to be good.
    good: String,
    /// What to tell about it.
    pub told: String,
    /// Whether `told` is a complaint.
    pub is_bad: bool,
}

/// The whole form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub rows: Vec<Row>,
}

impl Form {
    /// Takes the fields that may be set now, with their labels; what was typed stays.
    pub fn offer(&mut self, fields: &[(u8, String)]) {
        let mut old = std::mem::take(&mut self.rows);
        for (field, label) in fields {
            let kept = old.iter().position(|row| row.field == *field).map(|at| old.swap_remove(at));
            let row = kept.unwrap_or_default();
            self.rows.push(Row { field: *field, label: label.clone(), ..row });
        }
    }

    /// What to send: every row with a text.
    #[must_use]
    pub fn filled(&self) -> Vec<(u8, String)> {
        let filled = self.rows.iter().filter(|row| !row.text.is_empty());
        filled.map(|row| (row.field, row.text.clone())).collect()
    }

    /// The box has answered for a field.
    pub fn answered(&mut self, field: u8, answer: &Result<String, String>) {
        let Some(row) = self.rows.iter_mut().find(|row| row.field == field) else { return };
        match answer {
            Ok(_) => {
                *row = Row { field, label: std::mem::take(&mut row.label), ..Row::default() };
                "saved".clone_into(&mut row.told);
            }
            Err(why) => {
                row.told.clone_from(why);
                row.is_bad = true;
            }
        }
    }
}

impl Row {
    /// The text was edited: what is not taken is taken back, and said.
    pub fn edited(&mut self) {
        match check(&self.text) {
            Ok(()) => {
                self.good.clone_from(&self.text);
                self.told.clear();
                self.is_bad = false;
            }
            Err(why) => {
                self.text.clone_from(&self.good);
                self.told = why.to_string();
                self.is_bad = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let mut form = Form::default();
        form.offer(&[(1, "Caller name".to_owned()), (3, "Subject".to_owned())]);
        form
    }

    #[test]
    fn f4_what_is_not_taken_is_refused_as_it_is_typed() {
        for bad in ["<", ">", "!", "=", "+", "%", "\t", "\u{7f}"] {
            let mut form = form();
            let row = &mut form.rows[0];
            "Mr. Mill".clone_into(&mut row.text);
            row.edited();
            row.text = format!("Mr. Mill{bad}");
            row.edited();
            assert_eq!((row.text.as_str(), row.is_bad), ("Mr. Mill", true), "{bad:?}");
            assert!(row.told.contains("not taken"), "{}", row.told);
            "Mr. Miller".clone_into(&mut row.text);
            row.edited();
            assert_eq!((row.text.as_str(), row.is_bad), ("Mr. Miller", false));
        }
        assert_eq!(check(&"é".repeat(128)), Ok(()));
        assert_eq!(check(&"é".repeat(129)), Err(FieldError::TooLong(258)));
    }

    #[test]
    fn f2_after_it_was_sent_a_row_is_empty_again() {
        let mut form = form();
        "a".clone_into(&mut form.rows[0].text);
        assert_eq!(form.filled(), [(1, "a".to_owned())]);
        form.answered(1, &Ok("ok".to_owned()));
        assert_eq!((form.filled().len(), form.rows[0].told.as_str()), (0, "saved"));
        assert_eq!(form.rows[0].label, "Caller name");
        "b".clone_into(&mut form.rows[1].text);
        form.answered(3, &Err("no-call: no call".to_owned()));
        assert_eq!(form.filled(), [(3, "b".to_owned())], "what was refused can be mended");
    }

    #[test]
    fn f3_only_what_may_be_set_now_has_a_row() {
        let mut form = form();
        "b".clone_into(&mut form.rows[1].text);
        form.offer(&[(3, "Subject".to_owned()), (4, "Order".to_owned())]);
        let rows: Vec<(u8, &str)> = form.rows.iter().map(|r| (r.field, r.text.as_str())).collect();
        assert_eq!(rows, [(3, "b"), (4, "")]);
        form.offer(&[]);
        assert!(form.rows.is_empty());
    }
}
