//! What the agent sees, as pure values: the tray view, icons, buttons, notifications, timeline.

pub mod appearance;
pub mod button;
pub mod fields;
pub mod icons;
pub mod model;
pub mod notification;
pub mod snapshot;
pub mod timeline;
