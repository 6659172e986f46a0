//! What the shell knows of the box and the recorder does not: addresses, keys, how the last run
//! ended; and what is told of it (`status`, `keys`, `reboot`).
//!
//! Of keys only what is public is here. Nothing here changes anything but for `reboot`, which is an
//! orderly stop with another end.

use crate::job::Ticket;
use crate::recorder::Recorder;
use crate::recorder::session::command::Response;
use crate::time::Now;
use data_encoding::HEXLOWER;
use protocol::reply::{self, LineWriter};
use protocol::{Code, Refusal};

/// Letters of a fingerprint: 64 bits are more than anybody makes to match.
const FINGERPRINT: usize = 16;

/// What the shell tells.
#[derive(Clone, Debug, Default)]
pub struct BoxInfo {
    /// Where it listens.
    pub places: Vec<String>,
    /// Public keys that recordings are sealed to.
    pub recipients: Vec<String>,
    /// How the last run ended: `first`, `shutdown` or `power`.
    pub boot_reason: &'static str,
    pub time_sync: TimeSync,
    /// Whoever started the daemon starts the machine anew, if it is told to.
    pub may_reboot: bool,
}

/// Whether the system's clock is set by a time server, or by somebody else who knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeSync {
    Yes,
    No,
    /// Nobody tells.
    #[default]
    Unknown,
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
    /// To be called before the first turn.
    pub fn set_box_info(&mut self, about: BoxInfo) {
        self.about = about;
    }

    /// Recordings are sealed to other keys from now on.
    pub fn set_recipients(&mut self, recipients: Vec<String>) {
        self.about.recipients = recipients;
    }

    /// How the system's clock is; it is told again and again.
    pub fn set_time_sync(&mut self, found: TimeSync) {
        if found != self.about.time_sync {
            log::info!("the system's clock is synchronised: {}", found.as_str());
        }
        self.about.time_sync = found;
    }

    /// The same for counters; none: nobody tells.
    pub(in crate::recorder) fn is_time_synced(&self) -> Option<bool> {
        match self.about.time_sync {
            TimeSync::Yes => Some(true),
            TimeSync::No => Some(false),
            TimeSync::Unknown => None,
        }
    }

    /// The stop that was asked for is to be followed by a start of the machine.
    #[must_use]
    pub fn reboot_after_stop(&self) -> bool {
        self.stopping && self.rebooting
    }

    /// More of the row that tells of the box.
    pub(in crate::recorder) fn add_box_info<'a>(
        &self,
        now: Now,
        row: LineWriter<'a>,
    ) -> LineWriter<'a> {
        let zone = &self.config.time_zone;
        let row = row.pair("time_zone", zone.iana_name().unwrap_or("UTC"));
        let row = row.pair("local_time", now.wall.to_local(zone));
        let reason = match self.about.boot_reason {
            "" => "-",
            reason => reason,
        };
        let listen = match self.about.places.join(",") {
            places if places.is_empty() => "-".to_string(),
            places => places,
        };
        let row = row.pair("time_sync", self.about.time_sync.as_str());
        row.pair("boot_reason", reason).pair("listen", listen)
    }

    pub(in crate::recorder) fn list_keys(&self) -> Response {
        let mut bytes = Vec::new();
        let public = HEXLOWER.encode(&self.storage.box_public_key());
        let row = reply::begin_row(&mut bytes)
            .pair("key", "box")
            .pair("signs", "journal,exports,reports");
        row.pair("fingerprint", key_fingerprint(&public)).pair("public", &public).end();
        for recipient in &self.about.recipients {
            let here = self.identities.iter().any(|own| own.to_public().to_string() == *recipient);
            let row = reply::begin_row(&mut bytes).pair("key", "recipient");
            let row = row.pair("private", if here { "on-this-box" } else { "elsewhere" });
            row.pair("fingerprint", key_fingerprint(recipient)).pair("public", recipient).end();
        }
        if let Some(authority) = self.enrolment.ca_fingerprint() {
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
        if !self.about.may_reboot {
            let text = "whoever started this box does not start the machine anew \
                        (HUSHBOX_REBOOT_EXIT is not set); shutdown stops the box";
            return Err(Refusal::new(Code::Denied, text));
        }
        log::warn!("{by} starts the machine anew");
        self.rebooting = true;
        self.begin_stop(now);
        Ok(Response::ok(Ticket(0)))
    }
}
