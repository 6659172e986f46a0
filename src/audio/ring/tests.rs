//! Tests of the ring.

use super::*;

const NONE: Mask = Mask::EMPTY;

fn filled_ring(frames: i16) -> Ring {
    let mut ring = Ring::new(1, 100, 50);
    let samples: Vec<i16> = (1..=frames).collect();
    samples.chunks(30).for_each(|piece| ring.write(piece, false));
    ring
}

#[test]
fn what_went_in_comes_out_by_position_across_the_seam() {
    let mut ring = filled_ring(130);
    assert_eq!((ring.head(), ring.tail()), (Position(130), Position(30)));
    let cleared = ring.read_cleared(Position(80), 50, [&NONE, &NONE]);
    assert_eq!(cleared.samples(), (81..=130).collect::<Vec<i16>>());
    assert_eq!(cleared.runs(), [Run { fate: Fate::Stored, frames: 50 }]);
}

#[test]
fn g1_a_mask_is_exact_to_the_sample_and_reaches_back() {
    let mut ring = filled_ring(60);
    let mut mask = Mask::default();
    mask.open_at(Position(40));
    ring.wipe_range(Position(40), ring.head());
    ring.write(&[-7; 10], true);
    mask.close_at(ring.head());
    ring.write(&[8; 10], false);
    let cleared = ring.read_cleared(Position(35), 45, [&mask, &NONE]);
    let mut wanted: Vec<i16> = (36..=40).collect();
    wanted.extend([0; 30]);
    wanted.extend([8; 10]);
    assert_eq!(cleared.samples(), wanted);
    let fates: Vec<_> = cleared.runs().iter().map(|run| (run.fate, run.frames)).collect();
    assert_eq!(fates, [(Fate::Stored, 5), (Fate::Masked, 30), (Fate::Stored, 10)]);
    assert!(!ring.samples.iter().any(|sample| (41..=60).contains(sample) || *sample == -7));
}

#[test]
#[should_panic(expected = "was not wiped")]
fn masked_audio_that_was_not_wiped_stops_the_box() {
    let mut ring = filled_ring(60);
    let mut mask = Mask::default();
    mask.insert(Position(10), Position(20));
    let _ = ring.read_cleared(Position(5), 20, [&mask, &NONE]);
}

#[test]
fn lost_frames_are_a_span_of_their_own() {
    let mut ring = filled_ring(20);
    ring.skip_lost(5, LossReason::Overrun);
    ring.skip_lost(5, LossReason::Overrun);
    ring.skip_lost(3, LossReason::Ring);
    ring.write(&[9; 7], false);
    let mut held = Mask::default();
    held.insert(Position(15), Position(22));
    let cleared = ring.read_cleared(Position(10), 30, [&NONE, &held]);
    let fates: Vec<_> = cleared.runs().iter().map(|run| (run.fate, run.frames)).collect();
    let lost = |why| Fate::Lost(why);
    let wanted = [
        (Fate::Stored, 5),
        (Fate::Held, 7),
        (lost(LossReason::Overrun), 8),
        (lost(LossReason::Ring), 3),
        (Fate::Stored, 7),
    ];
    assert_eq!(fates, wanted);
}

#[test]
fn room_is_what_a_reader_leaves() {
    let ring = filled_ring(60);
    assert_eq!(ring.free_frames(Position(0)), 40);
    assert_eq!(ring.free_frames(ring.head()), 100);
    assert_eq!(ring.free_frames(Position(999)), 100, "a reader ahead needs nothing");
}

#[test]
fn what_a_reader_needs_stays_when_more_is_lost_than_the_ring_holds() {
    let mut ring = filled_ring(90);
    let mut mask = Mask::default();
    mask.open_at(Position(85));
    for _ in 0..10 {
        ring.skip_lost(15, LossReason::Ring);
    }
    assert_eq!((ring.tail(), ring.free_frames(Position(40))), (Position(0), 0));
    ring.wipe_range(Position(85), ring.head());
    let cleared = ring.read_cleared(Position(40), 50, [&mask, &NONE]);
    let mut wanted: Vec<i16> = (41..=85).collect();
    wanted.extend([0; 5]);
    assert_eq!(cleared.samples(), wanted);
    mask.close_at(Position(95));
    let cleared = ring.read_cleared(Position(90), 50, [&mask, &NONE]);
    let fates: Vec<_> = cleared.runs().iter().map(|run| (run.fate, run.frames)).collect();
    assert_eq!(fates, [(Fate::Masked, 5), (Fate::Lost(LossReason::Ring), 45)]);
    assert_eq!(ring.free_frames(Position(235)), 95);
}

#[test]
fn a_skip_longer_than_the_ring_is_no_trouble() {
    let mut ring = filled_ring(60);
    ring.skip_lost(1000, LossReason::Board);
    ring.write(&[5; 20], false);
    let cleared = ring.read_cleared(Position(1030), 50, [&NONE, &NONE]);
    assert_eq!(&cleared.samples()[30..], [5; 20]);
    assert_eq!(cleared.runs()[0].frames, 30);
}

fn fates(cleared: &Cleared<'_>) -> Vec<(Fate, u32)> {
    cleared.runs().iter().map(|run| (run.fate, run.frames)).collect()
}

const NET: LossReason = LossReason::Network;

/// A stereo ring with 40 frames: n on the left, -n on the right.
fn stereo_ring() -> Ring {
    let mut ring = Ring::new(2, 100, 50);
    let samples: Vec<i16> = (1..=40).flat_map(|n| [n, -n]).collect();
    ring.write(&samples, false);
    ring
}

#[test]
fn one_lost_side_is_silent_and_the_other_is_kept() {
    let mut ring = stereo_ring();
    ring.mark_side_lost(1, Position(42), 6, NET);
    ring.mark_side_lost(0, Position(45), 5, LossReason::Late);
    ring.write(&[7; 20], false);
    let cleared = ring.read_cleared(Position(38), 12, [&NONE, &NONE]);
    let wanted = [
        (Fate::Stored, 4),
        (Fate::SideLost(Side::Customer, NET), 3),
        (Fate::Lost(LossReason::Late), 3),
        (Fate::SideLost(Side::Agent, LossReason::Late), 2),
    ];
    assert_eq!(fates(&cleared), wanted);
    let frames: Vec<[i16; 2]> = cleared.samples().chunks(2).map(|f| [f[0], f[1]]).collect();
    assert_eq!(frames[..4], [[39, -39], [40, -40], [7, 7], [7, 7]]);
    assert_eq!(frames[4..7], [[7, 0]; 3]);
    assert_eq!(frames[7..10], [[0, 0]; 3]);
    assert_eq!(frames[10..], [[0, 7]; 2]);
}

#[test]
fn late_audio_fills_its_place_and_what_was_lost_is_stored() {
    let mut ring = stereo_ring();
    ring.mark_side_lost(1, Position(40), 10, NET);
    ring.write(&[7; 20], false);
    ring.skip_lost(5, NET);
    ring.write(&[8; 20], false);
    assert_eq!(ring.write_late(1, Position(43), &[50, 51], &NONE), 2);
    assert_eq!(ring.write_late(1, Position(43), &[60, 61], &NONE), 0, "it is there already");
    assert_eq!(ring.write_late(0, Position(40), &[9; 10], &NONE), 0, "it was never lost");
    assert_eq!(ring.write_late(0, Position(48), &[70; 10], &NONE), 5, "all sides were lost");
    let cleared = ring.read_cleared(Position(40), 16, [&NONE, &NONE]);
    let lost = Fate::SideLost(Side::Customer, NET);
    let wanted = [(lost, 3), (Fate::Stored, 2), (lost, 10), (Fate::Stored, 1)];
    assert_eq!(fates(&cleared), wanted);
    let frames: Vec<[i16; 2]> = cleared.samples().chunks(2).map(|f| [f[0], f[1]]).collect();
    assert_eq!(frames[2..6], [[7, 0], [7, 50], [7, 51], [7, 0]]);
    assert_eq!(frames[10..], [[70, 0], [70, 0], [70, 0], [70, 0], [70, 0], [8, 8]]);
}

#[test]
fn late_audio_crosses_the_seam() {
    let mut ring = Ring::new(2, 20, 20);
    ring.write(&[1; 32], false);
    ring.mark_side_lost(0, Position(16), 8, NET);
    ring.write(&[2; 16], false);
    let late: Vec<i16> = (10..18).collect();
    assert_eq!(ring.write_late(0, Position(16), &late, &NONE), 8);
    let cleared = ring.read_cleared(Position(14), 10, [&NONE, &NONE]);
    let left: Vec<i16> = cleared.samples().iter().step_by(2).copied().collect();
    assert_eq!(left, [1, 1, 10, 11, 12, 13, 14, 15, 16, 17]);
    assert!(cleared.samples().iter().skip(5).step_by(2).all(|sample| *sample == 2));
}

#[test]
fn g1_late_audio_never_enters_a_mask_and_never_what_the_ring_gave_away() {
    let mut ring = stereo_ring();
    ring.mark_side_lost(1, Position(40), 30, NET);
    ring.write(&[7; 60], false);
    let mut mask = Mask::default();
    mask.insert(Position(45), Position(55));
    ring.wipe_range(Position(45), Position(55));
    assert_eq!(ring.write_late(1, Position(30), &[-9; 100], &mask), 20);
    let cleared = ring.read_cleared(Position(40), 30, [&mask, &NONE]);
    assert_eq!(fates(&cleared), [(Fate::Stored, 5), (Fate::Masked, 10), (Fate::Stored, 15)]);
    assert_eq!(ring.samples.iter().filter(|sample| **sample == -9).count(), 20 + 1);
    // A board's loss is final, and so is one for which there is no frame yet.
    ring.skip_lost(10, LossReason::Board);
    ring.skip_lost(5, NET);
    assert_eq!(ring.write_late(1, Position(70), &[-9; 15], &NONE), 0, "nothing is written");
    ring.write(&[8; 2], false);
    assert_eq!(ring.write_late(1, Position(70), &[-9; 10], &NONE), 0, "a board's loss");
    assert_eq!(ring.write_late(1, Position(80), &[-9; 5], &NONE), 5);
    (0..5).for_each(|_| ring.write(&[8; 40], false));
    assert_eq!(ring.tail(), Position(86));
    assert_eq!(ring.write_late(1, Position(40), &[-9; 40], &NONE), 0, "it has left the ring");
}

#[test]
fn a_wiped_ring_has_nothing_to_read_and_takes_nothing_late() {
    let mut ring = stereo_ring();
    ring.mark_side_lost(1, Position(40), 10, NET);
    ring.write(&[7; 20], false);
    ring.wipe_all();
    assert_eq!((ring.head(), ring.tail()), (Position(50), Position(50)));
    assert_eq!(ring.write_late(1, Position(40), &[9; 10], &NONE), 0);
    assert!(ring.samples.iter().all(|sample| *sample == 0));
    ring.write(&[8; 20], false);
    let cleared = ring.read_cleared(Position(50), 10, [&NONE, &NONE]);
    assert_eq!(fates(&cleared), [(Fate::Stored, 10)]);
}

#[test]
fn more_changes_than_a_grid_frame_may_have_end_in_a_loss() {
    let mut ring = Ring::new(2, 400, 160);
    for n in 0..80 {
        ring.mark_side_lost(1, Position(2 * n), 1, NET);
        ring.write(&[7; 4], false);
    }
    let cleared = ring.read_cleared(Position(0), 160, [&NONE, &NONE]);
    assert_eq!((cleared.frames(), cleared.runs().len()), (160, RUNS_MAX));
    let rest = Run { fate: Fate::Lost(NET), frames: 160 - 31 };
    assert_eq!(cleared.runs().last(), Some(&rest));
    assert!(cleared.samples()[2 * 31..].iter().all(|sample| *sample == 0));
}
