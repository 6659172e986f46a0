//! A key that works in every program: parses `Ctrl+Alt+B` into X11's modifiers and keysym.
//!
//! A hotkey needs Ctrl, Alt or Super, unless it is a function key or Pause: no other program would
//! get a plain letter any more. `shell::hotkeys` grabs the keys.

// Bits of X11's modifier mask.
const SHIFT: u16 = 1;
const CTRL: u16 = 4;
const ALT: u16 = 8;
const SUPER: u16 = 64;

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hotkey {
    /// X11's modifier mask.
    pub modifiers: u16,
    /// X11's number of the key.
    pub keysym: u32,
}

/// Why a text is not a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    #[error("unknown key {0:?}; write for example Ctrl+Alt+B, Super+F9 or Pause")]
    Unknown(String),
    #[error("{0} would no longer reach other programs; add Ctrl, Alt or Super")]
    NoModifier(String),
}

impl Hotkey {
    /// Parses `Ctrl+Alt+B`; `None` for an empty text.
    pub fn parse(text: &str) -> Result<Option<Hotkey>, HotkeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let (mut modifiers, mut key) = (0, None);
        for part in text.split('+').map(str::trim) {
            match part.to_ascii_lowercase().as_str() {
                "shift" => modifiers |= SHIFT,
                "ctrl" | "control" => modifiers |= CTRL,
                "alt" => modifiers |= ALT,
                "super" | "win" | "meta" => modifiers |= SUPER,
                _ if key.is_some() => return Err(HotkeyError::Unknown(text.to_owned())),
                name => {
                    let unknown = || HotkeyError::Unknown(part.to_owned());
                    key = Some(find_keysym(name).ok_or_else(unknown)?);
                }
            }
        }
        let Some((keysym, needs_no_modifier)) = key else {
            return Err(HotkeyError::Unknown(text.to_owned()));
        };
        if !needs_no_modifier && modifiers & (CTRL | ALT | SUPER) == 0 {
            return Err(HotkeyError::NoModifier(text.to_owned()));
        }
        Ok(Some(Hotkey { modifiers, keysym }))
    }
}

/// The keysym of a name, and whether the key needs no modifier.
fn find_keysym(name: &str) -> Option<(u32, bool)> {
    let mut chars = name.chars();
    if let (Some(c @ ('a'..='z' | '0'..='9')), None) = (chars.next(), chars.next()) {
        return Some((u32::from(c), false));
    }
    if let Some(number) = name.strip_prefix('f').and_then(|n| n.parse::<u32>().ok()) {
        return (1..=24).contains(&number).then(|| (0xffbd + number, true));
    }
    match name {
        "pause" => Some((0xff13, true)),
        "scrolllock" => Some((0xff14, true)),
        "space" => Some((0x20, false)),
        "insert" => Some((0xff63, false)),
        "delete" => Some((0xffff, false)),
        "home" => Some((0xff50, false)),
        "end" => Some((0xff57, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hotkeys_are_parsed_in_the_usual_spellings() {
        let key = |modifiers, keysym| Ok(Some(Hotkey { modifiers, keysym }));
        assert_eq!(Hotkey::parse("Ctrl+Alt+B"), key(12, 0x62));
        assert_eq!(Hotkey::parse(" super + shift + F9 "), key(65, 0xffc6));
        assert_eq!(Hotkey::parse("Pause"), key(0, 0xff13));
        assert_eq!(Hotkey::parse(""), Ok(None));
        assert_eq!(Hotkey::parse("B"), Err(HotkeyError::NoModifier("B".to_owned())));
        assert_eq!(Hotkey::parse("Shift+B"), Err(HotkeyError::NoModifier("Shift+B".to_owned())));
        for bad in ["Ctrl+", "Ctrl", "Ctrl+A+B", "Ctrl+Hyper", "F25", "+"] {
            assert!(matches!(Hotkey::parse(bad), Err(HotkeyError::Unknown(_))), "{bad}");
        }
    }
}
