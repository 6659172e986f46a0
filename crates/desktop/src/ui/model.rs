//! What the agent sees: from what is known to an icon, a menu and a tooltip.
//!
//! `look` is a function and nothing else: the same facts give the same look. What may be pressed is
//! decided by the box's `can` alone (requirement A13); while there is no connection the menu is cut
//! down to what works without one, and the icon says so (A10). Names and notes of the box are shown
//! as they came; what a field of the call record holds never comes here (F2).
//!
//! Nothing here draws, connects or remembers.

use crate::action::{Action, Press};
use protocol::{Ability, AgentState, Direction, ScreenMode};
use std::fmt::Write;

/// Before a note that says why the screen cannot be recorded.
pub const SCREEN_NOTE: &str = "screen: ";

/// What the icon shows. Each has a shape of its own, so that no colour is needed to tell them
/// apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Icon {
    /// There is no connection; nothing can be asked for.
    Offline,
    /// Connected, no call.
    Idle,
    /// A call that is not recorded, as far as the agent may know.
    Call,
    Recording,
    /// What is said is not kept.
    Blackout,
    /// It gave up trying to connect.
    Standby,
    /// A blackout was asked for and is not in force.
    Attention,
}

impl Icon {
    /// Each of them.
    pub const ALL: [Icon; 7] = [
        Icon::Offline,
        Icon::Idle,
        Icon::Call,
        Icon::Recording,
        Icon::Blackout,
        Icon::Standby,
        Icon::Attention,
    ];

    /// The end of its file's name, and its word for scripts.
    #[must_use]
    pub fn word(self) -> &'static str {
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

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Icon> {
        Icon::ALL.into_iter().find(|icon| icon.word() == word)
    }
}

/// The box that is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What the box calls itself.
    pub name: String,
    /// Where it is.
    pub server: String,
    /// The agent's name as the box has it.
    pub agent: String,
}

/// How it stands with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// An attempt is going on.
    Connecting,
    /// The box let the agent in.
    Connected(Place),
    /// It failed or was lost, and is tried again.
    Retrying {
        /// Why.
        why: String,
        /// Which of `client::RETRIES` comes next.
        retry: u32,
    },
    /// It was given up, but for quiet probes if `probing`.
    Standby { why: String, probing: bool },
}

/// Everything the look depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub link: Link,
    /// The newest the box said; `None` without a connection.
    pub state: Option<AgentState>,
    /// A blackout that was asked for is not in force; why, for people.
    pub unmasked: Option<String>,
    /// Whether the small window with the big buttons is open.
    pub bar: bool,
}

/// What choosing an item does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Press(Press),
    Open(Window),
    /// Opens the bar or closes it.
    Bar,
    Quit,
}

/// The windows, each a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Window {
    Update,
    Status,
    Settings,
    About,
    Bar,
}

impl Window {
    /// Each of them.
    pub const ALL: [Window; 5] =
        [Window::Update, Window::Status, Window::Settings, Window::About, Window::Bar];

    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Window::Update => "update",
            Window::Status => "status",
            Window::Settings => "settings",
            Window::About => "about",
            Window::Bar => "bar",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Window> {
        Window::ALL.into_iter().find(|window| window.word() == word)
    }
}

/// One line of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Text only.
    Heading(String),
    Separator,
    Choice {
        /// `_` stands before the letter that chooses it.
        label: String,
        enabled: bool,
        /// `None`: it is no switch.
        checked: Option<bool>,
        does: Choice,
    },
}

/// What is shown in the tray.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub icon: Icon,
    /// What a screen reader says first.
    pub title: String,
    /// The rest of the tooltip.
    pub tooltip: String,
    pub menu: Vec<Item>,
}

/// The look of these facts.
#[must_use]
pub fn look(facts: &Facts) -> Look {
    Look {
        icon: icon(facts),
        title: format!("Hushbox: {}", headline(facts)),
        tooltip: tooltip(facts),
        menu: menu(facts),
    }
}

/// The icon of these facts.
#[must_use]
pub fn icon(facts: &Facts) -> Icon {
    if facts.unmasked.is_some() {
        return Icon::Attention;
    }
    match (&facts.link, &facts.state) {
        (Link::Standby { .. }, _) => Icon::Standby,
        (Link::Connecting | Link::Retrying { .. }, _) => Icon::Offline,
        (Link::Connected(_), Some(state)) if state.blackout => Icon::Blackout,
        (Link::Connected(_), Some(state)) if state.recording || state.screen == ScreenMode::On => {
            Icon::Recording
        }
        (Link::Connected(_), Some(state)) if state.call.is_some() => Icon::Call,
        (Link::Connected(_), _) => Icon::Idle,
    }
}

/// The most important fact, in a few words.
#[must_use]
pub fn headline(facts: &Facts) -> String {
    if let Some(why) = &facts.unmasked {
        return format!("NOT masked: {why}");
    }
    match (&facts.link, &facts.state) {
        (Link::Connecting, _) => "connecting".to_owned(),
        (Link::Retrying { retry, .. }, _) => {
            format!("not connected, retry {retry} of {}", client::RETRIES)
        }
        (Link::Standby { .. }, _) => "standby, not connected".to_owned(),
        (Link::Connected(_), Some(state)) => doing(state).to_owned(),
        (Link::Connected(place), None) => format!("connected to {}", place.name),
    }
}

fn doing(state: &AgentState) -> &'static str {
    let screen = state.screen == ScreenMode::On;
    match (state.blackout, state.recording, state.call.is_some()) {
        (true, ..) => "blackout, what is said now is not kept",
        (_, true, _) => "recording",
        (..) if screen => "recording the screen",
        (.., true) => "in a call, not recorded",
        _ => "ready, no call",
    }
}

fn tooltip(facts: &Facts) -> String {
    let mut text = match &facts.link {
        Link::Connecting => "Trying the servers in order.".to_owned(),
        Link::Retrying { why, .. } => sentence(why),
        Link::Standby { why, probing: true } => {
            format!("{} It is tried now and then; Reconnect tries now.", sentence(why))
        }
        Link::Standby { why, probing: false } => {
            format!("{} Choose Reconnect to try again.", sentence(why))
        }
        Link::Connected(place) => format!("Connected to {} as {}.", place.name, place.agent),
    };
    let Some(state) = &facts.state else { return text };
    if state.recording && !state.reasons.is_empty() {
        let _ = write!(text, "\nRecorded for: {}.", state.reasons);
    }
    if let Some(note) = &state.note {
        let _ = write!(text, "\n{}", sentence(note));
    }
    text
}

/// With a full stop and a capital, whatever the box wrote.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn menu(facts: &Facts) -> Vec<Item> {
    let mut menu = vec![Item::Heading(heading(facts)), Item::Separator];
    let connected = matches!(facts.link, Link::Connected(_));
    if connected {
        let state = facts.state.clone().unwrap_or_default();
        menu.extend(controls(&state));
        let updates = (1..=15).any(|n| state.can.has(Ability::Update(n)));
        menu.push(opens("_Update Call Record…", Window::Update, updates));
        menu.push(Item::Separator);
    }
    menu.push(opens("Check _Status…", Window::Status, true));
    let reconnect = Choice::Press(Press::Reconnect);
    menu.push(choice("Re_connect", !connected && facts.link != Link::Connecting, reconnect));
    menu.push(Item::Separator);
    if connected {
        let (label, does) = ("Show Button _Bar".to_owned(), Choice::Bar);
        menu.push(Item::Choice { label, enabled: true, checked: Some(facts.bar), does });
    }
    menu.push(opens("Se_ttings…", Window::Settings, true));
    menu.push(opens("_About Hushbox…", Window::About, true));
    menu.push(choice("_Quit", true, Choice::Quit));
    menu
}

fn heading(facts: &Facts) -> String {
    match &facts.link {
        Link::Connected(place) => format!("{}: {}", place.name, headline(facts)),
        _ => capital(&headline(facts)),
    }
}

/// With a capital, and without a full stop.
pub(crate) fn capital(text: &str) -> String {
    let mut sentence = sentence(text);
    sentence.pop();
    sentence
}

/// Starting or stopping of each thing, whichever changes something; whether it is enabled is the
/// box's `can` alone. Of a recording that others hold too, or alone, both may be of use.
fn controls(state: &AgentState) -> Vec<Item> {
    let own = state.reasons.split(',').any(|reason| reason == "agent");
    let foreign = state.recording && !own;
    let screen = state.screen == ScreenMode::On;
    let mut items = Vec::new();
    if !state.recording || foreign {
        items.push(does("Start _Recording", state, Action::RecordStart));
    }
    if state.recording && (own || state.can.has(Ability::RecordStop)) {
        items.push(does("Stop _Recording", state, Action::RecordStop));
    }
    items.push(match screen {
        false => does("Start Scree_n Recording", state, Action::ScreenStart),
        true => does("Stop Scree_n Recording", state, Action::ScreenStop),
    });
    items.push(match state.blackout {
        false => does("Start B_lackout", state, Action::BlackoutStart),
        true => does("Stop B_lackout", state, Action::BlackoutStop),
    });
    items
}

fn does(label: &str, state: &AgentState, action: Action) -> Item {
    choice(label, state.can.has(action.ability()), Choice::Press(Press::Do(action)))
}

fn opens(label: &str, window: Window, enabled: bool) -> Item {
    choice(label, enabled, Choice::Open(window))
}

fn choice(label: &str, enabled: bool, does: Choice) -> Item {
    Item::Choice { label: label.to_owned(), enabled, checked: None, does }
}

/// Everything that *Check status* tells, as pairs of a heading and words (requirement A12).
#[must_use]
pub fn status(facts: &Facts) -> Vec<(&'static str, String)> {
    let (connection, server) = match &facts.link {
        Link::Connecting => ("connecting; the servers are tried in order".to_owned(), None),
        Link::Retrying { why, retry } => {
            (format!("not connected: {why}; retry {retry} of {}", client::RETRIES), None)
        }
        Link::Standby { why, probing: true } => {
            (format!("standby: {why}; tried now and then, Reconnect tries now"), None)
        }
        Link::Standby { why, probing: false } => {
            (format!("standby: {why}; Reconnect tries again"), None)
        }
        Link::Connected(place) => (
            format!("connected as {}", place.agent),
            Some(format!("{} at {}", place.name, place.server)),
        ),
    };
    let mut rows = vec![("Connection", connection)];
    rows.push(("Server", server.unwrap_or_else(|| "none".to_owned())));
    if let Some(why) = &facts.unmasked {
        rows.push(("Attention", format!("NOT masked: {why}")));
    }
    let Some(state) = &facts.state else { return rows };
    rows.push(("Call", call(state)));
    rows.push(("Recording", recording(state)));
    rows.push(("Blackout", if state.blackout { "on" } else { "off" }.to_owned()));
    rows.push(("Screen", screen(state)));
    if let Some(note) = state.note.as_ref().filter(|note| !note.starts_with(SCREEN_NOTE)) {
        rows.push(("Note", note.clone()));
    }
    rows.push(("You may", may(state)));
    rows
}

fn call(state: &AgentState) -> String {
    let Some(call) = &state.call else { return "none".to_owned() };
    match state.direction {
        Some(Direction::In) => format!("{call}, incoming"),
        Some(Direction::Out) => format!("{call}, outgoing"),
        None => call.clone(),
    }
}

fn recording(state: &AgentState) -> String {
    if !state.recording {
        return "off".to_owned();
    }
    let id = state.recording_id.as_deref().unwrap_or("?");
    if state.reasons.is_empty() {
        format!("on, {id}")
    } else {
        format!("on for {}, {id}", state.reasons)
    }
}

fn screen(state: &AgentState) -> String {
    match state.screen {
        ScreenMode::On => "recorded".to_owned(),
        ScreenMode::Off => "not recorded".to_owned(),
        ScreenMode::Disabled => {
            let why = state.note.as_ref().and_then(|note| note.strip_prefix(SCREEN_NOTE));
            why.map_or("cannot be recorded".to_owned(), |why| format!("cannot be recorded: {why}"))
        }
    }
}

fn may(state: &AgentState) -> String {
    if state.can.is_empty() {
        return "nothing now".to_owned();
    }
    let words =
        Ability::all().filter(|ability| state.can.has(*ability)).map(|ability| match ability {
            Ability::RecordStart => "start recording".to_owned(),
            Ability::RecordStop => "stop recording".to_owned(),
            Ability::BlackoutStart => "start a blackout".to_owned(),
            Ability::BlackoutStop => "end a blackout".to_owned(),
            Ability::ScreenStart => "record the screen".to_owned(),
            Ability::ScreenStop => "stop recording the screen".to_owned(),
            Ability::Update(field) => format!("update field {field}"),
        });
    words.collect::<Vec<_>>().join(", ")
}
