//! The pulse, second by second.

use super::{BOARD_MS, Health, MUTE_MS, Pulse, STORE_MS, Sight, Stall};
use crate::time::{Mono, Now, Wall};

/// A box whose boards do as they are told.
struct House {
    pulse: Pulse,
    now: Now,
    boards: Vec<Sight>,
    behind_ms: u64,
}

impl House {
    fn new(boards: usize) -> House {
        let now = Now { mono: Mono(0), wall: Wall(0) };
        let sight = Sight { health: Health::In, position: 0 };
        House { pulse: Pulse::new(now, boards), now, boards: vec![sight; boards], behind_ms: 0 }
    }

    /// A second passes; these boards move. What the pulse says.
    fn second(&mut self, moving: &[usize]) -> Result<(), Stall> {
        self.now.mono = self.now.mono.after_ms(1000);
        moving.iter().for_each(|board| self.boards[*board].position += 8000);
        self.pulse.look(self.now, self.boards.iter().copied(), self.behind_ms)
    }

    /// Seconds until it stalls, at most `most`.
    fn stalls_after(&mut self, most: u64, moving: &[usize]) -> Option<(u64, Stall)> {
        (1..=most).find_map(|n| self.second(moving).err().map(|stall| (n, stall)))
    }
}

/// Longer than any bound.
const LONG: u64 = 10 * (MUTE_MS + STORE_MS) / 1000;

#[test]
fn h1_a_box_whose_boards_move_is_fed() {
    let mut house = House::new(2);
    assert_eq!(house.stalls_after(LONG, &[0, 1]), None);
}

#[test]
fn h1_a_board_that_stands_still_and_does_not_say_so_starves_the_watchdog() {
    let mut house = House::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    let (seconds, stall) = house.stalls_after(LONG, &[0]).expect("it stands still");
    assert_eq!(seconds, BOARD_MS / 1000 + 1);
    assert!(matches!(stall, Stall::Board { board: 1, .. }), "{stall}");
    assert!(stall.to_string().contains("board 2"), "{stall}");
    // Also one that never gave anything and does not say that it is out.
    let stall = House::new(1).stalls_after(LONG, &[]);
    assert!(matches!(stall, Some((_, Stall::Board { board: 0, .. }))), "{stall:?}");
}

#[test]
fn h1_a_card_that_was_pulled_does_not_restart_the_box() {
    let mut house = House::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    house.boards[1].health = Health::Out;
    assert_eq!(house.stalls_after(LONG, &[0]), None);
    house.boards[0].health = Health::Out;
    assert_eq!(house.stalls_after(LONG, &[]), None, "not even when all are gone");
    // It is plugged in again, and gives nothing for a while.
    house.boards[1].health = Health::In;
    assert_eq!(house.stalls_after(LONG, &[]), None);
    assert_eq!(house.stalls_after(LONG, &[1]), None);
    // From then on it counts as before.
    let stall = house.stalls_after(LONG, &[]);
    assert!(matches!(stall, Some((_, Stall::Board { board: 1, .. }))), "{stall:?}");
}

#[test]
fn h1_a_mute_card_restarts_the_box_once_and_only_if_nothing_is_lost_by_it() {
    let mut house = House::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    house.boards[0].health = Health::Mute;
    assert_eq!(house.stalls_after(LONG, &[1]), None, "the other one records");
    house.boards[1].health = Health::Out;
    let (seconds, stall) = house.stalls_after(LONG, &[]).expect("nothing is lost by a restart");
    assert_eq!(seconds, MUTE_MS / 1000 + 2);
    assert!(matches!(stall, Stall::Mute { .. }), "{stall}");
    // Its tries to run again change nothing about that.
    house.boards[0].health = Health::In;
    assert!(house.second(&[]).is_err());
    // The next run finds the same card: it has given nothing, so nothing is hoped for.
    let mut next = House::new(2);
    next.boards[0].health = Health::Mute;
    next.boards[1].health = Health::Out;
    assert_eq!(next.stalls_after(LONG, &[]), None);
    // If it comes back, all is well.
    house.boards[0].health = Health::In;
    assert_eq!(house.second(&[0]), Ok(()));
}

#[test]
fn h1_audio_that_does_not_become_durable_starves_the_watchdog() {
    let mut house = House::new(1);
    house.behind_ms = STORE_MS;
    assert_eq!(house.stalls_after(LONG, &[0]), None);
    house.behind_ms = STORE_MS + 1;
    let stall = house.second(&[0]).expect_err("nothing is stored");
    assert_eq!(stall, Stall::Store { ms: STORE_MS + 1 });
}
