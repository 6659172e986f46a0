//! What boards capture, in the words of the recorder.

use crate::audio::channel::ChannelIndex;
use crate::audio::span::LossReason;
use crate::recorder::{Recorder, SideLoss};
use crate::time::{Now, Position};
use board::{CaptureEvent, GapReason};

/// Passes what a board captured to the recorder. `board` is its index and its first channel.
pub fn pass_event(
    recorder: &mut Recorder,
    now: Now,
    (board, first): (usize, usize),
    event: CaptureEvent<'_>,
) {
    let index = |channel: usize| ChannelIndex(first + channel);
    match event {
        CaptureEvent::Period(period) => {
            recorder.capture(now, index(period.channel), period.samples);
        }
        CaptureEvent::Lost { frames, why, .. } => {
            recorder.skip_lost_on_board(now, board, frames, loss_reason(why));
        }
        CaptureEvent::ChannelLost { channel, frames, why, .. } => {
            recorder.skip_lost_on_channel(now, index(channel), frames, loss_reason(why));
        }
        CaptureEvent::SideLost { channel, side, position, frames, why } => {
            let (at, reason) = (Position(position), loss_reason(why));
            let loss = SideLoss { side, at, frames, reason };
            recorder.mark_side_lost(now, index(channel), loss);
        }
        CaptureEvent::Late { channel, side, position, samples } => {
            recorder.write_late(index(channel), side, Position(position), samples);
        }
        CaptureEvent::Digit { channel, position, frames } => {
            recorder.note_digit(now, index(channel), Position(position), frames);
        }
    }
}

fn loss_reason(why: GapReason) -> LossReason {
    match why {
        GapReason::Overrun => LossReason::Overrun,
        GapReason::Board => LossReason::Board,
        GapReason::Network => LossReason::Network,
        GapReason::Late => LossReason::Late,
        GapReason::Mirror => LossReason::Mirror,
    }
}
