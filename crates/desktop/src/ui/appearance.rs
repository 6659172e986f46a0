//! The appearance of windows and of the tray's icon, derived from the desktop's settings.
//!
//! Two sources describe the desktop: the settings portal (freedesktop's `color-scheme` and
//! `contrast`, GNOME's `text-scaling-factor`), and XSETTINGS, whose theme name shows whether the
//! theme is dark. The client's own settings override both. Some desktops have a dark panel with
//! light windows, so the panel has its own rule.
//!
//! This module is pure: `shell::desktop_theme` reads the sources.

use crate::settings::Theme;

/// The permitted text sizes, in per cent.
pub const TEXT_PERCENT: std::ops::RangeInclusive<u16> = 50..=300;

/// The answer of the settings portal; `None` where it has no value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortalSettings {
    /// 0 no preference, 1 dark, 2 light.
    pub color_scheme: Option<u32>,
    /// 1: high.
    pub contrast: Option<u32>,
    pub text_percent: Option<u16>,
}

/// The settings of an X server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XSettings {
    /// The theme name of GTK programs.
    pub theme: Option<String>,
    /// Whether a text size is set. The toolkit then applies it by itself.
    pub has_dpi: bool,
}

/// Everything known about the desktop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesktopSettings {
    pub portal: PortalSettings,
    pub xsettings: XSettings,
    /// `XDG_CURRENT_DESKTOP`: names separated by colons.
    pub desktop_names: String,
}

/// How windows and the icon are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appearance {
    pub dark: bool,
    /// Whether the panel that shows the icon is dark.
    pub dark_panel: bool,
    pub contrast: bool,
    /// The text size beyond what the toolkit applies by itself.
    pub text_percent: u16,
}

/// Desktops whose panel is dark even with light windows.
const DARK_PANELS: [&str; 6] = ["gnome", "unity", "xfce", "x-cinnamon", "cinnamon", "budgie"];

/// Derives the appearance. `windows` and `panel` are the client's own settings.
#[must_use]
pub fn choose_appearance(desktop: &DesktopSettings, windows: Theme, panel: Theme) -> Appearance {
    let dark = explicit_choice(windows).unwrap_or_else(|| prefers_dark(desktop));
    let has_dark_panel = desktop.desktop_names.split(':').any(|name| {
        let name = name.to_ascii_lowercase();
        DARK_PANELS.contains(&name.as_str())
    });
    // Before the setting for the panel existed, the setting for windows applied to it too.
    let dark_panel = explicit_choice(panel)
        .or_else(|| explicit_choice(windows))
        .unwrap_or(has_dark_panel || prefers_dark(desktop));
    let contrast =
        desktop.portal.contrast == Some(1) || theme_name_contains(desktop, &["highcontrast"]);
    let scaled = desktop.portal.text_percent.filter(|_| !desktop.xsettings.has_dpi);
    let text_percent = scaled.unwrap_or(100).clamp(*TEXT_PERCENT.start(), *TEXT_PERCENT.end());
    Appearance { dark, dark_panel, contrast, text_percent }
}

fn explicit_choice(theme: Theme) -> Option<bool> {
    match theme {
        Theme::System => None,
        Theme::Dark => Some(true),
        Theme::Light => Some(false),
    }
}

fn prefers_dark(desktop: &DesktopSettings) -> bool {
    match (desktop.portal.color_scheme, &desktop.xsettings.theme) {
        (Some(1), _) => true,
        (Some(2), _) => false,
        (_, Some(_)) => theme_name_contains(desktop, &["dark", "inverse"]),
        (Some(_), None) => false,
        // A window manager without a desktop has neither source.
        (None, None) => true,
    }
}

fn theme_name_contains(desktop: &DesktopSettings, parts: &[&str]) -> bool {
    let name = desktop.xsettings.theme.as_deref().unwrap_or_default().to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}

/// Converts a text scaling factor to per cent; `None` for a factor that is not a number.
#[must_use]
pub fn to_percent(factor: f64) -> Option<u16> {
    let (start, end) = (f64::from(*TEXT_PERCENT.start()), f64::from(*TEXT_PERCENT.end()));
    let wanted = (factor * 100.0).clamp(start, end);
    TEXT_PERCENT.into_iter().find(|percent| f64::from(*percent) + 0.5 > wanted)
}

/// Parses the property of an XSETTINGS manager (freedesktop's XSETTINGS protocol, 0.5). Truncated
/// bytes give the settings before the cut.
#[must_use]
pub fn parse_xsettings(bytes: &[u8]) -> XSettings {
    let mut settings = XSettings::default();
    // `None`: the bytes end early or are invalid. What was read before is kept.
    let _ = read_settings(bytes, &mut settings);
    settings
}

fn read_settings(bytes: &[u8], settings: &mut XSettings) -> Option<()> {
    let mut cursor = Cursor { bytes, big_endian: *bytes.first()? == 1 };
    cursor.skip_bytes(8)?;
    for _ in 0..cursor.read_number(4)? {
        let kind = cursor.read_number(1)?;
        cursor.skip_bytes(1)?;
        let length = cursor.read_number(2)?;
        let name = cursor.read_padded(length)?.to_vec();
        cursor.skip_bytes(4)?;
        match kind {
            0 => {
                let value = cursor.read_number(4)?;
                settings.has_dpi |= name == b"Xft/DPI" && value > 0;
            }
            1 => {
                let length = cursor.read_number(4)?;
                let value = cursor.read_padded(length)?;
                if name == b"Net/ThemeName" && !value.is_empty() {
                    settings.theme = Some(String::from_utf8_lossy(value).into_owned());
                }
            }
            2 => cursor.skip_bytes(8)?,
            _ => return None,
        }
    }
    Some(())
}

/// The bytes that are not read yet.
struct Cursor<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Cursor<'a> {
    fn take_bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn skip_bytes(&mut self, length: usize) -> Option<()> {
        self.take_bytes(length).map(|_| ())
    }

    fn read_number(&mut self, length: usize) -> Option<usize> {
        let big_endian = self.big_endian;
        let bytes = self.take_bytes(length)?;
        let add = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
        Some(if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }

    /// Reads a text, which is padded to a multiple of four bytes.
    fn read_padded(&mut self, length: usize) -> Option<&'a [u8]> {
        let text = self.take_bytes(length)?;
        self.skip_bytes(length.next_multiple_of(4) - length)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(color_scheme: u32) -> DesktopSettings {
        let portal =
            PortalSettings { color_scheme: Some(color_scheme), ..PortalSettings::default() };
        DesktopSettings { portal, ..DesktopSettings::default() }
    }

    fn theme(name: &str) -> DesktopSettings {
        let xsettings = XSettings { theme: Some(name.to_owned()), has_dpi: false };
        DesktopSettings { xsettings, ..DesktopSettings::default() }
    }

    fn themes(desktop: &DesktopSettings) -> (bool, bool) {
        let appearance = choose_appearance(desktop, Theme::System, Theme::System);
        (appearance.dark, appearance.dark_panel)
    }

    #[test]
    fn the_portal_comes_before_the_theme_name() {
        assert_eq!(themes(&portal(1)), (true, true));
        assert_eq!(themes(&portal(2)), (false, false));
        assert_eq!(themes(&portal(0)), (false, false), "no preference is light");
        assert_eq!(themes(&theme("Adwaita-dark")), (true, true));
        assert_eq!(themes(&theme("Greybird")), (false, false));
        assert_eq!(themes(&DesktopSettings::default()), (true, true));
        let both =
            |scheme| DesktopSettings { xsettings: theme("Yaru-dark").xsettings, ..portal(scheme) };
        assert_eq!(themes(&both(2)), (false, false));
        assert_eq!(themes(&both(0)), (true, true), "no preference, but a dark theme");
    }

    #[test]
    fn a_panel_may_be_dark_over_light_windows() {
        let desktop = DesktopSettings { desktop_names: "ubuntu:GNOME".to_owned(), ..portal(2) };
        assert_eq!(themes(&desktop), (false, true));
        let desktop = DesktopSettings { desktop_names: "KDE".to_owned(), ..portal(2) };
        assert_eq!(themes(&desktop), (false, false));
        let appearance = choose_appearance(&portal(2), Theme::System, Theme::Dark);
        assert_eq!((appearance.dark, appearance.dark_panel), (false, true));
    }

    #[test]
    fn own_settings_override_the_desktop() {
        for (windows, panel, expected) in [
            (Theme::Dark, Theme::System, (true, true)),
            (Theme::Light, Theme::System, (false, false)),
            (Theme::Light, Theme::Dark, (false, true)),
            (Theme::System, Theme::Light, (true, false)),
        ] {
            let appearance = choose_appearance(&portal(1), windows, panel);
            assert_eq!((appearance.dark, appearance.dark_panel), expected, "{windows:?} {panel:?}");
        }
    }

    #[test]
    fn text_is_scaled_once() {
        let mut desktop = portal(0);
        let size = |desktop: &DesktopSettings| {
            choose_appearance(desktop, Theme::System, Theme::System).text_percent
        };
        assert_eq!(size(&desktop), 100);
        desktop.portal.text_percent = to_percent(1.25);
        assert_eq!(size(&desktop), 125);
        desktop.xsettings.has_dpi = true;
        assert_eq!(size(&desktop), 100, "the toolkit applies Xft/DPI by itself");
        for (factor, expected) in [(1.0, 100), (1.5, 150), (0.1, 50), (9.0, 300), (1.333, 133)] {
            assert_eq!(to_percent(factor), Some(expected), "{factor}");
        }
        assert_eq!(to_percent(f64::NAN), None);
    }

    #[test]
    fn high_contrast_comes_from_portal_or_theme() {
        let contrast = |desktop: &DesktopSettings| {
            choose_appearance(desktop, Theme::System, Theme::System).contrast
        };
        assert!(!contrast(&portal(1)) && contrast(&theme("HighContrastInverse")));
        assert_eq!(themes(&theme("HighContrastInverse")), (true, true));
        let mut desktop = portal(1);
        desktop.portal.contrast = Some(1);
        assert!(contrast(&desktop));
    }

    /// The bytes of a manager: a colour, a number, a text.
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
    fn truncated_xsettings_are_read_up_to_the_cut() {
        let whole = XSettings { theme: Some("Dusky".to_owned()), has_dpi: true };
        for big in [false, true] {
            let bytes = written(big);
            assert_eq!(parse_xsettings(&bytes), whole);
            for length in 0..bytes.len() {
                let cut = parse_xsettings(&bytes[..length]);
                assert!(cut.theme.is_none(), "{length}");
            }
        }
        assert_eq!(parse_xsettings(&[]), XSettings::default());
        assert_eq!(parse_xsettings(&[255; 64]), XSettings::default());
    }
}
