//! Collects captured pictures into segments, and removes what a blackout covers.
//!
//! Segments follow each other without gaps. A picture waits unencoded for `hold_ms`. Until then a
//! blackout that reaches back removes it, and the rest of its segment stays. After that it goes to
//! the encoder, as a part of its segment. A blackout, a new size and the end of the recording close
//! a segment. During a blackout the segments are black. All times are the box's, in milliseconds.
//!
//! This is arithmetic: no clock, no display, no socket.

use crate::picture::Picture;
use protocol::CaptureState;
use std::collections::VecDeque;
use std::sync::Arc;

/// The length of a segment; the box accepts up to 40 s. Each segment starts with a key frame, which
/// is most of its bytes, so long segments are cheap. A power failure loses an unsent segment.
pub const SEGMENT_MS: i64 = 30_000;
/// The error of the box's clock here: a blackout covers this much more on either side.
const CLOCK_ERROR_MS: i64 = 100;
/// The most bytes of waiting pictures; further pictures are dropped.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// A segment that is open, or has pictures that wait.
struct PendingSegment {
    recording: String,
    from: i64,
    to: i64,
    size: (usize, usize),
    pictures: VecDeque<(i64, Arc<Picture>)>,
    kbps: u32,
    /// The encoder has its first pictures.
    started: bool,
}

impl PendingSegment {
    /// Nothing is left of the segment, and the encoder does not know it.
    fn is_void(&self) -> bool {
        !self.started && (self.pictures.is_empty() || self.to <= self.from)
    }
}

/// Pictures of the oldest segment, in order, that no blackout can reach any more.
pub struct SegmentPart {
    pub recording: String,
    /// The start of the segment.
    pub from: i64,
    pub pictures: Vec<(i64, Arc<Picture>)>,
    pub kbps: u32,
    /// The end of the segment, with its last part. The encoder drops frames that are not before it.
    pub to: Option<i64>,
}

/// The pictures and segments of a recording.
#[derive(Default)]
pub struct SegmentBuilder {
    state: CaptureState,
    open: Option<PendingSegment>,
    closed: VecDeque<PendingSegment>,
    /// Pictures are black before this time.
    black_until: Option<i64>,
}

impl SegmentBuilder {
    /// The box sent a new state, which applies from `since` on.
    pub fn apply_state(&mut self, state: CaptureState, since: i64, now: i64) {
        let other_recording = state.recording != self.state.recording;
        if !state.capture && self.state.capture {
            self.discard_from(since);
        }
        if other_recording || !state.capture || state.blackout != self.state.blackout {
            self.close_segment(now);
        }
        match (self.state.blackout, state.blackout) {
            (false, true) => {
                self.discard_from(since.saturating_sub(CLOCK_ERROR_MS));
                self.black_until = Some(i64::MAX);
            }
            (true, false) => self.black_until = Some(since.saturating_add(CLOCK_ERROR_MS)),
            _ => {}
        }
        self.state = state;
    }

    /// Whether the box requests pictures.
    #[must_use]
    pub fn is_capturing(&self) -> bool {
        self.state.capture
    }

    /// The time between two pictures.
    #[must_use]
    pub fn frame_interval_ms(&self) -> u64 {
        1000 / self.state.fps.clamp(1, 30)
    }

    /// How long a picture waits before it is encoded.
    #[must_use]
    pub fn hold_ms(&self) -> i64 {
        i64::try_from(self.state.hold_ms).unwrap_or(i64::MAX)
    }

    /// The size of a picture, in per cent of the screen's.
    #[must_use]
    pub fn scale_percent(&self) -> usize {
        usize::try_from(self.state.scale.clamp(10, 100)).unwrap_or(100)
    }

    /// Whether pictures are black at `now`. Closes the black segment after a blackout.
    #[must_use]
    pub fn check_blackout(&mut self, now: i64) -> bool {
        let over = self.black_until.is_some_and(|until| now >= until);
        if over {
            self.black_until = None;
            self.close_segment(now);
        }
        self.black_until.is_some()
    }

    /// Whether the next picture starts a segment.
    #[must_use]
    pub fn needs_picture(&self) -> bool {
        self.open.is_none()
    }

    /// Adds a picture that was captured at `now`.
    pub fn add_picture(&mut self, now: i64, picture: Arc<Picture>) {
        let Some(recording) = self.state.recording.clone().filter(|_| self.state.capture) else {
            return;
        };
        let size = (picture.width, picture.height);
        if self.open.as_ref().is_some_and(|segment| segment.size != size) {
            self.close_segment(now);
        }
        if self.waiting_bytes() + picture.planes.len() > WAITING_BYTES_MAX {
            return;
        }
        match &mut self.open {
            Some(segment) => segment.pictures.push_back((now, picture)),
            None => {
                let kbps = u32::try_from(self.state.kbps).unwrap_or(u32::MAX);
                let pictures = VecDeque::from([(now, picture)]);
                let (from, to, started) = (now, now, false);
                let segment = PendingSegment { recording, from, to, size, pictures, kbps, started };
                self.open = Some(segment);
            }
        }
    }

    fn waiting_bytes(&self) -> usize {
        let segments = self.closed.iter().chain(&self.open);
        segments.flat_map(|segment| &segment.pictures).map(|(_, p)| p.planes.len()).sum()
    }

    /// Closes the open segment if it is long enough.
    pub fn close_long_segment(&mut self, now: i64) {
        let Some(segment) = &self.open else { return };
        if now.saturating_sub(segment.from) >= SEGMENT_MS {
            self.close_segment(now);
        }
    }

    /// Closes the open segment at `now`.
    pub fn close_segment(&mut self, now: i64) {
        let Some(mut segment) = self.open.take() else { return };
        segment.to = now.max(segment.from);
        if !segment.is_void() {
            self.closed.push_back(segment);
        }
    }

    /// Discards all pictures from `at` on.
    fn discard_from(&mut self, at: i64) {
        for segment in self.closed.iter_mut().chain(&mut self.open) {
            segment.pictures.retain(|(captured, _)| *captured < at);
            segment.to = segment.to.min(at).max(segment.from);
        }
        if let Some(mut segment) = self.open.take() {
            segment.to = at.max(segment.from);
            self.closed.push_back(segment);
        }
        self.closed.retain(|segment| !segment.is_void());
    }

    /// Whether a closed segment waits.
    #[must_use]
    pub fn has_closed_segments(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Takes the pictures of the oldest segment that no blackout can reach any more.
    pub fn take_due_part(&mut self, now: i64) -> Option<SegmentPart> {
        let safe = now.saturating_sub(self.hold_ms());
        let closed = !self.closed.is_empty();
        let segment = self.closed.front_mut().or(self.open.as_mut())?;
        let ends = closed && segment.to <= safe;
        let ready = segment.pictures.iter().take_while(|(captured, _)| *captured <= safe).count();
        if ready == 0 && !ends {
            return None;
        }
        segment.started = true;
        let part = SegmentPart {
            recording: segment.recording.clone(),
            from: segment.from,
            pictures: segment.pictures.drain(..ready).collect(),
            kbps: segment.kbps,
            to: ends.then_some(segment.to),
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

    /// Captures five times a second, from `from` to `to`.
    fn capture(builder: &mut SegmentBuilder, from: i64, to: i64) {
        for now in (from..to).step_by(200) {
            builder.close_long_segment(now);
            let black = builder.check_blackout(now);
            builder.add_picture(now, picture(if black { 16 } else { 200 }));
        }
    }

    /// Segments as the encoder gets them: from, to, and the shades of their pictures.
    type Segments = Vec<(i64, i64, Vec<(i64, u8)>)>;

    /// Takes the parts that are due at `now`.
    fn drain(builder: &mut SegmentBuilder, now: i64, segments: &mut Segments) {
        while let Some(part) = builder.take_due_part(now) {
            if segments.last().is_none_or(|segment| segment.1 != i64::MAX) {
                segments.push((part.from, i64::MAX, Vec::new()));
            }
            let last = segments.last_mut().expect("a segment");
            assert_eq!(last.0, part.from, "parts of one segment follow each other");
            last.2.extend(part.pictures.iter().map(|(at, shade)| (*at, shade.planes[0])));
            if let Some(to) = part.to {
                last.1 = to;
                last.2.retain(|(at, _)| *at < to);
            }
        }
        segments
            .retain(|(from, to, pictures)| *to == i64::MAX || to > from && !pictures.is_empty());
    }

    #[test]
    fn g1_blackout_removes_exactly_what_it_covers() {
        // Whether the encoder has every part that is due, or none.
        for greedy in [false, true] {
            let (mut builder, mut segments) = (SegmentBuilder::default(), Segments::new());
            let mut turn = |builder: &mut SegmentBuilder, from: i64, to: i64| {
                for now in (from..to).step_by(200) {
                    capture(builder, now, now + 1);
                    if greedy {
                        drain(builder, now, &mut segments);
                    }
                }
            };
            builder.apply_state(state(true, false), 0, 0);
            turn(&mut builder, 0, 9000);
            builder.apply_state(state(true, true), 6750, 9000);
            turn(&mut builder, 9000, 12_000);
            builder.apply_state(state(true, false), 12_250, 12_000);
            turn(&mut builder, 12_000, 15_000);
            builder.apply_state(state(false, false), 15_000, 15_000);
            drain(&mut builder, i64::MAX / 2, &mut segments);
            for (from, to, pictures) in &segments {
                for (at, shade) in pictures {
                    assert_eq!(*shade == 200, !(6650..12_350).contains(at), "at {at}");
                    assert!(at >= from && at < to);
                }
            }
            let spans: Vec<(i64, i64)> =
                segments.iter().map(|segment| (segment.0, segment.1)).collect();
            assert_eq!(spans, [(0, 6650), (9000, 12_000), (12_000, 12_400), (12_400, 15_000)]);
        }
    }

    #[test]
    fn g1_late_blackout_withdraws_encoded_pictures() {
        let (mut builder, mut segments) = (SegmentBuilder::default(), Segments::new());
        builder.apply_state(state(true, false), 0, 0);
        capture(&mut builder, 0, 4000);
        drain(&mut builder, 4000, &mut segments);
        assert_eq!(segments[0].2.last(), Some(&(1600, 200)));
        builder.apply_state(state(true, true), 1000, 4000);
        drain(&mut builder, 9000, &mut segments);
        let kept: Vec<i64> = segments[0].2.iter().map(|(at, _)| *at).collect();
        assert_eq!((segments[0].1, kept), (900, vec![0, 200, 400, 600, 800]));
        // A started segment that is covered whole is reported to the encoder too.
        let (mut builder, mut segments) = (SegmentBuilder::default(), Segments::new());
        builder.apply_state(state(true, false), 0, 0);
        capture(&mut builder, 0, 4000);
        drain(&mut builder, 4000, &mut segments);
        builder.apply_state(state(true, true), -500, 4000);
        assert!(builder.has_closed_segments());
        drain(&mut builder, 9000, &mut segments);
        assert!(segments.is_empty() && !builder.has_closed_segments());
    }

    #[test]
    fn segments_wait_and_follow_each_other() {
        let (mut builder, mut segments) = (SegmentBuilder::default(), Segments::new());
        capture(&mut builder, 0, 1000);
        assert!(builder.take_due_part(99_000).is_none(), "nothing is captured without a request");
        builder.apply_state(state(true, false), 1000, 1000);
        builder.add_picture(1000, picture(1));
        assert!(builder.take_due_part(3249).is_none(), "a blackout could still reach it");
        assert_eq!(
            builder.take_due_part(3250).map(|part| (part.pictures.len(), part.to)),
            Some((1, None))
        );
        builder.close_long_segment(30_900);
        assert!(builder.take_due_part(99_000).is_none(), "no new picture");
        builder.close_long_segment(31_000);
        assert!(builder.take_due_part(33_249).is_none());
        drain(&mut builder, 33_250, &mut segments);
        assert!(segments.is_empty() && !builder.has_closed_segments(), "its pictures went before");
    }
}
