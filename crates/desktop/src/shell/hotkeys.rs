//! Keys that work in every program, where the desktop allows that: X11.
//!
//! The server is asked for exactly these keys, with and without Caps Lock and Num Lock, and a
//! thread waits for them. Wayland lets no program take keys; there the agent binds `hushbox-desktop
//! --command "toggle blackout"` in the desktop's own keyboard settings, and `Hotkeys::words` says
//! so.

use super::Event;
use crate::action::Press;
use crate::keys::Key;
use crate::settings;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::Event as XEvent;
use x11rb::protocol::xproto::{ConnectionExt, GrabMode, ModMask};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// Caps Lock, Num Lock, both, none.
const LOCKS: [u16; 4] = [0, 2, 16, 18];

/// Keycode, modifiers, and what is meant.
type Table = Arc<Mutex<Vec<(u8, u16, Press)>>>;

/// The keys that are taken now.
pub struct Hotkeys {
    display: Option<(Arc<RustConnection>, u32)>,
    table: Table,
    /// Where the keys lie on the keyboard, whether they can be had or not.
    places: Vec<(u8, u16)>,
    words: String,
}

impl Hotkeys {
    /// Takes the keys, if there is an X server that gives them.
    pub fn start(wanted: &settings::Hotkeys, events: Sender<Event>) -> Hotkeys {
        let table = Table::default();
        let wayland = std::env::var_os("WAYLAND_DISPLAY").is_some();
        let opened = if wayland { None } else { x11rb::connect(None).ok() };
        let display = opened.map(|(display, screen)| {
            let root = display.setup().roots[screen].root;
            (Arc::new(display), root)
        });
        if let Some((display, _)) = &display {
            let (display, table) = (Arc::clone(display), Arc::clone(&table));
            let wait = move || wait(&display, &table, &events);
            if let Err(error) = std::thread::Builder::new().name("keys".to_owned()).spawn(wait) {
                log::error!("no thread for keys: {error}");
            }
        }
        let mut hotkeys = Hotkeys { display, table, places: Vec::new(), words: String::new() };
        hotkeys.take(wanted);
        hotkeys
    }

    /// Takes the keys where they lie now, if the keyboard is another one.
    pub fn follow(&mut self, wanted: &settings::Hotkeys) {
        let Some((display, _)) = &self.display else { return };
        if places(display, wanted) != self.places {
            self.take(wanted);
        }
    }

    /// Takes these keys instead.
    pub fn take(&mut self, wanted: &settings::Hotkeys) {
        let Some((display, root)) = self.display.clone() else {
            self.words = "This desktop gives keys to no program. Bind hushbox-desktop --command \
                          \"toggle blackout\" in its own keyboard settings instead."
                .to_owned();
            return;
        };
        self.places = places(&display, wanted);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, modifiers, _) in table.drain(..) {
            for locks in LOCKS {
                let mask = ModMask::from(modifiers | locks);
                // What cannot be given back goes with the connection.
                let _ = display.ungrab_key(code, root, mask);
            }
        }
        let mut words: Vec<String> = Vec::new();
        let all = [
            ("blackout", &wanted.blackout, Press::ToggleBlackout),
            ("recording", &wanted.recording, Press::ToggleRecording),
        ];
        for (name, text, press) in all {
            match Key::parse(text) {
                Ok(None) => words.push(format!("{name}: no key")),
                Ok(Some(key)) => match grab(&display, root, key) {
                    // The server gives us what is ours a second time.
                    Ok(code) if is_in(&table, code, key.modifiers) => {
                        words.push(format!("{name}: {text} is the other key already"));
                    }
                    Ok(code) => {
                        table.push((code, key.modifiers, press));
                        words.push(format!("{name}: {text}"));
                    }
                    Err(why) => words.push(format!("{name}: {text} cannot be had, {why}")),
                },
                Err(why) => words.push(format!("{name}: {why}")),
            }
        }
        // Keys that were given back are free for others when this returns.
        if let Err(error) = display.sync() {
            log::warn!("keys may still be taken: {error}");
        }
        self.words = words.join("; ");
        log::info!("keys: {}", self.words);
    }

    /// What became of them, for people.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }
}

fn places(display: &RustConnection, wanted: &settings::Hotkeys) -> Vec<(u8, u16)> {
    let place = |text: &String| {
        let key = Key::parse(text).ok().flatten()?;
        Some((keycode(display, key.keysym).ok().flatten()?, key.modifiers))
    };
    [&wanted.blackout, &wanted.recording].into_iter().filter_map(place).collect()
}

fn is_in(table: &[(u8, u16, Press)], code: u8, modifiers: u16) -> bool {
    table.iter().any(|(other, mods, _)| *other == code && *mods == modifiers)
}

/// Takes a key with all locks, or not at all.
fn grab(display: &RustConnection, root: u32, key: Key) -> Result<u8, String> {
    let code = keycode(display, key.keysym).map_err(|error| error.to_string())?;
    let code = code.ok_or("this keyboard has no such key")?;
    for (had, locks) in LOCKS.into_iter().enumerate() {
        let mask = ModMask::from(key.modifiers | locks);
        let grabbed = display.grab_key(false, root, mask, code, GrabMode::ASYNC, GrabMode::ASYNC);
        let checked = grabbed.map_err(|error| error.to_string())?.check();
        if checked.is_err() {
            for locks in &LOCKS[..had] {
                // What cannot be given back goes with the connection.
                let _ = display.ungrab_key(code, root, ModMask::from(key.modifiers | locks));
            }
            return Err("another program has it".to_owned());
        }
    }
    Ok(code)
}

fn keycode(display: &RustConnection, keysym: u32) -> Result<Option<u8>, ReplyError> {
    let (min, max) = (display.setup().min_keycode, display.setup().max_keycode);
    let count = max.saturating_sub(min).saturating_add(1);
    let mapping = display.get_keyboard_mapping(min, count)?.reply()?;
    let per = usize::from(mapping.keysyms_per_keycode).max(1);
    let found = mapping.keysyms.chunks(per).position(|syms| syms.first() == Some(&keysym));
    Ok(found.and_then(|at| u8::try_from(at).ok()).and_then(|at| min.checked_add(at)))
}

fn wait(display: &RustConnection, table: &Table, events: &Sender<Event>) {
    while let Ok(event) = display.wait_for_event() {
        // Another keyboard, or another layout: the same letters may be other keys.
        if let XEvent::MappingNotify(_) = event {
            let _ = events.send(Event::Keyboard);
        }
        let XEvent::KeyPress(key) = event else { continue };
        let locks: u16 = LOCKS[3];
        let modifiers = u16::from(key.state) & 0xff & !locks;
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let found = table.iter().find(|(code, mods, _)| *code == key.detail && *mods == modifiers);
        if let Some((_, _, press)) = found {
            // Nobody hears us when the program ends.
            let _ = events.send(Event::Key(press.clone()));
        }
    }
}
