//! The measured recorder: channels of speech with one agent each.
//!
//! Everything else is the shipped default: Opus at 16 kbit/s, 3 s of holdback, 2 s of lead, sealed.

use crate::daemon::site::Site;
use std::fmt::Write;

/// Sample rate of every channel, in frames per second.
pub const RATE: u64 = 8000;

/// Size and codec of the recorder.
#[derive(Clone, Copy)]
pub struct LoadPlan {
    pub channels: u16,
    /// Codec as in the configuration.
    pub codec: &'static str,
    /// Sides of each channel: 1 or 2.
    pub sides: u8,
}

/// Phone at the `n`-th channel, from 0.
pub fn device(n: u16) -> u16 {
    1001 + n
}

/// Speech that every channel plays, each from another offset.
pub fn speech_path() -> std::path::PathBuf {
    crate::programs::root().join("board/models/demo/1001.wav")
}

impl LoadPlan {
    /// The same plan for a real daemon.
    pub fn site(&self) -> Site {
        Site { name: "bench", text: Some(self.config()), ..Site::sim(&[]) }
    }

    /// Configuration text. Agent `u1001` has phone 1001, and so on.
    pub fn config(&self) -> String {
        let mut text = format!(
            "[box]\nname = \"bench\"\ndata = \"data\"\n[on_demand]\nenabled = true\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n[local]\nkinds = [\"agent\", \"cti\"]\n\
             [audio]\ncodec = \"{}\"\n[[role]]\nname = \"agent\"\npermissions = \
             [\"record.start\", \"record.stop\", \"blackout\", \"update.1\"]\n[fields]\n\
             1 = \"Subject\"\n[[schedule]]\nname = \
             \"on demand\"\ntype = \"on-demand\"\nretention_days = 90\n[[board]]\nname = \"sim\"\n\
             kind = \"sim\"\nrate = {RATE}\nbuffer_ms = 500\nactivity = \"cti\"\nchannels = [\n",
            self.codec
        );
        let source = speech_path();
        let mut agents = String::new();
        for n in 0..self.channels {
            let device = device(n);
            let sides = if self.sides == 2 { "stereo" } else { "mono" };
            let channel = format!("id = {n}, device = \"{device}\", sides = \"{sides}\"");
            let placed = writeln!(text, "  {{ {channel}, source = {source:?} }},");
            let agent = format!("username = \"u{device}\"\nname = \"Agent {device}\"");
            let more = format!("phones = [\"{device}\"]\nroles = [\"agent\"]");
            let named = writeln!(agents, "[[agent]]\n{agent}\n{more}");
            assert!(placed.is_ok() && named.is_ok());
        }
        text + "]\n" + agents.as_str()
    }
}
