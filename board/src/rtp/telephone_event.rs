//! Digits as telephone events (RFC 4733): when one sounds, never which one.
//!
//! A sender repeats an event in packets of one timestamp while its duration grows, and sends the
//! last packet three times. All of them are one digit. Byte 0 of the payload has the digit's
//! value; this module never reads that byte, and drops the payload.

/// Bytes of an event.
const EVENT_BYTES: usize = 4;

/// Duration after which a digit that still sounds is reported again, in seconds.
const CONTINUED_S: u64 = 1;

/// When a digit sounds, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DigitSpan {
    pub position: u64,
    pub frames: u64,
    /// First report of this digit.
    pub is_new: bool,
}

/// The last event of one leg.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventTracker {
    /// SSRC and timestamp, which all packets of one event share.
    last: Option<(u32, u32)>,
    /// End of what was reported of it.
    reported_end: u64,
}

impl EventTracker {
    /// Records an event packet, whose event begins at `position`. Returns what to report.
    pub fn note(
        &mut self,
        event: (u32, u32),
        position: u64,
        frames: u64,
        rate: u32,
    ) -> Option<DigitSpan> {
        let end = position + frames.max(1);
        if self.last != Some(event) {
            (self.last, self.reported_end) = (Some(event), end);
            return Some(DigitSpan { position, frames: frames.max(1), is_new: true });
        }
        let start = self.reported_end;
        if end < start + CONTINUED_S * u64::from(rate) {
            return None;
        }
        self.reported_end = end;
        Some(DigitSpan { position: start, frames: end - start, is_new: false })
    }
}

/// Duration of the event so far, in units of the RTP clock; `None` if the payload is no event.
pub(crate) fn duration_of(payload: &[u8]) -> Option<u16> {
    let event = payload.get(..EVENT_BYTES)?;
    Some(u16::from_be_bytes([event[2], event[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_end_packets_are_one_digit() {
        let mut tracker = EventTracker::default();
        let first = tracker.note((1, 800), 800, 160, 8000);
        assert_eq!(first, Some(DigitSpan { position: 800, frames: 160, is_new: true }));
        for duration in [320, 480, 640, 640, 640] {
            assert_eq!(tracker.note((1, 800), 800, duration, 8000), None);
        }
        assert!(tracker.note((1, 2400), 2400, 160, 8000).is_some_and(|span| span.is_new));
        assert!(tracker.note((2, 2400), 2400, 160, 8000).is_some(), "another SSRC");
    }

    #[test]
    fn a_key_that_is_held_down_is_reported_every_second() {
        let mut tracker = EventTracker::default();
        tracker.note((1, 0), 1000, 160, 8000);
        let spans: Vec<_> =
            (2..=250).filter_map(|n| tracker.note((1, 0), 1000, n * 160, 8000)).collect();
        assert_eq!(spans.len(), 4);
        assert!(spans.iter().all(|span| !span.is_new && span.frames == 8000));
        assert_eq!(spans[0].position, 1160);
    }

    #[test]
    fn only_the_duration_is_read() {
        for value in 0..=255 {
            assert_eq!(duration_of(&[value, 0x8a, 0x01, 0x40]), Some(320));
        }
        assert_eq!(duration_of(&[1, 2, 3]), None);
    }
}
