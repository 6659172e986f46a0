//! A call on a device, as the box should know it.

use protocol::Direction;
use std::fmt;

/// A call on one device. The box identifies a call by both parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey {
    pub device: String,
    pub call: String,
}

/// What is known of a call. `None` and an empty text both mean "not known".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CallFacts {
    pub ani: Option<String>,
    pub dnis: Option<String>,
    pub direction: Option<Direction>,
    pub group: Option<String>,
    pub gate: Option<String>,
    pub agent: Option<String>,
    /// Id of the call that this one is a consult leg of.
    pub of: Option<String>,
}

impl CallFacts {
    /// Keys of the line protocol, with their values.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("of", self.of.as_deref()),
            ("ani", self.ani.as_deref()),
            ("dnis", self.dnis.as_deref()),
            ("direction", self.direction.map(Direction::as_str)),
            ("group", self.group.as_deref()),
            ("gate", self.gate.as_deref()),
            ("agent", self.agent.as_deref()),
        ]
    }
}

/// Telephone numbers must not reach a log, so only the names of known values are shown.
impl fmt::Debug for CallFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.pairs().into_iter().filter(|(_, value)| value.is_some());
        f.debug_list().entries(known.map(|(key, _)| key)).finish()
    }
}

/// A call that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallState {
    pub facts: CallFacts,
    pub held: bool,
}

/// A call that began, changed or ended (`None`).
pub type CallChange = (CallKey, Option<CallState>);

/// A number as exchanges write it, or `None` for their words for "not known".
#[must_use]
pub fn known_number(text: &str) -> Option<String> {
    let unknown = ["", "-", "s", "<unknown>", "unknown", "anonymous", "0000000000"];
    let text = text.trim();
    (!unknown.contains(&text.to_ascii_lowercase().as_str())).then(|| text.to_owned())
}
