//! `hushbox boards`: lists this machine's sound cards with a configuration proposal for each.
//! Nothing is captured or written.

use crate::Outcome;
use crate::error::Error;
use board::{CardInfo, Profile, list_cards};
use std::io::Write;

pub fn run() -> Result<Outcome, Error> {
    let cards = list_cards();
    let mut text = String::new();
    if cards.is_empty() {
        text.push_str("No sound card with capture found. Check the connection and the driver.\n");
        text.push_str("For tests, `modprobe snd-aloop` creates a virtual card.\n");
    }
    for card in &cards {
        text.push_str(&describe_card(card));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)?;
    Ok(if cards.is_empty() { Outcome::Unclean } else { Outcome::Done })
}

fn describe_card(card: &CardInfo) -> String {
    let CardInfo { pcm, name, driver, slots, .. } = card;
    let mut text = match &card.error {
        None => format!("{pcm}: {name} (driver {driver}), {slots} slots\n"),
        Some(error) => format!("{pcm}: {name} (driver {driver}), cannot be queried: {error}\n"),
    };
    let Some(profile) = Profile::for_card(card) else { return text };
    let indent =
        |lines: &str| -> String { lines.lines().map(|line| format!("    {line}\n")).collect() };
    text.push_str(&format!("  profile {}: {}\n", profile.name, profile.title));
    text.push_str(&indent(&profile.wiring));
    for line in &profile.mixer {
        text.push_str(&format!("  mixer: {}\n", Profile::fill_template(line, card)));
    }
    text.push_str("  configuration:\n");
    text.push_str(&indent(&Profile::fill_template(profile.board, card)));
    text.push('\n');
    text
}
