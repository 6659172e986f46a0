//! Reads `[[board]]`: voice boards, their channels, and the source of line activity.
//!
//! The kind of a board determines its keys, and its channels' keys: a card's channel has slots, a
//! simulated channel plays a file, and the calls of a `sip` board bring their channels. A key of
//! another kind is an error, because it would have no effect.
//!
//! `check` ensures that channels and devices are unique over all boards.

use crate::config::bounds::*;
use crate::config::error::Diagnostics;
use crate::config::script::{ScriptStep, default_script, parse_script};
use crate::config::sip::{
    SipKeys, SipOffsets, SipSettings, check_sip_keys, read_sip, slot_channels,
};
use crate::config::table::{Located, TableReader};
use crate::config::{
    ActivitySource, AudioSettings, BoardKind, BoardSettings, ChannelSettings, CodecKind,
    VoiceSettings,
};
use crate::limits::RING_SLACK_MS;

/// A board and the offsets of its values.
pub(super) struct BoardDraft {
    /// Board settings, with the channels in `channels`.
    board: BoardSettings,
    pub name: Located<String>,
    pub channels: Vec<ChannelDraft>,
    /// Offsets of the keys of kind `sip`.
    sip: Option<SipOffsets>,
}

/// A channel and the offsets of its values.
pub(super) struct ChannelDraft {
    channel: ChannelSettings,
    pub id: Option<Located<u16>>,
    pub device: Located<String>,
    pub slots: Vec<Located<u16>>,
    pub source: Option<Located<String>>,
}

impl ChannelDraft {
    pub fn sides(&self) -> u8 {
        self.channel.sides
    }
}

impl BoardDraft {
    /// Slots of a `sip` board are numbered from `next_slot` on, which then follows the last one.
    pub fn into_board(self, next_slot: &mut u16) -> BoardSettings {
        let calls = self.slots();
        let slots = slot_channels(calls, *next_slot);
        *next_slot = next_slot.saturating_add(calls);
        let channels = self.channels.into_iter().map(|draft| draft.channel).chain(slots).collect();
        BoardSettings { channels, ..self.board }
    }

    /// Calls that the board may carry at a time, if it is of kind `sip`; otherwise 0.
    pub fn slots(&self) -> u16 {
        self.sip().map_or(0, |(sip, _)| sip.calls)
    }

    /// The keys of kind `sip`, and their offsets.
    pub fn sip(&self) -> Option<(&SipSettings, &SipOffsets)> {
        match &self.board.kind {
            BoardKind::Sip(sip) => Some((sip, self.sip.as_ref()?)),
            BoardKind::Alsa { .. } | BoardKind::Sim => None,
        }
    }

    pub fn kind(&self) -> &BoardKind {
        &self.board.kind
    }

    pub fn rate(&self) -> u32 {
        self.board.rate
    }

    /// Memory of its rings in bytes: 16 bits per side and frame, for the holdback and the slack.
    pub fn ring_bytes(&self, holdback_ms: u32) -> u64 {
        let sides: u64 = self.channels.iter().map(|draft| u64::from(draft.channel.sides)).sum();
        let sides = sides + 2 * u64::from(self.slots());
        let ring_ms = u64::from(holdback_ms) + RING_SLACK_MS;
        sides * 2 * u64::from(self.board.rate) * ring_ms / 1000
    }
}

/// Value of `kind`, before its own keys are read.
#[derive(Clone, Copy, PartialEq)]
enum DeclaredKind {
    Alsa,
    Sim,
    Sip,
}

/// Keys that not every kind of board has.
struct KeysOfKinds {
    keys: &'static [&'static str],
    kinds: &'static [DeclaredKind],
    /// The kinds as errors name them.
    allowed: &'static str,
}

const KEYS_OF_KINDS: [KeysOfKinds; 3] = [
    KeysOfKinds {
        keys: &["pcm", "period_ms"],
        kinds: &[DeclaredKind::Alsa],
        allowed: "kind = \"alsa\"",
    },
    KeysOfKinds {
        keys: &["buffer_ms", "activity", "voice", "channels"],
        kinds: &[DeclaredKind::Alsa, DeclaredKind::Sim],
        allowed: "kind = \"alsa\" or \"sim\"",
    },
    KeysOfKinds {
        keys: &[
            "listen",
            "address",
            "ports",
            "calls",
            "peers",
            "devices",
            "codecs",
            "srtp",
            "mask_digits",
            "when_down",
        ],
        kinds: &[DeclaredKind::Sip],
        allowed: "kind = \"sip\"",
    },
];

/// Reports the keys that this kind of board does not have.
fn reject_keys_of_other_kinds(table: &mut TableReader<'_>, kind: DeclaredKind) {
    for row in KEYS_OF_KINDS.iter().filter(|row| !row.kinds.contains(&kind)) {
        for key in row.keys {
            if let Some(at) = table.value_offset(key) {
                let text =
                    format!("found on a board of another kind, allowed with {}", row.allowed);
                table.report_conflict(at, key, text);
            }
        }
    }
}

pub(super) fn read_boards(
    tables: Vec<TableReader<'_>>,
    audio: &AudioSettings,
    notes: &mut Diagnostics,
) -> Vec<BoardDraft> {
    tables.into_iter().map(|table| read_board(table, audio, notes)).collect()
}

fn read_board(
    mut table: TableReader<'_>,
    audio: &AudioSettings,
    notes: &mut Diagnostics,
) -> BoardDraft {
    let activities = [
        ("cti", ActivitySource::Cti),
        ("voice", ActivitySource::Voice),
        ("script", ActivitySource::Script),
    ];
    let name = table.require_text("name", &NAME);
    let kinds =
        [("alsa", DeclaredKind::Alsa), ("sim", DeclaredKind::Sim), ("sip", DeclaredKind::Sip)];
    let kind = table.require_word("kind", &kinds).map(|kind| kind.value);
    if let Some(kind) = kind {
        reject_keys_of_other_kinds(&mut table, kind);
    }
    let activity =
        table.read_word("activity", &activities).map_or(ActivitySource::Cti, |word| word.value);
    let rate = read_rate(&mut table, kind, audio.codec);
    let buffer_ms = table.read_number_or("buffer_ms", BUFFER_MS, 200);
    let SipKeys { settings: sip, offsets, mask_digits } = read_sip(&mut table);
    let is_sip = kind == Some(DeclaredKind::Sip);
    if is_sip {
        check_sip_keys(&mut table, &sip, &offsets);
    }
    let board = BoardSettings {
        name: name.value.clone(),
        kind: read_kind(&mut table, (kind, sip), buffer_ms),
        rate,
        buffer_ms,
        activity,
        voice: read_voice(table.read_section("voice"), (activity, audio.holdback_ms), notes),
        // Cards report no digits.
        mask_digits: is_sip && mask_digits,
        channels: Vec::new(),
    };
    let rows = table.read_rows("channels", CHANNELS_MAX);
    if rows.is_empty() && !is_sip {
        table.report_missing("channels", "a list of channels, { id, device, … }");
    }
    let rows = rows.into_iter().filter(|_| !is_sip);
    let channels = rows.map(|row| read_channel(row, kind, activity, notes)).collect();
    table.finish(notes);
    BoardDraft { board, name, channels, sip: is_sip.then_some(offsets) }
}

fn read_rate(table: &mut TableReader<'_>, kind: Option<DeclaredKind>, codec: CodecKind) -> u32 {
    let Some(rate) = table.read_number("rate", RATE) else { return 8000 };
    if kind == Some(DeclaredKind::Sip) && !SIP_RATES.contains(&rate.value) {
        let allowed = SIP_RATES.map(|rate| rate.to_string()).join(" or ");
        let text = format!("found {}, allowed {allowed} with kind = \"sip\"", rate.value);
        table.report_conflict(rate.offset, "rate", text);
    } else if codec == CodecKind::Opus && !OPUS_RATES.contains(&rate.value) {
        let allowed = OPUS_RATES.map(|rate| rate.to_string()).join(", ");
        let text = format!("found {}, allowed {allowed} with codec = \"opus\"", rate.value);
        table.report_conflict(rate.offset, "rate", text);
    }
    rate.value
}

/// Reports a key that only boards of the other kind have.
fn reject_misplaced_key<T>(
    table: &mut TableReader<'_>,
    key: &str,
    found: Option<&Located<T>>,
    owner: &str,
) {
    if let Some(found) = found {
        let text = format!("found on a board of another kind, allowed with kind = \"{owner}\"");
        table.report_conflict(found.offset, key, text);
    }
}

fn read_kind(
    table: &mut TableReader<'_>,
    (kind, sip): (Option<DeclaredKind>, SipSettings),
    buffer_ms: u32,
) -> BoardKind {
    let has_pcm = table.has_key("pcm");
    let pcm = table.read_text("pcm", &PATH);
    let period_ms = table.read_number("period_ms", PERIOD_MS);
    match kind {
        Some(DeclaredKind::Sim) => return BoardKind::Sim,
        Some(DeclaredKind::Sip) => return BoardKind::Sip(Box::new(sip)),
        Some(DeclaredKind::Alsa) if !has_pcm => {
            table.report_missing("pcm", "an ALSA PCM, like \"hw:1,0\"")
        }
        Some(DeclaredKind::Alsa) | None => {}
    }
    if let Some(found) = period_ms.as_ref().filter(|found| found.value > buffer_ms / 2) {
        let (least, most) = (PERIOD_MS.start(), buffer_ms / 2);
        let text = format!("found {}, allowed {least} to {most}, half the buffer_ms", found.value);
        table.report_conflict(found.offset, "period_ms", text);
    }
    let period_ms = period_ms.map_or(PERIOD_MS_DEFAULT, |found| found.value);
    BoardKind::Alsa { pcm: pcm.map_or(String::new(), |pcm| pcm.value), period_ms }
}

fn read_voice(
    mut table: TableReader<'_>,
    (activity, holdback_ms): (ActivitySource, u32),
    notes: &mut Diagnostics,
) -> VoiceSettings {
    let default = VoiceSettings::default();
    let attack = table.read_number("attack_ms", ATTACK_MS);
    if let Some(found) = attack.as_ref().filter(|found| found.value > holdback_ms) {
        let text = "longer than holdback_ms: the beginning of every call is lost".to_owned();
        if activity == ActivitySource::Voice {
            table.report_warning(found.offset, "attack_ms", text);
        }
    }
    let voice = VoiceSettings {
        attack_ms: attack.map_or(default.attack_ms, |found| found.value),
        release_ms: table.read_number_or("release_ms", RELEASE_MS, default.release_ms),
        margin_db: table.read_number_or("margin_db", MARGIN_DB, default.margin_db),
    };
    table.finish(notes);
    voice
}

fn read_channel(
    mut table: TableReader<'_>,
    kind: Option<DeclaredKind>,
    activity: ActivitySource,
    notes: &mut Diagnostics,
) -> ChannelDraft {
    let id = table.require_number("id", CHANNEL_ID);
    let device = table.require_text("device", &NAME);
    let sides = table.read_word("sides", &[("mono", 1), ("stereo", 2)]);
    let has_source = table.has_key("source");
    let source = table.read_text("source", &PATH);
    let slots = table.read_numbers("slots", SLOT);
    match kind {
        Some(DeclaredKind::Sim) => {
            reject_misplaced_key(&mut table, "slots", slots.as_ref(), "alsa");
            if !has_source {
                table.report_missing("source", "the WAV file that the sim board plays");
            }
        }
        Some(DeclaredKind::Alsa) => {
            reject_misplaced_key(&mut table, "source", source.as_ref(), "sim");
            check_slots(&mut table, slots.as_ref(), sides.as_ref());
        }
        Some(DeclaredKind::Sip) | None => {}
    }
    let slots = slots.map_or(Vec::new(), |slots| slots.value);
    let channel = ChannelSettings {
        id: id.as_ref().map_or(0, |id| id.value),
        device: device.value.clone(),
        sides: sides.map_or(if slots.len() == 2 { 2 } else { 1 }, |sides| sides.value),
        slots: slots.iter().map(|slot| slot.value).collect(),
        source: source.as_ref().map(|source| source.value.clone().into()),
        script: read_script(&mut table, activity),
    };
    table.finish(notes);
    ChannelDraft { channel, id, device, slots, source }
}

/// Checks that there is one slot per side.
fn check_slots(
    table: &mut TableReader<'_>,
    slots: Option<&Located<Vec<Located<u16>>>>,
    sides: Option<&Located<u8>>,
) {
    let Some(slots) = slots else {
        table.report_missing("slots", "the card's slots, one per side, like [0] or [0, 1]");
        return;
    };
    let count = slots.value.len();
    let allowed = match sides.map(|sides| sides.value) {
        Some(1) => "1, for sides is mono",
        Some(_) => "2, for sides is stereo",
        None => "1 or 2",
    };
    let fits = sides.map_or((1..=2).contains(&count), |sides| usize::from(sides.value) == count);
    if !fits {
        table.report_conflict(
            slots.offset,
            "slots",
            format!("found {count} slots, allowed {allowed}"),
        );
    }
}

fn read_script(table: &mut TableReader<'_>, activity: ActivitySource) -> Vec<ScriptStep> {
    let script = table.read_text("script", &TEXT);
    let mut steps = default_script();
    if let Some(script) = &script {
        match parse_script(&script.value) {
            Ok(read) => steps = read,
            Err(error) => table.report_invalid(script.offset, "script", format!("found {error}")),
        }
    }
    if activity == ActivitySource::Script {
        return steps;
    }
    if let Some(script) = script {
        let text = "found a script that the box does not play: it needs activity = \"script\"";
        table.report_warning(script.offset, "script", text.to_owned());
    }
    Vec::new()
}
