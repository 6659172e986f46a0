//! The events that wake the resident thread.
//!
//! Each source sends them through one channel; `resident` receives them.

use super::ipc_peer::IpcPeer;
use crate::agent_request::AgentRequest;
use crate::core::LinkEvent;
use crate::ipc::Request;
use crate::ui::appearance::{PortalSettings, XSettings};
use crate::ui::tray_view::MenuAction;
use crate::ui::window_kind::WindowKind;

/// An event for the resident thread.
#[derive(Debug)]
pub enum Event {
    /// An event of the connection with this epoch.
    Link(u64, LinkEvent),
    /// The agent chose a menu item of the tray.
    Menu(MenuAction),
    /// The agent pressed a global hotkey.
    Hotkey(AgentRequest),
    /// The keyboard layout has changed.
    KeyboardChanged,
    /// The settings portal was read.
    PortalSettings(PortalSettings),
    /// The X server's settings were read.
    XSettings(XSettings),
    /// A window or a script has connected.
    PeerConnected(u64, IpcPeer),
    /// A window or a script has sent a request.
    PeerRequest(u64, Request),
    /// A window or a script has disconnected.
    PeerDisconnected(u64),
    /// A window's process has ended.
    WindowClosed(WindowKind),
}
