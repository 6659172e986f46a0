//! Balloons, through the desktop's notification service.
//!
//! A thread of its own shows them, because the service may be slow, or start only now. Each topic
//! has one balloon on the screen: a new one takes the place of the last. A desktop without the
//! service shows none; that is logged once.

use super::tray::escaped;
use crate::ui::notification::{Balloon, Topic, Urgency};
use notify_rust::{Hint, Notification, NotificationHandle, Timeout};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

/// How long a usual one stays, milliseconds.
const SHOWN_MS: u32 = 8000;

/// Starts the thread; what is sent to it is shown.
pub fn start() -> Result<Sender<Balloon>, std::io::Error> {
    let (sender, receiver) = channel();
    let show = move || show_all(&receiver);
    std::thread::Builder::new().name("balloons".to_owned()).spawn(show)?;
    Ok(sender)
}

fn show_all(balloons: &Receiver<Balloon>) {
    // A handle keeps its connection; some desktops take a balloon away with it.
    let mut shown: BTreeMap<Topic, NotificationHandle> = BTreeMap::new();
    let mut complained = false;
    for balloon in balloons {
        let mut notification = notification(&balloon);
        if let Some(last) = shown.get(&balloon.topic) {
            notification.id(last.id());
        }
        match notification.show() {
            Ok(handle) => {
                shown.insert(balloon.topic, handle);
                complained = false;
            }
            Err(error) if !complained => {
                log::warn!("balloons cannot be shown: {error}");
                complained = true;
            }
            Err(_) => {}
        }
    }
}

fn notification(balloon: &Balloon) -> Notification {
    let (urgency, timeout) = match balloon.urgency {
        Urgency::Low => (notify_rust::Urgency::Low, Timeout::Milliseconds(SHOWN_MS)),
        Urgency::Normal => (notify_rust::Urgency::Normal, Timeout::Milliseconds(SHOWN_MS)),
        Urgency::Urgent => (notify_rust::Urgency::Critical, Timeout::Never),
    };
    let mut notification = Notification::new();
    notification
        .appname("Hushbox")
        .icon("hushbox")
        .summary(&balloon.title)
        .body(&escaped(&balloon.body))
        .urgency(urgency)
        .hint(Hint::DesktopEntry("hushbox-desktop".to_owned()))
        .timeout(timeout);
    notification
}
