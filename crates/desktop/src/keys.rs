//! Keys that work in every program: from `Ctrl+Alt+B` to what X11 calls it.
//!
//! A key needs at least one of Ctrl, Alt and Super, unless it is a function key or Pause: a plain
//! letter would be lost to every program. Nothing here grabs a key.

/// Bits of X11's modifier mask.
const SHIFT: u16 = 1;
const CTRL: u16 = 4;
const ALT: u16 = 8;
const SUPER: u16 = 64;

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// X11's mask.
    pub modifiers: u16,
    /// X11's name of the key.
    pub keysym: u32,
}

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there is no key {0:?}; write, for example, Ctrl+Alt+B, Super+F9 or Pause")]
    Unknown(String),
    #[error("{0} alone would be lost to every program; put Ctrl, Alt or Super before it")]
    Alone(String),
}

impl Key {
    /// Reads `Ctrl+Alt+B`; `None` for an empty text.
    pub fn parse(text: &str) -> Result<Option<Key>, KeyError> {
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
                _ if key.is_some() => return Err(KeyError::Unknown(text.to_owned())),
                name => {
                    let named = keysym(name).ok_or_else(|| KeyError::Unknown(part.to_owned()))?;
                    key = Some(named);
                }
            }
        }
        let Some((keysym, alone)) = key else { return Err(KeyError::Unknown(text.to_owned())) };
        if !alone && modifiers & (CTRL | ALT | SUPER) == 0 {
            return Err(KeyError::Alone(text.to_owned()));
        }
        Ok(Some(Key { modifiers, keysym }))
    }
}

/// X11's name, and whether the key may stand alone.
fn keysym(name: &str) -> Option<(u32, bool)> {
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
    fn keys_are_read_as_people_write_them() {
        let key = |modifiers, keysym| Ok(Some(Key { modifiers, keysym }));
        assert_eq!(Key::parse("Ctrl+Alt+B"), key(12, 0x62));
        assert_eq!(Key::parse(" super + shift + F9 "), key(65, 0xffc6));
        assert_eq!(Key::parse("Pause"), key(0, 0xff13));
        assert_eq!(Key::parse(""), Ok(None));
        assert_eq!(Key::parse("B"), Err(KeyError::Alone("B".to_owned())));
        assert_eq!(Key::parse("Shift+B"), Err(KeyError::Alone("Shift+B".to_owned())));
        for bad in ["Ctrl+", "Ctrl", "Ctrl+A+B", "Ctrl+Hyper", "F25", "+"] {
            assert!(matches!(Key::parse(bad), Err(KeyError::Unknown(_))), "{bad}");
        }
    }
}
