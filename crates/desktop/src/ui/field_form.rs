//! The form of *Update call record*: one row for each field that the agent may set now.
//!
//! A row starts empty and is empty again after its value was sent: the client never asks for the
//! stored value (requirement F2). The form refuses what the box would refuse (F4) as the agent
//! types, by the rule of the protocol, with the reason.

use protocol::arg::VALUE_BYTES;
use protocol::command::find_bad_character;

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    #[error(
        "{} is not allowed; leave out < > ! = + % and control characters",
        describe_character(*.0)
    )]
    Character(char),
    #[error("too long: {0} bytes; at most {VALUE_BYTES} are allowed")]
    TooLong(usize),
}

fn describe_character(c: char) -> String {
    if c.is_control() {
        format!("control character U+{:04X}", u32::from(c))
    } else {
        format!("\"{c}\"")
    }
}

/// Checks whether the box accepts this value.
pub fn check_value(value: &str) -> Result<(), FieldError> {
    if let Some(bad) = find_bad_character(value) {
        return Err(FieldError::Character(bad));
    }
    if value.len() > VALUE_BYTES {
        return Err(FieldError::TooLong(value.len()));
    }
    Ok(())
}

/// A row of the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormRow {
    pub field: u8,
    pub label: String,
    /// The text that was typed since the form was opened or the value sent.
    pub text: String,
    /// The last text that was allowed.
    allowed: String,
    /// The message below the row.
    pub message: String,
    /// Whether `message` is an error.
    pub is_error: bool,
}

/// The form. Its texts belong to one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldForm {
    pub rows: Vec<FormRow>,
    /// The box's number of the call; `None` without one, or if the box does not say.
    pub call: Option<u64>,
    /// What was typed in the call before and not sent.
    pub earlier: Option<EarlierTexts>,
}

/// Texts that were typed for a call that is no longer the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierTexts {
    pub call: u64,
    /// The field, its label and the text.
    pub texts: Vec<(u8, String, String)>,
    /// Why the box refused them.
    pub error: String,
}

impl FieldForm {
    /// Sets the fields that may be set now, with their labels, and their call. Typed texts are kept
    /// while the call is the same; else they are set aside for the call before.
    pub fn set_fields(&mut self, fields: &[(u8, String)], call: Option<u64>) {
        if self.call != call {
            self.set_texts_aside();
            self.call = call;
        }
        let mut old = std::mem::take(&mut self.rows);
        for (field, label) in fields {
            let kept = old.iter().position(|row| row.field == *field).map(|at| old.swap_remove(at));
            let row = kept.unwrap_or_default();
            self.rows.push(FormRow { field: *field, label: label.clone(), ..row });
        }
        self.restore_texts();
    }

    /// Puts texts back into the form if their call is the present one again.
    fn restore_texts(&mut self) {
        let call = self.call;
        let Some(earlier) = self.earlier.take_if(|earlier| Some(earlier.call) == call) else {
            return;
        };
        for (field, _, text) in earlier.texts {
            if let Some(row) = self.rows.iter_mut().find(|row| row.field == field) {
                row.text = text;
                row.check_edit();
            }
        }
    }

    fn set_texts_aside(&mut self) {
        let typed = self.rows.drain(..).filter(|row| !row.text.is_empty());
        let texts: Vec<_> = typed.map(|row| (row.field, row.label, row.text)).collect();
        if let Some(call) = self.call.filter(|_| !texts.is_empty()) {
            self.earlier = Some(EarlierTexts { call, texts, error: String::new() });
        }
    }

    /// The values to send: those of all rows with a text.
    #[must_use]
    pub fn filled_values(&self) -> Vec<(u8, String)> {
        let filled = self.rows.iter().filter(|row| !row.text.is_empty());
        filled.map(|row| (row.field, row.text.clone())).collect()
    }

    /// Shows the reply for a field.
    pub fn apply_reply(&mut self, field: u8, reply: &Result<String, String>) {
        let Some(row) = self.rows.iter_mut().find(|row| row.field == field) else { return };
        match reply {
            Ok(_) => {
                let label = std::mem::take(&mut row.label);
                *row = FormRow { field, label, ..FormRow::default() };
                "Saved.".clone_into(&mut row.message);
            }
            Err(reason) => {
                row.message.clone_from(reason);
                row.is_error = true;
            }
        }
    }
}

impl FormRow {
    /// Checks the edited text. Restores the previous text if the new one is not allowed.
    pub fn check_edit(&mut self) {
        match check_value(&self.text) {
            Ok(()) => {
                self.allowed.clone_from(&self.text);
                self.message.clear();
                self.is_error = false;
            }
            Err(error) => {
                self.text.clone_from(&self.allowed);
                self.message = error.to_string();
                self.is_error = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> FieldForm {
        let mut form = FieldForm::default();
        form.set_fields(&[(1, "Caller name".to_owned()), (3, "Subject".to_owned())], Some(7));
        form
    }

    #[test]
    fn f4_forbidden_characters_are_refused_while_typing() {
        for bad in ["<", ">", "!", "=", "+", "%", "\t", "\u{7f}"] {
            let mut form = form();
            let row = &mut form.rows[0];
            "Mr. Mill".clone_into(&mut row.text);
            row.check_edit();
            row.text = format!("Mr. Mill{bad}");
            row.check_edit();
            assert_eq!((row.text.as_str(), row.is_error), ("Mr. Mill", true), "{bad:?}");
            assert!(row.message.contains("not allowed"), "{}", row.message);
            "Mr. Miller".clone_into(&mut row.text);
            row.check_edit();
            assert_eq!((row.text.as_str(), row.is_error), ("Mr. Miller", false));
        }
        assert_eq!(check_value(&"é".repeat(128)), Ok(()));
        assert_eq!(check_value(&"é".repeat(129)), Err(FieldError::TooLong(258)));
    }

    #[test]
    fn f2_row_is_empty_after_its_value_was_sent() {
        let mut form = form();
        "a".clone_into(&mut form.rows[0].text);
        assert_eq!(form.filled_values(), [(1, "a".to_owned())]);
        form.apply_reply(1, &Ok("ok".to_owned()));
        assert_eq!((form.filled_values().len(), form.rows[0].message.as_str()), (0, "Saved."));
        assert_eq!(form.rows[0].label, "Caller name");
        "b".clone_into(&mut form.rows[1].text);
        form.apply_reply(3, &Err("no-call: no call".to_owned()));
        assert_eq!(form.filled_values(), [(3, "b".to_owned())], "a refused value can be corrected");
    }

    #[test]
    fn f3_only_fields_that_may_be_set_have_a_row() {
        let mut form = form();
        "b".clone_into(&mut form.rows[1].text);
        form.set_fields(&[(3, "Subject".to_owned()), (4, "Order".to_owned())], Some(7));
        let rows: Vec<(u8, &str)> = form.rows.iter().map(|r| (r.field, r.text.as_str())).collect();
        assert_eq!(rows, [(3, "b"), (4, "")]);
        form.set_fields(&[], Some(7));
        assert!(form.rows.is_empty());
    }

    #[test]
    fn a4_text_typed_in_one_call_is_not_offered_for_the_next() {
        let fields = [(1, "Caller name".to_owned()), (3, "Subject".to_owned())];
        let mut form = form();
        "Mr. Miller".clone_into(&mut form.rows[0].text);
        form.set_fields(&fields, Some(7));
        assert_eq!(form.filled_values().len(), 1, "the same call, perhaps in its wrap-up");
        form.set_fields(&fields, Some(8));
        assert!(form.filled_values().is_empty() && form.rows.len() == 2);
        let earlier = form.earlier.clone().expect("the text is not lost");
        assert_eq!(earlier.call, 7);
        let text = (1, "Caller name".to_owned(), "Mr. Miller".to_owned());
        assert_eq!(earlier.texts, [text]);
        // A call in which nothing was typed takes nothing away.
        form.set_fields(&[], None);
        form.set_fields(&fields, Some(9));
        assert_eq!(form.earlier, Some(earlier));
        // Its own call may come back, after a consultation or a lost link.
        form.set_fields(&fields, Some(7));
        assert_eq!(form.filled_values(), [(1, "Mr. Miller".to_owned())]);
        assert_eq!(form.earlier, None);
    }
}
