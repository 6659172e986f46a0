//! The small vocabularies: kinds of session, call directions, log levels and others.
//!
//! Each is a fixed list of lower-case words whose meaning never changes. Nothing here decides which
//! kind of session a client may open; the box does (by certificate, peer and `[local]`).

use std::fmt;

/// The kind of a session, an argument of `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An agent's desktop client, or the portal for an agent.
    Agent,
    /// A screen capture client.
    Screen,
    /// The call events of a PBX (computer telephony integration).
    Cti,
    /// A supervisor, or the portal for a supervisor.
    Supervisor,
    /// An administrator of the box.
    Technician,
    /// A program that reads the status.
    Monitor,
}

impl Kind {
    /// All kinds, in the order of the manual.
    pub const ALL: [Kind; 6] =
        [Kind::Agent, Kind::Screen, Kind::Cti, Kind::Supervisor, Kind::Technician, Kind::Monitor];

    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Agent => "agent",
            Kind::Screen => "screen",
            Kind::Cti => "cti",
            Kind::Supervisor => "supervisor",
            Kind::Technician => "technician",
            Kind::Monitor => "monitor",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The direction of a call, from the view of the contact centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    In,
    Out,
}

impl Direction {
    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Direction> {
        [Direction::In, Direction::Out].into_iter().find(|direction| direction.as_str() == word)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The purpose of fetching a media file (`media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To play it.
    #[default]
    Play,
    /// To store it outside the box.
    Export,
}

impl Purpose {
    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Play => "play",
            Purpose::Export => "export",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Purpose> {
        [Purpose::Play, Purpose::Export].into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// A media file of a recording (`media`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaPart {
    /// The audio, or the video of a screen that was recorded without a call.
    #[default]
    Audio,
    /// The video of the screen during a call.
    Screen,
}

impl MediaPart {
    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MediaPart::Audio => "sound",
            MediaPart::Screen => "screen",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<MediaPart> {
        [MediaPart::Audio, MediaPart::Screen].into_iter().find(|part| part.as_str() == word)
    }
}

/// The verbosity of the log (`log level`), from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// All levels, from least to most.
    pub const ALL: [Level; 5] =
        [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// Parses the word; `None` for any other.
    #[must_use]
    pub fn parse(word: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_and_no_other_does() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        for level in Level::ALL {
            assert_eq!(Level::parse(level.as_str()), Some(level));
        }
        for direction in [Direction::In, Direction::Out] {
            assert_eq!(Direction::parse(direction.as_str()), Some(direction));
        }
        assert_eq!(
            (Kind::parse("Agent"), Kind::parse(""), Direction::parse("-")),
            (None, None, None)
        );
        for purpose in [Purpose::Play, Purpose::Export] {
            assert_eq!(Purpose::parse(purpose.as_str()), Some(purpose));
        }
        assert_eq!((Level::parse("warning"), Purpose::parse("Play")), (None, None));
    }
}
