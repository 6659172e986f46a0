//! Ring: holds each channel's audio until it may leave.
//!
//! It holds PCM by position and is allocated once. It serves as the blackout window and as the
//! buffer against a slow disk. A blackout wipes audio that still waits, and masked audio is
//! written as zeros. Audio leaves only as `Cleared`, which only this module can create, with a
//! fate for every frame. The ring asserts that every frame that is not `Stored` is zero.
//!
//! The ring does not know its readers. The recorder ensures that the writer never overtakes a
//! reader (`free_frames`), and reading asserts it.

use crate::audio::mask::Mask;
use crate::audio::span::{Fate, LossReason, Run};
use crate::time::Position;
use zeroize::Zeroize;

/// Maximum number of runs in one `read_cleared` call.
pub const RUNS_MAX: usize = 32;

/// Maximum number of lost ranges. Above it, the audio between the last two is counted as lost
/// too.
const LOST_MAX: usize = 64;

#[derive(Clone, Copy, Debug)]
struct LostRange {
    from: Position,
    to: Position,
    reason: LossReason,
}

/// The waiting audio of one channel.
pub struct Ring {
    samples: Box<[i16]>,
    sides: usize,
    head: Position,
    /// End of the last frame written; lost frames may follow up to `head`.
    written: Position,
    lost: heapless::Vec<LostRange, LOST_MAX>,
    scratch: Box<[i16]>,
    runs: heapless::Vec<Run, RUNS_MAX>,
}

/// Audio that may leave RAM: interleaved samples (`sides` per frame) and the fate of every frame.
/// Frames whose fate is not `Stored` are zero. Only the ring constructs it.
#[derive(Debug)]
pub struct Cleared<'a> {
    samples: &'a [i16],
    sides: usize,
    runs: &'a [Run],
}

impl Ring {
    /// Hash of all waiting audio, for tests that nothing was wiped.
    #[doc(hidden)]
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        let mix = |sum: u64, sample: &i16| {
            (sum.rotate_left(5) ^ u64::from(sample.cast_unsigned())).wrapping_mul(0x100_0000_01b3)
        };
        self.samples.iter().fold(0, mix)
    }

    /// Creates a ring of `frames` frames of `sides` samples; `stretch` is the maximum length for
    /// `read_cleared`.
    #[must_use]
    pub fn new(sides: usize, frames: usize, stretch: usize) -> Ring {
        assert!((1..=2).contains(&sides) && stretch > 0 && stretch <= frames);
        Ring {
            samples: vec![0; frames * sides].into_boxed_slice(),
            sides,
            head: Position(0),
            written: Position(0),
            lost: heapless::Vec::new(),
            scratch: vec![0; stretch * sides].into_boxed_slice(),
            runs: heapless::Vec::new(),
        }
    }

    /// Position of the next captured frame.
    #[must_use]
    pub fn head(&self) -> Position {
        self.head
    }

    #[must_use]
    pub fn capacity(&self) -> u64 {
        (self.samples.len() / self.sides) as u64
    }

    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        (self.samples.len() * size_of::<i16>()) as u64
    }

    /// Oldest readable position. Lost frames overwrite nothing, so they do not move it.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.written.saturating_sub(self.capacity())
    }

    /// Number of frames that can be written without overwriting audio from `cursor` on.
    #[must_use]
    pub fn free_frames(&self, cursor: Position) -> u64 {
        self.capacity().saturating_sub(self.head.frames_since(cursor.min(self.head)))
    }

    /// Writes captured frames, or zeros in their place while `masked`.
    pub fn write(&mut self, frames: &[i16], masked: bool) {
        assert_eq!(frames.len() % self.sides, 0);
        assert!(frames.len() <= self.samples.len());
        let count = (frames.len() / self.sides) as u64;
        let at = self.sample_index(self.head);
        let first = frames.len().min(self.samples.len() - at);
        let (one, two) = frames.split_at(first);
        if masked {
            self.samples[at..at + first].zeroize();
            self.samples[..two.len()].zeroize();
        } else {
            self.samples[at..at + first].copy_from_slice(one);
            self.samples[..two.len()].copy_from_slice(two);
        }
        self.head = self.head.plus(count);
        self.written = self.head;
    }

    /// Advances by `frames` lost frames. Their slots are not written; a reader gets a lost run.
    pub fn skip_lost(&mut self, frames: u64, reason: LossReason) {
        if frames == 0 {
            return;
        }
        let (from, to) = (self.head, self.head.plus(frames));
        self.head = to;
        let tail = self.tail();
        self.lost.retain(|lost| lost.to > tail);
        let full = self.lost.is_full();
        match self.lost.last_mut() {
            Some(last) if (last.to == from && last.reason == reason) || full => last.to = to,
            _ => assert!(self.lost.push(LostRange { from, to, reason }).is_ok(), "there was room"),
        }
    }

    /// Zeroizes the waiting audio between `from` and `to`.
    pub fn wipe_range(&mut self, from: Position, to: Position) {
        let from = from.max(self.tail());
        let to = to.min(self.written);
        if from >= to {
            return;
        }
        let count = usize::try_from(to.frames_since(from)).unwrap_or(0) * self.sides;
        let at = self.sample_index(from);
        let first = count.min(self.samples.len() - at);
        self.samples[at..at + first].zeroize();
        self.samples[..count - first].zeroize();
    }

    /// Zeroizes the whole ring.
    pub fn wipe_all(&mut self) {
        self.samples.zeroize();
        self.scratch.zeroize();
    }

    /// Reads `frames` frames from `from` on through both masks. Returns fewer if their fate
    /// changes more than `RUNS_MAX` times. Call `wipe_scratch` after using the audio.
    pub fn read_cleared(
        &mut self,
        from: Position,
        frames: usize,
        masks: [&Mask; 2],
    ) -> Cleared<'_> {
        assert!(from >= self.tail(), "the ring was overrun: {from} is gone, tail {}", self.tail());
        assert!(from.plus(frames as u64) <= self.head && frames * self.sides <= self.scratch.len());
        self.runs.clear();
        let (mut at, end) = (from, from.plus(frames as u64));
        while at < end && !self.runs.is_full() {
            let (fate, until) = self.fate_at(at, masks);
            let stop = until.map_or(end, |until| until.min(end));
            let count = u32::try_from(stop.frames_since(at)).unwrap_or(u32::MAX);
            let joined = self.runs.last_mut().filter(|run| run.fate == fate);
            match joined {
                Some(run) => run.frames += count,
                None => assert!(self.runs.push(Run { fate, frames: count }).is_ok()),
            }
            at = stop;
        }
        let total = usize::try_from(at.frames_since(from)).unwrap_or(0);
        self.copy_stored(from);
        Cleared::new(&self.scratch[..total * self.sides], self.sides, &self.runs)
    }

    /// Copies stored runs from `from` on into the scratch buffer, with zeros for the others.
    fn copy_stored(&mut self, from: Position) {
        let (mut at, mut out) = (from, 0);
        for run in &self.runs {
            let count = run.frames as usize * self.sides;
            let index = usize::try_from(at.0 % self.capacity()).unwrap_or(0) * self.sides;
            let first = count.min(self.samples.len() - index);
            let target = &mut self.scratch[out..out + count];
            if run.fate == Fate::Stored {
                target[..first].copy_from_slice(&self.samples[index..index + first]);
                target[first..].copy_from_slice(&self.samples[..count - first]);
            } else {
                target.fill(0);
            }
            at = at.plus(u64::from(run.frames));
            out += count;
        }
    }

    /// Returns the fate of the frame at `at`, and where it may change. Masked takes precedence
    /// over held, and held over lost.
    fn fate_at(&self, at: Position, [mask, held]: [&Mask; 2]) -> (Fate, Option<Position>) {
        let (masked, mask_until) = mask.state_at(at);
        let (is_held, held_until) = held.state_at(at);
        let (lost, lost_until) = self.lost_at(at);
        if masked {
            self.assert_wiped(at, mask_until);
            return (Fate::Masked, mask_until);
        }
        let soonest = |a: Option<Position>, b: Option<Position>| a.into_iter().chain(b).min();
        if is_held {
            return (Fate::Held, soonest(mask_until, held_until));
        }
        let until = soonest(soonest(mask_until, held_until), lost_until);
        (lost.map_or(Fate::Stored, Fate::Lost), until)
    }

    /// Asserts that masked frames were wiped, as a second check after masking. Lost frames are
    /// excluded, because their slots may hold older audio.
    fn assert_wiped(&self, from: Position, until: Option<Position>) {
        let stop = until.map_or(self.head, |until| until.min(self.head));
        let stop = stop.min(from.plus((self.scratch.len() / self.sides) as u64));
        let mut at = from;
        while at < stop {
            let (lost, lost_until) = self.lost_at(at);
            let index = self.sample_index(at);
            let next = lost_until.map_or(stop, |until| until.min(stop));
            let run = usize::try_from(next.frames_since(at)).unwrap_or(0) * self.sides;
            let run = run.min(self.samples.len() - index);
            let wiped = self.samples[index..index + run].iter().all(|sample| *sample == 0);
            assert!(wiped || lost.is_some(), "masked audio at {at} was not wiped");
            at = at.plus((run / self.sides) as u64);
        }
    }

    fn lost_at(&self, at: Position) -> (Option<LossReason>, Option<Position>) {
        for lost in &self.lost {
            if at < lost.from {
                return (None, Some(lost.from));
            }
            if at < lost.to {
                return (Some(lost.reason), Some(lost.to));
            }
        }
        (None, None)
    }

    /// Wipes the audio returned by the last `read_cleared`.
    pub fn wipe_scratch(&mut self) {
        self.scratch.zeroize();
    }

    fn sample_index(&self, at: Position) -> usize {
        usize::try_from(at.0 % self.capacity()).unwrap_or(0) * self.sides
    }
}

impl<'a> Cleared<'a> {
    fn new(samples: &'a [i16], sides: usize, runs: &'a [Run]) -> Cleared<'a> {
        let cleared = Cleared { samples, sides, runs };
        let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
        assert_eq!(frames * sides as u64, samples.len() as u64, "every frame has one fate");
        for (run, piece) in cleared.runs_with_samples() {
            assert!(run.fate == Fate::Stored || piece.iter().all(|sample| *sample == 0));
        }
        cleared
    }

    #[must_use]
    pub fn samples(&self) -> &'a [i16] {
        self.samples
    }

    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / self.sides
    }

    #[must_use]
    pub fn runs(&self) -> &'a [Run] {
        self.runs
    }

    /// Whether any frame is stored.
    #[must_use]
    pub fn has_stored(&self) -> bool {
        self.runs.iter().any(|run| run.fate == Fate::Stored && run.frames > 0)
    }

    /// Iterates over the runs with their samples, in order.
    pub fn runs_with_samples(&self) -> impl Iterator<Item = (Run, &'a [i16])> + use<'a> {
        let (mut rest, sides) = (self.samples, self.sides);
        self.runs.iter().map(move |run| {
            let (piece, after) = rest.split_at(run.frames as usize * sides);
            rest = after;
            (*run, piece)
        })
    }

    /// Creates cleared audio without a ring, for codec tests and benches; wipes frames that are
    /// not stored.
    #[doc(hidden)]
    pub fn for_tests(samples: &'a mut [i16], sides: usize, runs: &'a [Run]) -> Cleared<'a> {
        let mut at = 0;
        for run in runs {
            let end = at + run.frames as usize * sides;
            if run.fate != Fate::Stored {
                samples[at..end].fill(0);
            }
            at = end;
        }
        Cleared::new(samples, sides, runs)
    }
}

#[cfg(test)]
mod tests {
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
}
