//! Text about people: numbers, names, addresses, and ids that a recording client makes from them.
//!
//! The text is wiped when it is dropped, and no `Debug` output shows it.

use std::fmt;

use zeroize::Zeroizing;

/// A text that may name a person.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct PersonalText(Zeroizing<String>);

impl PersonalText {
    /// The text itself. The caller keeps it out of logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PersonalText {
    fn from(text: &str) -> PersonalText {
        PersonalText(Zeroizing::new(text.to_owned()))
    }
}

impl fmt::Debug for PersonalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PersonalText({} bytes)", self.0.len())
    }
}
