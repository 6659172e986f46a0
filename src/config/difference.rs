//! Compares two configurations key by key: what a reload changes, and what waits for a restart.
//!
//! The table has a row for every key. Keys that determine memory, devices or files take effect
//! only at a start; `keep_start_keys` keeps their running values.

use super::sip::LiveSipKeys;
use super::{Agent, BoardSettings, Config, ListenSettings};

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Applies {
    /// At the reload.
    Live,
    /// At the next start.
    AtStart,
}

struct Row {
    key: &'static str,
    applies: Applies,
    differs: fn(&Config, &Config) -> bool,
    /// Copies the key's value from the first configuration to the second.
    copy: fn(&Config, &mut Config),
}

macro_rules! rows {
    ($($key:literal $applies:ident $($field:ident).+ $(as $comparable:ident)?;)+) => {
        [$(Row {
            key: $key,
            applies: Applies::$applies,
            differs: |one, other| {
                let of = |config: &Config| $($comparable)?(config.$($field).+.clone());
                of(one) != of(other)
            },
            copy: |from, to| to.$($field).+.clone_from(&from.$($field).+),
        }),+]
    };
}

const ROWS: [Row; 39] = rows! {
    "box.name" Live name;
    "box.time_zone" Live time_zone;
    "box.data" AtStart data;
    "on_demand.enabled" Live on_demand.enabled;
    "on_demand.desktop" Live on_demand.desktop;
    "on_demand.web" Live on_demand.web;
    "listen" Live listen as without_order;
    "local.kinds" Live local.kinds;
    "local.portal_user" Live local.portal_user;
    "local.cti_user" Live local.cti_user;
    "local.technician_group" Live local.technician_group;
    "limits.sessions" Live limits.sessions;
    "limits.sessions_per_address" Live limits.sessions_per_address;
    "limits.handshakes_per_s" Live limits.handshakes_per_s;
    "audio.holdback_ms" AtStart audio.holdback_ms;
    "audio.codec" Live audio.codec;
    "audio.bitrate" Live audio.bitrate;
    "audio.preroll_ms" Live audio.preroll_ms;
    "audio.recall" Live audio.recall_ms;
    "audio.wrapup_s" Live audio.wrapup_s;
    "audio.stale_call_s" Live audio.stale_call_s;
    "audio.max_call_s" Live audio.max_call_s;
    "blackout.lead_ms" Live blackout.lead_ms;
    "blackout.max_s" Live blackout.max_s;
    "blackout.end_without_call_s" Live blackout.end_without_call_s;
    "blackout.scope" Live blackout.scope;
    "store.seal" AtStart store.seal;
    "store.recipients" Live store.recipients;
    "store.reserve_mb" Live store.reserve_mb;
    "board" AtStart boards as without_live_keys;
    "board.sip" Live boards as live_keys;
    "agent" Live agents as without_lines;
    "workstation" Live workstations;
    "schedule" Live schedules;
    "fields" Live fields;
    "technician" Live technicians;
    "screen.fps" Live screen.fps;
    "screen.scale" Live screen.scale;
    "screen.kbps" Live screen.kbps;
};

/// Listeners in any order of the file.
fn without_order(mut listeners: Vec<ListenSettings>) -> Vec<ListenSettings> {
    listeners.sort_by_key(|listener| format!("{listener:?}"));
    listeners
}

/// Boards without the keys of kind `sip` that a reload applies at once.
fn without_live_keys(mut boards: Vec<BoardSettings>) -> Vec<BoardSettings> {
    for board in &mut boards {
        LiveSipKeys::default().apply_to(board);
    }
    boards
}

fn live_keys(boards: Vec<BoardSettings>) -> Vec<(String, Option<LiveSipKeys>)> {
    boards.into_iter().map(|board| (board.name.clone(), LiveSipKeys::of(&board))).collect()
}

/// Copies the live keys of each `sip` board to the board of the same name.
fn copy_live_keys(from: &[BoardSettings], to: &mut [BoardSettings]) {
    for board in to {
        let same = from.iter().find(|other| other.name == board.name);
        if let Some(keys) = same.and_then(LiveSipKeys::of) {
            keys.apply_to(board);
        }
    }
}

/// Agents without their lines in the file, which change with every comment.
fn without_lines(agents: Vec<Agent>) -> Vec<Agent> {
    agents.into_iter().map(|agent| Agent { line: 0, ..agent }).collect()
}

/// Returns the keys whose values differ, in the order of the manual.
#[must_use]
pub fn changed_keys(one: &Config, other: &Config) -> Vec<&'static str> {
    ROWS.iter().filter(|row| (row.differs)(one, other)).map(|row| row.key).collect()
}

/// Returns `file` as the running box can apply it: keys that need a start keep their running
/// values, except that the rings have room for a shorter holdback. Look-back times stay within the
/// holdback that results.
#[must_use]
pub fn keep_start_keys(running: &Config, mut file: Config) -> Config {
    let wanted_ms = file.audio.holdback_ms;
    let file_boards = file.boards.clone();
    for row in ROWS.iter().filter(|row| row.applies == Applies::AtStart) {
        (row.copy)(running, &mut file);
    }
    copy_live_keys(&file_boards, &mut file.boards);
    let holdback_ms = wanted_ms.min(file.audio.holdback_ms);
    file.audio.holdback_ms = holdback_ms;
    file.blackout.lead_ms = file.blackout.lead_ms.min(holdback_ms);
    file.audio.preroll_ms = file.audio.preroll_ms.min(holdback_ms);
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn config(text: &str) -> Config {
        parse(text).unwrap_or_else(|errors| panic!("{errors:#?}")).0
    }

    /// Differs from an empty file in every key.
    const EVERY_KEY: &str = r#"
        box = { name = "other", data = "elsewhere", time_zone = "Europe/Berlin" }
        on_demand = { enabled = true, desktop = false, web = false }
        limits = { sessions = 5, sessions_per_address = 4, handshakes_per_s = 3 }
        blackout = { lead_ms = 1, max_s = 2, end_without_call_s = 3, scope = "call" }
        screen = { fps = 1, scale = 50, kbps = 10 }
        fields = { 1 = "Name" }
        listen = [{ unix = "s" }]
        board = [{ name = "b", kind = "sip", listen = ["udp:127.0.0.1:5060"] }]
        role = [{ name = "r", permissions = ["blackout"] }]
        agent = [{ username = "a" }]
        workstation = [{ machine = "m", device = "1" }]
        schedule = [{ name = "s", type = "api" }]
        technician = [{ name = "t", pin = """$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw\
                $TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU""" }]
        [local]
        kinds = ["agent"]
        portal_user = "p"
        cti_user = "c"
        technician_group = "g"
        [audio]
        holdback_ms = 1000
        codec = "pcm"
        bitrate = 6000
        preroll_ms = 100
        recall = "1m"
        wrapup_s = 1
        stale_call_s = 60
        max_call_s = 3600
        [store]
        seal = false
        recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]
        reserve_mb = 1
    "#;

    #[test]
    fn every_key_is_compared_and_copied() {
        let (one, mut other) = (config(EVERY_KEY), config(""));
        let keys: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
        assert_eq!(changed_keys(&one, &other), keys, "the text above sets every key");
        ROWS.iter().for_each(|row| (row.copy)(&one, &mut other));
        assert_eq!(one, other, "a field of `Config` has no row");
        assert_eq!(changed_keys(&one, &other), [""; 0]);
    }

    #[test]
    fn a_comment_changes_no_agent() {
        let file = "[[agent]]\nusername = \"a\"\n";
        let (one, other) = (config(file), config(&format!("# new\n{file}")));
        assert_eq!(changed_keys(&one, &other), [""; 0]);
        assert_eq!(changed_keys(&one, &config(&format!("{file}name = \"A\"\n"))), ["agent"]);
    }

    #[test]
    fn a_reload_keeps_what_needs_a_start() {
        let running = config("[audio]\nholdback_ms = 600\n[blackout]\nlead_ms = 600\n");
        let file = config("[audio]\nholdback_ms = 5000\npreroll_ms = 4000\ncodec = \"pcm\"\n");
        let applied = keep_start_keys(&running, file.clone());
        assert_eq!((applied.audio.holdback_ms, applied.audio.preroll_ms), (600, 600));
        assert_eq!(changed_keys(&running, &applied), ["audio.codec", "audio.preroll_ms"]);
        let waits = ["audio.holdback_ms", "audio.preroll_ms", "blackout.lead_ms"];
        assert_eq!(changed_keys(&applied, &file), waits);
        let shorter = keep_start_keys(&file, running.clone());
        assert_eq!(shorter.audio.holdback_ms, 600, "the rings have room for less");
    }
}
