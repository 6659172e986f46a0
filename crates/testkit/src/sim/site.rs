//! Configuration of a simulated recorder, as a value; and helpers for values in reply lines.
//!
//! There are two bit-exact channels, on devices 1001 and 1002. A test adds agents and other
//! settings.

use super::SimBox;
use protocol::Kind;

/// Parts of the configuration.
#[derive(Clone, Debug)]
pub struct Site {
    codec: &'static str,
    audio: String,
    store: String,
    ids: [u16; 2],
    sides: [&'static str; 2],
    schedule: String,
    more: String,
}

impl Default for Site {
    fn default() -> Site {
        Site::new()
    }
}

impl Site {
    pub fn new() -> Site {
        Site {
            codec: "pcm",
            audio: String::new(),
            store: String::new(),
            ids: [1, 2],
            sides: ["mono"; 2],
            schedule: String::new(),
            more: String::new(),
        }
    }

    pub fn codec(mut self, codec: &'static str) -> Site {
        self.codec = codec;
        self
    }

    /// Adds keys to `[audio]`.
    pub fn audio(mut self, keys: &str) -> Site {
        self.audio = format!("{}{keys}\n", self.audio);
        self
    }

    /// Adds keys to `[store]`.
    pub fn store(mut self, keys: &str) -> Site {
        self.store = format!("[store]\n{keys}");
        self
    }

    /// Sets the channel numbers.
    pub fn ids(mut self, ids: [u16; 2]) -> Site {
        self.ids = ids;
        self
    }

    /// Sets `mono` or `stereo` for each channel.
    pub fn sides(mut self, sides: [&'static str; 2]) -> Site {
        self.sides = sides;
        self
    }

    pub fn role(self, name: &str, permissions: &str) -> Site {
        let words = words(permissions);
        self.more(&format!("[[role]]\nname = \"{name}\"\npermissions = [{words}]"))
    }

    /// Adds an agent with these space-separated phones and roles.
    pub fn agent(self, username: &str, phones: &str, roles: &str) -> Site {
        let (phones, roles) = (words(phones), words(roles));
        let phones = if phones.is_empty() { phones } else { format!("phones = [{phones}]\n") };
        self.more(&format!("[[agent]]\nusername = \"{username}\"\n{phones}roles = [{roles}]"))
    }

    /// Adds keys to the schedule.
    pub fn schedule(mut self, keys: &str) -> Site {
        self.schedule = keys.to_owned();
        self
    }

    /// Also records every call full-time.
    pub fn full_time(self) -> Site {
        self.more("[[schedule]]\nname = \"all\"\ntype = \"percentage\"\npercent = 100")
    }

    /// Appends text to the file, after the last table.
    pub fn more(mut self, text: &str) -> Site {
        self.more = format!("{}{text}\n", self.more);
        self
    }

    pub fn toml(&self) -> String {
        let Site { codec, audio, store, schedule, more, .. } = self;
        let ([first, second], [one, two]) = (self.sides, self.ids);
        format!(
            r#"
[box]
name = "box-01"
data = "data"
[on_demand]
enabled = true
[audio]
codec = "{codec}"
{audio}{store}
[[board]]
name = "demo"
kind = "sim"
rate = 8000
buffer_ms = 200
activity = "cti"
channels = [
  {{ id = {one}, device = "1001", sides = "{first}", source = "x.wav" }},
  {{ id = {two}, device = "1002", sides = "{second}", source = "x.wav" }},
]
[[schedule]]
name = "on demand"
type = "on-demand"
{schedule}
{more}"#
        )
    }
}

impl SimBox {
    /// Connects a client that says hello with these words and is accepted.
    pub fn hello(&mut self, words: &str) -> u32 {
        let kind = words.split(' ').next().and_then(Kind::parse).expect("a kind");
        let client = self.client(&[kind]);
        let said = self.say(client, &format!("hello {words}"));
        assert!(said.iter().any(|line| line.starts_with("ok ")), "{words}: {said:?}");
        client
    }

    /// Alarms sent to `watcher` since the last call; a cleared alarm is negative.
    pub fn alarms(&mut self, watcher: u32) -> Vec<i32> {
        let lines = self.news(watcher);
        let told = lines.iter().filter_map(|line| {
            let (_, word) = line.split_once(" what=alarm")?;
            let number: i32 = value(line, "alarm").parse().ok()?;
            Some(if word.starts_with("-over") { -number } else { number })
        });
        told.collect()
    }

    pub fn assert_clean(&self) {
        let report = self.verify();
        assert!(report.is_clean(), "{report:#?}");
    }
}

/// Quotes words and joins them with commas.
fn words(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

/// The value of a key in a line.
pub fn value(line: &str, key: &str) -> String {
    let at = line.find(&format!(" {key}=")).unwrap_or_else(|| panic!("{key} in {line}"));
    line[at + key.len() + 2..].split(' ').next().unwrap().to_string()
}

/// A value of the `ok` among these lines.
pub fn pair(lines: &[String], key: &str) -> String {
    let line = lines.iter().find(|line| line.starts_with("ok "));
    value(line.unwrap_or_else(|| panic!("{lines:?}")), key)
}

/// The reply among these lines.
pub fn answer(lines: &[String]) -> &str {
    let is = |line: &&String| line.starts_with("ok") || line.starts_with("err");
    lines.iter().rfind(is).map_or("", String::as_str)
}
