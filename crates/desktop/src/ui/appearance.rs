//! How windows and the tray's icon are to look: from what the desktop tells to dark or light,
//! contrast and text size.
//!
//! Two tell of it: the desktop's settings portal (freedesktop's `color-scheme` and `contrast`,
//! GNOME's `text-scaling-factor`), and where there is none XSETTINGS, whose theme's name says
//! whether it is dark. What the agent or the administrator has chosen stands over both. A panel is
//! not a window: some desktops have a dark one whatever their windows are.
//!
//! Nothing here asks a desktop, or draws.

use crate::settings::Theme;

/// The sizes that text may have, per cent.
pub const TEXT_PERCENT: std::ops::RangeInclusive<u16> = 50..=300;

/// What the settings portal says; `None`: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Portal {
    /// 0 no preference, 1 dark, 2 light.
    pub color_scheme: Option<u32>,
    /// 1: high.
    pub contrast: Option<u32>,
    pub text_percent: Option<u16>,
}

/// What an X server's settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XSettings {
    /// The name of the theme of GTK programs.
    pub theme: Option<String>,
    /// Whether they say how large text is. Then the toolkit follows that by itself.
    pub dpi: bool,
}

/// All that a desktop tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub portal: Portal,
    pub x: XSettings,
    /// `XDG_CURRENT_DESKTOP`: names with colons between them.
    pub desktop: String,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    pub dark: bool,
    /// Whether the panel is, in which the icon stands.
    pub dark_panel: bool,
    pub contrast: bool,
    /// Beyond what the toolkit does by itself.
    pub text_percent: u16,
}

/// Desktops whose panel is dark, whatever their windows are.
const DARK_PANELS: [&str; 6] = ["gnome", "unity", "xfce", "x-cinnamon", "cinnamon", "budgie"];

/// How it is to look. `windows` and `panel`: as the settings have them.
#[must_use]
pub fn decide(told: &Told, windows: Theme, panel: Theme) -> Appearance {
    let dark = chosen(windows).unwrap_or_else(|| is_dark(told));
    let own_panel = told.desktop.split(':').any(|name| {
        let name = name.to_ascii_lowercase();
        DARK_PANELS.contains(&name.as_str())
    });
    // Before there was a setting for the panel, that for windows held for it, too.
    let dark_panel =
        chosen(panel).or_else(|| chosen(windows)).unwrap_or(own_panel || is_dark(told));
    let contrast = told.portal.contrast == Some(1) || theme_has(told, &["highcontrast"]);
    let larger = told.portal.text_percent.filter(|_| !told.x.dpi).unwrap_or(100);
    let text_percent = larger.clamp(*TEXT_PERCENT.start(), *TEXT_PERCENT.end());
    Appearance { dark, dark_panel, contrast, text_percent }
}

fn chosen(theme: Theme) -> Option<bool> {
    match theme {
        Theme::System => None,
        Theme::Dark => Some(true),
        Theme::Light => Some(false),
    }
}

fn is_dark(told: &Told) -> bool {
    match (told.portal.color_scheme, &told.x.theme) {
        (Some(1), _) => true,
        (Some(2), _) => false,
        (_, Some(_)) => theme_has(told, &["dark", "inverse"]),
        (Some(_), None) => false,
        // Nobody says anything, as where there is no desktop but a window manager.
        (None, None) => true,
    }
}

fn theme_has(told: &Told, words: &[&str]) -> bool {
    let name = told.x.theme.as_deref().unwrap_or_default().to_ascii_lowercase();
    words.iter().any(|word| name.contains(word))
}

/// A factor of text in per cent, if it is one.
#[must_use]
pub fn percent(factor: f64) -> Option<u16> {
    let (start, end) = (f64::from(*TEXT_PERCENT.start()), f64::from(*TEXT_PERCENT.end()));
    let wanted = (factor * 100.0).clamp(start, end);
    TEXT_PERCENT.into_iter().find(|percent| f64::from(*percent) + 0.5 > wanted)
}

/// Reads what an XSETTINGS manager keeps on the X server (freedesktop's XSETTINGS protocol, 0.5).
/// Whatever is cut short counts as far as it goes.
#[must_use]
pub fn xsettings(bytes: &[u8]) -> XSettings {
    let mut found = XSettings::default();
    // Nothing but `break` from `read` on: a manager that writes nonsense has said nothing more.
    let _ = read(bytes, &mut found);
    found
}

fn read(bytes: &[u8], found: &mut XSettings) -> Option<()> {
    let mut cursor = Cursor { bytes, big: *bytes.first()? == 1 };
    cursor.skip(8)?;
    for _ in 0..cursor.number(4)? {
        let kind = cursor.number(1)?;
        cursor.skip(1)?;
        let length = cursor.number(2)?;
        let name = cursor.padded(length)?.to_vec();
        cursor.skip(4)?;
        match kind {
            0 => {
                let value = cursor.number(4)?;
                found.dpi |= name == b"Xft/DPI" && value > 0;
            }
            1 => {
                let length = cursor.number(4)?;
                let value = cursor.padded(length)?;
                if name == b"Net/ThemeName" && !value.is_empty() {
                    found.theme = Some(String::from_utf8_lossy(value).into_owned());
                }
            }
            2 => cursor.skip(8)?,
            _ => return None,
        }
    }
    Some(())
}

/// What is left to be read.
struct Cursor<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn number(&mut self, length: usize) -> Option<usize> {
        let big = self.big;
        let bytes = self.take(length)?;
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// Texts are filled up to a multiple of four.
    fn padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let text = self.take(length)?;
        self.skip(length.next_multiple_of(4) - length)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(color_scheme: u32) -> Told {
        let portal = Portal { color_scheme: Some(color_scheme), ..Portal::default() };
        Told { portal, ..Told::default() }
    }

    fn theme(name: &str) -> Told {
        let x = XSettings { theme: Some(name.to_owned()), dpi: false };
        Told { x, ..Told::default() }
    }

    fn looks(told: &Told) -> (bool, bool) {
        let looks = decide(told, Theme::System, Theme::System);
        (looks.dark, looks.dark_panel)
    }

    #[test]
    fn the_portal_counts_then_the_themes_name() {
        assert_eq!(looks(&portal(1)), (true, true));
        assert_eq!(looks(&portal(2)), (false, false));
        assert_eq!(looks(&portal(0)), (false, false), "no preference is light");
        assert_eq!(looks(&theme("Adwaita-dark")), (true, true));
        assert_eq!(looks(&theme("Greybird")), (false, false));
        assert_eq!(looks(&Told::default()), (true, true));
        let both = |scheme| Told { x: theme("Yaru-dark").x, ..portal(scheme) };
        assert_eq!(looks(&both(2)), (false, false));
        assert_eq!(looks(&both(0)), (true, true), "no preference, but a dark theme");
    }

    #[test]
    fn a_panel_may_be_dark_over_light_windows() {
        let told = Told { desktop: "ubuntu:GNOME".to_owned(), ..portal(2) };
        assert_eq!(looks(&told), (false, true));
        let told = Told { desktop: "KDE".to_owned(), ..portal(2) };
        assert_eq!(looks(&told), (false, false));
        let looks = decide(&portal(2), Theme::System, Theme::Dark);
        assert_eq!((looks.dark, looks.dark_panel), (false, true));
    }

    #[test]
    fn what_was_chosen_stands_over_the_desktop() {
        for (windows, panel, expected) in [
            (Theme::Dark, Theme::System, (true, true)),
            (Theme::Light, Theme::System, (false, false)),
            (Theme::Light, Theme::Dark, (false, true)),
            (Theme::System, Theme::Light, (true, false)),
        ] {
            let looks = decide(&portal(1), windows, panel);
            assert_eq!((looks.dark, looks.dark_panel), expected, "{windows:?} {panel:?}");
        }
    }

    #[test]
    fn text_grows_once() {
        let mut told = portal(0);
        let size = |told: &Told| decide(told, Theme::System, Theme::System).text_percent;
        assert_eq!(size(&told), 100);
        told.portal.text_percent = percent(1.25);
        assert_eq!(size(&told), 125);
        told.x.dpi = true;
        assert_eq!(size(&told), 100, "the toolkit follows Xft/DPI, which holds it already");
        for (factor, expected) in [(1.0, 100), (1.5, 150), (0.1, 50), (9.0, 300), (1.333, 133)] {
            assert_eq!(percent(factor), Some(expected), "{factor}");
        }
        assert_eq!(percent(f64::NAN), None);
    }

    #[test]
    fn high_contrast_is_asked_for_or_is_a_theme() {
        let contrast = |told: &Told| decide(told, Theme::System, Theme::System).contrast;
        assert!(!contrast(&portal(1)) && contrast(&theme("HighContrastInverse")));
        assert_eq!(looks(&theme("HighContrastInverse")), (true, true));
        let mut told = portal(1);
        told.portal.contrast = Some(1);
        assert!(contrast(&told));
    }

    /// As a manager writes them: a colour, a number, a text.
    fn written(big: bool) -> Vec<u8> {
        let four = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut bytes = vec![u8::from(big), 0, 0, 0];
        bytes.extend(four(7));
        bytes.extend(four(3));
        let mut setting = |kind: u8, name: &str, value: &[u8]| {
            bytes.extend([kind, 0]);
            bytes.extend(two(u16::try_from(name.len()).unwrap_or(0)));
            bytes.extend(name.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(four(1));
            bytes.extend(value);
        };
        setting(2, "Some/Colour", &[9; 8]);
        setting(0, "Xft/DPI", &four(98_304));
        let text = [&four(5)[..], b"Dusky", &[0; 3]].concat();
        setting(1, "Net/ThemeName", &text);
        bytes
    }

    #[test]
    fn xsettings_are_read_whole_or_as_far_as_they_go() {
        let whole = XSettings { theme: Some("Dusky".to_owned()), dpi: true };
        for big in [false, true] {
            let bytes = written(big);
            assert_eq!(xsettings(&bytes), whole);
            for length in 0..bytes.len() {
                let cut = xsettings(&bytes[..length]);
                assert!(cut.theme.is_none(), "{length}");
            }
        }
        assert_eq!(xsettings(&[]), XSettings::default());
        assert_eq!(xsettings(&[255; 64]), XSettings::default());
    }
}
