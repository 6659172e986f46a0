//! Reads `[[board]]`: the voice boards, their channels, and what begins and ends calls on them.
//!
//! Which keys a channel has follows from the kind of its board: a card's channel has slots, a
//! simulated one plays a file. A key of the other kind is an error, not ignored: it shows that
//! somebody expects what will not happen.
//!
//! Whether channels and devices are unique over all boards is seen in `check`.

use crate::config::bounds::*;
use crate::config::error::Notes;
use crate::config::script::{ScriptStep, default_script, parse_script};
use crate::config::table::{At, Table};
use crate::config::{Activity, Audio, Board, BoardKind, Channel, CodecKind, Voice};

/// A board, and where its words stand.
pub(super) struct BoardDraft {
    /// Its channels are in `channels`.
    board: Board,
    pub name: At<String>,
    pub channels: Vec<ChannelDraft>,
}

/// A channel, and where its words stand.
pub(super) struct ChannelDraft {
    channel: Channel,
    pub id: Option<At<u16>>,
    pub device: At<String>,
    pub slots: Vec<At<u16>>,
}

impl BoardDraft {
    pub fn into_board(self) -> Board {
        let channels = self.channels.into_iter().map(|draft| draft.channel).collect();
        Board { channels, ..self.board }
    }

    /// Memory of its rings, bytes: 16 bit a side and frame, for the holdback.
    pub fn ring_bytes(&self, holdback_ms: u32) -> u64 {
        let sides: u64 = self.channels.iter().map(|draft| u64::from(draft.channel.sides)).sum();
        sides * 2 * u64::from(self.board.rate) * u64::from(holdback_ms) / 1000
    }
}

/// The word for `kind`, before its own keys are read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Alsa,
    Sim,
}

pub(super) fn read_boards(
    tables: Vec<Table<'_>>,
    audio: &Audio,
    notes: &mut Notes,
) -> Vec<BoardDraft> {
    tables.into_iter().map(|table| read_board(table, audio, notes)).collect()
}

fn read_board(mut table: Table<'_>, audio: &Audio, notes: &mut Notes) -> BoardDraft {
    let activities =
        [("cti", Activity::Cti), ("voice", Activity::Voice), ("script", Activity::Script)];
    let name = table.need_text("name", &NAME);
    let kind = table.need_word("kind", &[("alsa", Kind::Alsa), ("sim", Kind::Sim)]);
    let kind = kind.map(|kind| kind.value);
    let activity = table.word("activity", &activities).map_or(Activity::Cti, |word| word.value);
    let rate = read_rate(&mut table, audio.codec);
    let buffer_ms = table.number_or("buffer_ms", BUFFER_MS, 200);
    let board = Board {
        name: name.value.clone(),
        kind: read_kind(&mut table, kind, buffer_ms),
        rate,
        buffer_ms,
        activity,
        voice: read_voice(table.section("voice"), (activity, audio.holdback_ms), notes),
        channels: Vec::new(),
    };
    let rows = table.rows("channels", CHANNELS_MAX);
    if rows.is_empty() {
        table.missing("channels", "a list of channels, { id, device, … }");
    }
    let channels = rows.into_iter().map(|row| read_channel(row, kind, activity, notes)).collect();
    table.finish(notes);
    BoardDraft { board, name, channels }
}

fn read_rate(table: &mut Table<'_>, codec: CodecKind) -> u32 {
    let Some(rate) = table.number("rate", RATE) else { return 8000 };
    if codec == CodecKind::Opus && !OPUS_RATES.contains(&rate.value) {
        let allowed = OPUS_RATES.map(|rate| rate.to_string()).join(", ");
        let text = format!("found {}, allowed {allowed} with codec = \"opus\"", rate.value);
        table.unfit(rate.at, "rate", text);
    }
    rate.value
}

/// Notes a key that boards of the other kind have.
fn stray<T>(table: &mut Table<'_>, key: &str, found: Option<&At<T>>, owner: &str) {
    if let Some(found) = found {
        let text = format!("found on a board of another kind, allowed with kind = \"{owner}\"");
        table.unfit(found.at, key, text);
    }
}

fn read_kind(table: &mut Table<'_>, kind: Option<Kind>, buffer_ms: u32) -> BoardKind {
    let has_pcm = table.has("pcm");
    let pcm = table.text("pcm", &PATH);
    let period_ms = table.number("period_ms", PERIOD_MS);
    match kind {
        Some(Kind::Sim) => {
            stray(table, "pcm", pcm.as_ref(), "alsa");
            stray(table, "period_ms", period_ms.as_ref(), "alsa");
            return BoardKind::Sim;
        }
        Some(Kind::Alsa) if !has_pcm => table.missing("pcm", "an ALSA PCM, like \"hw:1,0\""),
        Some(Kind::Alsa) | None => {}
    }
    if let Some(found) = period_ms.as_ref().filter(|found| found.value > buffer_ms / 2) {
        let (least, most) = (PERIOD_MS.start(), buffer_ms / 2);
        let text = format!("found {}, allowed {least} to {most}, half the buffer_ms", found.value);
        table.unfit(found.at, "period_ms", text);
    }
    let period_ms = period_ms.map_or(PERIOD_MS_DEFAULT, |found| found.value);
    BoardKind::Alsa { pcm: pcm.map_or(String::new(), |pcm| pcm.value), period_ms }
}

fn read_voice(
    mut table: Table<'_>,
    (activity, holdback_ms): (Activity, u32),
    notes: &mut Notes,
) -> Voice {
    let default = Voice::default();
    let attack = table.number("attack_ms", ATTACK_MS);
    if let Some(found) = attack.as_ref().filter(|found| found.value > holdback_ms) {
        let text = "longer than holdback_ms: the beginning of every call is lost".to_owned();
        if activity == Activity::Voice {
            table.warn(found.at, "attack_ms", text);
        }
    }
    let voice = Voice {
        attack_ms: attack.map_or(default.attack_ms, |found| found.value),
        release_ms: table.number_or("release_ms", RELEASE_MS, default.release_ms),
        margin_db: table.number_or("margin_db", MARGIN_DB, default.margin_db),
    };
    table.finish(notes);
    voice
}

fn read_channel(
    mut table: Table<'_>,
    kind: Option<Kind>,
    activity: Activity,
    notes: &mut Notes,
) -> ChannelDraft {
    let id = table.need_number("id", CHANNEL_ID);
    let device = table.need_text("device", &NAME);
    let sides = table.word("sides", &[("mono", 1), ("stereo", 2)]);
    let has_source = table.has("source");
    let source = table.text("source", &PATH);
    let slots = table.numbers("slots", SLOT);
    match kind {
        Some(Kind::Sim) => {
            stray(&mut table, "slots", slots.as_ref(), "alsa");
            if !has_source {
                table.missing("source", "the WAV file that the sim board plays");
            }
        }
        Some(Kind::Alsa) => {
            stray(&mut table, "source", source.as_ref(), "sim");
            check_slots(&mut table, slots.as_ref(), sides.as_ref());
        }
        None => {}
    }
    let slots = slots.map_or(Vec::new(), |slots| slots.value);
    let channel = Channel {
        id: id.as_ref().map_or(0, |id| id.value),
        device: device.value.clone(),
        sides: sides.map_or(if slots.len() == 2 { 2 } else { 1 }, |sides| sides.value),
        slots: slots.iter().map(|slot| slot.value).collect(),
        source: source.map(|source| source.value.into()),
        script: read_script(&mut table, activity),
    };
    table.finish(notes);
    ChannelDraft { channel, id, device, slots }
}

/// One slot a side.
fn check_slots(table: &mut Table<'_>, slots: Option<&At<Vec<At<u16>>>>, sides: Option<&At<u8>>) {
    let Some(slots) = slots else {
        table.missing("slots", "the card's slots, one per side, like [0] or [0, 1]");
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
        table.unfit(slots.at, "slots", format!("found {count} slots, allowed {allowed}"));
    }
}

fn read_script(table: &mut Table<'_>, activity: Activity) -> Vec<ScriptStep> {
    let script = table.text("script", &TEXT);
    let mut steps = default_script();
    if let Some(script) = &script {
        match parse_script(&script.value) {
            Ok(read) => steps = read,
            Err(error) => table.wrong(script.at, "script", format!("found {error}")),
        }
    }
    if activity == Activity::Script {
        return steps;
    }
    if let Some(script) = script {
        let text = "found a script that nothing plays: it needs activity = \"script\"";
        table.warn(script.at, "script", text.to_owned());
    }
    Vec::new()
}
