//! The small vocabularies: who a session is, which way a call goes, how much is logged.
//!
//! Each is a closed list of lower-case words; a word once given keeps its meaning. Nothing here
//! says who may be what: that is for the box (certificate, peer, `[local]`) to decide.

use std::fmt;

/// What a session says it is in `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An agent's desktop client, or the portal for an agent.
    Agent,
    /// A screen capture client.
    Screen,
    /// The PBX's feed of call events.
    Cti,
    Supervisor,
    Technician,
    /// Read-only status.
    Monitor,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Kind; 6] =
        [Kind::Agent, Kind::Screen, Kind::Cti, Kind::Supervisor, Kind::Technician, Kind::Monitor];

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Agent => "agent",
            Kind::Screen => "screen",
            Kind::Cti => "cti",
            Kind::Supervisor => "supervisor",
            Kind::Technician => "technician",
            Kind::Monitor => "monitor",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// Which way a call goes, seen from the contact centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    In,
    Out,
}

impl Direction {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Direction> {
        [Direction::In, Direction::Out].into_iter().find(|direction| direction.word() == word)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// What a media file is fetched for (`media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To be heard at once.
    #[default]
    Play,
    /// To be kept by somebody else.
    Export,
}

impl Purpose {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Purpose::Play => "play",
            Purpose::Export => "export",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Purpose> {
        [Purpose::Play, Purpose::Export].into_iter().find(|purpose| purpose.word() == word)
    }
}

/// Which file of a recording is fetched (`media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What was heard, or a screen that was recorded by itself.
    #[default]
    Sound,
    /// What was seen.
    Screen,
}

impl Part {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Part::Sound => "sound",
            Part::Screen => "screen",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Part> {
        [Part::Sound, Part::Screen].into_iter().find(|part| part.word() == word)
    }
}

/// How much the log says (`log level`), from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// Every level, from least to most.
    pub const ALL: [Level; 5] =
        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// Reads the word; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_nothing_else_does() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.word()), Some(kind));
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.word()), Some(level));
        }
        for direction in [Direction::In, Direction::Out] {
            assert_eq!(Direction::parse(direction.word()), Some(direction));
        }
        assert_eq!(
            (Kind::parse("Agent"), Kind::parse(""), Direction::parse("-")),
            (None, None, None)
        );
        for purpose in [Purpose::Play, Purpose::Export] {
            assert_eq!(Purpose::parse(purpose.word()), Some(purpose));
        }
        assert_eq!((Level::parse("warning"), Purpose::parse("Play")), (None, None));
    }
}
