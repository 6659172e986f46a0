//! The client's settings: the administrator's file, overridden by the agent's own file.
//!
//! Both files are TOML with the same keys, all optional. The administrator's file may list keys in
//! `locked`, which the agent's file cannot override. Unknown keys and invalid values are errors
//! that name the place: a typing error must not leave an agent without a server.
//!
//! This module converts text to values and back; `shell::paths` reads and writes the files.

use client::{Address, RETRY_INTERVAL_MS, RetryMode};
use serde::{Deserialize, Serialize};

/// The shortest time between two retries, in milliseconds.
pub const RETRY_MIN_MS: u64 = 50;

/// The keys that the administrator can lock.
pub const LOCKABLE_KEYS: [&str; 10] = [
    "servers", "mode", "user", "domain", "machine", "theme", "panel", "bar", "hotkeys", "retry_ms",
];

/// The contents of one settings file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsFile {
    /// The boxes, in the order in which the client tries them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<StandbyMode>,
    /// Replaces the name of the logged-in user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Replaces the host name; enrolment writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub panel: Option<Theme>,
    /// Whether the button bar opens at start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bar: Option<bool>,
    /// The time between two retries, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// Keys that the agent cannot change; only the administrator's file can set it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hotkeys: Option<HotkeySettings>,
}

/// What the client does in standby.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyMode {
    /// Retry at growing intervals.
    #[default]
    SelfHealing,
    /// Wait until the agent chooses *Reconnect*.
    Strict,
}

impl From<StandbyMode> for RetryMode {
    fn from(mode: StandbyMode) -> RetryMode {
        match mode {
            StandbyMode::SelfHealing => RetryMode::SelfHealing,
            StandbyMode::Strict => RetryMode::Strict,
        }
    }
}

/// The colours of windows, or of the panel that shows the icon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Theme {
    /// As the desktop is set.
    #[default]
    System,
    Dark,
    Light,
}

/// Keys that work in every program, such as `Ctrl+Alt+B`; empty for no key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HotkeySettings {
    #[serde(default)]
    pub blackout: String,
    #[serde(default)]
    pub recording: String,
}

impl Default for HotkeySettings {
    fn default() -> HotkeySettings {
        HotkeySettings { blackout: "Ctrl+Alt+B".to_owned(), recording: "Ctrl+Alt+R".to_owned() }
    }
}

/// The effective settings, merged from both files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub servers: Vec<String>,
    pub mode: StandbyMode,
    pub user: Option<String>,
    pub domain: Option<String>,
    pub machine: Option<String>,
    /// The theme of windows, and of the panel where `panel` is `System`.
    pub theme: Theme,
    pub panel: Theme,
    pub bar: bool,
    pub retry_ms: u64,
    pub hotkeys: HotkeySettings,
    /// The keys that the agent cannot change.
    pub locked: Vec<String>,
}

/// Why a settings file is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{0}")]
    Toml(String),
    #[error("servers: {0}")]
    Server(#[from] client::AddressError),
    #[error("locked: unknown key {key:?}; the keys are {}", LOCKABLE_KEYS.join(", "))]
    UnknownKey { key: String },
    #[error("retry_ms = {0}: must be at least {RETRY_MIN_MS}")]
    RetryTooShort(u64),
}

impl SettingsFile {
    /// Parses the text of a file.
    pub fn parse(text: &str) -> Result<SettingsFile, SettingsError> {
        let file: SettingsFile =
            toml::from_str(text).map_err(|error| SettingsError::Toml(error.to_string()))?;
        for server in file.servers.iter().flatten() {
            server.parse::<Address>()?;
        }
        if let Some(unknown) = file.locked.iter().find(|key| !LOCKABLE_KEYS.contains(&key.as_str()))
        {
            return Err(SettingsError::UnknownKey { key: unknown.clone() });
        }
        match file.retry_ms {
            Some(ms) if ms < RETRY_MIN_MS => Err(SettingsError::RetryTooShort(ms)),
            _ => Ok(file),
        }
    }

    /// Formats the file.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        let body = toml::to_string(self).map_err(|error| SettingsError::Toml(error.to_string()))?;
        Ok(format!("# Written by hushbox-desktop; docs/desktop.md describes every key.\n{body}"))
    }
}

impl Settings {
    /// Merges the administrator's file with the agent's own file.
    #[must_use]
    pub fn merge_files(site: &SettingsFile, own: &SettingsFile) -> Settings {
        let is_unlocked = |key: &str| !site.locked.iter().any(|locked| locked == key);
        // Without any server the client tries the box on this machine.
        let local_box = || vec![format!("127.0.0.1:{}", client::DEFAULT_PORT)];
        let user = own.user.clone().filter(|_| is_unlocked("user"));
        let domain = own.domain.clone().filter(|_| is_unlocked("domain"));
        let machine = own.machine.clone().filter(|_| is_unlocked("machine"));
        let servers = own.servers.clone().filter(|_| is_unlocked("servers"));
        let hotkeys = own.hotkeys.clone().filter(|_| is_unlocked("hotkeys"));
        let retry_ms = own.retry_ms.filter(|_| is_unlocked("retry_ms"));
        Settings {
            servers: servers.or_else(|| site.servers.clone()).unwrap_or_else(local_box),
            mode: own.mode.filter(|_| is_unlocked("mode")).or(site.mode).unwrap_or_default(),
            user: user.or_else(|| site.user.clone()),
            domain: domain.or_else(|| site.domain.clone()),
            machine: machine.or_else(|| site.machine.clone()),
            theme: own.theme.filter(|_| is_unlocked("theme")).or(site.theme).unwrap_or_default(),
            panel: own.panel.filter(|_| is_unlocked("panel")).or(site.panel).unwrap_or_default(),
            bar: own.bar.filter(|_| is_unlocked("bar")).or(site.bar).unwrap_or_default(),
            retry_ms: retry_ms.or(site.retry_ms).unwrap_or(RETRY_INTERVAL_MS),
            hotkeys: hotkeys.or_else(|| site.hotkeys.clone()).unwrap_or_default(),
            locked: site.locked.clone(),
        }
    }

    /// Whether the administrator has locked this key.
    #[must_use]
    pub fn is_locked(&self, key: &str) -> bool {
        self.locked.iter().any(|locked| locked == key)
    }

    /// The agent's own file that makes these settings effective. `before` is the present file.
    #[must_use]
    pub fn to_own_file(&self, before: &SettingsFile) -> SettingsFile {
        let is_unlocked = |key: &str| !self.is_locked(key);
        SettingsFile {
            servers: is_unlocked("servers").then(|| self.servers.clone()),
            mode: is_unlocked("mode").then_some(self.mode),
            theme: is_unlocked("theme").then_some(self.theme),
            panel: is_unlocked("panel").then_some(self.panel),
            bar: is_unlocked("bar").then_some(self.bar),
            hotkeys: is_unlocked("hotkeys").then(|| self.hotkeys.clone()),
            ..before.clone()
        }
    }

    /// The addresses of the servers. `SettingsFile::parse` has checked them.
    #[must_use]
    pub fn server_addresses(&self) -> Vec<Address> {
        self.servers.iter().filter_map(|server| server.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_own_servers_replace_those_of_the_administrator() {
        let site =
            SettingsFile::parse("servers = [\"tls:box-01\", \"tls:box-02\"]\n").expect("good");
        let own =
            SettingsFile::parse("servers = [\"box-03:7440\"]\nmode = \"strict\"").expect("good");
        let settings = Settings::merge_files(&site, &own);
        assert_eq!((settings.servers.len(), settings.mode), (1, StandbyMode::Strict));
        let settings = Settings::merge_files(&site, &SettingsFile::default());
        assert_eq!(settings.server_addresses().len(), 2);
        assert_eq!((settings.mode, settings.retry_ms), (StandbyMode::SelfHealing, 10_000));
        assert_eq!(Settings::merge_files(&SettingsFile::default(), &own).servers, ["box-03:7440"]);
        let none = Settings::merge_files(&SettingsFile::default(), &SettingsFile::default());
        assert_eq!(none.servers, ["127.0.0.1:7440"]);
    }

    #[test]
    fn locked_keys_cannot_be_overridden() {
        let text = "servers = [\"a\"]\nmode = \"strict\"\nlocked = [\"servers\", \"mode\"]";
        let site = SettingsFile::parse(text).expect("good");
        let own = SettingsFile::parse("servers = [\"b\"]\nmode = \"self-healing\"\nbar = true");
        let settings = Settings::merge_files(&site, &own.expect("good"));
        assert_eq!(
            (settings.servers.as_slice(), settings.mode),
            (&["a".to_owned()][..], StandbyMode::Strict)
        );
        assert!(settings.bar && settings.is_locked("mode") && !settings.is_locked("bar"));
        let own = settings.to_own_file(&SettingsFile::default());
        assert_eq!((own.servers, own.mode, own.bar), (None, None, Some(true)));
    }

    #[test]
    fn a_written_file_reads_back() {
        let settings = Settings::merge_files(&SettingsFile::default(), &SettingsFile::default());
        let before = SettingsFile { machine: Some("WS-042".to_owned()), ..SettingsFile::default() };
        let own = settings.to_own_file(&before);
        let text = own.to_toml().expect("text");
        assert_eq!(SettingsFile::parse(&text), Ok(own), "{text}");
        assert!(text.contains("WS-042"));
    }

    #[test]
    fn an_invalid_file_names_the_error() {
        for (text, says) in [
            ("serwers = []", "serwers"),
            ("servers = [\"box:0\"]", "65535"),
            ("mode = \"lazy\"", "lazy"),
            ("locked = [\"x\"]", "unknown key \"x\""),
            ("retry_ms = 1", "at least 50"),
            ("[hotkeys]\nbluckout = \"\"", "bluckout"),
        ] {
            let error = SettingsFile::parse(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
