//! Reads the desktop's theme: from the settings portal, and from XSETTINGS.
//!
//! A thread for each source waits for changes and reads all settings again. A desktop without a
//! source is logged and is no error. `ui::appearance` decides what follows.

use super::event::Event;
use crate::ui::appearance::{PortalSettings, XSettings, parse_xsettings, to_percent};
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
const APPEARANCE: &str = "org.freedesktop.appearance";
const GNOME: &str = "org.gnome.desktop.interface";

/// The most words of four bytes that are read of a property.
const PROPERTY_WORDS_MAX: u32 = 1 << 16;

/// Starts the threads that watch both sources.
pub fn watch_desktop_theme(events: &Sender<Event>) {
    let portal_events = events.clone();
    spawn_thread("portal", move || {
        if let Err(error) = watch_portal(&portal_events) {
            log::info!("the desktop has no settings portal: {error}");
        }
    });
    // On Wayland the windows ignore an X server's settings.
    if std::env::var_os("WAYLAND_DISPLAY").is_none() && std::env::var_os("DISPLAY").is_some() {
        let x_events = events.clone();
        spawn_thread("xsettings", move || {
            if let Err(error) = watch_xsettings(&x_events) {
                log::info!("cannot read XSETTINGS: {error}");
            }
        });
    }
}

fn spawn_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(work) {
        log::error!("cannot follow the desktop's theme, no thread: {error}");
    }
}

/// Sends the portal's settings now and after every change.
fn watch_portal(events: &Sender<Event>) -> zbus::Result<()> {
    let bus = Connection::session()?;
    let portal = Proxy::new(&bus, SERVICE, PATH, INTERFACE)?;
    // Subscribed before the first read, so that no change is missed.
    let changes = portal.receive_signal("SettingChanged")?;
    if events.send(Event::PortalSettings(read_portal(&portal)?)).is_err() {
        return Ok(());
    }
    for change in changes {
        let (namespace, _, _): (String, String, OwnedValue) = change.body().deserialize()?;
        let concerns_us = namespace == APPEARANCE || namespace == GNOME;
        if concerns_us && events.send(Event::PortalSettings(read_portal(&portal)?)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn read_portal(portal: &Proxy<'_>) -> zbus::Result<PortalSettings> {
    type Namespaces = BTreeMap<String, BTreeMap<String, OwnedValue>>;
    let namespaces: Namespaces = portal.call("ReadAll", &[APPEARANCE, GNOME].as_slice())?;
    let value = |name: &str, key: &str| namespaces.get(name).and_then(|keys| keys.get(key));
    let number = |key| value(APPEARANCE, key).and_then(|value| u32::try_from(value).ok());
    let factor = value(GNOME, "text-scaling-factor").and_then(|value| f64::try_from(value).ok());
    Ok(PortalSettings {
        color_scheme: number("color-scheme"),
        contrast: number("contrast"),
        text_percent: factor.and_then(to_percent),
    })
}

/// Sends the X server's settings now and after every change. Their manager may start, stop and
/// restart.
fn watch_xsettings(events: &Sender<Event>) -> Result<(), ReplyOrIdError> {
    let (display, screen) = match x11rb::connect(None) {
        Ok(opened) => opened,
        Err(error) => {
            log::info!("cannot connect to the X server: {error}");
            return Ok(());
        }
    };
    let root = display.setup().roots[screen].root;
    let atom = |name: &str| -> Result<u32, ReplyError> {
        Ok(display.intern_atom(false, name.as_bytes())?.reply()?.atom)
    };
    let (selection, property) =
        (atom(&format!("_XSETTINGS_S{screen}"))?, atom("_XSETTINGS_SETTINGS")?);
    // A manager that starts sends a message to the root window.
    select_events(&display, root, EventMask::STRUCTURE_NOTIFY)?;
    let mut last = None;
    loop {
        let owner = display.get_selection_owner(selection)?.reply()?.owner;
        if owner != x11rb::NONE {
            let mask = EventMask::PROPERTY_CHANGE | EventMask::STRUCTURE_NOTIFY;
            // The manager may have stopped since; the next turn finds that out.
            let _ = select_events(&display, owner, mask);
        }
        let settings = read_xsettings(&display, (root, owner), property).unwrap_or_default();
        if last.as_ref() != Some(&settings) {
            last = Some(settings.clone());
            if events.send(Event::XSettings(settings)).is_err() {
                return Ok(());
            }
        }
        wait_for_change(&display, owner, property)?;
    }
}

fn select_events(
    display: &RustConnection,
    window: Window,
    mask: EventMask,
) -> Result<(), ReplyError> {
    let mask = ChangeWindowAttributesAux::new().event_mask(mask);
    display.change_window_attributes(window, &mask)?.check()
}

fn read_xsettings(
    display: &RustConnection,
    (root, owner): (Window, Window),
    property: u32,
) -> Result<XSettings, ReplyError> {
    let read = |window, name: u32, kind: u32| {
        display.get_property(false, window, name, kind, 0, PROPERTY_WORDS_MAX)?.reply()
    };
    let resources = read(root, AtomEnum::RESOURCE_MANAGER.into(), AtomEnum::STRING.into())?;
    let mut lines = resources.value.split(|byte| *byte == b'\n');
    let has_xft_dpi = lines.any(|line| line.starts_with(b"Xft.dpi"));
    let mut settings = XSettings::default();
    if owner != x11rb::NONE {
        settings = parse_xsettings(&read(owner, property, property)?.value);
    }
    settings.has_dpi |= has_xft_dpi;
    Ok(settings)
}

/// Waits until the settings or their manager change.
fn wait_for_change(
    display: &RustConnection,
    owner: Window,
    property: u32,
) -> Result<(), ReplyOrIdError> {
    loop {
        match display.wait_for_event()? {
            XEvent::PropertyNotify(event) if event.atom == property => return Ok(()),
            XEvent::DestroyNotify(event) if event.window == owner => return Ok(()),
            XEvent::ClientMessage(_) => return Ok(()),
            _ => {}
        }
    }
}
