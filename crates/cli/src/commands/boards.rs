//! `hushbox boards`: what sound cards this machine has, and a proposal for each.
//!
//! The one word that knows voice boards, and only how to list them: nothing is captured, and
//! nothing is written anywhere.

use crate::Outcome;
use crate::error::Error;
use board::{CardInfo, Profile, list_cards};
use std::io::Write;

pub fn run() -> Result<Outcome, Error> {
    let cards = list_cards();
    let mut text = String::new();
    if cards.is_empty() {
        text.push_str("No sound card here can capture. Is it plugged in? Is its driver loaded?\n");
        text.push_str("`modprobe snd-aloop` makes one for tests.\n");
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
        Some(trouble) => format!("{pcm}: {name} (driver {driver}), cannot be asked: {trouble}\n"),
    };
    let Some(profile) = Profile::for_card(card) else { return text };
    let indent =
        |lines: &str| -> String { lines.lines().map(|line| format!("    {line}\n")).collect() };
    text.push_str(&format!("  profile {}: {}\n", profile.name, profile.title));
    text.push_str(&indent(&profile.wiring));
    for line in &profile.mixer {
        text.push_str(&format!("  set it up: {}\n", Profile::fill_template(line, card)));
    }
    text.push_str("  for the configuration:\n");
    text.push_str(&indent(&Profile::fill_template(profile.board, card)));
    text.push('\n');
    text
}
