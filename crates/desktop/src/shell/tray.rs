//! The icon and its menu, through StatusNotifierItem and dbusmenu.
//!
//! It shows a `Look` and tells what was chosen. A panel that is not there yet may come later, and
//! go and come again. Nothing here decides what is in the menu.

use super::Event;
use crate::ui::icons::{SIZES, draw};
use crate::ui::model::{Choice, Item, Look, Window};
use ksni::blocking::{Handle, TrayMethods};
use ksni::menu::{CheckmarkItem, StandardItem};
use ksni::{MenuItem, Status, ToolTip};
use std::sync::mpsc::Sender;

/// What a panel asks for.
struct Shown {
    look: Look,
    dark: bool,
    events: Sender<Event>,
}

/// The icon in the tray.
pub struct Tray {
    handle: Handle<Shown>,
}

impl Tray {
    /// Puts it there, or as soon as there is a panel.
    pub fn start(look: Look, dark: bool, events: Sender<Event>) -> Result<Tray, ksni::Error> {
        let item = Shown { look, dark, events };
        let handle = item.assume_sni_available(true).spawn()?;
        Ok(Tray { handle })
    }

    /// Shows another look.
    pub fn show(&self, look: Look, dark: bool) {
        let shown = self.handle.update(|item| {
            item.look = look;
            item.dark = dark;
        });
        if shown.is_none() {
            log::error!("the tray icon is gone");
        }
    }
}

impl Shown {
    fn tell(&self, choice: Choice) {
        // Nobody hears us when the program ends.
        let _ = self.events.send(Event::Choice(choice));
    }

    fn item(item: &Item) -> MenuItem<Shown> {
        match item {
            Item::Heading(text) => {
                let label = text.replace('_', "__");
                StandardItem { label, enabled: false, ..StandardItem::default() }.into()
            }
            Item::Separator => MenuItem::Separator,
            Item::Choice { label, enabled, checked, does } => {
                let (label, enabled, does) = (label.clone(), *enabled, does.clone());
                let activate = Box::new(move |item: &mut Shown| item.tell(does.clone()));
                match *checked {
                    Some(checked) => {
                        let rest = CheckmarkItem::default();
                        CheckmarkItem { label, enabled, checked, activate, ..rest }.into()
                    }
                    None => {
                        let rest = StandardItem::default();
                        StandardItem { label, enabled, activate, ..rest }.into()
                    }
                }
            }
        }
    }
}

impl ksni::Tray for Shown {
    fn id(&self) -> String {
        "hushbox-desktop".to_owned()
    }

    fn title(&self) -> String {
        self.look.title.clone()
    }

    fn status(&self) -> Status {
        Status::Active
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        let pictures = SIZES.iter().filter_map(|size| draw(self.look.icon, self.dark, *size));
        let icons = pictures.filter_map(|picture| {
            let size = i32::try_from(picture.size).ok()?;
            Some(ksni::Icon { width: size, height: size, data: picture.argb() })
        });
        icons.collect()
    }

    fn tool_tip(&self) -> ToolTip {
        let (title, description) = (self.look.title.clone(), escaped(&self.look.tooltip));
        ToolTip { title, description, ..ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        self.tell(Choice::Open(Window::Status));
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.look.menu.iter().map(Shown::item).collect()
    }
}

/// Tooltips and balloons are marked-up text; ours is plain.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
