//! The film: pictures gathered into pieces, and what a blackout takes out of it.
//!
//! Pieces follow each other without gaps. A picture waits here uncoded until `hold_ms` have
//! passed; until then a blackout that reaches back takes it out, and the rest of its piece stays.
//! Then it goes to the coder, whose piece grows until it is closed: a blackout, a new size and
//! the end close one, so that none has to be taken apart. While a blackout lasts the film is
//! black. All times are the box's, in milliseconds.
//!
//! This is arithmetic: no clock, no display, no socket.

use crate::picture::Picture;
use protocol::CaptureState;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long a piece is; the box takes up to forty seconds. Each begins with a key picture, which
/// is most of its bytes, so a long piece is a cheap one; what is not sent is lost with the power.
pub const PIECE_MS: i64 = 30_000;
/// How exact the box's clock is known here: so much more is hidden on either side.
const GUARD_MS: i64 = 100;
/// Pictures that wait, in bytes; then new ones are left out.
const WAITING_BYTES: usize = 256 << 20;

/// A piece that is not closed, or has pictures that wait.
struct Raw {
    recording: String,
    from: i64,
    to: i64,
    size: (usize, usize),
    pictures: VecDeque<(i64, Arc<Picture>)>,
    kbps: u32,
    /// The coder has its first pictures.
    begun: bool,
}

impl Raw {
    /// Nothing is left of it that anybody needs to know.
    fn is_void(&self) -> bool {
        !self.begun && (self.pictures.is_empty() || self.to <= self.from)
    }
}

/// Pictures of the oldest piece, in order, that no blackout can reach any more.
pub struct Part {
    pub recording: String,
    /// Where the piece begins.
    pub from: i64,
    pub pictures: Vec<(i64, Arc<Picture>)>,
    pub kbps: u32,
    /// Where it ends, with its last part. What was handed out and is not before it is to go.
    pub to: Option<i64>,
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

    /// How long what was seen waits before it is coded.
    #[must_use]
    pub fn hold_ms(&self) -> i64 {
        i64::try_from(self.state.hold_ms).unwrap_or(i64::MAX)
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
        let size = (picture.width, picture.height);
        if self.open.as_ref().is_some_and(|piece| piece.size != size) {
            self.close(now);
        }
        if self.waiting() + picture.planes.len() > WAITING_BYTES {
            return;
        }
        match &mut self.open {
            Some(piece) => piece.pictures.push_back((now, picture)),
            None => {
                let kbps = u32::try_from(self.state.kbps).unwrap_or(u32::MAX);
                let pictures = VecDeque::from([(now, picture)]);
                let (from, to) = (now, now);
                self.open = Some(Raw { recording, from, to, size, pictures, kbps, begun: false });
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
        if now.saturating_sub(piece.from) >= PIECE_MS {
            self.close(now);
        }
    }

    /// Nothing more will be seen from `now` on.
    pub fn end(&mut self, now: i64) {
        self.close(now);
    }

    fn close(&mut self, now: i64) {
        let Some(mut piece) = self.open.take() else { return };
        piece.to = now.max(piece.from);
        if !piece.is_void() {
            self.closed.push_back(piece);
        }
    }

    /// Takes everything out from `at` on.
    fn cut_from(&mut self, at: i64) {
        for piece in self.closed.iter_mut().chain(&mut self.open) {
            piece.pictures.retain(|(seen, _)| *seen < at);
            piece.to = piece.to.min(at).max(piece.from);
        }
        if let Some(mut piece) = self.open.take() {
            piece.to = at.max(piece.from);
            self.closed.push_back(piece);
        }
        self.closed.retain(|piece| !piece.is_void());
    }

    /// Whether something waits to be sent.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.closed.is_empty()
    }

    /// What no blackout can reach any more, of the oldest piece.
    pub fn due(&mut self, now: i64) -> Option<Part> {
        let safe = now.saturating_sub(self.hold_ms());
        let closed = !self.closed.is_empty();
        let piece = self.closed.front_mut().or(self.open.as_mut())?;
        let ends = closed && piece.to <= safe;
        let ready = piece.pictures.iter().take_while(|(seen, _)| *seen <= safe).count();
        if ready == 0 && !ends {
            return None;
        }
        piece.begun = true;
        let part = Part {
            recording: piece.recording.clone(),
            from: piece.from,
            pictures: piece.pictures.drain(..ready).collect(),
            kbps: piece.kbps,
            to: ends.then_some(piece.to),
        };
        if ends {
            self.closed.pop_front();
        }
        Some(part)
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

    /// Pieces as a coder gets them: from, to, and what is in them.
    type Pieces = Vec<(i64, i64, Vec<(i64, u8)>)>;

    /// Hands out what is due at `now`.
    fn drain(film: &mut Film, now: i64, pieces: &mut Pieces) {
        while let Some(part) = film.due(now) {
            if pieces.last().is_none_or(|piece| piece.1 != i64::MAX) {
                pieces.push((part.from, i64::MAX, Vec::new()));
            }
            let last = pieces.last_mut().expect("a piece");
            assert_eq!(last.0, part.from, "parts of one piece follow each other");
            last.2.extend(part.pictures.iter().map(|(at, seen)| (*at, seen.planes[0])));
            if let Some(to) = part.to {
                last.1 = to;
                last.2.retain(|(at, _)| *at < to);
            }
        }
        pieces.retain(|(from, to, pictures)| *to == i64::MAX || to > from && !pictures.is_empty());
    }

    #[test]
    fn g1_a_blackout_takes_out_what_it_meets_and_no_more() {
        // Whether the coder has got everything that is due, or nothing yet.
        for greedy in [false, true] {
            let (mut film, mut pieces) = (Film::default(), Pieces::new());
            let mut turn = |film: &mut Film, from: i64, to: i64| {
                for now in (from..to).step_by(200) {
                    watch(film, now, now + 1);
                    if greedy {
                        drain(film, now, &mut pieces);
                    }
                }
            };
            film.told(state(true, false), 0, 0);
            turn(&mut film, 0, 9000);
            film.told(state(true, true), 6750, 9000);
            turn(&mut film, 9000, 12_000);
            film.told(state(true, false), 12_250, 12_000);
            turn(&mut film, 12_000, 15_000);
            film.told(state(false, false), 15_000, 15_000);
            drain(&mut film, i64::MAX / 2, &mut pieces);
            for (from, to, pictures) in &pieces {
                for (at, seen) in pictures {
                    assert_eq!(*seen == 200, !(6650..12_350).contains(at), "at {at}");
                    assert!(at >= from && at < to);
                }
            }
            let spans: Vec<(i64, i64)> = pieces.iter().map(|piece| (piece.0, piece.1)).collect();
            assert_eq!(spans, [(0, 6650), (9000, 12_000), (12_000, 12_400), (12_400, 15_000)]);
        }
    }

    #[test]
    fn g1_a_blackout_that_comes_late_takes_back_what_the_coder_has() {
        let (mut film, mut pieces) = (Film::default(), Pieces::new());
        film.told(state(true, false), 0, 0);
        watch(&mut film, 0, 4000);
        drain(&mut film, 4000, &mut pieces);
        assert_eq!(pieces[0].2.last(), Some(&(1600, 200)));
        film.told(state(true, true), 1000, 4000);
        drain(&mut film, 9000, &mut pieces);
        let kept: Vec<i64> = pieces[0].2.iter().map(|(at, _)| *at).collect();
        assert_eq!((pieces[0].1, kept), (900, vec![0, 200, 400, 600, 800]));
        // One whose whole piece is met is told to the coder, too.
        let (mut film, mut pieces) = (Film::default(), Pieces::new());
        film.told(state(true, false), 0, 0);
        watch(&mut film, 0, 4000);
        drain(&mut film, 4000, &mut pieces);
        film.told(state(true, true), -500, 4000);
        assert!(film.waits());
        drain(&mut film, 9000, &mut pieces);
        assert!(pieces.is_empty() && !film.waits());
    }

    #[test]
    fn pieces_wait_and_follow_each_other() {
        let (mut film, mut pieces) = (Film::default(), Pieces::new());
        watch(&mut film, 0, 1000);
        assert!(film.due(99_000).is_none(), "nothing is filmed unasked");
        film.told(state(true, false), 1000, 1000);
        film.see(1000, picture(1));
        assert!(film.due(3249).is_none(), "a blackout could reach it");
        assert_eq!(film.due(3250).map(|part| (part.pictures.len(), part.to)), Some((1, None)));
        film.turn(30_900);
        assert!(film.due(99_000).is_none(), "nothing moved");
        film.turn(31_000);
        assert!(film.due(33_249).is_none());
        drain(&mut film, 33_250, &mut pieces);
        assert!(pieces.is_empty() && !film.waits(), "its pictures have gone before");
    }
}
