//! What sound cards this machine has, for people who set a box up.
//!
//! Asks alsa-lib for every card and every device of it that can capture, and opens each for a
//! moment to see how many slots it has; one that is in use or forbidden says so instead. Never
//! captures anything, and is no part of the running box.

use alsa::pcm::{HwParams, PCM};
use alsa::{Ctl, Direction, card};

/// Devices of one card that are looked at.
const DEVICES_MAX: u32 = 16;

/// One device of a card that can capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardInfo {
    /// What to write as `pcm`; it names the card, not its number, which may change.
    pub pcm: String,
    /// The card's short name.
    pub id: String,
    /// For people.
    pub name: String,
    pub driver: String,
    /// Slots at most; 0 if it could not be asked.
    pub slots: u32,
    /// Why it could not be asked.
    pub error: Option<String>,
}

/// Every one there is. A card that vanishes meanwhile is left out.
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
