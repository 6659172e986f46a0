//! The `state` line: what an agent's or a screen client is told whenever something changed.
//!
//! `AgentState` is the whole of what an agent sees, always all keys, in the contract's order; there
//! is no part of it that a client must remember from an earlier line. `Can` lists what the agent
//! may do right now. Both are written by the box and read by clients; unknown keys and abilities
//! are skipped, so that a newer box can talk to an older client.
//!
//! Nothing here decides what an agent may see or do.

use crate::kind::Direction;
use crate::line::Line;
use crate::reply::{self, LineWriter};
use std::fmt;

/// One thing that an agent can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    RecordStart,
    RecordStop,
    BlackoutStart,
    BlackoutStop,
    ScreenStart,
    ScreenStop,
    /// Setting a user-defined field, 1 to 15.
    Update(u8),
}

/// The words without `update.N`, in the order of their bits.
const ABILITIES: [(&str, Ability); 6] = [
    ("record.start", Ability::RecordStart),
    ("record.stop", Ability::RecordStop),
    ("blackout.start", Ability::BlackoutStart),
    ("blackout.stop", Ability::BlackoutStop),
    ("screen.start", Ability::ScreenStart),
    ("screen.stop", Ability::ScreenStop),
];

impl Ability {
    /// Every ability, in the contract's order.
    pub fn all() -> impl Iterator<Item = Ability> {
        ABILITIES.iter().map(|(_, ability)| *ability).chain((1..=15).map(Ability::Update))
    }

    /// Reads `record.start`, `update.3`, …; anything else is `None`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Ability> {
        match word.strip_prefix("update.") {
            Some(number) => (1..=15).find(|n: &u8| n.to_string() == number).map(Ability::Update),
            None => ABILITIES.iter().find(|(name, _)| *name == word).map(|(_, ability)| *ability),
        }
    }

    fn bit(self) -> u32 {
        match self {
            Ability::RecordStart => 1,
            Ability::RecordStop => 1 << 1,
            Ability::BlackoutStart => 1 << 2,
            Ability::BlackoutStop => 1 << 3,
            Ability::ScreenStart => 1 << 4,
            Ability::ScreenStop => 1 << 5,
            Ability::Update(n) => {
                assert!((1..=15).contains(&n), "field {n}");
                1 << (5 + u32::from(n))
            }
        }
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ability::Update(n) => write!(out, "update.{n}"),
            other => ABILITIES
                .iter()
                .filter(|(_, ability)| ability == other)
                .try_for_each(|(name, _)| out.write_str(name)),
        }
    }
}

/// What the agent may do right now: what is in it is not refused, what is not in it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Can(u32);

impl Can {
    /// Adds one.
    pub fn insert(&mut self, ability: Ability) {
        self.0 |= ability.bit();
    }

    /// Takes one away.
    pub fn remove(&mut self, ability: Ability) {
        self.0 &= !ability.bit();
    }

    /// Whether this one is in it.
    #[must_use]
    pub fn has(self, ability: Ability) -> bool {
        self.0 & ability.bit() != 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads the printed form; words it does not know are skipped.
    #[must_use]
    pub fn parse(list: &str) -> Can {
        list.split(',').filter_map(Ability::parse).collect()
    }
}

impl FromIterator<Ability> for Can {
    fn from_iter<I: IntoIterator<Item = Ability>>(items: I) -> Can {
        let mut can = Can::default();
        items.into_iter().for_each(|ability| can.insert(ability));
        can
    }
}

impl fmt::Display for Can {
    /// Comma separated words in the contract's order, `-` when there are none.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ability in Ability::all().filter(|ability| self.has(*ability)) {
            write!(out, "{separator}{ability}")?;
            separator = ",";
        }
        if self.is_empty() { out.write_str("-") } else { Ok(()) }
    }
}

/// Whether the agent's screen is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScreenMode {
    On,
    #[default]
    Off,
    /// It cannot be recorded (requirement E1); `note` says why.
    Disabled,
}

impl ScreenMode {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ScreenMode::On => "on",
            ScreenMode::Off => "off",
            ScreenMode::Disabled => "disabled",
        }
    }
}

/// Why a state line could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the state has no {key}=")]
    Missing { key: &'static str },
    #[error("the state has {key}={value}")]
    Unknown { key: &'static str, value: String },
}

/// What an agent's client shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState {
    pub call: Option<String>,
    pub direction: Option<Direction>,
    pub recording: bool,
    pub recording_id: Option<String>,
    /// Comma separated; empty when there are none.
    pub reasons: String,
    pub blackout: bool,
    /// How long the blackout has been on, milliseconds of captured audio.
    pub blackout_ms: u64,
    pub screen: ScreenMode,
    pub can: Can,
    /// Something the agent should know, such as why the screen is not recorded.
    pub note: Option<String>,
}

impl AgentState {
    /// Writes the `state` line.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_to(reply::state(out)).end();
    }

    /// Adds all keys to a line, which may be a `row` (the answer to `status`).
    pub fn write_to<'a>(&self, line: LineWriter<'a>) -> LineWriter<'a> {
        let reasons = if self.reasons.is_empty() { "-" } else { &self.reasons };
        line.pair("call", or_dash(&self.call))
            .pair("direction", self.direction.map_or("-", Direction::word))
            .pair("recording", on_off(self.recording))
            .pair("recording_id", or_dash(&self.recording_id))
            .pair("reasons", reasons)
            .pair("blackout", on_off(self.blackout))
            .pair("blackout_ms", self.blackout_ms)
            .pair("screen", self.screen.word())
            .pair("can", self.can)
            .pair("note", or_dash(&self.note))
    }

    /// Reads the `state` line.
    pub fn parse(line: &Line<'_>) -> Result<AgentState, StateError> {
        AgentState::from_pairs(|key| line.get(key))
    }

    /// Reads the pairs of a `state` line or of the row of `status`.
    pub fn from_pairs<'a>(
        get: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<AgentState, StateError> {
        let need = |key| get(key).ok_or(StateError::Missing { key });
        let screen = match need("screen")? {
            "on" => ScreenMode::On,
            "off" => ScreenMode::Off,
            "disabled" => ScreenMode::Disabled,
            value => return Err(unknown("screen", value)),
        };
        let direction = match need("direction")? {
            "-" => None,
            word => Some(Direction::parse(word).ok_or_else(|| unknown("direction", word))?),
        };
        Ok(AgentState {
            call: text(need("call")?),
            direction,
            recording: is_on("recording", need("recording")?)?,
            recording_id: text(need("recording_id")?),
            reasons: text(need("reasons")?).unwrap_or_default(),
            blackout: is_on("blackout", need("blackout")?)?,
            blackout_ms: count("blackout_ms", need("blackout_ms")?)?,
            screen,
            can: Can::parse(need("can")?),
            note: text(need("note")?),
        })
    }
}

/// What a screen capture client is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureState {
    pub capture: bool,
    pub recording: Option<String>,
    /// Frames per second.
    pub fps: u64,
    /// Percent of the screen's size.
    pub scale: u64,
    /// Kilobit per second.
    pub kbps: u64,
    /// The picture is to be black.
    pub blackout: bool,
    /// From when on this holds, RFC 3339; wall-clock time, so that audio and screen agree.
    pub since: String,
    /// How long the client holds video back before it sends it, milliseconds.
    pub hold_ms: u64,
}

impl CaptureState {
    /// Writes the `state` line.
    pub fn write(&self, out: &mut Vec<u8>) {
        reply::state(out)
            .pair("capture", on_off(self.capture))
            .pair("recording", or_dash(&self.recording))
            .pair("fps", self.fps)
            .pair("scale", self.scale)
            .pair("kbps", self.kbps)
            .pair("blackout", on_off(self.blackout))
            .pair("since", &self.since)
            .pair("hold_ms", self.hold_ms)
            .end();
    }

    /// Reads the `state` line.
    pub fn parse(line: &Line<'_>) -> Result<CaptureState, StateError> {
        let need = |key| line.get(key).ok_or(StateError::Missing { key });
        Ok(CaptureState {
            capture: is_on("capture", need("capture")?)?,
            recording: text(need("recording")?),
            fps: count("fps", need("fps")?)?,
            scale: count("scale", need("scale")?)?,
            kbps: count("kbps", need("kbps")?)?,
            blackout: is_on("blackout", need("blackout")?)?,
            since: need("since")?.to_owned(),
            // Boxes before it did not say.
            hold_ms: line.get("hold_ms").map_or(Ok(0), |value| count("hold_ms", value))?,
        })
    }
}

/// `on` or `off`.
#[must_use]
pub fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn or_dash(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("-")
}

fn text(value: &str) -> Option<String> {
    (value != "-").then(|| value.to_owned())
}

fn is_on(key: &'static str, value: &str) -> Result<bool, StateError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(unknown(key, value)),
    }
}

fn count(key: &'static str, value: &str) -> Result<u64, StateError> {
    value.parse().map_err(|_| unknown(key, value))
}

fn unknown(key: &'static str, value: &str) -> StateError {
    StateError::Unknown { key, value: value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8").trim_end_matches('\n').to_owned()
    }

    #[test]
    fn an_empty_state_is_the_contracts_line() {
        let line = written(|out| AgentState::default().write(out));
        let expected = "state call=- direction=- recording=off recording_id=- reasons=- \
            blackout=off blackout_ms=0 screen=off can=- note=-";
        assert_eq!(line, expected);
        let parsed = AgentState::parse(&Line::parse(&line).expect("a line"));
        assert_eq!(parsed, Ok(AgentState::default()));
    }

    #[test]
    fn a_full_state_reads_back() {
        let state = AgentState {
            call: Some("c \"7\"".to_owned()),
            direction: Some(Direction::In),
            recording: true,
            recording_id: Some("abc".to_owned()),
            reasons: "agent,schedule".to_owned(),
            blackout: true,
            blackout_ms: u64::MAX,
            screen: ScreenMode::Disabled,
            can: Ability::all().collect(),
            note: Some("screen: no capture client".to_owned()),
        };
        let line = written(|out| state.write(out));
        assert!(line.contains("can=record.start,record.stop,blackout.start,blackout.stop,screen"));
        assert!(line.ends_with("update.15 note=\"screen: no capture client\""), "{line}");
        assert_eq!(AgentState::parse(&Line::parse(&line).expect("a line")), Ok(state));
    }

    #[test]
    fn a_state_that_lacks_something_is_told_apart() {
        let line = written(|out| AgentState::default().write(out));
        for word in line.split(' ').skip(1) {
            let without = line.replace(word, "");
            let parsed = AgentState::parse(&Line::parse(&without).expect("a line"));
            assert!(matches!(parsed, Err(StateError::Missing { .. })), "{word}");
        }
        let odd = line.replace("blackout=off", "blackout=maybe").replace("can=-", "can=fly");
        let parsed = AgentState::parse(&Line::parse(&odd).expect("a line"));
        assert_eq!(parsed, Err(unknown("blackout", "maybe")));
    }

    #[test]
    fn every_ability_has_a_bit_and_a_word_of_its_own() {
        let mut seen = 0;
        for ability in Ability::all() {
            assert_eq!(seen & ability.bit(), 0, "{ability}");
            seen |= ability.bit();
            assert_eq!(Ability::parse(&ability.to_string()), Some(ability));
            assert_eq!(Can::parse(&Can(ability.bit()).to_string()), Can(ability.bit()));
        }
        assert_eq!(seen.count_ones(), 21);
        for bad in ["update.0", "update.16", "update.03", "record", "-", ""] {
            assert_eq!(Ability::parse(bad), None, "{bad}");
        }
        assert_eq!(Can::parse("fly,record.stop,update.99"), Can(2));
    }

    #[test]
    fn a_capture_state_reads_back() {
        let state = CaptureState {
            capture: true,
            recording: Some("abc".to_owned()),
            fps: 5,
            scale: 100,
            kbps: 100,
            blackout: true,
            since: "2026-11-22T12:00:00.000Z".to_owned(),
            hold_ms: 2250,
        };
        let line = written(|out| state.write(out));
        assert_eq!(CaptureState::parse(&Line::parse(&line).expect("a line")), Ok(state));
    }
}
