//! Shows notifications through the desktop's notification service.
//!
//! A thread of its own calls the service, which may be slow or may only be starting. A new
//! notification replaces the previous one of its topic. Without the service the client logs one
//! warning and shows nothing.

use super::tray::escape_markup;
use crate::ui::notification::{Notification, Topic, Urgency};
use notify_rust::{Hint, NotificationHandle, Timeout};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How long a notification that is not urgent is shown, in milliseconds.
const SHOWN_MS: u32 = 8000;

/// Starts the thread. It shows each notification that is sent to it.
pub fn start_notifier() -> Result<Sender<Notification>, std::io::Error> {
    let (sender, receiver) = channel();
    let show = move || show_notifications(&receiver);
    std::thread::Builder::new().name("notifier".to_owned()).spawn(show)?;
    Ok(sender)
}

fn show_notifications(notifications: &Receiver<Notification>) {
    // A handle owns its connection; some desktops close a notification with its connection.
    let mut shown: BTreeMap<Topic, NotificationHandle> = BTreeMap::new();
    let mut has_warned = false;
    for notification in notifications {
        let mut message = to_service_message(&notification);
        if let Some(last) = shown.get(&notification.topic) {
            message.id(last.id());
        }
        match message.show() {
            Ok(handle) => {
                shown.insert(notification.topic, handle);
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
    message
}
