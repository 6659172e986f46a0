//! What a screen reader could say of the open windows.
//!
//! It enables accessibility, as Orca does, and walks the tree of each registered program over the
//! AT-SPI bus. Both are part of `at-spi2-core`, which the session bus starts.

use crate::daemon::wait_for;
use zbus::blocking::{Connection, connection};
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

/// An object: bus name and path.
type Object = (String, OwnedObjectPath);

/// AT-SPI role numbers used by the client.
const ROLES: [(u32, &str); 5] =
    [(7, "check box"), (29, "label"), (43, "button"), (44, "radio button"), (79, "entry")];

pub struct Reader(Connection);

impl Reader {
    /// Starts reading on this session bus.
    pub fn start(env: &[(String, String)]) -> Reader {
        let address = env.iter().find(|(name, _)| name == "DBUS_SESSION_BUS_ADDRESS").unwrap();
        let session = connection::Builder::address(address.1.as_str()).unwrap().build().unwrap();
        let (to, path) = (Some("org.a11y.Bus"), "/org/a11y/bus");
        let on = ("org.a11y.Status", "ScreenReaderEnabled", Value::from(true));
        let properties = Some("org.freedesktop.DBus.Properties");
        session
            .call_method(to, path, properties, "Set", &on)
            .expect("at-spi2-core is needed: make setup");
        let told = session.call_method(to, path, to, "GetAddress", &()).unwrap();
        let address: String = told.body().deserialize().unwrap();
        let bus = connection::Builder::address(address.as_str()).unwrap();
        Reader(bus.build().unwrap())
    }

    fn children(&self, (owner, path): &Object) -> Option<Vec<Object>> {
        let accessible = Some("org.a11y.atspi.Accessible");
        let to = Some(owner.as_str());
        let told = self.0.call_method(to, path, accessible, "GetChildren", &()).ok()?;
        told.body().deserialize().ok()
    }

    /// Role and name of an object; an entry has its label's name.
    fn says(&self, (owner, path): &Object) -> Option<String> {
        let accessible = "org.a11y.atspi.Accessible";
        let to = Some(owner.as_str());
        let role = self.0.call_method(to, path, Some(accessible), "GetRole", &()).ok()?;
        let role: u32 = role.body().deserialize().ok()?;
        let properties = Some("org.freedesktop.DBus.Properties");
        let name = self.0.call_method(to, path, properties, "Get", &(accessible, "Name")).ok()?;
        let name: OwnedValue = name.body().deserialize().ok()?;
        let role = ROLES.iter().find(|(number, _)| *number == role).map_or("", |(_, word)| word);
        Some(format!("{role}: {}", String::try_from(name).ok()?))
    }

    /// Everything on the screen, as "button: Send (Enter)".
    fn all(&self) -> Vec<String> {
        let root = OwnedObjectPath::try_from("/org/a11y/atspi/accessible/root").unwrap();
        let mut left = vec![("org.a11y.atspi.Registry".to_owned(), root)];
        let mut said = Vec::new();
        while let Some(object) = left.pop() {
            // A window that closes meanwhile has no children.
            left.extend(self.children(&object).unwrap_or_default());
            said.extend(self.says(&object));
        }
        said
    }

    /// Waits until all these texts are on the screen.
    pub fn await_all(&self, wanted: &[&str]) {
        wait_for(&format!("{wanted:?}"), || {
            let said = self.all();
            wanted.iter().all(|text| said.iter().any(|said| said == text)).then_some(())
        });
    }
}
