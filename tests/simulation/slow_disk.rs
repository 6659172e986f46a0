//! A disk that stalls, or a card that is away, for longer than the ring lasts: what cannot be had
//! is lost and counted, what waits is kept, and the box goes on.

use hushbox::audio::span::LossReason;
use testkit::load::plan::Plan;
use testkit::load::turns::Turns;

const PLAN: Plan = Plan { channels: 4, codec: "pcm" };

/// Ten seconds, more than the rings (6 s) and the free buffers last together.
const AWAY_TURNS: usize = 500;

/// Frames lost, per channel, as the box counts them.
fn lost(turns: &mut Turns) -> Vec<u64> {
    turns.said.clear();
    turns.line(Turns::FEED, "channels");
    turns.turns(1);
    let words = turns.said.split_whitespace();
    words.filter_map(|word| word.strip_prefix("lost=")).map(|n| n.parse().unwrap()).collect()
}

/// Every recording is stopped and closed; closing asserts that its ledger adds up to the frame.
fn close_all(turns: &mut Turns) {
    turns.said.clear();
    for n in 0..PLAN.channels {
        turns.line(Turns::agent(n), "record stop");
    }
    turns.turns(testkit::load::turns::HOLDBACK_TURNS + 10);
    assert_eq!(turns.said.matches("state=off").count(), 4, "{}", turns.said);
    assert_eq!(turns.closed, 4);
}

#[test]
fn a_stalled_disk_costs_new_audio_and_nothing_else() {
    let mut turns = Turns::recording(PLAN);
    turns.stalled = true;
    turns.turns(AWAY_TURNS);
    turns.stalled = false;
    let before = turns.media_bytes;
    turns.turns(5);
    let counted = lost(&mut turns);
    assert!(counted.iter().all(|lost| (1..80_000).contains(lost)), "{counted:?}");
    turns.turns(200);
    assert_eq!(lost(&mut turns), counted, "nothing more is lost");
    assert!(turns.media_bytes > before, "audio is stored again");
    close_all(&mut turns);
}

#[test]
fn a_card_that_is_away_is_a_span_and_not_the_end() {
    let mut turns = Turns::recording(PLAN);
    turns.lose(80_000, LossReason::Board);
    turns.turns(AWAY_TURNS);
    let counted = lost(&mut turns);
    assert!(counted.iter().all(|lost| (80_000..81_000).contains(lost)), "{counted:?}");
    turns.turns(200);
    assert_eq!(lost(&mut turns), counted, "nothing more is lost");
    close_all(&mut turns);
}
