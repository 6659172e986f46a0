//! A message of `Name: value` lines.

/// Names and values in the order in which they came. Names are compared without case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Adds one header.
    pub fn push(&mut self, name: String, value: String) {
        self.0.push((name, value));
    }

    /// Adds a line. A line without a colon has no meaning and is left out.
    pub fn push_line(&mut self, line: &str) {
        if let Some((name, value)) = line.split_once(':') {
            self.push(name.trim().to_owned(), value.trim().to_owned());
        }
    }

    /// The first value of this name, or an empty text.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The number of headers.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Values may be telephone numbers, so only names are shown.
impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}
