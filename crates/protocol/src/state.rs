//! The `state` line, which the box sends to agents' and screen clients after every change.
//!
//! `AgentState` is all that an agent sees. The line always has every key, in the contract's order,
//! so that a client need not remember earlier lines. `AbilitySet` lists what the agent may do at
//! the moment. The box writes both and clients parse them. Unknown keys and abilities are skipped,
//! so that an older client can talk to a newer box.
//!
//! Nothing here decides what an agent may see or do.

use crate::kind::Direction;
use crate::line::Line;
use crate::reply::{self, LineWriter};
use std::fmt;

/// An action that an agent may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    RecordStart,
    RecordStop,
    BlackoutStart,
    BlackoutStop,
    ScreenStart,
    ScreenStop,
    /// Setting the user-defined field of this number, 1 to 15.
    Update(u8),
}

/// The words of all abilities but `update.N`, in the order of their bits.
const ABILITIES: [(&str, Ability); 6] = [
    ("record.start", Ability::RecordStart),
    ("record.stop", Ability::RecordStop),
    ("blackout.start", Ability::BlackoutStart),
    ("blackout.stop", Ability::BlackoutStop),
    ("screen.start", Ability::ScreenStart),
    ("screen.stop", Ability::ScreenStop),
];

impl Ability {
    /// All abilities, in the contract's order.
    pub fn all() -> impl Iterator<Item = Ability> {
        ABILITIES.iter().map(|(_, ability)| *ability).chain((1..=15).map(Ability::Update))
    }

    /// Parses `record.start`, `update.3`, …; `None` for any other word.
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

/// The abilities of an agent at the moment. The box refuses all other actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AbilitySet(u32);

impl AbilitySet {
    /// Adds an ability.
    pub fn insert(&mut self, ability: Ability) {
        self.0 |= ability.bit();
    }

    /// Removes an ability.
    pub fn remove(&mut self, ability: Ability) {
        self.0 &= !ability.bit();
    }

    /// Whether the set contains this ability.
    #[must_use]
    pub fn contains(self, ability: Ability) -> bool {
        self.0 & ability.bit() != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Parses the printed form. Unknown words are skipped.
    #[must_use]
    pub fn parse(list: &str) -> AbilitySet {
        list.split(',').filter_map(Ability::parse).collect()
    }
}

impl FromIterator<Ability> for AbilitySet {
    fn from_iter<I: IntoIterator<Item = Ability>>(items: I) -> AbilitySet {
        let mut can = AbilitySet::default();
        items.into_iter().for_each(|ability| can.insert(ability));
        can
    }
}

impl fmt::Display for AbilitySet {
    /// Writes comma separated words in the contract's order, or `-` for the empty set.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for ability in Ability::all().filter(|ability| self.contains(*ability)) {
            write!(out, "{separator}{ability}")?;
            separator = ",";
        }
        if self.is_empty() { out.write_str("-") } else { Ok(()) }
    }
}

/// Whether the screen of an agent is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ScreenMode {
    On,
    #[default]
    Off,
    /// The screen cannot be recorded (requirement E1); `note` gives the reason.
    Disabled,
}

impl ScreenMode {
    /// The word in a line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ScreenMode::On => "on",
            ScreenMode::Off => "off",
            ScreenMode::Disabled => "disabled",
        }
    }
}

/// Why a `state` line is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the box sent a state without {key}=")]
    Missing { key: &'static str },
    #[error("the box sent a state with the unknown value {key}={value}")]
    Unknown { key: &'static str, value: String },
}

/// The state of an agent's call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentState {
    pub call: Option<String>,
    pub direction: Option<Direction>,
    pub recording: bool,
    pub recording_id: Option<String>,
    /// The reasons of the recording, comma separated; empty if there are none.
    pub reasons: String,
    pub blackout: bool,
    /// How long the blackout has been on, in milliseconds of captured audio.
    pub blackout_ms: u64,
    pub screen: ScreenMode,
    pub can: AbilitySet,
    /// A message for the agent, such as the reason why the screen is not recorded.
    pub note: Option<String>,
    /// The box's number of the call whose record `update` would set; numbers are never used twice.
    pub update_call: Option<u64>,
    /// Whether the channel of the call is masked now, by any blackout.
    pub masked: bool,
    /// Whether the blackout was already on when this call began, and the agent has not confirmed
    /// it for this call.
    pub carried: bool,
    /// Whether the call is on hold.
    pub held: bool,
}

impl AgentState {
    /// Writes the `state` line.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_to(reply::begin_state(out)).end();
    }

    /// Adds all keys to a line: a `state`, or the `row` of `status`.
    ///
    /// Keys that the first version of the protocol lacks are written only if they apply.
    pub fn write_to<'a>(&self, line: LineWriter<'a>) -> LineWriter<'a> {
        let reasons = if self.reasons.is_empty() { "-" } else { &self.reasons };
        let line = line
            .pair("call", or_dash(&self.call))
            .pair("direction", self.direction.map_or("-", Direction::as_str))
            .pair("recording", format_on_off(self.recording))
            .pair("recording_id", or_dash(&self.recording_id))
            .pair("reasons", reasons)
            .pair("blackout", format_on_off(self.blackout))
            .pair("blackout_ms", self.blackout_ms)
            .pair("screen", self.screen.as_str())
            .pair("can", self.can)
            .pair("note", or_dash(&self.note))
            .pair("update_call", self.update_call.map_or("-".to_owned(), |n| n.to_string()));
        let flags = [("masked", self.masked), ("carried", self.carried), ("held", self.held)];
        flags.into_iter().filter(|(_, on)| *on).fold(line, |line, (key, _)| line.pair(key, "yes"))
    }

    /// Parses the `state` line.
    pub fn parse(line: &Line<'_>) -> Result<AgentState, StateError> {
        AgentState::from_pairs(|key| line.get(key))
    }

    /// Parses the pairs of a `state` line or of the `row` of `status`.
    pub fn from_pairs<'a>(
        get: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<AgentState, StateError> {
        let need = |key| get(key).ok_or(StateError::Missing { key });
        let screen = match need("screen")? {
            "on" => ScreenMode::On,
            "off" => ScreenMode::Off,
            "disabled" => ScreenMode::Disabled,
            value => return Err(unknown_value("screen", value)),
        };
        let direction = match need("direction")? {
            "-" => None,
            word => Some(Direction::parse(word).ok_or_else(|| unknown_value("direction", word))?),
        };
        Ok(AgentState {
            call: parse_text(need("call")?),
            direction,
            recording: parse_on_off("recording", need("recording")?)?,
            recording_id: parse_text(need("recording_id")?),
            reasons: parse_text(need("reasons")?).unwrap_or_default(),
            blackout: parse_on_off("blackout", need("blackout")?)?,
            blackout_ms: parse_number("blackout_ms", need("blackout_ms")?)?,
            screen,
            can: AbilitySet::parse(need("can")?),
            note: parse_text(need("note")?),
            // Older boxes do not send this key.
            update_call: match get("update_call") {
                None | Some("-") => None,
                Some(value) => Some(parse_number("update_call", value)?),
            },
            masked: get("masked") == Some("yes"),
            carried: get("carried") == Some("yes"),
            held: get("held") == Some("yes"),
        })
    }
}

/// The instructions for a screen capture client.
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
    /// Whether to record a black picture.
    pub blackout: bool,
    /// The wall-clock time when this state begins, RFC 3339, so that audio and screen agree.
    pub since: String,
    /// How long the client holds video back before sending it, in milliseconds.
    pub hold_ms: u64,
}

impl CaptureState {
    /// Writes the `state` line.
    pub fn write(&self, out: &mut Vec<u8>) {
        reply::begin_state(out)
            .pair("capture", format_on_off(self.capture))
            .pair("recording", or_dash(&self.recording))
            .pair("fps", self.fps)
            .pair("scale", self.scale)
            .pair("kbps", self.kbps)
            .pair("blackout", format_on_off(self.blackout))
            .pair("since", &self.since)
            .pair("hold_ms", self.hold_ms)
            .end();
    }

    /// Parses the `state` line.
    pub fn parse(line: &Line<'_>) -> Result<CaptureState, StateError> {
        let need = |key| line.get(key).ok_or(StateError::Missing { key });
        Ok(CaptureState {
            capture: parse_on_off("capture", need("capture")?)?,
            recording: parse_text(need("recording")?),
            fps: parse_number("fps", need("fps")?)?,
            scale: parse_number("scale", need("scale")?)?,
            kbps: parse_number("kbps", need("kbps")?)?,
            blackout: parse_on_off("blackout", need("blackout")?)?,
            since: need("since")?.to_owned(),
            // Older boxes do not send this key.
            hold_ms: line.get("hold_ms").map_or(Ok(0), |value| parse_number("hold_ms", value))?,
        })
    }
}

/// Formats a flag as `on` or `off`.
#[must_use]
pub fn format_on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn or_dash(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or("-")
}

fn parse_text(value: &str) -> Option<String> {
    (value != "-").then(|| value.to_owned())
}

fn parse_on_off(key: &'static str, value: &str) -> Result<bool, StateError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(unknown_value(key, value)),
    }
}

fn parse_number(key: &'static str, value: &str) -> Result<u64, StateError> {
    value.parse().map_err(|_| unknown_value(key, value))
}

fn unknown_value(key: &'static str, value: &str) -> StateError {
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
    fn the_empty_state_is_the_line_of_the_contract() {
        let line = written(|out| AgentState::default().write(out));
        let expected = "state call=- direction=- recording=off recording_id=- reasons=- \
            blackout=off blackout_ms=0 screen=off can=- note=- update_call=-";
        assert_eq!(line, expected);
        let parsed = AgentState::parse(&Line::parse(&line).expect("a line"));
        assert_eq!(parsed, Ok(AgentState::default()));
    }

    #[test]
    fn full_states_parse_to_the_same() {
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
            update_call: Some(17),
            masked: true,
            carried: true,
            held: true,
        };
        let line = written(|out| state.write(out));
        assert!(line.contains("can=record.start,record.stop,blackout.start,blackout.stop,screen"));
        let end = "update.15 note=\"screen: no capture client\" update_call=17 masked=yes \
                   carried=yes held=yes";
        assert!(line.ends_with(end), "{line}");
        assert_eq!(AgentState::parse(&Line::parse(&line).expect("a line")), Ok(state));
    }

    #[test]
    fn states_with_missing_or_unknown_values_are_refused() {
        let line = written(|out| AgentState::default().write(out));
        let all = line.split(' ').skip(1);
        for word in all.filter(|word| !word.starts_with("update_call=")) {
            let without = line.replace(word, "");
            let parsed = AgentState::parse(&Line::parse(&without).expect("a line"));
            assert!(matches!(parsed, Err(StateError::Missing { .. })), "{word}");
        }
        let odd = line.replace("blackout=off", "blackout=maybe").replace("can=-", "can=fly");
        let parsed = AgentState::parse(&Line::parse(&odd).expect("a line"));
        assert_eq!(parsed, Err(unknown_value("blackout", "maybe")));
    }

    #[test]
    fn every_ability_has_its_own_bit_and_word() {
        let mut seen = 0;
        for ability in Ability::all() {
            assert_eq!(seen & ability.bit(), 0, "{ability}");
            seen |= ability.bit();
            assert_eq!(Ability::parse(&ability.to_string()), Some(ability));
            assert_eq!(
                AbilitySet::parse(&AbilitySet(ability.bit()).to_string()),
                AbilitySet(ability.bit())
            );
        }
        assert_eq!(seen.count_ones(), 21);
        for bad in ["update.0", "update.16", "update.03", "record", "-", ""] {
            assert_eq!(Ability::parse(bad), None, "{bad}");
        }
        assert_eq!(AbilitySet::parse("fly,record.stop,update.99"), AbilitySet(2));
    }

    #[test]
    fn capture_states_parse_to_the_same() {
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
