//! Reads `[[listen]]`: where the box can be reached, and whether that is safe to serve.
//!
//! One listener is one of three: a TCP address, a unix socket, a serial port. Plain TCP off
//! loopback is refused unless `insecure = true` says that somebody wants it; passwords and names
//! would go over the wire for all to read.
//!
//! Nothing here binds or resolves; that an address is free shows when the box starts.

use crate::config::Listen;
use crate::config::bounds::{BAUDS, IDLE_S, IDLE_S_DEFAULT, PATH, SOCKET_PATH};
use crate::config::error::{Notes, quote};
use crate::config::table::{At, Table};
use core::net::SocketAddr;

/// All keys that a listener can have.
struct Parts {
    address: Option<At<String>>,
    unix: Option<At<String>>,
    serial: Option<At<String>>,
    tls: Option<At<bool>>,
    insecure: Option<At<bool>>,
    baud: Option<At<u32>>,
    idle_s: Option<At<u32>>,
}

/// One listener; `None` if there is none in it, which is noted.
pub(super) fn read_listen(mut table: Table<'_>, notes: &mut Notes) -> Option<At<Listen>> {
    let parts = Parts {
        address: table.text("address", &PATH),
        unix: table.text("unix", &SOCKET_PATH),
        serial: table.text("serial", &PATH),
        tls: table.flag("tls"),
        insecure: table.flag("insecure"),
        baud: read_baud(&mut table),
        idle_s: table.number("idle_s", IDLE_S),
    };
    let listen = match (&parts.address, &parts.unix, &parts.serial) {
        (Some(address), None, None) => parts.tcp(address, &mut table),
        (None, Some(unix), None) => parts.unix(unix, &mut table),
        (None, None, Some(serial)) => parts.serial(serial, &mut table),
        (None, None, None) => {
            table.missing("address", "one of address, unix, serial");
            None
        }
        _ => {
            let text = "found several of address, unix and serial, allowed one a listener";
            table.unfit(table.at, "address", text.to_owned());
            None
        }
    };
    table.finish(notes);
    listen
}

fn read_baud(table: &mut Table<'_>) -> Option<At<u32>> {
    let baud = table.number("baud", 0..=u32::MAX)?;
    if !BAUDS.contains(&baud.value) {
        table.wrong(baud.at, "baud", format!("found {}, allowed {}", baud.value, bauds()));
    }
    Some(baud)
}

fn bauds() -> String {
    BAUDS.map(|baud| baud.to_string()).join(", ")
}

/// Notes a key that another kind of listener has.
fn stray<T>(table: &mut Table<'_>, key: &str, found: Option<&At<T>>, owner: &str) {
    if let Some(found) = found {
        table.unfit(found.at, key, format!("found it without {owner}, allowed only with {owner}"));
    }
}

impl Parts {
    fn tcp(&self, found: &At<String>, table: &mut Table<'_>) -> Option<At<Listen>> {
        stray(table, "baud", self.baud.as_ref(), "serial");
        stray(table, "idle_s", self.idle_s.as_ref(), "serial");
        let Ok(address) = found.value.parse::<SocketAddr>() else {
            let text = format!(
                "found {}, allowed a numeric address and port, like 127.0.0.1:7440 or [::1]:7440",
                quote(&found.value)
            );
            table.wrong(found.at, "address", text);
            return None;
        };
        let tls = self.tls.as_ref().is_some_and(|flag| flag.value);
        let insecure = self.insecure.as_ref().is_some_and(|flag| flag.value);
        if let Some(flag) = self.insecure.as_ref().filter(|flag| flag.value && tls) {
            let text = "found true with tls = true, allowed one of them";
            table.unfit(flag.at, "insecure", text.to_owned());
        }
        if !tls && !insecure && !address.ip().to_canonical().is_loopback() {
            let text = format!(
                "found {address} in plain text, allowed a loopback address, tls = true, \
                 or insecure = true (which raises an alarm)"
            );
            table.unfit(found.at, "address", text);
        }
        Some(At { at: found.at, value: Listen::Tcp { address, tls, insecure } })
    }

    fn unix(&self, found: &At<String>, table: &mut Table<'_>) -> Option<At<Listen>> {
        stray(table, "tls", self.tls.as_ref(), "address");
        stray(table, "insecure", self.insecure.as_ref(), "address");
        stray(table, "baud", self.baud.as_ref(), "serial");
        stray(table, "idle_s", self.idle_s.as_ref(), "serial");
        let path = found.value.clone().into();
        Some(At { at: found.at, value: Listen::Unix { path } })
    }

    fn serial(&self, found: &At<String>, table: &mut Table<'_>) -> Option<At<Listen>> {
        stray(table, "tls", self.tls.as_ref(), "address");
        stray(table, "insecure", self.insecure.as_ref(), "address");
        let Some(baud) = &self.baud else {
            table.missing("baud", &bauds());
            return None;
        };
        let (path, baud) = (found.value.clone().into(), baud.value);
        let idle_s = self.idle_s.as_ref().map_or(IDLE_S_DEFAULT, |idle| idle.value);
        Some(At { at: found.at, value: Listen::Serial { path, baud, idle_s } })
    }
}
