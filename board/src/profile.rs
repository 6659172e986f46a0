//! Profiles: suggested configuration, wiring and mixer setup for a card.
//!
//! A profile is a built-in file of `board/models`. Its `[[board]]` is text for people to copy,
//! with placeholders `{pcm}` and `{card}`; the daemon does not read it. The card's driver selects
//! the profile, then its number of slots.

use crate::cards::CardInfo;
use toml::Table;

/// All profiles; the first suitable one is proposed.
const FILES: [(&str, &str); 5] = [
    ("snd-aloop", include_str!("../models/snd-aloop.toml")),
    ("usb-stereo-tap", include_str!("../models/usb-stereo-tap.toml")),
    ("raspberry-pi-i2s", include_str!("../models/raspberry-pi-i2s.toml")),
    ("alsa-multichannel", include_str!("../models/alsa-multichannel.toml")),
    ("sim", include_str!("../models/sim.toml")),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// File name without extension.
    pub name: &'static str,
    pub title: String,
    /// Prefixes of driver names; empty: any driver.
    pub drivers: Vec<String>,
    /// Minimum and maximum number of slots of a card.
    pub slots: (i64, i64),
    /// Commands that set up the card.
    pub mixer: Vec<String>,
    pub wiring: String,
    /// The `[[board]]` text, as in the file.
    pub board: &'static str,
}

impl Profile {
    /// Returns all profiles. An invalid file is skipped; a test ensures that there is none.
    #[must_use]
    pub fn all() -> Vec<Profile> {
        FILES.into_iter().filter_map(|(name, text)| Profile::parse_file(name, text)).collect()
    }

    fn parse_file(name: &'static str, text: &'static str) -> Option<Profile> {
        let file: Table = text.parse().ok()?;
        let profile = file.get("profile")?.as_table()?;
        let texts = |key: &str| -> Option<Vec<String>> {
            profile
                .get(key)?
                .as_array()?
                .iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect()
        };
        let slots = profile.get("slots")?.as_array()?;
        Some(Profile {
            name,
            title: profile.get("title")?.as_str()?.to_owned(),
            drivers: texts("drivers")?,
            slots: (slots.first()?.as_integer()?, slots.get(1)?.as_integer()?),
            mixer: texts("mixer")?,
            wiring: profile.get("wiring")?.as_str()?.trim().to_owned(),
            board: &text[text.find("\n[[board]]")? + 1..],
        })
    }

    /// Returns the profile to propose for a card.
    #[must_use]
    pub fn for_card(card: &CardInfo) -> Option<Profile> {
        let suits = |profile: &Profile| {
            let slots = i64::from(card.slots);
            let drivers = &profile.drivers;
            let driver = drivers.iter().any(|driver| card.driver.starts_with(driver.as_str()));
            (drivers.is_empty() || driver) && (profile.slots.0..=profile.slots.1).contains(&slots)
        };
        let all = Profile::all();
        // Any other card with two slots: wired like a tap.
        let tap = |profile: &&Profile| profile.name == "usb-stereo-tap";
        all.iter().find(|profile| suits(profile)).or_else(|| all.iter().find(tap)).cloned()
    }

    /// Fills in the placeholders of a profile text for this card.
    #[must_use]
    pub fn fill_template(text: &str, card: &CardInfo) -> String {
        text.replace("{pcm}", &card.pcm).replace("{card}", &card.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_card(driver: &str, slots: u32) -> CardInfo {
        let (pcm, id) = ("hw:CARD=X,DEV=0".to_owned(), "X".to_owned());
        CardInfo { pcm, id, name: "X".to_owned(), driver: driver.to_owned(), slots, error: None }
    }

    #[test]
    fn every_file_is_a_profile_with_all_its_parts() {
        let all = Profile::all();
        assert_eq!(all.len(), FILES.len());
        for profile in &all {
            assert!(profile.wiring.len() > 100, "{}: say how it is wired", profile.name);
            assert!(profile.slots.0 <= profile.slots.1);
        }
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/models")).unwrap();
        let files = files.filter_map(|file| file.unwrap().file_name().into_string().ok());
        assert_eq!(files.filter(|name| name.ends_with(".toml")).count(), FILES.len());
    }

    #[test]
    fn a_card_gets_the_profile_of_its_driver_then_of_its_slots() {
        let name = |driver, slots| {
            Profile::for_card(&test_card(driver, slots)).map(|profile| profile.name)
        };
        assert_eq!(name("Loopback", 32), Some("snd-aloop"));
        assert_eq!(name("USB-Audio", 2), Some("usb-stereo-tap"));
        assert_eq!(name("USB-Audio", 8), Some("alsa-multichannel"));
        assert_eq!(name("HifiberryAdc", 2), Some("raspberry-pi-i2s"));
        assert_eq!(name("HDA-Intel", 2), Some("usb-stereo-tap"));
        assert_eq!(name("ICE1712", 12), Some("alsa-multichannel"));
        let filled =
            Profile::fill_template("pcm = \"plug{pcm}\" {card}", &test_card("USB-Audio", 2));
        assert_eq!(filled, "pcm = \"plughw:CARD=X,DEV=0\" X");
    }
}
