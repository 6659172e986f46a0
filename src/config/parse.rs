//! Parses the text of a configuration file and reports all errors at once.
//!
//! There are three steps. The TOML parser recovers from syntax errors, so that one does not hide
//! others. Each table is read key by key (see `table`) into drafts that keep offsets. Then
//! cross-checks run (see `check`). A `Config` is returned only if no step found an error.

use crate::config::board::{BoardDraft, read_boards};
use crate::config::bounds::*;
use crate::config::check;
use crate::config::error::{ConfigError, Diagnostic, DiagnosticKind, Diagnostics, quote_text};
use crate::config::listen::read_listen;
use crate::config::machine::{Machine, check_machine};
use crate::config::people::PeopleDraft;
use crate::config::script::parse_time_ms;
use crate::config::sip::SipOffsets;
use crate::config::table::{Located, TableReader};
use crate::config::*;
use jiff::tz::TimeZone;
use toml::de::DeTable;

/// Client kinds, as protocol words.
const KINDS: [&str; 6] = ["agent", "screen", "cti", "supervisor", "monitor", "technician"];

/// Keys of `[fields]`.
const FIELDS: [&str; 15] =
    ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];

/// A configuration as read from the file, before the cross-checks.
pub(super) struct ConfigDraft {
    config: Config,
    pub listen: Vec<Located<ListenSettings>>,
    pub boards: Vec<BoardDraft>,
    pub people: PeopleDraft,
    /// Offset of `[on_demand] enabled`, if on-demand is enabled.
    pub on_demand_at: Option<usize>,
    /// Offset of `[box] data`, or of its section.
    pub data_at: usize,
    /// Offset of `[store] reserve_mb`, or of its section.
    pub reserve_at: usize,
}

/// Parses a configuration. Returns it with its warnings, or all its errors, both sorted by line.
pub fn parse(text: &str) -> Result<(Config, Vec<ConfigError>), Vec<ConfigError>> {
    parse_for(text, None)
}

/// Parses a configuration as `parse` does, and checks it against a machine.
pub fn parse_for(
    text: &str,
    machine: Option<&dyn Machine>,
) -> Result<(Config, Vec<ConfigError>), Vec<ConfigError>> {
    // An editor on Windows may begin the file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > TEXT_BYTES_MAX {
        let text = format!("found {} bytes, allowed at most {TEXT_BYTES_MAX}", text.len());
        return Err(vec![ConfigError { line: 1, column: 1, key: String::new(), text }]);
    }
    let mut notes = Diagnostics::new(text);
    let (root, broken) = DeTable::parse_recoverable(text);
    for error in broken {
        let at = error.span().map_or(text.len(), |span| span.start);
        let text = error.message().to_owned();
        notes.push(Diagnostic {
            offset: at,
            kind: DiagnosticKind::Syntax,
            key: String::new(),
            text,
        });
    }
    let mut draft = read_all(TableReader::from_root(root.into_inner()), &mut notes);
    check::check_draft(&mut draft, &mut notes);
    if let Some(machine) = machine {
        check_machine(&draft, machine, &mut notes);
    }
    let warnings = notes.into_result()?;
    Ok((draft.into_config(), warnings))
}

impl ConfigDraft {
    pub fn holdback_ms(&self) -> u32 {
        self.config.audio.holdback_ms
    }

    pub fn data_folder(&self) -> &Path {
        &self.config.data
    }

    pub fn reserve_mb(&self) -> u32 {
        self.config.store.reserve_mb
    }

    /// The `sip` boards, and the offsets of their keys.
    pub fn sip_boards(&self) -> impl Iterator<Item = (&SipSettings, &SipOffsets)> {
        self.boards.iter().filter_map(BoardDraft::sip)
    }

    fn into_config(self) -> Config {
        let mut slot = FIRST_SLOT_ID;
        Config {
            listen: self.listen.into_iter().map(|found| found.value).collect(),
            boards: self.boards.into_iter().map(|board| board.into_board(&mut slot)).collect(),
            agents: self.people.agents.into_iter().map(|draft| draft.agent).collect(),
            workstations: self.people.workstations.into_iter().map(Into::into).collect(),
            schedules: self.people.schedules.into_iter().map(|draft| draft.schedule).collect(),
            technicians: self.people.technicians.into_iter().map(Into::into).collect(),
            ..self.config
        }
    }
}

fn read_all(mut root: TableReader<'_>, notes: &mut Diagnostics) -> ConfigDraft {
    let section = read_box(root.read_section("box"), notes);
    let (on_demand, on_demand_at) = read_on_demand(root.read_section("on_demand"), notes);
    let listen = root.read_rows("listen", LISTENERS_MAX);
    let listen = listen.into_iter().filter_map(|table| read_listen(table, notes)).collect();
    let audio = read_audio(root.read_section("audio"), notes);
    let blackout = read_blackout(root.read_section("blackout"), audio.holdback_ms, notes);
    let boards = read_boards(root.read_rows("board", BOARDS_MAX), &audio, notes);
    let (store, reserve_at) = read_store(root.read_section("store"), notes);
    let config = Config {
        name: section.name,
        data: section.data.value.into(),
        time_zone: section.time_zone,
        on_demand,
        listen: Vec::new(),
        local: read_local(root.read_section("local"), notes),
        limits: read_limits(root.read_section("limits"), notes),
        audio,
        blackout,
        store,
        boards: Vec::new(),
        agents: Vec::new(),
        workstations: Vec::new(),
        schedules: Vec::new(),
        fields: read_fields(root.read_section("fields"), notes),
        screen: read_screen(root.read_section("screen"), notes),
        technicians: Vec::new(),
    };
    let people = PeopleDraft::from_root(&mut root, notes);
    root.finish(notes);
    let data_at = section.data.offset;
    ConfigDraft { config, listen, boards, people, on_demand_at, data_at, reserve_at }
}

/// The section `[box]`.
struct BoxSection {
    name: String,
    data: Located<String>,
    time_zone: TimeZone,
}

fn read_box(mut table: TableReader<'_>, notes: &mut Diagnostics) -> BoxSection {
    let name = table.read_text("name", &BOX_NAME).map_or("hushbox".to_owned(), |name| name.value);
    let data = table.read_text("data", &PATH);
    let data = data.unwrap_or(Located { offset: table.offset, value: "data".to_owned() });
    let mut time_zone = TimeZone::UTC;
    if let Some(zone) = table.read_text("time_zone", &TIME_ZONE) {
        match TimeZone::get(&zone.value) {
            Ok(found) => time_zone = found,
            Err(_) => {
                let text = format!("{:?} is no time zone, such as Europe/Berlin", zone.value);
                table.report_invalid(zone.offset, "time_zone", text);
            }
        }
    }
    table.finish(notes);
    BoxSection { name, data, time_zone }
}

fn read_on_demand(
    mut table: TableReader<'_>,
    notes: &mut Diagnostics,
) -> (OnDemandSettings, Option<usize>) {
    let enabled = table.read_flag("enabled");
    let on_demand = OnDemandSettings {
        enabled: enabled.as_ref().is_some_and(|flag| flag.value),
        desktop: table.read_flag_or("desktop", true),
        web: table.read_flag_or("web", true),
    };
    let at = enabled.filter(|flag| flag.value).map(|flag| flag.offset);
    if let Some(at) = at.filter(|_| !on_demand.desktop && !on_demand.web) {
        let text = "found true, but neither desktop nor web is: no agent can use it".to_owned();
        table.report_warning(at, "enabled", text);
    }
    table.finish(notes);
    (on_demand, at)
}

fn read_local(mut table: TableReader<'_>, notes: &mut Diagnostics) -> LocalSettings {
    let kinds = table.read_texts("kinds", &TEXT, LIST_MAX);
    for kind in kinds.iter().filter(|kind| !KINDS.contains(&kind.value.as_str())) {
        let text = format!("found {}, allowed {}", quote_text(&kind.value), KINDS.join(", "));
        table.report_invalid(kind.offset, "kinds", text);
    }
    let local = LocalSettings {
        kinds: kinds.into_iter().map(|kind| kind.value).collect(),
        portal_user: table.read_text("portal_user", &NAME).map(|user| user.value),
        cti_user: table.read_text("cti_user", &NAME).map(|user| user.value),
        technician_group: table.read_text("technician_group", &NAME).map(|group| group.value),
    };
    table.finish(notes);
    local
}

fn read_limits(mut table: TableReader<'_>, notes: &mut Diagnostics) -> SessionLimits {
    let sessions = table.read_number_or("sessions", SESSIONS, 1000);
    let per_address = table.read_number("sessions_per_address", SESSIONS);
    if let Some(found) = per_address.as_ref().filter(|found| found.value > sessions) {
        let text = format!("found {}, allowed 1 to {sessions}, the sessions", found.value);
        table.report_conflict(found.offset, "sessions_per_address", text);
    }
    let limits = SessionLimits {
        sessions,
        sessions_per_address: per_address.map_or(64.min(sessions), |found| found.value),
        handshakes_per_s: table.read_number_or("handshakes_per_s", HANDSHAKES_PER_S, 200),
    };
    table.finish(notes);
    limits
}

/// Reads a look-back duration; at most the holdback, because the ring holds nothing older.
fn read_lookback_ms(
    table: &mut TableReader<'_>,
    key: &'static str,
    holdback_ms: u32,
) -> Option<u32> {
    let past = table.read_number(key, 0..=*HOLDBACK_MS.end())?;
    if past.value > holdback_ms {
        let text = format!("found {}, allowed 0 to {holdback_ms}, the holdback_ms", past.value);
        table.report_conflict(past.offset, key, text);
    }
    Some(past.value)
}

fn read_audio(mut table: TableReader<'_>, notes: &mut Diagnostics) -> AudioSettings {
    let codecs = [("opus", CodecKind::Opus), ("ulaw", CodecKind::Ulaw), ("pcm", CodecKind::Pcm)];
    let holdback_ms = table.read_number_or("holdback_ms", HOLDBACK_MS, 3000);
    let audio = AudioSettings {
        holdback_ms,
        codec: table.read_word("codec", &codecs).map_or(CodecKind::Opus, |codec| codec.value),
        bitrate: table.read_number_or("bitrate", BITRATE, 16_000),
        preroll_ms: read_lookback_ms(&mut table, "preroll_ms", holdback_ms).unwrap_or(0),
        recall_ms: read_recall_ms(&mut table),
        wrapup_s: table.read_number_or("wrapup_s", WRAPUP_S, 30),
        stale_call_s: table.read_number_or("stale_call_s", STALE_CALL_S, 7200),
        max_call_s: Some(table.read_number_or("max_call_s", MAX_CALL_S, 0)).filter(|s| *s > 0),
    };
    table.finish(notes);
    audio
}

fn read_recall_ms(table: &mut TableReader<'_>) -> Option<u32> {
    let recall = table.read_text("recall", &TEXT)?;
    if recall.value == "off" {
        return None;
    }
    let ms = parse_time_ms(&recall.value);
    let ms = ms.filter(|ms| ms % 1000 == 0 && RECALL_S.contains(&(ms / 1000)));
    if ms.is_none() {
        let text = format!(
            "found {}, allowed \"off\" or 1s to 4h, like \"60m\"",
            quote_text(&recall.value)
        );
        table.report_invalid(recall.offset, "recall", text);
    }
    ms
}

fn read_blackout(
    mut table: TableReader<'_>,
    holdback_ms: u32,
    notes: &mut Diagnostics,
) -> BlackoutSettings {
    let scopes = [("agent", BlackoutScope::Agent), ("call", BlackoutScope::Call)];
    let lead_ms = read_lookback_ms(&mut table, "lead_ms", holdback_ms);
    let blackout = BlackoutSettings {
        lead_ms: lead_ms.unwrap_or(2000.min(holdback_ms)),
        max_s: table.read_number_or("max_s", BLACKOUT_MAX_S, 300),
        end_without_call_s: table.read_number_or("end_without_call_s", END_WITHOUT_CALL_S, 60),
        scope: table.read_word("scope", &scopes).map_or(BlackoutScope::Agent, |scope| scope.value),
    };
    table.finish(notes);
    blackout
}

/// Reads `[store]`, and the offset of `reserve_mb`.
fn read_store(mut table: TableReader<'_>, notes: &mut Diagnostics) -> (StoreSettings, usize) {
    let recipients = table.read_texts("recipients", &SECRET, RECIPIENTS_MAX);
    for recipient in &recipients {
        // Never quoted, because the value may be the secret identity, entered by mistake.
        let good = recipient.value.starts_with("age1")
            && recipient.value.parse::<age::x25519::Recipient>().is_ok();
        if !good {
            let text = "found something else, allowed public keys, age1…, made by hushbox keygen";
            table.report_invalid(recipient.offset, "recipients", text.to_owned());
        }
    }
    let reserve_mb = table.read_number("reserve_mb", RESERVE_MB);
    let reserve_at = reserve_mb.as_ref().map_or(table.offset, |found| found.offset);
    let store = StoreSettings {
        seal: table.read_flag_or("seal", true),
        recipients: recipients.into_iter().map(|recipient| recipient.value).collect(),
        reserve_mb: reserve_mb.map_or(512, |found| found.value),
    };
    table.finish(notes);
    (store, reserve_at)
}

fn read_fields(mut table: TableReader<'_>, notes: &mut Diagnostics) -> [Option<String>; 15] {
    let labels = FIELDS.map(|field| table.read_text(field, &NAME).map(|label| label.value));
    table.finish(notes);
    labels
}

fn read_screen(mut table: TableReader<'_>, notes: &mut Diagnostics) -> ScreenSettings {
    let screen = ScreenSettings {
        fps: table.read_number_or("fps", SCREEN_FPS, 5),
        scale: table.read_number_or("scale", SCREEN_SCALE, 100),
        kbps: table.read_number_or("kbps", SCREEN_KBPS, 100),
    };
    table.finish(notes);
    screen
}
