//! What a story's box is made of: the configuration, as a value that a story changes.
//!
//! Channel N records device 100N, the phone of agent aN; `boss` is a supervisor. Sim channels play
//! `N.wav` from the box's folder.

use std::fmt::Write;
use std::path::Path;

/// One channel; `slots` are for cards only.
#[derive(Clone, Debug)]
pub struct Channel {
    pub id: u16,
    pub sides: u8,
    pub slots: &'static [u16],
}

#[derive(Clone, Debug)]
pub struct Site {
    pub name: &'static str,
    pub codec: &'static str,
    pub seal: bool,
    /// Public keys that recordings are sealed to; the box's own if there is none.
    pub recipients: Vec<String>,
    pub holdback_ms: u32,
    pub lead_ms: u32,
    /// How long the card waits for a box that is kept from it.
    pub buffer_ms: u32,
    pub address: String,
    /// What must stay free on the disk.
    pub reserve_mb: u32,
    /// How much noise the sim channels play before they begin anew.
    pub seconds: u64,
    pub channels: Vec<Channel>,
    /// Further roles of every agent, quoted, each after a comma.
    pub roles: &'static str,
    /// The PCM of an ALSA board; without it the board is a sim.
    pub alsa: Option<&'static str>,
    /// Of the daemon's process.
    pub env: Vec<(String, String)>,
    /// The words that the daemon is started by, if it is not started directly.
    pub under: &'static [&'static str],
    /// More of the file, at its end.
    pub more: String,
    /// The whole file, instead of what all fields but the name say.
    pub text: Option<String>,
}

impl Site {
    /// Sim channels with so many sides each; bit-exact, sealed, and a short holdback. The card is
    /// patient, so that a busy machine loses nothing.
    pub fn sim(sides: &[u8]) -> Site {
        let channel = |(id, sides): (u16, &u8)| Channel { id, sides: *sides, slots: &[] };
        Site {
            name: "story",
            codec: "pcm",
            seal: true,
            recipients: Vec::new(),
            holdback_ms: 600,
            lead_ms: 400,
            buffer_ms: 2000,
            address: "127.0.0.1:0".to_owned(),
            reserve_mb: 1,
            seconds: 30,
            channels: (1..).zip(sides).map(channel).collect(),
            roles: "",
            alsa: None,
            env: Vec::new(),
            under: &[],
            more: String::new(),
            text: None,
        }
    }

    /// One mono channel and short delays, for tests that only need a store with recordings in it.
    pub fn short() -> Site {
        Site { holdback_ms: 200, lead_ms: 100, seconds: 10, ..Site::sim(&[1]) }
    }

    pub fn toml(&self, folder: &Path) -> String {
        self.text.clone().unwrap_or_else(|| self.written(folder))
    }

    fn written(&self, folder: &Path) -> String {
        let Site { name, codec, seal, recipients, holdback_ms, lead_ms, .. } = self;
        let Site { address, reserve_mb, roles, .. } = self;
        let mut text = format!(
            r#"
[box]
name = "{name}"
data = "data"
[on_demand]
enabled = true
[local]
kinds = ["agent", "screen", "cti", "supervisor", "monitor"]
[[listen]]
address = "{address}"
[[listen]]
unix = "data/hushbox.sock"
[audio]
codec = "{codec}"
holdback_ms = {holdback_ms}
[blackout]
lead_ms = {lead_ms}
[store]
seal = {seal}
recipients = {recipients:?}
reserve_mb = {reserve_mb}
[[role]]
name = "agent"
permissions = ["record.start", "record.stop", "blackout", "screen", "update.1", "update.3"]
[[role]]
name = "supervisor"
permissions = ["records.all", "play", "export", "monitor", "protect"]
[[role]]
name = "own"
permissions = ["notify-on-demand-only"]
[[agent]]
username = "boss"
name = "The Boss"
roles = ["supervisor"]
[[schedule]]
name = "on demand"
type = "on-demand"
percent = 100
retention_days = 30
[fields]
1 = "Caller name"
3 = "Subject"
"#
        );
        self.write_board(folder, &mut text);
        for Channel { id, .. } in &self.channels {
            let agent = format!("username = \"a{id}\"\nname = \"Agent {id}\"\ndomain = \"ACME\"");
            writeln!(text, "[[agent]]\n{agent}\nphones = [\"{}\"]", 1000 + id).unwrap();
            writeln!(text, "roles = [\"agent\"{roles}]").unwrap();
        }
        text.push_str(&self.more);
        text
    }

    fn write_board(&self, folder: &Path, text: &mut String) {
        let kind = match self.alsa {
            Some(pcm) => format!("kind = \"alsa\"\npcm = \"{pcm}\"\nperiod_ms = 20"),
            None => "kind = \"sim\"".to_owned(),
        };
        writeln!(text, "[[board]]\nname = \"board\"\n{kind}\nrate = 8000").unwrap();
        writeln!(text, "buffer_ms = {}\nactivity = \"cti\"\nchannels = [", self.buffer_ms).unwrap();
        for Channel { id, sides, slots } in &self.channels {
            let source = match self.alsa {
                Some(_) => format!("slots = {slots:?}"),
                None => format!("source = \"{}\"", folder.join(format!("{id}.wav")).display()),
            };
            let (device, sides) = (1000 + id, if *sides == 2 { "stereo" } else { "mono" });
            let channel = format!("id = {id}, device = \"{device}\", sides = \"{sides}\"");
            writeln!(text, "  {{ {channel}, {source} }},").unwrap();
        }
        text.push_str("]\n");
    }
}
