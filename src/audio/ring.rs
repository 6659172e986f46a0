//! Ring: holds each channel's audio until it may leave.
//!
//! It holds PCM by position and is allocated once. It serves as the blackout window and as the
//! buffer against a slow disk. A blackout wipes audio that still waits, and masked audio is
//! written as zeros. Audio leaves only as `Cleared`, which only this module can create, with a
//! fate for every frame. The ring asserts that every frame that is not stored is zero, and the
//! lost side of every frame of which one side is stored.
//!
//! Losses are kept for each side. Audio of a side that comes late goes to its place as long as the
//! ring has it, unless a mask hides that place.
//!
//! The ring does not know its readers. The recorder ensures that the writer never overtakes a
//! reader (`free_frames`), and reading asserts it.

use crate::audio::losses::LossList;
use crate::audio::mask::Mask;
use crate::audio::span::{Fate, LossReason, Run, Side};
use crate::time::Position;
use zeroize::Zeroize;

/// Maximum number of runs in one `read_cleared` call.
pub const RUNS_MAX: usize = 32;

/// The waiting audio of one channel.
pub struct Ring {
    samples: Box<[i16]>,
    sides: usize,
    head: Position,
    /// End of the last frame written; lost frames may follow up to `head`.
    written: Position,
    /// Nothing before is readable: it belonged to whoever had the channel before.
    cleared: Position,
    /// What is lost, by side; a mono channel has one.
    lost: [LossList; 2],
    scratch: Box<[i16]>,
    runs: heapless::Vec<Run, RUNS_MAX>,
}

/// Audio that may leave RAM: interleaved samples (`sides` per frame) and the fate of every frame.
/// Frames that are not stored are zero, and so is the lost side of others. Only the ring
/// constructs it.
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
            cleared: Position(0),
            lost: [(); 2].map(|()| LossList::for_grid_frames(frames / stretch)),
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
        let losses: u64 = self.lost.iter().map(LossList::memory_bytes).sum();
        (self.samples.len() * size_of::<i16>()) as u64 + losses
    }

    /// Oldest readable position. Lost frames overwrite nothing, so they do not move it.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.written.saturating_sub(self.capacity()).max(self.cleared)
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
        self.wipe_skipped();
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
        let (from, to) = (self.head, self.head.plus(frames));
        self.head = to;
        let tail = self.tail();
        self.lost.iter_mut().for_each(|lost| lost.add(from, to, reason, tail));
    }

    /// Notes that one side has no audio for `frames` frames from `at` on, which is not before the
    /// head. The frames follow.
    pub fn mark_side_lost(&mut self, side: usize, at: Position, frames: u64, reason: LossReason) {
        assert!(side < self.sides, "side {side} of {}", self.sides);
        let (from, to) = (at.max(self.head), at.plus(frames));
        let tail = self.tail();
        self.lost[side].add(from, to, reason, tail);
    }

    /// Writes audio of one side, from `at` on, that was told as lost because its packets were
    /// missing: where the ring still has the place, and `mask` does not hide it. Returns the number
    /// of frames that are lost no more.
    pub fn write_late(&mut self, side: usize, at: Position, samples: &[i16], mask: &Mask) -> u64 {
        assert!(side < self.sides, "side {side} of {}", self.sides);
        let end = at.plus(samples.len() as u64).min(self.written);
        let (mut next, mut restored) = (at.max(self.tail()), 0);
        while next < end {
            let (lost, lost_until) = self.lost[side].state_at(next);
            let (masked, mask_until) = mask.state_at(next);
            let until = lost_until.into_iter().chain(mask_until).fold(end, Position::min);
            let open = lost.is_some_and(LossReason::is_of_packets) && !masked;
            if open && self.lost[side].take_out(next, until) {
                self.copy_side(side, next, &samples[offset(at, next)..offset(at, until)]);
                restored += until.frames_since(next);
            }
            next = until;
        }
        restored
    }

    fn copy_side(&mut self, side: usize, at: Position, samples: &[i16]) {
        let start = self.sample_index(at) / self.sides;
        let first = samples.len().min(self.samples.len() / self.sides - start);
        let (one, two) = samples.split_at(first);
        for (from, piece) in [(start, one), (0, two)] {
            let slots = self.samples[from * self.sides + side..].iter_mut().step_by(self.sides);
            slots.zip(piece).for_each(|(slot, sample)| *slot = *sample);
        }
    }

    /// Zeroizes the places of lost frames before the head, which are about to become readable.
    fn wipe_skipped(&mut self) {
        let skipped = self.head.frames_since(self.written).min(self.capacity());
        self.written = self.head;
        self.wipe_range(self.head.saturating_sub(skipped), self.head);
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

    /// Zeroizes the whole ring, and makes nothing of it readable. Positions go on.
    pub fn wipe_all(&mut self) {
        self.samples.zeroize();
        self.scratch.zeroize();
        (self.written, self.cleared) = (self.head, self.head);
        self.lost.iter_mut().for_each(LossList::clear);
    }

    /// Reads `frames` frames from `from` on through both masks. If their fate changes more often
    /// than `RUNS_MAX` allows, as only a stranger's packets can do, the rest counts as lost. Call
    /// `wipe_scratch` after using the audio.
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
            let joins = self.runs.last().is_some_and(|run| run.fate == fate);
            let (fate, stop) = match joins || self.runs.len() < RUNS_MAX - 1 {
                true => (fate, stop),
                false => (Fate::Lost(LossReason::Network), end),
            };
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
            if run.fate.is_stored() {
                target[..first].copy_from_slice(&self.samples[index..index + first]);
                target[first..].copy_from_slice(&self.samples[..count - first]);
            } else {
                target.fill(0);
            }
            silence_lost_side(run.fate, target);
            at = at.plus(u64::from(run.frames));
            out += count;
        }
    }

    /// Returns the fate of the frame at `at`, and where it may change. Masked takes precedence
    /// over held, and held over lost.
    fn fate_at(&self, at: Position, [mask, held]: [&Mask; 2]) -> (Fate, Option<Position>) {
        let (masked, mask_until) = mask.state_at(at);
        let (is_held, held_until) = held.state_at(at);
        let (lost, lost_until) = self.loss_at(at);
        if masked {
            self.assert_wiped(at, mask_until);
            return (Fate::Masked, mask_until);
        }
        let soonest = |a: Option<Position>, b: Option<Position>| a.into_iter().chain(b).min();
        if is_held {
            return (Fate::Held, soonest(mask_until, held_until));
        }
        (lost, soonest(soonest(mask_until, held_until), lost_until))
    }

    /// Asserts that masked frames were wiped, as a second check after masking. Lost frames are
    /// excluded, because their slots may hold older audio.
    fn assert_wiped(&self, from: Position, until: Option<Position>) {
        let stop = until.map_or(self.head, |until| until.min(self.head));
        let stop = stop.min(from.plus((self.scratch.len() / self.sides) as u64));
        let mut at = from;
        while at < stop {
            let (lost, lost_until) = self.loss_at(at);
            let index = self.sample_index(at);
            let next = lost_until.map_or(stop, |until| until.min(stop));
            let run = usize::try_from(next.frames_since(at)).unwrap_or(0) * self.sides;
            let run = run.min(self.samples.len() - index);
            let wiped = self.samples[index..index + run].iter().all(|sample| *sample == 0);
            let lost = matches!(lost, Fate::Lost(_));
            assert!(wiped || lost, "masked audio at {at} was not wiped");
            at = at.plus((run / self.sides) as u64);
        }
    }

    /// What is lost of the frame at `at`: nothing, one side or all; and where that may change.
    fn loss_at(&self, at: Position) -> (Fate, Option<Position>) {
        let (agent, until) = self.lost[0].state_at(at);
        if self.sides == 1 {
            return (agent.map_or(Fate::Stored, Fate::Lost), until);
        }
        let (customer, customer_until) = self.lost[1].state_at(at);
        let fate = match (agent, customer) {
            (None, None) => Fate::Stored,
            (Some(reason), None) => Fate::SideLost(Side::Agent, reason),
            (None, Some(reason)) => Fate::SideLost(Side::Customer, reason),
            (Some(reason), Some(_)) => Fate::Lost(reason),
        };
        (fate, until.into_iter().chain(customer_until).min())
    }

    /// Wipes the audio returned by the last `read_cleared`.
    pub fn wipe_scratch(&mut self) {
        self.scratch.zeroize();
    }

    fn sample_index(&self, at: Position) -> usize {
        usize::try_from(at.0 % self.capacity()).unwrap_or(0) * self.sides
    }
}

/// Index of the position `at` in samples that begin at `from`.
fn offset(from: Position, at: Position) -> usize {
    usize::try_from(at.frames_since(from)).unwrap_or(0)
}

/// Zeros the lost side of stereo frames of which the other is stored.
pub fn silence_lost_side(fate: Fate, frames: &mut [i16]) {
    let Some(side) = fate.lost_side() else { return };
    frames.iter_mut().skip(side.index()).step_by(2).for_each(|sample| *sample = 0);
}

/// Whether all samples that the fate hides are zero.
fn is_silent_where_lost(fate: Fate, frames: &[i16]) -> bool {
    let zero = |sample: &i16| *sample == 0;
    match fate.lost_side() {
        Some(side) => frames.iter().skip(side.index()).step_by(2).all(zero),
        None => fate.is_stored() || frames.iter().all(zero),
    }
}

impl<'a> Cleared<'a> {
    fn new(samples: &'a [i16], sides: usize, runs: &'a [Run]) -> Cleared<'a> {
        let cleared = Cleared { samples, sides, runs };
        let frames: u64 = runs.iter().map(|run| u64::from(run.frames)).sum();
        assert_eq!(frames * sides as u64, samples.len() as u64, "every frame has one fate");
        for (run, piece) in cleared.runs_with_samples() {
            assert!(run.fate.lost_side().is_none() || sides == 2, "a side of a mono channel");
            assert!(is_silent_where_lost(run.fate, piece), "{:?} is not silent", run.fate);
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
        self.runs.iter().any(|run| run.fate.is_stored() && run.frames > 0)
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
            if !run.fate.is_stored() {
                samples[at..end].fill(0);
            }
            silence_lost_side(run.fate, &mut samples[at..end]);
            at = end;
        }
        Cleared::new(samples, sides, runs)
    }
}

#[cfg(test)]
mod tests;
