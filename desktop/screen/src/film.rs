//! The film: pictures gathered into pieces, and what a blackout takes out of it.
//!
//! Pieces follow each other without gaps and wait here uncoded until `hold_ms` have passed: a
//! blackout that reaches back takes out exactly the pictures it meets, and the rest of their piece
//! stays. While it lasts the film is black. All times are the box's, in milliseconds.
//!
//! This is arithmetic: no clock, no display, no socket.

use crate::picture::Picture;
use protocol::CaptureState;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a piece is; the box takes up to ten seconds. Each begins with a key picture, which is
/// most of its bytes, so a long piece is a cheap one.
pub const PIECE_MS: i64 = 9000;
/// One with so many pictures is closed when it is so long: they wait in memory.
pub const LIVELY: usize = 20;
pub const LIVELY_MS: i64 = 4000;
/// How exact the box's clock is known here: so much more is hidden on either side.
const GUARD_MS: i64 = 100;
/// Pictures that wait, in bytes; then new ones are left out.
const WAITING_BYTES: usize = 256 << 20;

/// A piece that is not coded yet.
pub struct Raw {
    pub recording: String,
    pub from: i64,
    pub to: i64,
    pub pictures: Vec<(i64, Arc<Picture>)>,
    pub kbps: u32,
}

/// What is being filmed.
#[derive(Default)]
pub struct Film {
    state: CaptureState,
    open: Option<Raw>,
    closed: VecDeque<Raw>,
    /// Nothing is shown before this moment.
    black_until: Option<i64>,
}

impl Film {
    /// The box said what to do; `since` is when that holds from.
    pub fn told(&mut self, state: CaptureState, since: i64, now: i64) {
        let other = state.recording != self.state.recording;
        if !state.capture && self.state.capture {
            self.cut_from(since);
        }
        if other || !state.capture || state.blackout != self.state.blackout {
            self.close(now);
        }
        match (self.state.blackout, state.blackout) {
            (false, true) => {
                self.cut_from(since.saturating_sub(GUARD_MS));
                self.black_until = Some(i64::MAX);
            }
            (true, false) => self.black_until = Some(since.saturating_add(GUARD_MS)),
            _ => {}
        }
        self.state = state;
    }

    /// Whether pictures are wanted at all.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.state.capture
    }

    /// Between two looks at the screen.
    #[must_use]
    pub fn pause_ms(&self) -> u64 {
        1000 / self.state.fps.clamp(1, 30)
    }

    #[must_use]
    pub fn scale(&self) -> usize {
        usize::try_from(self.state.scale.clamp(10, 100)).unwrap_or(100)
    }

    /// Whether the film is to be black at `now`.
    #[must_use]
    pub fn is_black(&mut self, now: i64) -> bool {
        let over = self.black_until.is_some_and(|until| now >= until);
        if over {
            self.black_until = None;
            self.close(now);
        }
        self.black_until.is_some()
    }

    /// The first picture of a piece is still to come.
    #[must_use]
    pub fn needs_picture(&self) -> bool {
        self.open.is_none()
    }

    /// A picture that was seen at `now`.
    pub fn see(&mut self, now: i64, picture: Arc<Picture>) {
        let Some(recording) = self.state.recording.clone().filter(|_| self.state.capture) else {
            return;
        };
        let same = |piece: &Raw| {
            let first = &piece.pictures[0].1;
            (first.width, first.height) == (picture.width, picture.height)
        };
        if self.open.as_ref().is_some_and(|piece| !same(piece)) {
            self.close(now);
        }
        if self.waiting() + picture.planes.len() > WAITING_BYTES {
            return;
        }
        match &mut self.open {
            Some(piece) => piece.pictures.push((now, picture)),
            None => {
                let kbps = u32::try_from(self.state.kbps).unwrap_or(u32::MAX);
                let pictures = vec![(now, picture)];
                self.open = Some(Raw { recording, from: now, to: now, pictures, kbps });
            }
        }
    }

    fn waiting(&self) -> usize {
        let pieces = self.closed.iter().chain(&self.open);
        pieces.flat_map(|piece| &piece.pictures).map(|(_, picture)| picture.planes.len()).sum()
    }

    /// Closes the piece that is long enough.
    pub fn turn(&mut self, now: i64) {
        let Some(piece) = &self.open else { return };
        let age = now.saturating_sub(piece.from);
        let lively = piece.pictures.len() >= LIVELY;
        if age >= PIECE_MS || lively && age >= LIVELY_MS {
            self.close(now);
        }
    }

    fn close(&mut self, now: i64) {
        let Some(mut piece) = self.open.take() else { return };
        piece.to = now;
        if piece.to > piece.from {
            self.closed.push_back(piece);
        }
    }

    /// Takes everything out from `at` on.
    fn cut_from(&mut self, at: i64) {
        for piece in self.closed.iter_mut().chain(&mut self.open) {
            piece.pictures.retain(|(seen, _)| *seen < at);
            piece.to = piece.to.min(at);
        }
        let gone = |piece: &Raw| piece.pictures.is_empty();
        self.closed.retain(|piece| !gone(piece) && piece.to > piece.from);
        if let Some(mut piece) = self.open.take().filter(|piece| !gone(piece)) {
            piece.to = at;
            if piece.to > piece.from {
                self.closed.push_back(piece);
            }
        }
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.closed.is_empty()
    }

    /// The oldest piece, when no blackout can reach it any more.
    pub fn due(&mut self, now: i64) -> Option<Raw> {
        let hold = i64::try_from(self.state.hold_ms).unwrap_or(i64::MAX);
        let ready = self.closed.front().is_some_and(|p| p.to.saturating_add(hold) <= now);
        if ready { self.closed.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(capture: bool, blackout: bool) -> CaptureState {
        let recording = capture.then(|| "r".to_owned());
        let hold_ms = 2250;
        CaptureState {
            capture,
            recording,
            fps: 5,
            scale: 100,
            kbps: 100,
            blackout,
            hold_ms,
            ..CaptureState::default()
        }
    }

    fn picture(shade: u8) -> Arc<Picture> {
        let mut picture = Picture::black(2, 2);
        picture.planes.fill(shade);
        Arc::new(picture)
    }

    /// Looks five times a second, from `from` to `to`.
    fn watch(film: &mut Film, from: i64, to: i64) {
        for now in (from..to).step_by(200) {
            film.turn(now);
            let black = film.is_black(now);
            film.see(now, picture(if black { 16 } else { 200 }));
        }
    }

    fn drained(film: &mut Film) -> Vec<Raw> {
        std::iter::from_fn(|| film.due(i64::MAX / 2)).collect()
    }

    #[test]
    fn g1_a_blackout_takes_out_what_it_meets_and_no_more() {
        let mut film = Film::default();
        film.told(state(true, false), 0, 0);
        watch(&mut film, 0, 9000);
        film.told(state(true, true), 6750, 9000);
        watch(&mut film, 9000, 12_000);
        film.told(state(true, false), 12_250, 12_000);
        watch(&mut film, 12_000, 15_000);
        film.told(state(false, false), 15_000, 15_000);
        let pieces = drained(&mut film);
        for piece in &pieces {
            for (at, seen) in &piece.pictures {
                let hidden = (6650..12_350).contains(at);
                assert_eq!(seen.planes[0] == 200, !hidden, "at {at}");
                assert!(*at >= piece.from && *at < piece.to);
            }
        }
        let spans: Vec<(i64, i64)> = pieces.iter().map(|piece| (piece.from, piece.to)).collect();
        let wanted = [(0, 4000), (4000, 6650), (9000, 12_000), (12_000, 12_400), (12_400, 15_000)];
        assert_eq!(spans, wanted);
    }

    #[test]
    fn pieces_wait_and_follow_each_other() {
        let mut film = Film::default();
        watch(&mut film, 0, 1000);
        assert!(drained(&mut film).is_empty(), "nothing is filmed unasked");
        film.told(state(true, false), 1000, 1000);
        film.see(1000, picture(1));
        film.turn(9900);
        assert!(film.due(99_000).is_none(), "nothing moved");
        film.turn(10_000);
        assert!(film.due(12_249).is_none());
        let piece = film.due(12_250).expect("held back long enough");
        assert_eq!((piece.from, piece.to, piece.pictures.len()), (1000, 10_000, 1));
    }
}
