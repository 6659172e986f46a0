//! The resident process: waits for events, asks the mind, and does what it says.
//!
//! One thread owns everything here. It sleeps until something happens or a deadline of `core`
//! passes. Nothing here decides what an event means.

use super::hotkeys::Hotkeys;
use super::instance::{Guest, InstanceError, Place};
use super::link::Link;
use super::tray::Tray;
use super::{Event, clock, notify, paths};
use crate::action::{self, Press};
use crate::core::{Core, Input, Output};
use crate::ipc::{Ask, Asking, Snapshot, Tell};
use crate::settings::Settings;
use crate::shell::window_processes::Children;
use crate::shell::{desktop_theme, user};
use crate::ui::appearance;
use crate::ui::appearance::{Appearance, Told};
use crate::ui::model;
use crate::ui::model::{Choice, Look, Window};
use crate::ui::notification::Balloon;
use crate::ui::snapshot;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Why the client cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ResidentError {
    #[error("{0}")]
    Instance(#[from] InstanceError),
    #[error("a thread or a socket cannot be made: {0}")]
    Io(#[from] std::io::Error),
}

/// Somebody at the socket.
struct Visitor {
    guest: Guest,
    /// The window that it is, if it wants every change.
    window: Option<Window>,
}

struct Resident {
    core: Core,
    link: Link,
    tray: Option<Tray>,
    hotkeys: Hotkeys,
    balloons: Sender<Balloon>,
    visitors: BTreeMap<u64, Visitor>,
    /// Who waits for the answer to a press: visitor, and the number of the wish.
    askers: BTreeMap<u64, (u64, u64)>,
    last_asker: u64,
    children: Children,
    events: Sender<Event>,
    /// What the desktop says of its looks.
    desktop: Told,
    /// What the tray shows, and whether for a dark panel.
    shown: (Look, bool),
    told: Option<Snapshot>,
    over: bool,
}

/// Runs until somebody quits.
pub fn run(place: &Place, settings: Settings) -> Result<(), ResidentError> {
    let (sender, receiver) = channel();
    place.serve(sender.clone())?;
    let mut resident = Resident::start(settings, sender)?;
    resident.handle(Input::Launch);
    if resident.core.settings().bar {
        resident.open(Window::Bar);
    }
    resident.turn(&receiver);
    for visitor in resident.visitors.values() {
        visitor.guest.dismiss();
    }
    log::info!("ended");
    Ok(())
}

impl Resident {
    fn start(settings: Settings, events: Sender<Event>) -> Result<Resident, ResidentError> {
        let link = Link::start(events.clone())?;
        let hotkeys = Hotkeys::start(&settings.hotkeys, events.clone());
        let core = Core::new(settings, user::here());
        let look = model::look(&core.facts());
        let names = std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default();
        let desktop = Told { desktop: names, ..Told::default() };
        desktop_theme::start(&events);
        let dark = looks_of(&core, &desktop).dark_panel;
        let tray = match Tray::start(look.clone(), dark, events.clone()) {
            Ok(tray) => Some(tray),
            Err(error) => {
                log::error!("there is no icon in the tray: {error}");
                None
            }
        };
        Ok(Resident {
            core,
            link,
            tray,
            hotkeys,
            balloons: notify::start()?,
            visitors: BTreeMap::new(),
            askers: BTreeMap::new(),
            last_asker: 0,
            children: Children::default(),
            events,
            desktop,
            shown: (look, dark),
            told: None,
            over: false,
        })
    }

    fn turn(&mut self, events: &Receiver<Event>) {
        while !self.over {
            let event = match self.core.deadline_ms() {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due_ms) => {
                    let left = due_ms.saturating_sub(clock::now_ms());
                    events.recv_timeout(Duration::from_millis(left))
                }
            };
            match event {
                Ok(event) => self.event(event),
                Err(RecvTimeoutError::Timeout) => self.handle(Input::Tick),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Link(epoch, event) => self.handle(Input::Link(epoch, event)),
            Event::Choice(choice) => self.choice(choice),
            Event::Key(press) => self.press(press, None),
            Event::Keyboard => {
                self.hotkeys.follow(&self.core.settings().hotkeys);
                self.show();
            }
            Event::Portal(portal) => {
                self.desktop.portal = portal;
                self.dress();
            }
            Event::XSettings(x) => {
                self.desktop.x = x;
                self.dress();
            }
            Event::Came(number, guest) => {
                self.visitors.insert(number, Visitor { guest, window: None });
            }
            Event::Asked(number, asking) => self.asked(number, asking),
            Event::Left(number) => {
                self.visitors.remove(&number);
                self.askers.retain(|_, (visitor, _)| *visitor != number);
            }
            Event::Closed(window) => {
                self.children.closed(window);
                if window == Window::Bar {
                    self.handle(Input::Bar(false));
                }
            }
            Event::End => self.over = true,
        }
    }

    fn choice(&mut self, choice: Choice) {
        match choice {
            Choice::Press(press) => self.press(press, None),
            Choice::Open(window) => self.open(window),
            Choice::Bar if self.children.has(Window::Bar) => self.dismiss(Window::Bar),
            Choice::Bar => self.open(Window::Bar),
            Choice::Quit => self.over = true,
        }
    }

    fn press(&mut self, press: Press, asker: Option<(u64, u64)>) {
        log::info!("asked for: {}", verb(&press));
        let asker = asker.map(|asker| {
            self.last_asker += 1;
            self.askers.insert(self.last_asker, asker);
            self.last_asker
        });
        self.handle(Input::Press(press, asker));
    }

    /// Gives the mind something, and does all it wants.
    fn handle(&mut self, input: Input) {
        let now = clock::moment();
        self.core.handle(now, input);
        while let Some(output) = self.core.poll() {
            match output {
                Output::Connect(epoch, servers) => self.link.connect(epoch, servers),
                Output::Close => self.link.close(),
                Output::Send(line) => self.link.send(line),
                Output::Balloon(balloon) => {
                    log::info!("{}", balloon.title);
                    // Without a desktop's service there are no balloons.
                    let _ = self.balloons.send(balloon);
                }
                Output::Answer(asker, answer) => {
                    let Some((visitor, id)) = self.askers.remove(&asker) else { continue };
                    self.answer(visitor, id, answer);
                }
            }
        }
        self.show();
    }

    /// Brings tray and windows up to date.
    fn show(&mut self) {
        self.show_tray();
        if !self.visitors.values().any(|visitor| visitor.window.is_some()) {
            self.told = None;
            return;
        }
        let snapshot = self.snapshot();
        // The blackout's time runs in the windows by itself; it is no reason to tell them again.
        let timeless = |snapshot: &Snapshot| Snapshot {
            blackout_ms: 0,
            timeline: Vec::new(),
            about: Vec::new(),
            ..snapshot.clone()
        };
        if self.told.as_ref().map(timeless) == Some(timeless(&snapshot)) {
            return;
        }
        let tell = Tell::Snapshot(Box::new(snapshot.clone()));
        self.told = Some(snapshot);
        for visitor in self.visitors.values_mut().filter(|visitor| visitor.window.is_some()) {
            if !visitor.guest.tell(&tell) {
                visitor.guest.dismiss();
            }
        }
    }

    fn show_tray(&mut self) {
        let shown = (model::look(&self.core.facts()), self.appearance().dark_panel);
        if self.shown != shown {
            if self.shown.0.icon != shown.0.icon {
                log::info!("icon: {}", shown.0.icon.word());
            }
            if let Some(tray) = &self.tray {
                tray.show(shown.0.clone(), shown.1);
            }
            self.shown = shown;
        }
    }

    fn appearance(&self) -> Appearance {
        looks_of(&self.core, &self.desktop)
    }

    /// The desktop has other looks now.
    fn dress(&mut self) {
        log::info!("looks: {:?}", self.appearance());
        self.show();
    }

    fn snapshot(&self) -> Snapshot {
        let text = |path: Result<std::path::PathBuf, paths::PathError>| {
            path.map_or_else(|error| error.to_string(), |path| paths::shown(&path))
        };
        let log = paths::state_home().map(|folder| folder.join("desktop.log"));
        let about = [
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("Licence", "MIT or Apache-2.0".to_owned()),
            ("Settings", text(paths::own_settings())),
            ("Log", text(log)),
        ];
        let looks = self.appearance();
        Snapshot {
            autostart: paths::autostarts(),
            hotkeys: self.hotkeys.words().to_owned(),
            dark: looks.dark,
            contrast: looks.contrast,
            text_percent: looks.text_percent,
            about: about.map(|(heading, words)| (heading.to_owned(), words)).into(),
            ..snapshot::of(&self.core, clock::now_ms())
        }
    }

    fn answer(&mut self, visitor: u64, id: u64, answer: Result<String, String>) {
        let (ok, text) = match answer {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        if let Some(visitor) = self.visitors.get_mut(&visitor) {
            visitor.guest.tell(&Tell::Answer { id, ok, text });
        }
    }

    fn asked(&mut self, number: u64, Asking { id, ask }: Asking) {
        match ask {
            Ask::Watch { window } => self.watch(number, &window),
            Ask::Status => {
                let snapshot = Box::new(self.snapshot());
                if let Some(visitor) = self.visitors.get_mut(&number) {
                    visitor.guest.tell(&Tell::Snapshot(snapshot));
                }
            }
            Ask::Command { text } => match action::parse(&text) {
                Ok(press) => self.press(press, Some((number, id))),
                Err(error) => self.answer(number, id, Err(error.to_string())),
            },
            Ask::Update { field, value } => {
                self.press(Press::Update { field, value }, Some((number, id)));
            }
            Ask::Open { window } => {
                let known = Window::parse(&window);
                if let Some(window) = known {
                    self.open(window);
                }
                let answer = known.map(|_| "opened".to_owned());
                self.answer(number, id, answer.ok_or(format!("there is no window {window}")));
            }
            Ask::Settings { settings, autostart } => {
                let answer = self.take_settings(&settings, autostart);
                self.answer(number, id, answer.map_err(|error| error.to_string()));
            }
            Ask::Quit => {
                self.answer(number, id, Ok("ended".to_owned()));
                self.over = true;
            }
        }
    }

    fn watch(&mut self, number: u64, window: &str) {
        let window = Window::parse(window);
        let snapshot = Box::new(self.snapshot());
        let Some(visitor) = self.visitors.get_mut(&number) else { return };
        visitor.window = window;
        visitor.guest.tell(&Tell::Snapshot(snapshot));
        if window == Some(Window::Bar) {
            self.handle(Input::Bar(true));
        }
    }

    fn take_settings(&mut self, wanted: &Settings, on: bool) -> Result<String, paths::PathError> {
        let file = wanted.own(&paths::read_own()?);
        paths::write_own(&file)?;
        // What is written holds, whatever becomes of the rest.
        let autostart = paths::set_autostart(on);
        let settings = paths::read_settings()?;
        self.hotkeys.take(&settings.hotkeys);
        self.handle(Input::Settings(settings));
        self.told = None;
        self.show();
        autostart.map(|()| "saved".to_owned())
    }

    fn open(&mut self, window: Window) {
        if self.children.has(window) {
            let mut open = self.visitors.values_mut();
            if let Some(visitor) = open.find(|visitor| visitor.window == Some(window)) {
                visitor.guest.tell(&Tell::Present);
            }
            return;
        }
        if let Err(error) = self.children.open(window, &self.events) {
            log::error!("the window {} cannot be opened: {error}", window.word());
        }
    }

    fn dismiss(&self, window: Window) {
        let open = self.visitors.values().filter(|visitor| visitor.window == Some(window));
        open.for_each(|visitor| visitor.guest.dismiss());
    }
}

/// What was asked for, for the log: never a value.
fn verb(press: &Press) -> String {
    match press {
        Press::Do(action) => action.line().to_owned(),
        Press::ToggleBlackout => "toggle blackout".to_owned(),
        Press::ToggleRecording => "toggle recording".to_owned(),
        Press::Update { field, .. } => format!("update {field}"),
        Press::Reconnect => "reconnect".to_owned(),
    }
}

fn looks_of(core: &Core, desktop: &Told) -> Appearance {
    let settings = core.settings();
    appearance::decide(desktop, settings.theme, settings.panel)
}
