//! What the windows, and scripts, say to the tray's process, and it to them: one JSON text a line.
//!
//! Each `Asking` is answered by one `Tell::Answer` with its number; who asked to `watch` gets a
//! `Tell::Snapshot` at once and after every change besides. A snapshot holds all a window shows and
//! nothing that it must remember. Nothing here opens a socket.

use crate::settings::Settings;
use serde::{Deserialize, Serialize};

/// The longest line.
pub const LINE_BYTES: u64 = 64 << 10;

/// A wish with the number that its answer will have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    pub id: u64,
    pub ask: Ask,
}

/// What a window or a script wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// A window of this name is open and wants every change.
    Watch {
        window: String,
    },
    /// One snapshot.
    Status,
    /// A command in the words of the line protocol, as `--command` takes it.
    Command {
        text: String,
    },
    /// A field's new value.
    Update {
        field: u8,
        value: String,
    },
    /// Open this window, or bring it to the front.
    Open {
        window: String,
    },
    /// New settings, and whether to start at log-in.
    Settings {
        settings: Box<Settings>,
        autostart: bool,
    },
    Quit,
}

/// What is said to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tell {
    Snapshot(Box<Snapshot>),
    Answer {
        id: u64,
        ok: bool,
        text: String,
    },
    /// Come to the front.
    Present,
}

/// Everything that can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The icon's word.
    pub icon: String,
    pub headline: String,
    /// Headings and words, for people.
    pub status: Vec<(String, String)>,
    pub connected: bool,
    /// As the box writes it; empty without a connection.
    pub can: String,
    /// Whether there is a call.
    pub call: bool,
    pub recording: bool,
    /// Whether the screen is recorded.
    pub screen: bool,
    pub blackout: bool,
    /// How long it has been on.
    pub blackout_ms: u64,
    /// A blackout was asked for and is not in force.
    pub unmasked: Option<String>,
    /// Fields that may be set now, with their labels; never what they hold.
    pub fields: Vec<(u8, String)>,
    /// For each lane its heading and when it was on: from and to, in milliseconds ago.
    pub timeline: Vec<(String, Vec<(u64, u64)>)>,
    pub settings: Option<Settings>,
    pub autostart: bool,
    /// What became of the keys that work everywhere.
    pub hotkeys: String,
    /// Whether windows are to be dark.
    pub dark: bool,
    /// Whether they need more contrast than usual.
    pub contrast: bool,
    /// How large everything is, beyond what the toolkit does by itself; 0: as usual.
    pub text_percent: u16,
    /// The program's resident memory and more, for *About*.
    pub about: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_one_line_and_reads_back() {
        let text = "update 1 \"a\nb\"".to_owned();
        let asking = Asking { id: 7, ask: Ask::Command { text } };
        let line = serde_json::to_string(&asking).expect("JSON");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Asking>(&line).ok(), Some(asking));
        let tell = Tell::Snapshot(Box::new(Snapshot { connected: true, ..Snapshot::default() }));
        let line = serde_json::to_string(&tell).expect("JSON");
        assert_eq!(serde_json::from_str::<Tell>(&line).ok(), Some(tell));
    }
}
