//! Facts about the machine that only the shell knows, and their replies (`status`, `keys`,
//! `reboot`).
//!
//! They include addresses, public keys and how the last run ended. `reboot` is an orderly stop
//! after which the machine restarts.

use crate::job::Ticket;
use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use crate::time::{MonoTime, Now};
use data_encoding::HEXLOWER;
use protocol::reply::{self, LineWriter};
use protocol::{Code, Refusal};

/// Hexadecimal digits of a fingerprint: 64 bits, too many to forge a match.
const FINGERPRINT: usize = 16;

/// Facts about the machine, from the shell.
#[derive(Clone, Debug, Default)]
pub struct BoxInfo {
    /// Addresses that the recorder listens on.
    pub places: Vec<String>,
    /// Public keys that recordings are sealed to.
    pub recipients: Vec<String>,
    /// How the last run ended: `first`, `shutdown` or `power`.
    pub boot_reason: &'static str,
    pub time_sync: TimeSync,
    /// Whether the service manager can reboot the machine on request.
    pub may_reboot: bool,
}

/// Whether the system clock is synchronised to a time source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeSync {
    Yes,
    No,
    /// The operating system does not report it.
    #[default]
    Unknown,
}

/// What the system says about its clock.
#[derive(Clone, Copy, Debug)]
pub struct TimeSyncReport {
    pub state: TimeSync,
    /// When that was known to be so.
    pub at: MonoTime,
}

impl TimeSync {
    /// `yes`, `no` or `unknown`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TimeSync::Yes => "yes",
            TimeSync::No => "no",
            TimeSync::Unknown => "unknown",
        }
    }
}

fn key_fingerprint(of: &str) -> String {
    let mut hex = blake3::hash(of.as_bytes()).to_hex().to_string();
    hex.truncate(FINGERPRINT);
    hex
}

impl Recorder {
    /// Sets the machine's facts; call before the first turn.
    pub fn set_box_info(&mut self, about: BoxInfo) {
        self.admin.about = about;
    }

    /// Sets the public keys that recordings are sealed to from now on.
    pub fn set_recipients(&mut self, recipients: Vec<String>) {
        self.admin.about.recipients = recipients;
    }

    /// Updates the clock's synchronisation state.
    pub(in crate::recorder) fn set_time_sync(&mut self, found: TimeSync) {
        if found != self.admin.about.time_sync {
            log::info!("the system's clock is synchronised: {}", found.as_str());
        }
        self.admin.about.time_sync = found;
    }

    /// Whether the clock is synchronised, for counters; `None` if unknown.
    pub(in crate::recorder) fn is_time_synced(&self) -> Option<bool> {
        match self.admin.about.time_sync {
            TimeSync::Yes => Some(true),
            TimeSync::No => Some(false),
            TimeSync::Unknown => None,
        }
    }

    /// Whether to reboot the machine after the stop.
    #[must_use]
    pub fn reboot_after_stop(&self) -> bool {
        self.admin.is_stopping() && self.admin.reboots
    }

    /// Adds the machine's facts to the `status` row.
    pub(in crate::recorder) fn add_box_info<'a>(
        &self,
        now: Now,
        row: LineWriter<'a>,
    ) -> LineWriter<'a> {
        let zone = &self.config.time_zone;
        let row = row.pair("time_zone", zone.iana_name().unwrap_or("UTC"));
        let row = row.pair("local_time", now.wall.to_local(zone));
        let reason = match self.admin.about.boot_reason {
            "" => "-",
            reason => reason,
        };
        let listen = match self.admin.about.places.join(",") {
            places if places.is_empty() => "-".to_string(),
            places => places,
        };
        let row = row.pair("time_sync", self.admin.about.time_sync.as_str());
        row.pair("boot_reason", reason).pair("listen", listen)
    }

    pub(in crate::recorder) fn list_keys(&self) -> Response {
        let mut bytes = Vec::new();
        let public = HEXLOWER.encode(&self.journal.storage.box_public_key());
        let row = reply::begin_row(&mut bytes)
            .pair("key", "box")
            .pair("signs", "journal,exports,reports");
        row.pair("fingerprint", key_fingerprint(&public)).pair("public", &public).end();
        for recipient in &self.admin.about.recipients {
            let here = self.identities.iter().any(|own| own.to_public().to_string() == *recipient);
            let row = reply::begin_row(&mut bytes).pair("key", "recipient");
            let row = row.pair("private", if here { "on-this-box" } else { "elsewhere" });
            row.pair("fingerprint", key_fingerprint(recipient)).pair("public", recipient).end();
        }
        if let Some(authority) = self.admin.enrolment.ca_fingerprint() {
            let row =
                reply::begin_row(&mut bytes).pair("key", "authority").pair("signs", "certificates");
            row.pair("fingerprint", HEXLOWER.encode(&authority)).end();
        }
        reply::begin_ok(&mut bytes).end();
        Response::immediate(bytes)
    }

    pub(in crate::recorder) fn request_reboot(
        &mut self,
        now: Now,
        by: &str,
    ) -> Result<Response, Refusal> {
        if !self.admin.about.may_reboot {
            let text = "the service of this box cannot reboot the machine \
                        (HUSHBOX_REBOOT_EXIT is not set); use shutdown to stop the box";
            return Err(Refusal::new(Code::Denied, text));
        }
        log::warn!("{by} reboots the machine");
        self.admin.reboots = true;
        self.begin_stop(now);
        Ok(Response::ok(Ticket(0)))
    }
}
