//! Lists this machine's sound cards, for setting up a box.
//!
//! It asks alsa-lib for every device that can capture, and opens each briefly to count its slots.
//! A device that is busy or not permitted is listed with the error. It never captures audio and
//! is not used by the running daemon.

use alsa::pcm::{HwParams, PCM};
use alsa::{Ctl, Direction, card};

const DEVICES_MAX: u32 = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardInfo {
    /// Value for `pcm`; it uses the card's name, because its number may change.
    pub pcm: String,
    /// Short name of the card.
    pub id: String,
    pub name: String,
    pub driver: String,
    /// Maximum number of slots; 0 if unknown.
    pub slots: u32,
    /// Why the slots are unknown.
    pub error: Option<String>,
}

/// Lists all devices. A card that disappears meanwhile is skipped.
#[must_use]
pub fn list_cards() -> Vec<CardInfo> {
    let mut found = Vec::new();
    for card in card::Iter::new().filter_map(Result::ok) {
        let Ok(info) = Ctl::from_card(&card, false).and_then(|ctl| ctl.card_info()) else {
            continue;
        };
        let text = |text: alsa::Result<&str>| text.unwrap_or("?").to_owned();
        let (id, driver) = (text(info.get_id()), text(info.get_driver()));
        let name = text(info.get_name());
        for device in 0..DEVICES_MAX {
            let pcm = format!("hw:CARD={id},DEV={device}");
            let opened = PCM::new(&pcm, Direction::Capture, true);
            let (slots, trouble) = match opened.as_ref().map(max_slots) {
                Ok(slots) => (slots, None),
                Err(error) if error.errno() == nix::errno::Errno::ENOENT as i32 => continue,
                Err(error) => (0, Some(nix::errno::Errno::from_raw(error.errno()).to_string())),
            };
            let (id, name, driver) = (id.clone(), name.clone(), driver.clone());
            found.push(CardInfo { pcm, id, name, driver, slots, error: trouble });
        }
    }
    found
}

fn max_slots(pcm: &PCM) -> u32 {
    HwParams::any(pcm).and_then(|params| params.get_channels_max()).unwrap_or(0)
}
