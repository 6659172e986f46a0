//! A desktop settings portal on the test's message bus.
//!
//! It implements `org.freedesktop.portal.Settings` for the keys that the client reads, and signals
//! each change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use zbus::blocking::{Connection, connection};
use zbus::zvariant::{OwnedValue, Value};

const PATH: &str = "/org/freedesktop/portal/desktop";
const LOOKS: &str = "org.freedesktop.appearance";
const GNOME: &str = "org.gnome.desktop.interface";

type Spaces = BTreeMap<String, BTreeMap<String, OwnedValue>>;

struct Settings(Arc<Mutex<Spaces>>);

#[zbus::interface(name = "org.freedesktop.portal.Settings")]
impl Settings {
    fn read_all(&self, namespaces: Vec<String>) -> Spaces {
        let mut spaces = self.0.lock().unwrap().clone();
        spaces.retain(|space, _| namespaces.contains(space));
        spaces
    }
}

pub struct Portal {
    bus: Connection,
    spaces: Arc<Mutex<Spaces>>,
}

impl Portal {
    /// Starts a portal that prefers dark (1), light (2), or neither (0).
    pub fn start(env: &[(String, String)], color_scheme: u32) -> Portal {
        let address = env.iter().find(|(name, _)| name == "DBUS_SESSION_BUS_ADDRESS");
        let spaces = Arc::default();
        let builder = connection::Builder::address(address.unwrap().1.as_str()).unwrap();
        let builder = builder.serve_at(PATH, Settings(Arc::clone(&spaces))).unwrap();
        let bus = builder.build().unwrap();
        let portal = Portal { bus, spaces };
        portal.set_scheme(color_scheme);
        portal.bus.request_name("org.freedesktop.portal.Desktop").unwrap();
        portal
    }

    pub fn set_scheme(&self, color_scheme: u32) {
        self.set(LOOKS, "color-scheme", color_scheme.into());
    }

    /// Sets the text scaling factor.
    pub fn set_text(&self, factor: f64) {
        self.set(GNOME, "text-scaling-factor", factor.into());
    }

    fn set(&self, space: &str, key: &str, value: Value<'_>) {
        let kept = value.try_to_owned().unwrap();
        let mut spaces = self.spaces.lock().unwrap();
        spaces.entry(space.to_owned()).or_default().insert(key.to_owned(), kept);
        drop(spaces);
        let interface = "org.freedesktop.portal.Settings";
        let told = (space, key, value);
        self.bus.emit_signal(None::<&str>, PATH, interface, "SettingChanged", &told).unwrap();
    }
}
