//! The tray icon and its menu, through StatusNotifierItem and dbusmenu.
//!
//! The tray shows a `TrayView` and reports what the agent chose. A panel may start later than the
//! client, and may restart. `ui::tray_view` decides what the menu holds.

use super::event::Event;
use crate::ui::icons::{ICON_SIZES, draw_icon};
use crate::ui::tray_view::{MenuAction, MenuItem, TrayView};
use crate::ui::window_kind::WindowKind;
use ksni::blocking::{Handle, TrayMethods};
use ksni::menu::{CheckmarkItem, StandardItem};
use ksni::{MenuItem as KsniMenuItem, Status, ToolTip};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// The object that the panel queries.
struct TrayService {
    view: TrayView,
    dark: bool,
    events: Sender<Event>,
}

/// The tray icon.
pub struct Tray {
    /// The newest view that the thread has not shown yet, and whether for a dark panel.
    next: Arc<Mutex<Option<(TrayView, bool)>>>,
    wake: SyncSender<()>,
}

impl Tray {
    /// Starts the thread that shows the icon, as soon as there is a panel. The thread waits for the
    /// message bus and the panel, which may not answer; its caller never does.
    pub fn start(
        view: TrayView,
        dark: bool,
        events: Sender<Event>,
    ) -> Result<Tray, std::io::Error> {
        let next = Arc::new(Mutex::new(None));
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new().name("tray".to_owned());
        let service = TrayService { view, dark, events };
        let slot = Arc::clone(&next);
        thread.spawn(move || match service.assume_sni_available(true).spawn() {
            Ok(handle) => show_views(&handle, &slot, &woken),
            Err(error) => log::error!("cannot show the tray icon: {error}"),
        })?;
        Ok(Tray { next, wake })
    }

    /// Shows another view. It replaces one that is not shown yet.
    pub fn show_view(&self, view: TrayView, dark: bool) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((view, dark));
        // Full: the thread is to wake up already. Disconnected: there is no tray.
        let _ = self.wake.try_send(());
    }
}

fn show_views(
    handle: &Handle<TrayService>,
    next: &Mutex<Option<(TrayView, bool)>>,
    woken: &Receiver<()>,
) {
    while woken.recv().is_ok() {
        let next = next.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((view, dark)) = next else { continue };
        let shown = handle.update(|service| {
            service.view = view;
            service.dark = dark;
        });
        if shown.is_none() {
            log::error!("the tray service has stopped");
        }
    }
}

impl TrayService {
    fn send_action(&self, action: MenuAction) {
        // The resident thread may have ended.
        let _ = self.events.send(Event::Menu(action));
    }

    fn to_ksni_item(item: &MenuItem) -> KsniMenuItem<TrayService> {
        match item {
            MenuItem::Heading(text) => {
                let label = text.replace('_', "__");
                StandardItem { label, enabled: false, ..StandardItem::default() }.into()
            }
            MenuItem::Separator => KsniMenuItem::Separator,
            MenuItem::Action { label, enabled, checked, action } => {
                let (label, enabled, action) = (label.clone(), *enabled, action.clone());
                let activate =
                    Box::new(move |service: &mut TrayService| service.send_action(action.clone()));
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

impl ksni::Tray for TrayService {
    fn id(&self) -> String {
        "hushbox-desktop".to_owned()
    }

    fn title(&self) -> String {
        self.view.title.clone()
    }

    fn status(&self) -> Status {
        Status::Active
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        let images =
            ICON_SIZES.iter().filter_map(|size| draw_icon(self.view.icon, self.dark, *size));
        let icons = images.filter_map(|image| {
            let size = i32::try_from(image.size).ok()?;
            Some(ksni::Icon { width: size, height: size, data: image.to_argb() })
        });
        icons.collect()
    }

    fn tool_tip(&self) -> ToolTip {
        let (title, description) = (self.view.title.clone(), escape_markup(&self.view.tooltip));
        ToolTip { title, description, ..ToolTip::default() }
    }

    fn activate(&mut self, _x: i32, _y: i32) {
        self.send_action(MenuAction::Open(WindowKind::Status));
    }

    fn menu(&self) -> Vec<KsniMenuItem<Self>> {
        self.view.menu.iter().map(TrayService::to_ksni_item).collect()
    }
}

/// Escapes a plain text for tooltips and notifications, which are markup.
pub(super) fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
