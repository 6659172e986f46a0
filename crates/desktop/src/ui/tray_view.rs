//! What the tray shows: icon, title, tooltip and menu, as a pure function of the `ClientState`.
//!
//! The box's `can` alone enables menu items (requirement A13). Without a connection the menu shows
//! only what works without one, and the icon tells so (A10).

use super::client_state::{ClientState, LinkState};
use super::text::{capitalize_first, format_reasons, to_sentence};
use super::window_kind::WindowKind;
use crate::agent_request::{AgentCommand, AgentRequest};
use protocol::{Ability, AgentState, ScreenMode};
use std::fmt::Write;

/// What the icon shows. Each icon has its own shape, so that agents need no colour to tell the
/// icons apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Icon {
    /// Not connected.
    Offline,
    /// Connected, no call.
    Idle,
    /// In a call that the agent does not record.
    Call,
    Recording,
    /// A blackout is active.
    Blackout,
    /// All retries failed.
    Standby,
    /// A requested blackout is not active, or came late.
    Attention,
}

impl Icon {
    /// Every icon.
    pub const ALL: [Icon; 7] = [
        Icon::Offline,
        Icon::Idle,
        Icon::Call,
        Icon::Recording,
        Icon::Blackout,
        Icon::Standby,
        Icon::Attention,
    ];

    /// The name for scripts, and the end of the icon's file name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Icon::Offline => "offline",
            Icon::Idle => "idle",
            Icon::Call => "call",
            Icon::Recording => "recording",
            Icon::Blackout => "blackout",
            Icon::Standby => "standby",
            Icon::Attention => "attention",
        }
    }

    /// Reads the name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Icon> {
        Icon::ALL.into_iter().find(|icon| icon.as_str() == name)
    }

    /// The icon of a client state.
    #[must_use]
    pub fn for_state(client_state: &ClientState) -> Icon {
        if client_state.unmasked.is_some() {
            return Icon::Attention;
        }
        let masked = |state: &AgentState| state.blackout || state.masked;
        if client_state.late.is_some() && !client_state.agent_state.as_ref().is_some_and(masked) {
            return Icon::Attention;
        }
        match (&client_state.link, &client_state.agent_state) {
            (LinkState::Standby { .. }, _) => Icon::Standby,
            (LinkState::Connecting | LinkState::Retrying { .. }, _) => Icon::Offline,
            (LinkState::Connected(_), Some(state)) if masked(state) => Icon::Blackout,
            (LinkState::Connected(_), Some(state))
                if state.recording || state.screen == ScreenMode::On =>
            {
                Icon::Recording
            }
            (LinkState::Connected(_), Some(state)) if state.call.is_some() => Icon::Call,
            (LinkState::Connected(_), _) => Icon::Idle,
        }
    }
}

/// What a menu item does when the agent chooses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MenuAction {
    Request(AgentRequest),
    Open(WindowKind),
    /// Open the button bar, or close it.
    ToggleBar,
    Quit,
}

/// A line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MenuItem {
    /// Text only.
    Heading(String),
    Separator,
    Action {
        /// `_` stands before the access key.
        label: String,
        enabled: bool,
        /// The state of a check item; `None` for other items.
        checked: Option<bool>,
        action: MenuAction,
    },
}

/// What the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrayView {
    pub icon: Icon,
    /// The first line of the tooltip, which a screen reader says first.
    pub title: String,
    /// The rest of the tooltip.
    pub tooltip: String,
    pub menu: Vec<MenuItem>,
}

impl TrayView {
    /// The view of a client state.
    #[must_use]
    pub fn new(client_state: &ClientState) -> TrayView {
        TrayView {
            icon: Icon::for_state(client_state),
            title: format!("Hushbox: {}", client_state.headline()),
            tooltip: format_tooltip(client_state),
            menu: build_menu(client_state),
        }
    }
}

fn format_tooltip(client_state: &ClientState) -> String {
    let mut text = match &client_state.link {
        LinkState::Connecting => "Trying each server in turn.".to_owned(),
        LinkState::Retrying { reason, .. } => to_sentence(reason),
        LinkState::Standby { reason, probing: true } => {
            format!("{} Retries automatically; Reconnect retries now.", to_sentence(reason))
        }
        LinkState::Standby { reason, probing: false } => {
            format!("{} Choose Reconnect to retry.", to_sentence(reason))
        }
        LinkState::Connected(endpoint) => {
            format!("Connected to {} as {}.", endpoint.name, endpoint.agent)
        }
    };
    let Some(state) = &client_state.agent_state else { return text };
    if state.recording && !state.reasons.is_empty() {
        let _ = write!(text, "\nRecording requested by: {}.", format_reasons(&state.reasons));
    }
    if let Some(note) = &state.note {
        let _ = write!(text, "\n{}", to_sentence(note));
    }
    text
}

fn build_menu(client_state: &ClientState) -> Vec<MenuItem> {
    let mut menu = vec![MenuItem::Heading(format_heading(client_state)), MenuItem::Separator];
    let connected = matches!(client_state.link, LinkState::Connected(_));
    if client_state.late.is_some() {
        let seen = MenuAction::Request(AgentRequest::Acknowledge);
        menu.push(action_item("I Have _Seen That the Blackout Was Late", true, seen));
        menu.push(MenuItem::Separator);
    }
    if connected {
        let state = client_state.agent_state.clone().unwrap_or_default();
        menu.extend(build_command_items(&state));
        let updates = (1..=15).any(|n| state.can.contains(Ability::Update(n)));
        menu.push(window_item("_Update Call Record…", WindowKind::Update, updates));
        menu.push(MenuItem::Separator);
    }
    menu.push(window_item("Check _Status…", WindowKind::Status, true));
    let reconnect = MenuAction::Request(AgentRequest::Reconnect);
    let can_reconnect = !connected && client_state.link != LinkState::Connecting;
    menu.push(action_item("Re_connect", can_reconnect, reconnect));
    menu.push(MenuItem::Separator);
    if connected {
        let (label, action) = ("Show Button _Bar".to_owned(), MenuAction::ToggleBar);
        let checked = Some(client_state.bar_open);
        menu.push(MenuItem::Action { label, enabled: true, checked, action });
    }
    menu.push(window_item("Se_ttings…", WindowKind::Settings, true));
    menu.push(window_item("_About Hushbox…", WindowKind::About, true));
    menu.push(action_item("_Quit", true, MenuAction::Quit));
    menu
}

fn format_heading(client_state: &ClientState) -> String {
    match &client_state.link {
        LinkState::Connected(endpoint) => {
            format!("{}: {}", endpoint.name, client_state.headline())
        }
        _ => capitalize_first(&client_state.headline()),
    }
}

/// The items that start or stop something, each only where it changes something. A recording that
/// others hold can be held by the agent too, and stopped with the right ability.
fn build_command_items(state: &AgentState) -> Vec<MenuItem> {
    let own = state.reasons.split(',').any(|reason| reason == "agent");
    let held_by_others = state.recording && !own;
    let screen = state.screen == ScreenMode::On;
    let mut items = Vec::new();
    if !state.recording || held_by_others {
        items.push(command_item("Start _Recording", state, AgentCommand::RecordStart));
    }
    if state.recording && (own || state.can.contains(Ability::RecordStop)) {
        items.push(command_item("Stop _Recording", state, AgentCommand::RecordStop));
    }
    items.push(match screen {
        false => command_item("Start Scree_n Recording", state, AgentCommand::ScreenStart),
        true => command_item("Stop Scree_n Recording", state, AgentCommand::ScreenStop),
    });
    items.push(match state.blackout {
        false => command_item("Start B_lackout", state, AgentCommand::BlackoutStart),
        true => command_item("Stop B_lackout", state, AgentCommand::BlackoutStop),
    });
    if state.carried {
        items.push(command_item("_Keep Blackout in This Call", state, AgentCommand::BlackoutStart));
    }
    items
}

fn command_item(label: &str, state: &AgentState, command: AgentCommand) -> MenuItem {
    let enabled = state.can.contains(command.required_ability());
    action_item(label, enabled, MenuAction::Request(AgentRequest::Command(command)))
}

fn window_item(label: &str, window: WindowKind, enabled: bool) -> MenuItem {
    action_item(label, enabled, MenuAction::Open(window))
}

fn action_item(label: &str, enabled: bool, action: MenuAction) -> MenuItem {
    MenuItem::Action { label: label.to_owned(), enabled, checked: None, action }
}
