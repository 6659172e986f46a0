//! A steady turn allocates nothing: all memory of the audio path is allocated before the first
//! call.
//!
//! The counter counts one thread, so other tests of this process do not disturb it.

use testkit::load::plan::LoadPlan;
use testkit::load::turns::{HOLDBACK_TURNS, Turns};

/// Ten seconds: every recording cuts twenty chunks, the disk is synced 25 times, and its free space
/// is asked twice.
const TURNS: usize = 500;

fn allocations(turns: &mut Turns) -> u64 {
    allocation_counter::measure(|| turns.turns(TURNS)).count_total
}

#[test]
fn steady_turn_with_64_recordings_allocates_nothing() {
    for codec in ["opus", "ulaw", "pcm"] {
        let mut turns = Turns::recording(LoadPlan { channels: 64, codec, sides: 1 });
        assert_eq!(allocations(&mut turns), 0, "{codec}, nothing masked");
        for n in 0..16 {
            turns.line(Turns::agent(n), "blackout start");
        }
        turns.turns(HOLDBACK_TURNS);
        assert_eq!(turns.said.matches("ok blackout=on").count(), 16, "{}", turns.said);
        assert_eq!(allocations(&mut turns), 0, "{codec}, 16 blackouts open");
        assert!(turns.media_bytes > 0);
        turns.loses_one_in = 50;
        turns.turns(HOLDBACK_TURNS + 50);
        assert_eq!(allocations(&mut turns), 0, "{codec}, 2 % of the packets lost");
    }
}

#[test]
fn unsteady_turn_counts_its_allocations() {
    let mut turns = Turns::recording(LoadPlan { channels: 2, codec: "pcm", sides: 1 });
    turns.line(Turns::agent(0), "blackout start");
    assert!(allocations(&mut turns) > 0, "a press takes memory: the counter works");
}
