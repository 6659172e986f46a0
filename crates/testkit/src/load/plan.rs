//! The box that is measured: so many mono channels of speech, one agent on each.
//!
//! Everything that is not said here is as the configuration has it by default, so that what is
//! measured is what ships: Opus at 16 kbit/s, 3 s of holdback, 2 s of lead, sealed.

use crate::daemon::site::Site;
use std::fmt::Write;

/// Frames per second of every channel.
pub const RATE: u64 = 8000;

/// What kind of box.
#[derive(Clone, Copy)]
pub struct Plan {
    pub channels: u16,
    /// As the configuration says it.
    pub codec: &'static str,
}

/// The phone at the `n`-th channel, from 0.
pub fn device(n: u16) -> u16 {
    1001 + n
}

/// The speech that every channel plays, each from another place on.
pub fn speech_path() -> std::path::PathBuf {
    crate::programs::root().join("board/models/demo/1001.wav")
}

impl Plan {
    /// The same for a real daemon.
    pub fn site(&self) -> Site {
        Site { name: "bench", text: Some(self.config()), ..Site::sim(&[]) }
    }

    /// Its configuration. Agent `u1001` has phone 1001, and so on.
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
            let channel = format!("id = {n}, device = \"{device}\", sides = \"mono\"");
            let placed = writeln!(text, "  {{ {channel}, source = {source:?} }},");
            let agent = format!("username = \"u{device}\"\nname = \"Agent {device}\"");
            let more = format!("phones = [\"{device}\"]\nroles = [\"agent\"]");
            let named = writeln!(agents, "[[agent]]\n{agent}\n{more}");
            assert!(placed.is_ok() && named.is_ok());
        }
        text + "]\n" + agents.as_str()
    }
}
