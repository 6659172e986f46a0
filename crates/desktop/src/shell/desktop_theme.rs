//! What the desktop tells of its looks: the settings portal, and XSETTINGS.
//!
//! A thread for each waits for changes and reads everything anew. A desktop without the one or the
//! other, or without both, is told of in the log and is no error. Nothing here decides what follows
//! (`appearance`).

use super::Event;
use crate::ui::appearance::{Portal, XSettings, percent, xsettings};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;
use x11rb::connection::Connection as _;
use x11rb::errors::{ReplyError, ReplyOrIdError};
use x11rb::protocol::Event as XEvent;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConnectionExt, EventMask, Window,
};
use x11rb::rust_connection::RustConnection;
use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::OwnedValue;

const SERVICE: &str = "org.freedesktop.portal.Desktop";
const PATH: &str = "/org/freedesktop/portal/desktop";
const INTERFACE: &str = "org.freedesktop.portal.Settings";
const LOOKS: &str = "org.freedesktop.appearance";
const GNOME: &str = "org.gnome.desktop.interface";

/// Properties are read up to so many words of four bytes.
const WORDS: u32 = 1 << 16;

/// Starts to wait for both.
pub fn start(events: &Sender<Event>) {
    let portal = events.clone();
    spawn("portal", move || {
        if let Err(error) = watch_portal(&portal) {
            log::info!("the desktop has no settings portal: {error}");
        }
    });
    // On Wayland the windows are Wayland's, and what an X server says does not hold for them.
    if std::env::var_os("WAYLAND_DISPLAY").is_none() && std::env::var_os("DISPLAY").is_some() {
        let x = events.clone();
        spawn("xsettings", move || {
            if let Err(error) = watch_x(&x) {
                log::info!("XSETTINGS cannot be read: {error}");
            }
        });
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        log::error!("no thread for the desktop's looks: {error}");
    }
}

/// Says how it is, and again after every change.
fn watch_portal(events: &Sender<Event>) -> zbus::Result<()> {
    let bus = Connection::session()?;
    let portal = Proxy::new(&bus, SERVICE, PATH, INTERFACE)?;
    // Before it is read, so that no change falls between.
    let changes = portal.receive_signal("SettingChanged")?;
    if events.send(Event::Portal(read_portal(&portal)?)).is_err() {
        return Ok(());
    }
    for change in changes {
        let (space, _, _): (String, String, OwnedValue) = change.body().deserialize()?;
        let ours = space == LOOKS || space == GNOME;
        if ours && events.send(Event::Portal(read_portal(&portal)?)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn read_portal(portal: &Proxy<'_>) -> zbus::Result<Portal> {
    type Spaces = BTreeMap<String, BTreeMap<String, OwnedValue>>;
    let spaces: Spaces = portal.call("ReadAll", &[LOOKS, GNOME].as_slice())?;
    let value = |space: &str, key: &str| spaces.get(space).and_then(|keys| keys.get(key));
    let number = |key| value(LOOKS, key).and_then(|value| u32::try_from(value).ok());
    let factor = value(GNOME, "text-scaling-factor").and_then(|value| f64::try_from(value).ok());
    Ok(Portal {
        color_scheme: number("color-scheme"),
        contrast: number("contrast"),
        text_percent: factor.and_then(percent),
    })
}

/// The same for the X server. Its settings have a manager that may come and go.
fn watch_x(events: &Sender<Event>) -> Result<(), ReplyOrIdError> {
    let (display, screen) = match x11rb::connect(None) {
        Ok(opened) => opened,
        Err(error) => {
            log::info!("there is no X server: {error}");
            return Ok(());
        }
    };
    let root = display.setup().roots[screen].root;
    let atom = |name: &str| -> Result<u32, ReplyError> {
        Ok(display.intern_atom(false, name.as_bytes())?.reply()?.atom)
    };
    let (selection, property) =
        (atom(&format!("_XSETTINGS_S{screen}"))?, atom("_XSETTINGS_SETTINGS")?);
    // A manager that begins says so to the root.
    listen(&display, root, EventMask::STRUCTURE_NOTIFY)?;
    let mut last = None;
    loop {
        let owner = display.get_selection_owner(selection)?.reply()?.owner;
        if owner != x11rb::NONE {
            // It may be gone by now; the next turn sees that.
            let _ =
                listen(&display, owner, EventMask::PROPERTY_CHANGE | EventMask::STRUCTURE_NOTIFY);
        }
        let told = read_x(&display, (root, owner), property).unwrap_or_default();
        if last.as_ref() != Some(&told) {
            last = Some(told.clone());
            if events.send(Event::XSettings(told)).is_err() {
                return Ok(());
            }
        }
        wait_x(&display, owner, property)?;
    }
}

fn listen(display: &RustConnection, window: Window, mask: EventMask) -> Result<(), ReplyError> {
    let mask = ChangeWindowAttributesAux::new().event_mask(mask);
    display.change_window_attributes(window, &mask)?.check()
}

fn read_x(
    display: &RustConnection,
    (root, owner): (Window, Window),
    property: u32,
) -> Result<XSettings, ReplyError> {
    let resources = AtomEnum::RESOURCE_MANAGER;
    let kept = display.get_property(false, root, resources, AtomEnum::STRING, 0, WORDS)?.reply()?;
    let xft = kept.value.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"Xft.dpi"));
    let mut told = XSettings::default();
    if owner != x11rb::NONE {
        let value = display.get_property(false, owner, property, property, 0, WORDS)?.reply()?;
        told = xsettings(&value.value);
    }
    told.dpi |= xft;
    Ok(told)
}

/// Waits until the settings are others, or their manager is.
fn wait_x(display: &RustConnection, owner: Window, property: u32) -> Result<(), ReplyOrIdError> {
    loop {
        match display.wait_for_event()? {
            XEvent::PropertyNotify(event) if event.atom == property => return Ok(()),
            XEvent::DestroyNotify(event) if event.window == owner => return Ok(()),
            XEvent::ClientMessage(_) => return Ok(()),
            _ => {}
        }
    }
}
