//! Global hotkeys: keys that work in every program, on X11.
//!
//! The client grabs each key with and without Caps Lock and Num Lock, and a thread waits for them.
//! Wayland lets no program grab keys. There the agent binds `hushbox-desktop --command "toggle
//! blackout"` in the desktop's keyboard settings, and `GlobalHotkeys::summary` says so.

use super::event::Event;
use crate::agent_request::AgentRequest;
use crate::hotkey::Hotkey;
use crate::settings::HotkeySettings;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::Event as XEvent;
use x11rb::protocol::xproto::{ConnectionExt, GrabMode, ModMask};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The modifiers of the lock keys: none, Caps Lock, Num Lock, both.
const LOCK_MASKS: [u16; 4] = [0, 2, 16, 18];

/// The grabbed keys: keycode, modifiers, and the request.
type GrabTable = Arc<Mutex<Vec<(u8, u16, AgentRequest)>>>;

/// The grabbed hotkeys.
pub struct GlobalHotkeys {
    /// The connection and its root window; `None` without X11.
    display: Option<(Arc<RustConnection>, u32)>,
    table: GrabTable,
    /// The keycodes and modifiers of the configured keys, grabbed or not.
    keycodes: Vec<(u8, u16)>,
    summary: String,
}

impl GlobalHotkeys {
    /// Grabs the keys, if there is an X server.
    pub fn start(settings: &HotkeySettings, events: Sender<Event>) -> GlobalHotkeys {
        let table = GrabTable::default();
        let wayland = std::env::var_os("WAYLAND_DISPLAY").is_some();
        let opened = if wayland { None } else { x11rb::connect(None).ok() };
        let display = opened.map(|(display, screen)| {
            let root = display.setup().roots[screen].root;
            (Arc::new(display), root)
        });
        if let Some((display, _)) = &display {
            let (display, table) = (Arc::clone(display), Arc::clone(&table));
            let wait = move || wait_for_keys(&display, &table, &events);
            if let Err(error) = std::thread::Builder::new().name("keys".to_owned()).spawn(wait) {
                log::error!("no global hotkeys, cannot start their thread: {error}");
            }
        }
        let (keycodes, summary) = (Vec::new(), String::new());
        let mut hotkeys = GlobalHotkeys { display, table, keycodes, summary };
        hotkeys.grab_keys(settings);
        hotkeys
    }

    /// Grabs the keys again if a new keyboard layout has moved them.
    pub fn follow_keyboard(&mut self, settings: &HotkeySettings) {
        let Some((display, _)) = &self.display else { return };
        if find_keycodes(display, settings) != self.keycodes {
            self.grab_keys(settings);
        }
    }

    /// Releases all keys, and grabs these.
    pub fn grab_keys(&mut self, settings: &HotkeySettings) {
        let Some((display, root)) = self.display.clone() else {
            self.summary = "This desktop does not support global hotkeys. Bind hushbox-desktop \
                            --command \"toggle blackout\" in the desktop's keyboard settings."
                .to_owned();
            return;
        };
        self.keycodes = find_keycodes(&display, settings);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, modifiers, _) in table.drain(..) {
            for locks in LOCK_MASKS {
                let mask = ModMask::from(modifiers | locks);
                // The server releases the remaining grabs when the connection closes.
                let _ = display.ungrab_key(code, root, mask);
            }
        }
        let mut summary: Vec<String> = Vec::new();
        let all = [
            ("blackout", &settings.blackout, AgentRequest::ToggleBlackout),
            ("recording", &settings.recording, AgentRequest::ToggleRecording),
        ];
        for (name, text, request) in all {
            match Hotkey::parse(text) {
                Ok(None) => summary.push(format!("{name}: no key")),
                Ok(Some(key)) => match grab_key(&display, root, key) {
                    // The server grants a second grab to the same client.
                    Ok(code) if is_grabbed(&table, code, key.modifiers) => {
                        summary.push(format!("{name}: {text} is already used for the other key"));
                    }
                    Ok(code) => {
                        table.push((code, key.modifiers, request));
                        summary.push(format!("{name}: {text}"));
                    }
                    Err(reason) => summary.push(format!("{name}: {text} does not work, {reason}")),
                },
                Err(error) => summary.push(format!("{name}: {error}")),
            }
        }
        // After this, other programs can grab the released keys.
        if let Err(error) = display.sync() {
            log::warn!("old hotkeys may still be grabbed: {error}");
        }
        self.summary = summary.join("; ");
        log::info!("hotkeys: {}", self.summary);
    }

    /// Which keys work, for the agent.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }
}

fn find_keycodes(display: &RustConnection, settings: &HotkeySettings) -> Vec<(u8, u16)> {
    let find = |text: &String| {
        let key = Hotkey::parse(text).ok().flatten()?;
        Some((find_keycode(display, key.keysym).ok().flatten()?, key.modifiers))
    };
    [&settings.blackout, &settings.recording].into_iter().filter_map(find).collect()
}

fn is_grabbed(table: &[(u8, u16, AgentRequest)], code: u8, modifiers: u16) -> bool {
    table.iter().any(|(other, mods, _)| *other == code && *mods == modifiers)
}

/// Grabs a key with all lock masks, or not at all.
fn grab_key(display: &RustConnection, root: u32, key: Hotkey) -> Result<u8, String> {
    let code = find_keycode(display, key.keysym).map_err(|error| error.to_string())?;
    let code = code.ok_or("this keyboard has no such key")?;
    for (grabbed, locks) in LOCK_MASKS.into_iter().enumerate() {
        let mask = ModMask::from(key.modifiers | locks);
        let grab = display.grab_key(false, root, mask, code, GrabMode::ASYNC, GrabMode::ASYNC);
        let checked = grab.map_err(|error| error.to_string())?.check();
        if checked.is_err() {
            for locks in &LOCK_MASKS[..grabbed] {
                // The server releases the remaining grabs when the connection closes.
                let _ = display.ungrab_key(code, root, ModMask::from(key.modifiers | locks));
            }
            return Err("another program uses it".to_owned());
        }
    }
    Ok(code)
}

fn find_keycode(display: &RustConnection, keysym: u32) -> Result<Option<u8>, ReplyError> {
    let (min, max) = (display.setup().min_keycode, display.setup().max_keycode);
    let count = max.saturating_sub(min).saturating_add(1);
    let mapping = display.get_keyboard_mapping(min, count)?.reply()?;
    let per_keycode = usize::from(mapping.keysyms_per_keycode).max(1);
    let mut keysyms = mapping.keysyms.chunks(per_keycode);
    let index = keysyms.position(|keysyms| keysyms.first() == Some(&keysym));
    Ok(index.and_then(|at| u8::try_from(at).ok()).and_then(|at| min.checked_add(at)))
}

fn wait_for_keys(display: &RustConnection, table: &GrabTable, events: &Sender<Event>) {
    while let Ok(event) = display.wait_for_event() {
        // A new keyboard or layout may have the same letters on other keycodes.
        if let XEvent::MappingNotify(_) = event {
            let _ = events.send(Event::KeyboardChanged);
        }
        let XEvent::KeyPress(key) = event else { continue };
        let all_locks: u16 = LOCK_MASKS[3];
        let modifiers = u16::from(key.state) & 0xff & !all_locks;
        let table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let grab = table.iter().find(|(code, mods, _)| *code == key.detail && *mods == modifiers);
        if let Some((_, _, request)) = grab {
            // The resident thread may have ended.
            let _ = events.send(Event::Hotkey(request.clone()));
        }
    }
}
