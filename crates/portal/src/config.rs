//! `portal.toml`, parsed into validated types.
//!
//! Relative paths start at the file's folder. Unknown keys are errors with a line number. Secrets
//! stay outside: the mail password is in its own file.

use crate::media::identity::find_identity;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const DAY_S: u32 = 86_400;

/// How browsers reach the portal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// The portal terminates TLS, with a self-signed certificate if none is configured.
    #[default]
    Own,
    /// A proxy on this machine terminates TLS and sends `X-Forwarded-For`.
    Proxy,
    /// Plain HTTP, on loopback only, for trials.
    None,
}

/// How the portal connects to the mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTlsMode {
    #[default]
    Starttls,
    Tls,
    /// Plain text, to loopback only.
    None,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortalConfig {
    pub address: SocketAddr,
    /// Public address: prefix of e-mailed links and required origin of forms.
    pub url: String,
    /// Folder of the database and the certificate, created on the first start.
    pub data: PathBuf,
    /// Path of the recorder's unix socket.
    pub r#box: PathBuf,
    #[serde(default)]
    pub tls: TlsMode,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Addresses that may read `/metrics` and `/healthz`.
    #[serde(default = "loopback")]
    pub monitors: Vec<IpAddr>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoginConfig {
    /// Failures that lock an account.
    pub tries: u32,
    pub lock_seconds: u32,
    pub idle_seconds: u32,
    /// How many seconds before the idle timeout the page warns the user.
    pub warn_seconds: u32,
    pub session_hours: u32,
    /// Minutes for which a reset link is valid.
    pub reset_minutes: u32,
}

impl Default for LoginConfig {
    fn default() -> LoginConfig {
        LoginConfig {
            tries: 5,
            lock_seconds: 900,
            idle_seconds: 900,
            warn_seconds: 60,
            session_hours: 12,
            reset_minutes: 30,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    pub server: String,
    pub port: u16,
    #[serde(default)]
    pub tls: MailTlsMode,
    pub from: String,
    pub user: Option<String>,
    /// File whose first line is the SMTP password.
    pub password_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnsealConfig {
    pub tool: PathBuf,
    /// Identity that opens recordings; without it each supervisor supplies one.
    pub identity: Option<PathBuf>,
    /// Memory limit of all opened recordings together, in MiB.
    pub memory_mb: u32,
}

impl Default for UnsealConfig {
    fn default() -> UnsealConfig {
        UnsealConfig { tool: "/usr/bin/hushbox".into(), identity: None, memory_mb: 256 }
    }
}

/// The whole configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub portal: PortalConfig,
    #[serde(default)]
    pub login: LoginConfig,
    pub mail: Option<MailConfig>,
    #[serde(default)]
    pub unseal: UnsealConfig,
    /// The file itself.
    #[serde(skip)]
    path: PathBuf,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Toml { path: PathBuf, error: Box<toml::de::Error> },
    #[error("{key}: {path}: {error}")]
    File { key: &'static str, path: PathBuf, error: std::io::Error },
    #[error("unseal.tool: {path} is not a program that can be run; name the program hushbox")]
    NotExecutable { path: PathBuf },
    #[error("unseal.identity: {path} holds no identity; name a file of hushbox keygen")]
    NoIdentity { path: PathBuf },
    #[error("{path}: {}", .faults.join("\n"))]
    InvalidValues { path: PathBuf, faults: Vec<String> },
}

fn loopback() -> Vec<IpAddr> {
    vec![IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)]
}

/// Whether another user than root and this one owns the file or folder or may write to it.
fn is_writable_by_others(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    let is_trusted = [0, nix::unistd::geteuid().as_raw()].contains(&metadata.uid());
    !is_trusted || metadata.mode() & 0o022 != 0
}

impl Config {
    /// Reads the file and reports all invalid values.
    pub fn read_config(path: &Path) -> Result<Config, ConfigError> {
        let owned = || path.to_owned();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| ConfigError::Read { path: owned(), error })?;
        let mut config: Config = toml::from_str(&text)
            .map_err(|error| ConfigError::Toml { path: owned(), error: Box::new(error) })?;
        let faults = config.find_faults();
        if !faults.is_empty() {
            return Err(ConfigError::InvalidValues { path: owned(), faults });
        }
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        config.path = path.to_owned();
        Ok(config)
    }

    /// Resolves relative paths against `folder`.
    fn resolve_paths(&mut self, folder: &Path) {
        let portal = &mut self.portal;
        let set = |path: &mut PathBuf| *path = folder.join(&path);
        set(&mut portal.data);
        set(&mut portal.r#box);
        set(&mut self.unseal.tool);
        let mail = self.mail.iter_mut().flat_map(|mail| &mut mail.password_file);
        let given = portal.certificate.iter_mut().chain(&mut portal.key);
        given.chain(&mut self.unseal.identity).chain(mail).for_each(set);
    }

    fn find_faults(&self) -> Vec<String> {
        let (portal, login) = (&self.portal, &self.login);
        let secure = portal.tls != TlsMode::None;
        let scheme = if secure { "https://" } else { "http://" };
        let host = portal.url.strip_prefix(scheme).unwrap_or("");
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let mail = self.mail.as_ref();
        let remote = mail.is_some_and(|mail| {
            mail.tls == MailTlsMode::None
                && !["localhost", "127.0.0.1", "::1"].contains(&&*mail.server)
        });
        let keyed = portal.certificate.is_some() == portal.key.is_some();
        let from = mail.is_some_and(|mail| mail.from.parse::<lettre::message::Mailbox>().is_err());
        let within = |value: u32, most: u32| (1..=most).contains(&value);
        let rules = [
            (
                host.is_empty() || !host.chars().all(plain),
                "portal.url",
                format!("write {scheme}HOST or {scheme}HOST:PORT, without a path"),
            ),
            (
                !secure && !portal.address.ip().is_loopback(),
                "portal.tls",
                "\"none\" is for loopback only; use \"own\" or \"proxy\"".to_owned(),
            ),
            (!keyed, "portal.certificate", "give both certificate and key, or neither".to_owned()),
            (!within(login.tries, 100), "login.tries", "1 to 100".to_owned()),
            (!within(login.lock_seconds, DAY_S), "login.lock_seconds", "1 to 86400".to_owned()),
            (!within(login.idle_seconds, DAY_S), "login.idle_seconds", "1 to 86400".to_owned()),
            (!within(login.session_hours, 168), "login.session_hours", "1 to 168".to_owned()),
            (!within(login.reset_minutes, 1440), "login.reset_minutes", "1 to 1440".to_owned()),
            (
                !within(login.warn_seconds, login.idle_seconds / 2),
                "login.warn_seconds",
                "1 to half of the idle time".to_owned(),
            ),
            (from, "mail.from", "write an address, as in Hushbox <hushbox@example.org>".to_owned()),
            (remote, "mail.tls", "\"none\" is for a server on this machine only".to_owned()),
            (!within(self.unseal.memory_mb, 65_536), "unseal.memory_mb", "1 to 65536".to_owned()),
        ];
        let broken = rules.into_iter().filter(|(broken, ..)| *broken);
        broken.map(|(_, key, allowed)| format!("{key}: {allowed}")).collect()
    }

    /// Checks the files that the configuration names. A fatal problem is an error; one that may
    /// resolve itself, such as a stopped recorder, is a warning.
    pub fn check_files(&self) -> Result<Vec<String>, ConfigError> {
        let tool = &self.unseal.tool;
        let of = |key, path: &Path| {
            let path = path.to_owned();
            move |error| ConfigError::File { key, path, error }
        };
        let found = std::fs::metadata(tool).map_err(of("unseal.tool", tool))?;
        let runs = nix::unistd::access(tool, nix::unistd::AccessFlags::X_OK).is_ok();
        if !found.is_file() || !runs {
            return Err(ConfigError::NotExecutable { path: tool.clone() });
        }
        if let Some(identity) = &self.unseal.identity {
            let text =
                std::fs::read_to_string(identity).map_err(of("unseal.identity", identity))?;
            if find_identity(&Zeroizing::new(text)).is_none() {
                return Err(ConfigError::NoIdentity { path: identity.clone() });
            }
        }
        let mut warnings = self.find_exposed_files();
        let socket = &self.portal.r#box;
        if let Err(error) = std::fs::metadata(socket) {
            warnings.push(format!("portal.box: {}: {error}", socket.display()));
        }
        Ok(warnings)
    }

    /// Warns about files with the portal's credentials that another user than root and this one
    /// can change or replace, such as files in the recorder's folder.
    #[must_use]
    pub fn find_exposed_files(&self) -> Vec<String> {
        let password = self.mail.as_ref().and_then(|mail| mail.password_file.as_ref());
        let optional = [self.portal.key.as_ref(), password, self.unseal.identity.as_ref()];
        let files = std::iter::once(&self.path).chain(optional.into_iter().flatten());
        let exposed = files.filter(|file| {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            is_writable_by_others(file) || folder.is_some_and(is_writable_by_others)
        });
        let warning = |file: &PathBuf| {
            let file = file.display();
            format!(
                "{file}: a user other than root and the portal's own can change or replace it; \
                 move it to a folder of root, such as /etc/hushbox-portal"
            )
        };
        exposed.map(warning).collect()
    }

    /// Host and port, as browsers send them.
    #[must_use]
    pub fn host(&self) -> &str {
        self.portal.url.split_once("://").map_or("", |(_, host)| host)
    }

    /// Replaces port 0 in `url` with the port that was bound.
    pub fn set_port(&mut self, port: u16) {
        if let Some(host) = self.portal.url.strip_suffix(":0") {
            self.portal.url = format!("{host}:{port}");
        }
    }

    /// Whether browsers connect over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.portal.tls != TlsMode::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL_TOML: &str = "[portal]\naddress = \"127.0.0.1:8443\"\nurl = \"https://p:8443\"\n\
        data = \"data\"\nbox = \"/run/b.sock\"\n";

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("portal.toml");
        std::fs::write(&path, text).expect("written");
        Config::read_config(&path)
    }

    #[test]
    fn the_least_file_has_safe_defaults() {
        let config = read(MINIMAL_TOML).expect("a configuration");
        assert_eq!((config.host(), config.is_secure()), ("p:8443", true));
        assert_eq!((config.login.tries, config.login.reset_minutes), (5, 30));
        assert!(config.portal.data.is_absolute() && config.mail.is_none());
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/portal.toml");
        Config::read_config(Path::new(shipped)).expect("the shipped file");
    }

    #[test]
    fn credentials_that_others_can_change_or_replace_are_reported() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets).expect("a folder");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("set");
        };
        let text = format!("{MINIMAL_TOML}[unseal]\nidentity = \"secrets/identity.txt\"\n");
        std::fs::write(at("portal.toml"), text).expect("written");
        std::fs::write(secrets.join("identity.txt"), "").expect("written");
        let config = Config::read_config(&at("portal.toml")).expect("a configuration");
        set(&at("portal.toml"), 0o640);
        assert_eq!(config.find_exposed_files(), Vec::<String>::new());
        set(&at("portal.toml"), 0o660);
        set(&secrets, 0o777);
        let warnings = config.find_exposed_files();
        assert!(warnings.len() == 2 && warnings[0].contains("portal.toml"), "{warnings:?}");
        assert!(warnings[1].contains("identity.txt"), "{warnings:?}");
    }

    #[test]
    fn wrong_values_are_named_all_at_once() {
        let text = MINIMAL_TOML.replace("https", "ftp");
        let text = format!("{text}certificate = \"a\"\n[login]\ntries = 0\nwarn_seconds = 900\n");
        let said = read(&text).expect_err("refused").to_string();
        for key in ["portal.url", "portal.certificate", "login.tries", "login.warn_seconds"] {
            assert!(said.contains(key), "{key}: {said}");
        }
        let odd = read(&format!("{MINIMAL_TOML}colour = 1\n")).expect_err("refused").to_string();
        assert!(odd.contains("colour") && odd.contains("line 6"), "{odd}");
        let plain = MINIMAL_TOML.replace("https", "http").replace("127.0.0.1", "0.0.0.0");
        let plain = read(&format!("{plain}tls = \"none\"\n")).expect_err("refused").to_string();
        assert!(plain.contains("loopback"), "{plain}");
    }
}
