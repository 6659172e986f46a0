//! Slots: extracts one channel's samples from a card's interleaved frames.
//!
//! A frame has one sample per slot; a channel uses one or two of them, in its own order. The
//! caller owns the scratch buffer and wipes it.

/// Location of a channel's sides in a card's frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// Byte offsets within a frame, one per side.
    offsets: Vec<usize>,
}

impl SlotMap {
    pub(super) fn new(slots: &[u16]) -> SlotMap {
        SlotMap { offsets: slots.iter().map(|slot| usize::from(*slot) * 2).collect() }
    }

    /// Samples per frame.
    pub(super) fn sides(&self) -> usize {
        self.offsets.len()
    }

    /// Copies this channel's samples from `frames` (native 16-bit, `frame_bytes` each) to the
    /// start of `samples`, and returns them.
    pub(super) fn extract_samples<'a>(
        &self,
        frames: &[u8],
        frame_bytes: usize,
        samples: &'a mut [i16],
    ) -> &'a [i16] {
        assert_eq!(frames.len() % frame_bytes, 0, "whole frames only");
        assert!(self.offsets.iter().all(|offset| offset + 1 < frame_bytes));
        let wanted = frames.len() / frame_bytes * self.sides();
        let picked = &mut samples[..wanted];
        let pairs = picked.chunks_exact_mut(self.sides()).zip(frames.chunks_exact(frame_bytes));
        for (sides, frame) in pairs {
            for (sample, offset) in sides.iter_mut().zip(&self.offsets) {
                *sample = i16::from_ne_bytes([frame[*offset], frame[*offset + 1]]);
            }
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames with three slots: frame n is n, 100 + n, -n.
    fn test_frames() -> Vec<u8> {
        (0..5_i16).flat_map(|n| [n, 100 + n, -n]).flat_map(i16::to_ne_bytes).collect()
    }

    #[test]
    fn mono_and_stereo_come_from_any_slots_in_any_order() {
        let mut samples = [0x5a5a; 16];
        assert_eq!(
            SlotMap::new(&[1]).extract_samples(&test_frames(), 6, &mut samples),
            [100, 101, 102, 103, 104]
        );
        assert_eq!(samples[5..], [0x5a5a; 11], "nothing beyond");
        let crossed = SlotMap::new(&[2, 0]);
        assert_eq!(
            crossed.extract_samples(&test_frames(), 6, &mut samples),
            [0, 0, -1, 1, -2, 2, -3, 3, -4, 4]
        );
        assert_eq!(crossed.extract_samples(&[], 6, &mut samples), [0; 0]);
    }
}
