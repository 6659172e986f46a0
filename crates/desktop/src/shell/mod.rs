//! The impure part: sockets, the tray, notifications, hotkeys, files and the windows' processes.
//!
//! One thread owns `core::Core` and waits for `Event`s (`resident`). Each source of events has a
//! thread that only waits. The resident thread handles the blackout key, so it never waits for a
//! window, the panel, the message bus or the box: it queues messages for their threads. No thread
//! wakes up without a reason; with a quiet box that is one ping every 30 s.

pub mod clock;
pub mod desktop_theme;
pub mod event;
pub mod hotkeys;
pub mod instance;
pub mod ipc_client;
pub mod ipc_peer;
pub mod link;
pub mod log_file;
pub mod notifier;
pub mod paths;
pub mod resident;
pub mod tray;
pub mod user;
pub mod window_processes;
