//! The resident process: waits for events, feeds the state machine, and carries out its outputs.
//!
//! One thread owns everything here. It sleeps until an event comes or a deadline of `core` passes.
//! The state machine decides what an event means.

use super::event::Event;
use super::hotkeys::GlobalHotkeys;
use super::instance::{InstanceError, InstanceLock};
use super::ipc_peer::{self, IpcPeer};
use super::link::Link;
use super::tray::Tray;
use super::window_processes::WindowProcesses;
use super::{clock, desktop_theme, notifier, paths, user};
use crate::agent_request::AgentRequest;
use crate::core::{Core, Input, Output};
use crate::ipc::{Message, Request, RequestKind, Snapshot};
use crate::settings::Settings;
use crate::ui::appearance::{Appearance, DesktopSettings, choose_appearance};
use crate::ui::notification::Notification;
use crate::ui::tray_view::{MenuAction, TrayView};
use crate::ui::window_kind::WindowKind;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Why the client cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    #[error("{0}")]
    Instance(#[from] InstanceError),
    #[error("cannot create a thread or a socket: {0}")]
    Io(#[from] std::io::Error),
}

/// A window or a script that is connected.
struct ConnectedPeer {
    peer: IpcPeer,
    /// The window that the peer is, if it watches.
    window: Option<WindowKind>,
}

struct Resident {
    core: Core,
    link: Link,
    tray: Tray,
    hotkeys: GlobalHotkeys,
    notifier: Sender<Notification>,
    peers: BTreeMap<u64, ConnectedPeer>,
    /// The requesters that wait for a reply: the peer, and the number of its request.
    requesters: BTreeMap<u64, (u64, u64)>,
    last_requester: u64,
    windows: WindowProcesses,
    events: Sender<Event>,
    desktop: DesktopSettings,
    /// What the tray shows, and whether for a dark panel.
    shown_view: (TrayView, bool),
    /// The last snapshot that the windows got.
    sent_snapshot: Option<Snapshot>,
    quitting: bool,
}

/// Runs until the agent quits the client.
pub fn run_resident(lock: &InstanceLock, settings: Settings) -> Result<(), ResidentError> {
    let (sender, receiver) = channel();
    lock.serve_peers(sender.clone())?;
    let mut resident = Resident::start(settings, sender)?;
    resident.handle_input(Input::Launch);
    if resident.core.settings().bar {
        resident.open_window(WindowKind::Bar);
    }
    resident.run_loop(&receiver);
    let peers = std::mem::take(&mut resident.peers);
    ipc_peer::close_all(peers.into_values().map(|connected| connected.peer));
    log::info!("stopped");
    Ok(())
}

impl Resident {
    fn start(settings: Settings, events: Sender<Event>) -> Result<Resident, ResidentError> {
        let link = Link::start(events.clone())?;
        let hotkeys = GlobalHotkeys::start(&settings.hotkeys, events.clone());
        let core = Core::new(settings, user::read_logged_in_user(), clock::name_program());
        let view = TrayView::new(&core.client_state());
        let desktop_names = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let desktop = DesktopSettings { desktop_names, ..DesktopSettings::default() };
        desktop_theme::watch_desktop_theme(&events);
        let dark = appearance_for(&core, &desktop).dark_panel;
        let tray = Tray::start(view.clone(), dark, events.clone())?;
        Ok(Resident {
            core,
            link,
            tray,
            hotkeys,
            notifier: notifier::start_notifier(events.clone())?,
            peers: BTreeMap::new(),
            requesters: BTreeMap::new(),
            last_requester: 0,
            windows: WindowProcesses::default(),
            events,
            desktop,
            shown_view: (view, dark),
            sent_snapshot: None,
            quitting: false,
        })
    }

    fn run_loop(&mut self, events: &Receiver<Event>) {
        while !self.quitting {
            let event = match self.core.next_deadline_ms() {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline_ms) => {
                    let left_ms = deadline_ms.saturating_sub(clock::now_ms());
                    events.recv_timeout(Duration::from_millis(left_ms))
                }
            };
            match event {
                Ok(event) => self.handle_event(event),
                Err(RecvTimeoutError::Timeout) => self.handle_input(Input::Tick),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Link(epoch, event) => self.handle_input(Input::Link(epoch, event)),
            Event::Menu(action) => self.perform_menu_action(action),
            Event::Hotkey(request) => self.submit_request(request, None),
            Event::KeyboardChanged => {
                self.hotkeys.follow_keyboard(&self.core.settings().hotkeys);
                self.update_views();
            }
            Event::PortalSettings(portal) => {
                self.desktop.portal = portal;
                self.apply_theme();
            }
            Event::XSettings(xsettings) => {
                self.desktop.xsettings = xsettings;
                self.apply_theme();
            }
            Event::PeerConnected(number, peer) => {
                self.peers.insert(number, ConnectedPeer { peer, window: None });
            }
            Event::PeerRequest(number, request) => self.handle_peer_request(number, request),
            Event::PeerDisconnected(number) => {
                self.peers.remove(&number);
                self.requesters.retain(|_, (peer, _)| *peer != number);
            }
            Event::WindowClosed(window) => {
                self.windows.mark_closed(window);
                if window == WindowKind::Bar {
                    self.handle_input(Input::BarOpen(false));
                }
            }
        }
    }

    fn perform_menu_action(&mut self, action: MenuAction) {
        match action {
            MenuAction::Request(request) => self.submit_request(request, None),
            MenuAction::Open(window) => self.open_window(window),
            MenuAction::ToggleBar if self.windows.is_open(WindowKind::Bar) => {
                self.close_window(WindowKind::Bar);
            }
            MenuAction::ToggleBar => self.open_window(WindowKind::Bar),
            MenuAction::Quit => self.quitting = true,
        }
    }

    fn submit_request(&mut self, request: AgentRequest, requester: Option<(u64, u64)>) {
        log::info!("request: {}", request.name_without_value());
        let requester = requester.map(|requester| {
            self.last_requester += 1;
            self.requesters.insert(self.last_requester, requester);
            self.last_requester
        });
        self.handle_input(Input::Request(request, requester));
    }

    /// Feeds the state machine, and carries out its outputs.
    fn handle_input(&mut self, input: Input) {
        self.core.handle_input(clock::read_now(), input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Connect(epoch, servers) => self.link.connect(epoch, servers),
                Output::Close => self.link.close(),
                Output::Send(line) => self.link.send_line(line),
                Output::Notify(notification) => {
                    log::info!("notification: {}", notification.title);
                    // The notifier may have ended; the log has the title.
                    let _ = self.notifier.send(notification);
                }
                Output::Reply(requester, reply) => {
                    let Some((peer, id)) = self.requesters.remove(&requester) else { continue };
                    self.send_reply(peer, id, reply);
                }
            }
        }
        self.update_views();
    }

    /// Updates the tray and the windows.
    fn update_views(&mut self) {
        self.update_tray();
        if !self.peers.values().any(|connected| connected.window.is_some()) {
            self.sent_snapshot = None;
            return;
        }
        let snapshot = self.build_snapshot();
        // Windows count the blackout's time by themselves: a new time alone is not sent.
        let timeless = |snapshot: &Snapshot| Snapshot {
            blackout_ms: 0,
            timeline: Vec::new(),
            about: Vec::new(),
            ..snapshot.clone()
        };
        if self.sent_snapshot.as_ref().map(timeless) == Some(timeless(&snapshot)) {
            return;
        }
        let message = Message::Snapshot(Box::new(snapshot.clone()));
        self.sent_snapshot = Some(snapshot);
        for connected in self.peers.values_mut().filter(|connected| connected.window.is_some()) {
            connected.peer.send_message(message.clone());
        }
    }

    fn update_tray(&mut self) {
        let view = (TrayView::new(&self.core.client_state()), self.appearance().dark_panel);
        if self.shown_view != view {
            if self.shown_view.0.icon != view.0.icon {
                log::info!("icon: {}", view.0.icon.as_str());
            }
            self.tray.show_view(view.0.clone(), view.1);
            self.shown_view = view;
        }
    }

    fn appearance(&self) -> Appearance {
        appearance_for(&self.core, &self.desktop)
    }

    /// The desktop's theme has changed.
    fn apply_theme(&mut self) {
        log::info!("appearance: {:?}", self.appearance());
        self.update_views();
    }

    fn build_snapshot(&self) -> Snapshot {
        let display = |path: Result<PathBuf, paths::PathError>| {
            path.map_or_else(|error| error.to_string(), |path| paths::display_path(&path))
        };
        let log = paths::state_home().map(|folder| folder.join("desktop.log"));
        let about = [
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Licence", "MIT or Apache-2.0".to_owned()),
            ("Settings", display(paths::own_settings_path())),
            ("Log", display(log)),
        ];
        let appearance = self.appearance();
        Snapshot {
            autostart: paths::is_autostart_on(),
            hotkeys: self.hotkeys.summary().to_owned(),
            dark: appearance.dark,
            contrast: appearance.contrast,
            text_percent: appearance.text_percent,
            about: about.map(|(heading, text)| (heading.to_owned(), text)).into(),
            ..self.core.build_snapshot(clock::now_ms())
        }
    }

    fn send_reply(&mut self, peer: u64, id: u64, reply: Result<String, String>) {
        let (ok, text) = match reply {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        if let Some(connected) = self.peers.get_mut(&peer) {
            connected.peer.send_message(Message::Reply { id, ok, text });
        }
    }

    fn handle_peer_request(&mut self, number: u64, Request { id, kind }: Request) {
        match kind {
            RequestKind::Watch { window } => self.start_watching(number, &window),
            RequestKind::Status => {
                let snapshot = Box::new(self.build_snapshot());
                if let Some(connected) = self.peers.get_mut(&number) {
                    connected.peer.send_message(Message::Snapshot(snapshot));
                }
            }
            RequestKind::Agent(request) => self.submit_request(request, Some((number, id))),
            RequestKind::Open { window } => {
                let known = WindowKind::parse(&window);
                if let Some(window) = known {
                    self.open_window(window);
                }
                let reply = known.map(|_| "opened".to_owned());
                self.send_reply(number, id, reply.ok_or(format!("unknown window {window:?}")));
            }
            RequestKind::Settings { settings, autostart } => {
                let reply = self.save_settings(&settings, autostart);
                self.send_reply(number, id, reply.map_err(|error| error.to_string()));
            }
            RequestKind::Quit => {
                self.send_reply(number, id, Ok("stopped".to_owned()));
                self.quitting = true;
            }
        }
    }

    fn start_watching(&mut self, number: u64, window: &str) {
        let window = WindowKind::parse(window);
        let snapshot = Box::new(self.build_snapshot());
        let Some(connected) = self.peers.get_mut(&number) else { return };
        connected.window = window;
        connected.peer.send_message(Message::Snapshot(snapshot));
        if window == Some(WindowKind::Bar) {
            self.handle_input(Input::BarOpen(true));
        }
    }

    fn save_settings(
        &mut self,
        settings: &Settings,
        autostart: bool,
    ) -> Result<String, paths::PathError> {
        let file = settings.to_own_file(&paths::read_own_settings()?);
        paths::write_own_settings(&file)?;
        // The written settings apply even if the autostart entry cannot be written.
        let autostart = paths::set_autostart(autostart);
        let settings = paths::read_settings()?;
        self.hotkeys.grab_keys(&settings.hotkeys);
        self.handle_input(Input::Settings(settings));
        self.sent_snapshot = None;
        self.update_views();
        autostart.map(|()| "Saved.".to_owned())
    }

    fn open_window(&mut self, window: WindowKind) {
        if self.windows.is_open(window) {
            let mut open = self.peers.values_mut();
            if let Some(connected) = open.find(|connected| connected.window == Some(window)) {
                connected.peer.send_message(Message::Present);
            }
            return;
        }
        if let Err(error) = self.windows.open_window(window, &self.events) {
            log::error!("cannot open the window {}: {error}", window.as_str());
        }
    }

    fn close_window(&mut self, window: WindowKind) {
        let open = self.peers.values_mut().filter(|connected| connected.window == Some(window));
        open.for_each(|connected| connected.peer.disconnect());
    }
}

fn appearance_for(core: &Core, desktop: &DesktopSettings) -> Appearance {
    let settings = core.settings();
    choose_appearance(desktop, settings.theme, settings.panel)
}
