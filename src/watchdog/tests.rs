//! Tests of the progress watchdog, second by second.

use super::{
    ALL_SILENT_MS, BOARD_STALL_MS, BoardHealth, BoardProgress, ProgressWatchdog, STORE_LAG_MS,
    StallError,
};
use crate::time::{MonoTime, Now, WallTime};

/// A watchdog with simulated boards.
struct WatchdogFixture {
    watchdog: ProgressWatchdog,
    now: Now,
    boards: Vec<BoardProgress>,
    lag_ms: u64,
}

impl WatchdogFixture {
    fn new(boards: usize) -> WatchdogFixture {
        let now = Now { mono: MonoTime(0), wall: WallTime(0) };
        let sight = BoardProgress { health: BoardHealth::Running, position: 0 };
        WatchdogFixture {
            watchdog: ProgressWatchdog::new(now, boards),
            now,
            boards: vec![sight; boards],
            lag_ms: 0,
        }
    }

    /// Advances one second in which these boards move, and checks progress.
    fn advance_second(&mut self, moving: &[usize]) -> Result<(), StallError> {
        self.now.mono = self.now.mono.after_ms(1000);
        moving.iter().for_each(|board| self.boards[*board].position += 8000);
        self.watchdog.check_progress(self.now, self.boards.iter().copied(), self.lag_ms)
    }

    /// Returns the seconds until a stall, at most `most`.
    fn stalls_after(&mut self, most: u64, moving: &[usize]) -> Option<(u64, StallError)> {
        (1..=most).find_map(|n| self.advance_second(moving).err().map(|stall| (n, stall)))
    }
}

/// Longer than any limit.
const LONG: u64 = 10 * (ALL_SILENT_MS + STORE_LAG_MS) / 1000;

#[test]
fn h1_a_box_whose_boards_move_is_fed() {
    let mut house = WatchdogFixture::new(2);
    assert_eq!(house.stalls_after(LONG, &[0, 1]), None);
}

#[test]
fn h1_a_board_that_stands_still_and_does_not_say_so_starves_the_watchdog() {
    let mut house = WatchdogFixture::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    let (seconds, stall) = house.stalls_after(LONG, &[0]).expect("it stands still");
    assert_eq!(seconds, BOARD_STALL_MS / 1000 + 1);
    assert!(matches!(stall, StallError::Board { board: 1, .. }), "{stall}");
    assert!(stall.to_string().contains("board 2"), "{stall}");
    // Includes a board that never delivered audio and claims to run.
    let stall = WatchdogFixture::new(1).stalls_after(LONG, &[]);
    assert!(matches!(stall, Some((_, StallError::Board { board: 0, .. }))), "{stall:?}");
}

#[test]
fn h1_a_card_that_was_pulled_does_not_restart_the_box() {
    let mut house = WatchdogFixture::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    house.boards[1].health = BoardHealth::Down;
    assert_eq!(house.stalls_after(LONG, &[0]), None);
    house.boards[0].health = BoardHealth::Down;
    assert_eq!(house.stalls_after(LONG, &[]), None, "not even when all are gone");
    // The board is plugged in again and delivers nothing for a while.
    house.boards[1].health = BoardHealth::Running;
    assert_eq!(house.stalls_after(LONG, &[]), None);
    assert_eq!(house.stalls_after(LONG, &[1]), None);
    // From then on the first rule applies to it again.
    let stall = house.stalls_after(LONG, &[]);
    assert!(matches!(stall, Some((_, StallError::Board { board: 1, .. }))), "{stall:?}");
}

#[test]
fn h1_a_mute_card_restarts_the_box_once_and_only_if_nothing_is_lost_by_it() {
    let mut house = WatchdogFixture::new(2);
    assert_eq!(house.stalls_after(5, &[0, 1]), None);
    house.boards[0].health = BoardHealth::Silent;
    assert_eq!(house.stalls_after(LONG, &[1]), None, "the other one records");
    house.boards[1].health = BoardHealth::Down;
    let (seconds, stall) = house.stalls_after(LONG, &[]).expect("nothing is lost by a restart");
    assert_eq!(seconds, ALL_SILENT_MS / 1000 + 2);
    assert!(matches!(stall, StallError::AllSilent { .. }), "{stall}");
    // Attempts to reopen it change nothing.
    house.boards[0].health = BoardHealth::Running;
    assert!(house.advance_second(&[]).is_err());
    // The next run finds the same card, which has not delivered audio, so it does not restart
    // again.
    let mut next = WatchdogFixture::new(2);
    next.boards[0].health = BoardHealth::Silent;
    next.boards[1].health = BoardHealth::Down;
    assert_eq!(next.stalls_after(LONG, &[]), None);
    // Recovers if the card delivers again.
    house.boards[0].health = BoardHealth::Running;
    assert_eq!(house.advance_second(&[0]), Ok(()));
}

#[test]
fn h1_audio_that_does_not_become_durable_starves_the_watchdog() {
    let mut house = WatchdogFixture::new(1);
    house.lag_ms = STORE_LAG_MS;
    assert_eq!(house.stalls_after(LONG, &[0]), None);
    house.lag_ms = STORE_LAG_MS + 1;
    let stall = house.advance_second(&[0]).expect_err("nothing is stored");
    assert_eq!(stall, StallError::Store { ms: STORE_LAG_MS + 1 });
}
