//! The client's settings: the administrator's file, and the agent's own over it.
//!
//! Both are TOML with the same keys, none of them needed. The administrator's may name keys in
//! `locked`; what the agent's file says of those does not count. Unknown keys and bad values are
//! errors that name the place, because a typing error must not leave an agent without a server.
//!
//! This is text to value and back; `shell::paths` knows where the files are.

use client::{Address, RETRY_MS, RetryMode};
use serde::{Deserialize, Serialize};

/// The shortest pause between retries, milliseconds.
pub const RETRY_MIN_MS: u64 = 50;

/// The keys that a file can lock.
pub const KEYS: [&str; 10] = [
    "servers", "mode", "user", "domain", "machine", "theme", "panel", "bar", "hotkeys", "retry_ms",
];

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Boxes, in the order they are tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Instead of the name that was logged in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Instead of the host's name; enrolment writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panel: Option<Theme>,
    /// Whether the bar opens at start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bar: Option<bool>,
    /// Between two retries, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// Keys that the agent cannot change; counts in the administrator's file only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hotkeys: Option<Hotkeys>,
}

/// What happens in standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It comes back by itself.
    #[default]
    SelfHealing,
    /// *Reconnect* is the only way.
    Strict,
}

impl From<Mode> for RetryMode {
    fn from(mode: Mode) -> RetryMode {
        match mode {
            Mode::SelfHealing => RetryMode::SelfHealing,
            Mode::Strict => RetryMode::Strict,
        }
    }
}

/// How windows look, and for which kind of panel icons are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the desktop says.
    #[default]
    System,
    Dark,
    Light,
}

/// Keys that work in every program, such as `Ctrl+Alt+B`; empty: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hotkeys {
    #[serde(default)]
    pub blackout: String,
    #[serde(default)]
    pub recording: String,
}

impl Default for Hotkeys {
    fn default() -> Hotkeys {
        Hotkeys { blackout: "Ctrl+Alt+B".to_owned(), recording: "Ctrl+Alt+R".to_owned() }
    }
}

/// What holds, after both files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub servers: Vec<String>,
    pub mode: Mode,
    pub user: Option<String>,
    pub domain: Option<String>,
    pub machine: Option<String>,
    /// Of windows, and of the panel where `panel` says nothing.
    pub theme: Theme,
    pub panel: Theme,
    pub bar: bool,
    pub retry_ms: u64,
    pub hotkeys: Hotkeys,
    /// Keys that cannot be changed here.
    pub locked: Vec<String>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{0}")]
    Toml(String),
    #[error("servers: {0}")]
    Server(#[from] client::AddressError),
    #[error("locked: there is no key {0:?}")]
    Locked(String),
    #[error("retry_ms = {0}: at least {RETRY_MIN_MS}")]
    Retry(u64),
}

impl File {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<File, SettingsError> {
        let file: File =
            toml::from_str(text).map_err(|error| SettingsError::Toml(error.to_string()))?;
        for server in file.servers.iter().flatten() {
            server.parse::<Address>()?;
        }
        if let Some(unknown) = file.locked.iter().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(SettingsError::Locked(unknown.clone()));
        }
        match file.retry_ms {
            Some(ms) if ms < RETRY_MIN_MS => Err(SettingsError::Retry(ms)),
            _ => Ok(file),
        }
    }

    /// The file's text.
    pub fn text(&self) -> Result<String, SettingsError> {
        let body = toml::to_string(self).map_err(|error| SettingsError::Toml(error.to_string()))?;
        Ok(format!("# Written by hushbox-desktop; docs/desktop.md tells every key.\n{body}"))
    }
}

impl Settings {
    /// The administrator's file, and the agent's over it.
    #[must_use]
    pub fn merged(site: &File, own: &File) -> Settings {
        let open = |key: &str| !site.locked.iter().any(|locked| locked == key);
        // Without a server of anybody's the box on this machine is tried.
        let here = || vec![format!("127.0.0.1:{}", client::DEFAULT_PORT)];
        let user = own.user.clone().filter(|_| open("user"));
        let domain = own.domain.clone().filter(|_| open("domain"));
        let machine = own.machine.clone().filter(|_| open("machine"));
        let servers = own.servers.clone().filter(|_| open("servers"));
        let hotkeys = own.hotkeys.clone().filter(|_| open("hotkeys"));
        let retry_ms = own.retry_ms.filter(|_| open("retry_ms"));
        Settings {
            servers: servers.or_else(|| site.servers.clone()).unwrap_or_else(here),
            mode: own.mode.filter(|_| open("mode")).or(site.mode).unwrap_or_default(),
            user: user.or_else(|| site.user.clone()),
            domain: domain.or_else(|| site.domain.clone()),
            machine: machine.or_else(|| site.machine.clone()),
            theme: own.theme.filter(|_| open("theme")).or(site.theme).unwrap_or_default(),
            panel: own.panel.filter(|_| open("panel")).or(site.panel).unwrap_or_default(),
            bar: own.bar.filter(|_| open("bar")).or(site.bar).unwrap_or_default(),
            retry_ms: retry_ms.or(site.retry_ms).unwrap_or(RETRY_MS),
            hotkeys: hotkeys.or_else(|| site.hotkeys.clone()).unwrap_or_default(),
            locked: site.locked.clone(),
        }
    }

    /// Whether the administrator has fixed this key.
    #[must_use]
    pub fn is_locked(&self, key: &str) -> bool {
        self.locked.iter().any(|locked| locked == key)
    }

    /// What is to be written as the agent's own file so that these hold.
    #[must_use]
    pub fn own(&self, before: &File) -> File {
        let open = |key: &str| !self.is_locked(key);
        File {
            servers: open("servers").then(|| self.servers.clone()),
            mode: open("mode").then_some(self.mode),
            theme: open("theme").then_some(self.theme),
            panel: open("panel").then_some(self.panel),
            bar: open("bar").then_some(self.bar),
            hotkeys: open("hotkeys").then(|| self.hotkeys.clone()),
            ..before.clone()
        }
    }

    /// The servers as addresses; every one was looked at when it was read.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.servers.iter().filter_map(|server| server.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_servers_come_from_the_site_and_the_agent_may_add_own_ones() {
        let site = File::parse("servers = [\"tls:box-01\", \"tls:box-02\"]\n").expect("good");
        let own = File::parse("servers = [\"box-03:7440\"]\nmode = \"strict\"").expect("good");
        let settings = Settings::merged(&site, &own);
        assert_eq!((settings.servers.len(), settings.mode), (1, Mode::Strict));
        let settings = Settings::merged(&site, &File::default());
        assert_eq!(settings.addresses().len(), 2);
        assert_eq!((settings.mode, settings.retry_ms), (Mode::SelfHealing, 10_000));
        assert_eq!(Settings::merged(&File::default(), &own).servers, ["box-03:7440"]);
        let none = Settings::merged(&File::default(), &File::default());
        assert_eq!(none.servers, ["127.0.0.1:7440"]);
    }

    #[test]
    fn what_the_administrator_locks_stays() {
        let text = "servers = [\"a\"]\nmode = \"strict\"\nlocked = [\"servers\", \"mode\"]";
        let site = File::parse(text).expect("good");
        let own = File::parse("servers = [\"b\"]\nmode = \"self-healing\"\nbar = true");
        let settings = Settings::merged(&site, &own.expect("good"));
        assert_eq!(
            (settings.servers.as_slice(), settings.mode),
            (&["a".to_owned()][..], Mode::Strict)
        );
        assert!(settings.bar && settings.is_locked("mode") && !settings.is_locked("bar"));
        let own = settings.own(&File::default());
        assert_eq!((own.servers, own.mode, own.bar), (None, None, Some(true)));
    }

    #[test]
    fn what_is_written_reads_back() {
        let settings = Settings::merged(&File::default(), &File::default());
        let before = File { machine: Some("WS-042".to_owned()), ..File::default() };
        let own = settings.own(&before);
        let text = own.text().expect("text");
        assert_eq!(File::parse(&text), Ok(own), "{text}");
        assert!(text.contains("WS-042"));
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        for (text, says) in [
            ("serwers = []", "serwers"),
            ("servers = [\"box:0\"]", "65535"),
            ("mode = \"lazy\"", "lazy"),
            ("locked = [\"x\"]", "no key \"x\""),
            ("retry_ms = 1", "at least 50"),
            ("[hotkeys]\nbluckout = \"\"", "bluckout"),
        ] {
            let error = File::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
