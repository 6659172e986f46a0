//! Reads `[[listen]]`: the listeners and whether they are safe.
//!
//! A listener is a TCP address, a unix socket or a serial port. Plain TCP off loopback is
//! rejected without `insecure = true`, because passwords and names would be sent in clear text.
//! Binding happens at startup.

use crate::config::ListenSettings;
use crate::config::bounds::{BAUDS, IDLE_S, IDLE_S_DEFAULT, PATH, SOCKET_PATH};
use crate::config::error::{Diagnostics, quote_text};
use crate::config::table::{Located, TableReader};
use core::net::SocketAddr;

/// All keys that a listener can have.
struct ListenKeys {
    address: Option<Located<String>>,
    unix: Option<Located<String>>,
    serial: Option<Located<String>>,
    tls: Option<Located<bool>>,
    insecure: Option<Located<bool>>,
    baud: Option<Located<u32>>,
    idle_s: Option<Located<u32>>,
}

/// Reads one listener; reports an error and returns `None` if it has no address.
pub(super) fn read_listen(
    mut table: TableReader<'_>,
    notes: &mut Diagnostics,
) -> Option<Located<ListenSettings>> {
    let parts = ListenKeys {
        address: table.read_text("address", &PATH),
        unix: table.read_text("unix", &SOCKET_PATH),
        serial: table.read_text("serial", &PATH),
        tls: table.read_flag("tls"),
        insecure: table.read_flag("insecure"),
        baud: read_baud(&mut table),
        idle_s: table.read_number("idle_s", IDLE_S),
    };
    let listen = match (&parts.address, &parts.unix, &parts.serial) {
        (Some(address), None, None) => parts.build_tcp(address, &mut table),
        (None, Some(unix), None) => parts.build_unix(unix, &mut table),
        (None, None, Some(serial)) => parts.build_serial(serial, &mut table),
        (None, None, None) => {
            table.report_missing("address", "one of address, unix, serial");
            None
        }
        _ => {
            let text = "found several of address, unix and serial, allowed one a listener";
            table.report_conflict(table.offset, "address", text.to_owned());
            None
        }
    };
    table.finish(notes);
    listen
}

fn read_baud(table: &mut TableReader<'_>) -> Option<Located<u32>> {
    let baud = table.read_number("baud", 0..=u32::MAX)?;
    if !BAUDS.contains(&baud.value) {
        table.report_invalid(
            baud.offset,
            "baud",
            format!("found {}, allowed {}", baud.value, allowed_bauds()),
        );
    }
    Some(baud)
}

fn allowed_bauds() -> String {
    BAUDS.map(|baud| baud.to_string()).join(", ")
}

/// Reports a key that belongs to another kind of listener.
fn reject_misplaced_key<T>(
    table: &mut TableReader<'_>,
    key: &str,
    found: Option<&Located<T>>,
    owner: &str,
) {
    if let Some(found) = found {
        table.report_conflict(
            found.offset,
            key,
            format!("found it without {owner}, allowed only with {owner}"),
        );
    }
}

impl ListenKeys {
    fn build_tcp(
        &self,
        found: &Located<String>,
        table: &mut TableReader<'_>,
    ) -> Option<Located<ListenSettings>> {
        reject_misplaced_key(table, "baud", self.baud.as_ref(), "serial");
        reject_misplaced_key(table, "idle_s", self.idle_s.as_ref(), "serial");
        let Ok(address) = found.value.parse::<SocketAddr>() else {
            let text = format!(
                "found {}, allowed a numeric address and port, like 127.0.0.1:7440 or [::1]:7440",
                quote_text(&found.value)
            );
            table.report_invalid(found.offset, "address", text);
            return None;
        };
        let tls = self.tls.as_ref().is_some_and(|flag| flag.value);
        let insecure = self.insecure.as_ref().is_some_and(|flag| flag.value);
        if let Some(flag) = self.insecure.as_ref().filter(|flag| flag.value && tls) {
            let text = "found true with tls = true, allowed one of them";
            table.report_conflict(flag.offset, "insecure", text.to_owned());
        }
        if !tls && !insecure && !address.ip().to_canonical().is_loopback() {
            let text = format!(
                "found {address} in plain text, allowed a loopback address, tls = true, \
                 or insecure = true (which raises an alarm)"
            );
            table.report_conflict(found.offset, "address", text);
        }
        Some(Located {
            offset: found.offset,
            value: ListenSettings::Tcp { address, tls, insecure },
        })
    }

    fn build_unix(
        &self,
        found: &Located<String>,
        table: &mut TableReader<'_>,
    ) -> Option<Located<ListenSettings>> {
        reject_misplaced_key(table, "tls", self.tls.as_ref(), "address");
        reject_misplaced_key(table, "insecure", self.insecure.as_ref(), "address");
        reject_misplaced_key(table, "baud", self.baud.as_ref(), "serial");
        reject_misplaced_key(table, "idle_s", self.idle_s.as_ref(), "serial");
        let path = found.value.clone().into();
        Some(Located { offset: found.offset, value: ListenSettings::Unix { path } })
    }

    fn build_serial(
        &self,
        found: &Located<String>,
        table: &mut TableReader<'_>,
    ) -> Option<Located<ListenSettings>> {
        reject_misplaced_key(table, "tls", self.tls.as_ref(), "address");
        reject_misplaced_key(table, "insecure", self.insecure.as_ref(), "address");
        let Some(baud) = &self.baud else {
            table.report_missing("baud", &allowed_bauds());
            return None;
        };
        let (path, baud) = (found.value.clone().into(), baud.value);
        let idle_s = self.idle_s.as_ref().map_or(IDLE_S_DEFAULT, |idle| idle.value);
        Some(Located { offset: found.offset, value: ListenSettings::Serial { path, baud, idle_s } })
    }
}
