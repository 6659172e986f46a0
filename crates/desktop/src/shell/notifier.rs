//! Shows notifications through the desktop's notification service.
//!
//! A thread of its own calls the service, which may be slow or may only be starting. A new
//! notification replaces the previous one of its topic. Another thread waits for the agent's choice
//! in each notification that has actions. Without the service the client logs one warning and shows
//! nothing.

use super::event::Event;
use super::tray::escape_markup;
use crate::ui::notification::{Notification, NotificationAction, Topic, Urgency};
use crate::ui::tray_view::MenuAction;
use notify_rust::{Hint, NotificationHandle, Timeout};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How long a notification that is not urgent is shown, in milliseconds.
const SHOWN_MS: u32 = 8000;

/// A notification that the service shows.
struct Shown {
    id: u32,
    /// `None` if a thread waits for the agent's choice, and owns the handle.
    _handle: Option<NotificationHandle>,
}

/// Starts the thread. It shows each notification that is sent to it, and reports what the agent
/// chooses in them.
pub fn start_notifier(events: Sender<Event>) -> Result<Sender<Notification>, std::io::Error> {
    let (sender, receiver) = channel();
    let show = move || show_notifications(&receiver, &events);
    std::thread::Builder::new().name("notifier".to_owned()).spawn(show)?;
    Ok(sender)
}

fn show_notifications(notifications: &Receiver<Notification>, events: &Sender<Event>) {
    // A handle owns its connection; some desktops close a notification with its connection.
    let mut shown: BTreeMap<Topic, Shown> = BTreeMap::new();
    let mut has_warned = false;
    for notification in notifications {
        let mut message = to_service_message(&notification);
        if let Some(last) = shown.get(&notification.topic) {
            message.id(last.id);
        }
        match message.show() {
            Ok(handle) => {
                let id = handle.id();
                let _handle = if notification.actions.is_empty() {
                    Some(handle)
                } else {
                    wait_for_choice(handle, events.clone());
                    None
                };
                shown.insert(notification.topic, Shown { id, _handle });
                has_warned = false;
            }
            Err(error) if !has_warned => {
                log::warn!("cannot show notifications, no notification service: {error}");
                has_warned = true;
            }
            Err(_) => {}
        }
    }
}

/// Starts a thread that reports the agent's choice. It ends when the notification is closed.
fn wait_for_choice(handle: NotificationHandle, events: Sender<Event>) {
    let wait = move || {
        handle.wait_for_action(|key| {
            let chosen = NotificationAction::ALL.into_iter().find(|action| action.key() == key);
            if let Some(action) = chosen {
                // The resident thread may have ended.
                let _ = events.send(Event::Menu(MenuAction::Request(action.request())));
            }
        });
    };
    let started = std::thread::Builder::new().name("balloon".to_owned()).spawn(wait);
    if let Err(error) = started {
        log::error!("cannot wait for the choice in a notification: {error}");
    }
}

fn to_service_message(notification: &Notification) -> notify_rust::Notification {
    let (urgency, timeout) = match notification.urgency {
        Urgency::Low => (notify_rust::Urgency::Low, Timeout::Milliseconds(SHOWN_MS)),
        Urgency::Normal => (notify_rust::Urgency::Normal, Timeout::Milliseconds(SHOWN_MS)),
        Urgency::Urgent => (notify_rust::Urgency::Critical, Timeout::Never),
    };
    let mut message = notify_rust::Notification::new();
    message
        .appname("Hushbox")
        .icon("hushbox")
        .summary(&notification.title)
        .body(&escape_markup(&notification.body))
        .urgency(urgency)
        .hint(Hint::DesktopEntry("hushbox-desktop".to_owned()))
        .timeout(timeout);
    for action in &notification.actions {
        message.action(action.key(), action.label());
    }
    message
}
