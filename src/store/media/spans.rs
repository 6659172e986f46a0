//! Accumulates runs: the ledger, the list of spans, and the loss at an interruption.
//!
//! Neighbouring runs of one fate become one span. The last few runs are kept for the *interruption
//! rule*: an encoder with a delay of `delay` frames leaves the last `delay` frames of an unflushed
//! file undecodable. Stored frames among them become lost.
//!
//! The list of spans is bounded: a network that loses single packets must not fill the memory and
//! the journal. The ledger counts all frames, and the media file has all runs.

use super::{MAX_PACKET_SPANS, MAX_SPANS};
use crate::audio::span::{Fate, Ledger, LossReason, Run};
use crate::store::fact::FactSpan;
use crate::time::Position;
use std::collections::VecDeque;

/// Running totals of a recording.
#[derive(Clone, Debug)]
pub struct SpanAccumulator {
    ledger: Ledger,
    to: Position,
    spans: Vec<FactSpan>,
    /// How many of them are losses of packets.
    packet_spans: usize,
    /// The last runs, together at least `delay` frames if there are that many.
    recent: VecDeque<RecentRun>,
    recent_frames: u64,
    delay: u64,
}

#[derive(Clone, Copy, Debug)]
struct RecentRun {
    fate: Fate,
    frames: u64,
}

impl SpanAccumulator {
    /// Creates an accumulator for a first frame at `from` and an encoder delay of `delay` frames.
    #[must_use]
    pub fn new(from: Position, delay: u16) -> SpanAccumulator {
        SpanAccumulator {
            ledger: Ledger::default(),
            to: from,
            spans: Vec::with_capacity(MAX_PACKET_SPANS),
            packet_spans: 0,
            recent: VecDeque::with_capacity(8),
            recent_frames: 0,
            delay: u64::from(delay),
        }
    }

    /// Returns the frames per fate.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Returns the position after the last frame.
    #[must_use]
    pub fn to(&self) -> Position {
        self.to
    }

    /// Returns masked, held and lost spans in order: the first `MAX_SPANS` of them, and only the
    /// first `MAX_PACKET_SPANS` losses of packets.
    #[must_use]
    pub fn spans(&self) -> &[FactSpan] {
        &self.spans
    }

    /// Adds the next `run.frames` frames.
    pub fn add_run(&mut self, run: Run) {
        if run.frames == 0 {
            return;
        }
        let frames = u64::from(run.frames);
        self.ledger.add_run(run);
        self.append_frames(run.fate, frames);
        self.remember_recent(RecentRun { fate: run.fate, frames });
    }

    /// Advances by `frames`, and lists them if they are not stored.
    fn append_frames(&mut self, fate: Fate, frames: u64) {
        let (from, to) = (self.to, self.to.plus(frames));
        self.to = to;
        if fate == Fate::Stored {
            return;
        }
        let of_packets = is_of_packets(fate);
        let room =
            self.spans.len() < MAX_SPANS && (!of_packets || self.packet_spans < MAX_PACKET_SPANS);
        match self.spans.last_mut() {
            Some(last) if last.fate == fate && last.to == from => last.to = to,
            _ if room => {
                self.packet_spans += usize::from(of_packets);
                self.spans.push(FactSpan { fate, from, to });
            }
            _ => {}
        }
    }

    fn remember_recent(&mut self, next: RecentRun) {
        self.recent_frames += next.frames;
        match self.recent.back_mut() {
            Some(last) if last.fate == next.fate => last.frames += next.frames,
            _ => self.recent.push_back(next),
        }
        while let Some(first) = self.recent.front()
            && self.recent_frames - first.frames >= self.delay
        {
            self.recent_frames -= first.frames;
            self.recent.pop_front();
        }
    }

    /// Applies the interruption rule: stored frames among the last `delay` become lost to `loss`.
    pub fn mark_tail_lost(&mut self, loss: LossReason) {
        let end = self.to;
        let window = self.delay.min(self.recent_frames);
        let start = end.saturating_sub(window);
        while let Some(last) = self.spans.last_mut()
            && last.to > start
        {
            if last.from < start {
                last.to = start;
            } else {
                self.packet_spans -= usize::from(is_of_packets(last.fate));
                self.spans.pop();
            }
        }
        self.to = start;
        let mut skip = self.recent_frames - window;
        for run in std::mem::take(&mut self.recent) {
            let frames = run.frames - run.frames.min(skip);
            skip -= run.frames - frames;
            if run.fate.is_stored() {
                self.ledger.stored -= frames;
                if let Fate::SideLost(side, reason) = run.fate {
                    self.ledger.side_lost[side.index()][reason as usize] -= frames;
                }
                self.ledger.lost[loss as usize] += frames;
                self.append_frames(Fate::Lost(loss), frames);
            } else if frames > 0 {
                self.append_frames(run.fate, frames);
            }
        }
        self.recent_frames = 0;
        assert_eq!(self.to, end, "the interruption rule keeps the timeline's length");
    }
}

fn is_of_packets(fate: Fate) -> bool {
    fate.loss_reason().is_some_and(LossReason::is_of_packets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::span::Side;

    const LOST: Fate = Fate::Lost(LossReason::Power);

    fn accumulate(delay: u16, runs: &[(Fate, u32)]) -> SpanAccumulator {
        let mut fold = SpanAccumulator::new(Position(100), delay);
        runs.iter().for_each(|(fate, frames)| fold.add_run(Run { fate: *fate, frames: *frames }));
        fold
    }

    fn listed_spans(fold: &SpanAccumulator) -> Vec<(Fate, u64, u64)> {
        fold.spans().iter().map(|span| (span.fate, span.from.0, span.to.0)).collect()
    }

    #[test]
    fn adjacent_runs_of_one_fate_are_one_span() {
        let runs = [(Fate::Masked, 3), (Fate::Masked, 2), (Fate::Stored, 5), (Fate::Held, 1)];
        let fold = accumulate(0, &runs);
        assert_eq!(listed_spans(&fold), [(Fate::Masked, 100, 105), (Fate::Held, 110, 111)]);
        assert_eq!((fold.ledger().total_captured(), fold.to()), (11, Position(111)));
    }

    #[test]
    fn interruption_loses_frames_delayed_in_the_encoder() {
        let mut plain = accumulate(4, &[(Fate::Stored, 10)]);
        plain.mark_tail_lost(LossReason::Power);
        assert_eq!(listed_spans(&plain), [(LOST, 106, 110)]);
        assert_eq!((plain.ledger().stored, plain.ledger().total_lost()), (6, 4));

        let mut mixed = accumulate(7, &[(Fate::Stored, 10), (Fate::Masked, 3), (Fate::Stored, 2)]);
        mixed.mark_tail_lost(LossReason::Power);
        let spans = [(LOST, 108, 110), (Fate::Masked, 110, 113), (LOST, 113, 115)];
        assert_eq!(listed_spans(&mixed), spans);
        assert_eq!((mixed.ledger().stored, mixed.ledger().total_captured()), (8, 15));

        let mut masked = accumulate(4, &[(Fate::Stored, 10), (Fate::Masked, 9)]);
        masked.mark_tail_lost(LossReason::Power);
        assert_eq!(listed_spans(&masked), [(Fate::Masked, 110, 119)]);

        let mut short = accumulate(100, &[(Fate::Held, 2), (Fate::Stored, 3)]);
        short.mark_tail_lost(LossReason::Disk);
        assert_eq!(
            listed_spans(&short),
            [(Fate::Held, 100, 102), (Fate::Lost(LossReason::Disk), 102, 105)]
        );
        accumulate(0, &[(Fate::Stored, 3)]).mark_tail_lost(LossReason::Power);
        accumulate(9, &[]).mark_tail_lost(LossReason::Power);
    }

    #[test]
    fn span_list_is_bounded_and_ledger_is_exact() {
        let mut fold = accumulate(10, &[]);
        let pair = [Run { fate: Fate::Stored, frames: 1 }, Run { fate: LOST, frames: 1 }];
        (0..MAX_SPANS + 50).for_each(|_| pair.into_iter().for_each(|run| fold.add_run(run)));
        fold.mark_tail_lost(LossReason::Power);
        assert_eq!(fold.spans().len(), MAX_SPANS);
        assert_eq!(fold.ledger().total_captured(), 2 * (2500 + 50));
        assert!(fold.recent.is_empty());
    }

    const SIDE_LOST: Fate = Fate::SideLost(Side::Customer, LossReason::Network);

    #[test]
    fn a_lost_side_is_a_span_of_stored_frames() {
        let runs = [(Fate::Stored, 10), (SIDE_LOST, 4), (Fate::Masked, 3), (SIDE_LOST, 5)];
        let mut fold = accumulate(7, &runs);
        let listed = [(SIDE_LOST, 110, 114), (Fate::Masked, 114, 117), (SIDE_LOST, 117, 122)];
        assert_eq!(listed_spans(&fold), listed);
        assert_eq!((fold.ledger().stored, fold.ledger().total_captured()), (19, 22));
        assert_eq!(fold.ledger().total_side_lost(Side::Customer), 9);
        fold.mark_tail_lost(LossReason::Power);
        let listed = [(SIDE_LOST, 110, 114), (Fate::Masked, 114, 117), (LOST, 117, 122)];
        assert_eq!(listed_spans(&fold), listed);
        assert_eq!((fold.ledger().stored, fold.ledger().total_captured()), (14, 22));
        assert_eq!(fold.ledger().total_side_lost(Side::Customer), 4);
        assert_eq!(fold.packet_spans, 1);
    }

    #[test]
    fn lost_packets_leave_room_for_what_is_masked() {
        let mut fold = accumulate(0, &[]);
        let network = Fate::Lost(LossReason::Network);
        for fate in [SIDE_LOST, network] {
            let pair = [Run { fate: Fate::Stored, frames: 1 }, Run { fate, frames: 1 }];
            (0..5000).for_each(|_| pair.into_iter().for_each(|run| fold.add_run(run)));
        }
        fold.add_run(Run { fate: Fate::Masked, frames: 3 });
        assert_eq!(fold.spans().len(), MAX_PACKET_SPANS + 1);
        assert_eq!(fold.spans().last().map(|span| span.fate), Some(Fate::Masked));
        let ledger = fold.ledger();
        assert_eq!((ledger.total_side_lost(Side::Customer), ledger.total_lost()), (5000, 5000));
    }
}
