//! What the agent sees, as pure values: tray view, icons, buttons, notifications, timeline.
//!
//! `core` makes the values; `shell` and `windows` show them.

pub mod appearance;
pub mod button;
pub mod client_state;
pub mod field_form;
pub mod icons;
pub mod notification;
pub mod status_rows;
pub mod text;
pub mod timeline;
pub mod tray_view;
pub mod window_kind;
