//! The thin part: sockets, the tray, balloons, keys, files and the windows' processes.
//!
//! One thread owns `core::Core` and waits for `Event`s (`resident`); each source of events has a
//! thread of its own that does nothing but wait. Nothing wakes up without a reason: with a quiet
//! box that is one ping every 30 s.
//!
//! Nothing here decides what is shown or sent.

pub mod clock;
pub mod desktop_theme;
pub mod hotkeys;
pub mod instance;
pub mod link;
pub mod log_file;
pub mod notify;
pub mod paths;
pub mod resident;
pub mod tray;
pub mod user;
pub mod window_processes;

use crate::action::Press;
use crate::core::LinkEvent;
use crate::ipc::Asking;
use crate::ui::appearance::{Portal, XSettings};
use crate::ui::model::{Choice, Window};

/// What wakes the resident process.
#[derive(Debug)]
pub enum Event {
    /// Of the attempt with this number.
    Link(u64, LinkEvent),
    /// Chosen in the tray's menu.
    Choice(Choice),
    /// A key that works everywhere.
    Key(Press),
    /// The keyboard's layout is another one.
    Keyboard,
    /// What the settings portal says now.
    Portal(Portal),
    /// What the X server's settings say now.
    XSettings(XSettings),
    /// A window or a script has connected.
    Came(u64, instance::Guest),
    /// It says something.
    Asked(u64, Asking),
    /// It is gone.
    Left(u64),
    /// A window's process has ended.
    Closed(Window),
    /// The desktop wants us to end.
    End,
}
