//! Encodes segments in a thread, so that capturing never waits for the encoder.
//!
//! Parts of segments go in, and segments come out in order, as WebM files in memory. A picture that
//! does not change is encoded once. A segment that grows too large for one message ends early and
//! continues in another. The quality is fixed within a segment. It falls from segment to segment
//! while the client sends more than the box permits; a picture that then stays on the screen is
//! encoded again until it is readable. (libvpx gives most frames fewer bits than a key frame, and
//! as many as a key frame to every eighth.)

use crate::picture::Picture;
use crate::segment_builder::SegmentPart;
use crate::vpx::{EncodeError, Encoder, EncoderProcess};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use webm::{VideoFrame, VideoSegment, VideoTrack};

/// The size at which a segment ends. A message takes 1 MiB; libvpx's buffered frames and the next
/// picture come on top.
const SEGMENT_BYTES_MAX: usize = 400 << 10;

/// The most parts that wait for the thread. Further parts wait in the segment builder.
const IN_FLIGHT_MAX: usize = 4;

/// A picture is still when no other follows for this time.
const STILL_MS: i64 = 2000;
/// How often a still picture is encoded again.
const REFINE_COUNT: i64 = 9;
/// When a still picture is encoded again first, and the time between two repetitions.
const REFINE_FIRST_MS: i64 = 1000;
const REFINE_STEP_MS: i64 = 100;
const _: () = assert!(REFINE_FIRST_MS + REFINE_COUNT * REFINE_STEP_MS < STILL_MS);

/// The quality of black frames.
const BLACK_QUALITY: u32 = 40;
/// The program's name in the files.
const APP: &str = "hushbox-screen";

/// An encoded segment, to be sent.
pub struct EncodedSegment {
    pub recording: String,
    pub from: i64,
    pub duration_ms: i64,
    pub file: Vec<u8>,
}

/// The handle of the thread.
pub struct EncoderThread {
    parts: Sender<SegmentPart>,
    encoded: Receiver<Vec<EncodedSegment>>,
    ready: VecDeque<EncodedSegment>,
    /// The number of parts that the thread has not finished.
    pub in_flight: usize,
}

impl EncoderThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot start.
    pub fn start<E: Encoder + Send + 'static>(encoder: E) -> std::io::Result<EncoderThread> {
        let (parts, inbox) = channel::<SegmentPart>();
        let (outbox, encoded) = channel();
        let work = move || {
            let mut encoder = SegmentEncoder::new(encoder);
            while let Ok(part) = inbox.recv() {
                if outbox.send(encoder.encode_part(part)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("encoder".to_owned()).spawn(work)?;
        Ok(EncoderThread { parts, encoded, ready: VecDeque::new(), in_flight: 0 })
    }

    /// Whether the thread accepts another part.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < IN_FLIGHT_MAX
    }

    /// Queues a part.
    pub fn queue_part(&mut self, part: SegmentPart) {
        if self.parts.send(part).is_ok() {
            self.in_flight += 1;
        }
    }

    /// The next encoded segment.
    pub fn next_segment(&mut self) -> Option<EncodedSegment> {
        while let Ok(encoded) = self.encoded.try_recv() {
            self.in_flight -= 1;
            self.ready.extend(encoded);
        }
        self.ready.pop_front()
    }
}

/// A segment that is being encoded.
struct OpenSegment<P> {
    recording: String,
    from: i64,
    kbps: u32,
    first: Arc<Picture>,
    /// The last picture, and when it was captured.
    last: (i64, Arc<Picture>),
    quality: u32,
    /// `None` while the only picture was encoded before.
    process: Option<P>,
    pictures: usize,
}

impl<P: EncoderProcess> OpenSegment<P> {
    /// Encodes the last picture again if it stayed on the screen until `until`, and is too coarse.
    fn refine_still_picture(&mut self, until: i64) -> Result<(), EncodeError> {
        let (at, picture) = &self.last;
        let still = until.saturating_sub(*at) >= STILL_MS;
        // The first picture is a key frame, which is good enough.
        let coarse = i64::from(self.quality) > RateControl::READABLE && self.pictures > 1;
        let Some(process) = self.process.as_mut().filter(|_| still && coarse) else {
            return Ok(());
        };
        let first = at.saturating_sub(self.from).saturating_add(REFINE_FIRST_MS);
        (0..REFINE_COUNT)
            .try_for_each(|n| process.add_picture(to_ms(first + n * REFINE_STEP_MS), picture))
    }
}

/// Chooses the quality from the bits sent so far.
#[derive(Default)]
struct RateControl {
    /// The bits sent beyond the permitted rate; negative if fewer.
    excess_bits: i64,
}

impl RateControl {
    /// Letters look like the original.
    const BEST: i64 = 32;
    /// All letters are readable, on any background.
    const READABLE: i64 = 40;
    /// Still letters are readable.
    const WORST: i64 = 52;
    /// Unused bits count for this time.
    const CREDIT_MS: i64 = 300_000;
    /// The excess at which the quality is worst, as a time at the permitted rate.
    const EXCESS_MS: i64 = 120_000;

    fn choose_quality(&self, kbps: u32) -> u32 {
        let most = i64::from(kbps.max(1)) * RateControl::EXCESS_MS;
        let range = RateControl::WORST - RateControl::BEST;
        let worse = range * self.excess_bits.clamp(0, most) / most;
        u32::try_from(RateControl::BEST + worse).unwrap_or(0)
    }

    fn add_sent(&mut self, bytes: usize, ms: i64, kbps: u32) {
        let kbps = i64::from(kbps);
        let bits = i64::try_from(bytes * 8).unwrap_or(i64::MAX);
        let excess = self.excess_bits.saturating_add(bits);
        let excess = excess.saturating_sub(kbps.saturating_mul(ms));
        let (least, most) = (-kbps * RateControl::CREDIT_MS, kbps * RateControl::EXCESS_MS);
        self.excess_bits = excess.clamp(least, most);
    }
}

/// Encodes one segment after the other.
struct SegmentEncoder<E: Encoder> {
    encoder: E,
    /// A black key frame, and its size.
    black: Option<((usize, usize), Vec<u8>)>,
    /// A still picture, its frame, and the quality.
    still: Option<(Arc<Picture>, VideoFrame, u32)>,
    open: Option<OpenSegment<E::Process>>,
    rate_control: RateControl,
}

impl<E: Encoder> SegmentEncoder<E> {
    fn new(encoder: E) -> SegmentEncoder<E> {
        let rate_control = RateControl::default();
        SegmentEncoder { encoder, black: None, still: None, open: None, rate_control }
    }

    /// Encodes a part, and returns the segments that are complete with it.
    fn encode_part(&mut self, part: SegmentPart) -> Vec<EncodedSegment> {
        let mut complete = Vec::new();
        let mut from = part.from;
        for (at, picture) in &part.pictures {
            let is_full = |open: &OpenSegment<E::Process>| {
                let process = open.process.as_ref();
                process.is_some_and(|process| process.encoded_bytes() >= SEGMENT_BYTES_MAX)
            };
            if self.open.as_ref().is_some_and(is_full) {
                complete.extend(self.finish_segment(*at));
                from = *at;
            }
            if let Err(error) = self.add_picture((&part, from), *at, picture) {
                log::error!("a segment is lost: {error}");
                self.open = None;
                from = *at;
            }
        }
        if let Some(to) = part.to {
            complete.extend(self.finish_segment(to));
        }
        complete
    }

    fn add_picture(
        &mut self,
        (part, from): (&SegmentPart, i64),
        at: i64,
        picture: &Arc<Picture>,
    ) -> Result<(), EncodeError> {
        let size = (picture.width, picture.height);
        let Some(open) = &mut self.open else {
            let quality = self.rate_control.choose_quality(part.kbps);
            let is_reusable = |(still, _, was): &(Arc<Picture>, VideoFrame, u32)| {
                Arc::ptr_eq(still, picture) && *was <= quality
            };
            let reuse = self.still.as_ref().is_some_and(is_reusable);
            let mut process =
                if reuse { None } else { Some(self.encoder.start_process(size, quality)?) };
            // The first picture is shown from the start of the segment on.
            process.iter_mut().try_for_each(|process| process.add_picture(0, picture))?;
            let (recording, first) = (part.recording.clone(), Arc::clone(picture));
            let (kbps, pictures, last) = (part.kbps, 1, (at, Arc::clone(picture)));
            let open =
                OpenSegment { recording, from, kbps, first, last, quality, process, pictures };
            self.open = Some(open);
            return Ok(());
        };
        if open.process.is_none() {
            let mut process = self.encoder.start_process(size, open.quality)?;
            process.add_picture(0, &open.first)?;
            open.process = Some(process);
        }
        open.refine_still_picture(at)?;
        open.pictures += 1;
        open.last = (at, Arc::clone(picture));
        let ms = to_ms(at.saturating_sub(open.from));
        open.process.iter_mut().try_for_each(|process| process.add_picture(ms, picture))
    }

    fn finish_segment(&mut self, to: i64) -> Option<EncodedSegment> {
        let open = self.open.take()?;
        self.build_segment(open, to).unwrap_or_else(|error| {
            log::error!("a segment is lost: {error}");
            None
        })
    }

    /// Builds the file of a segment, from its frames before `to`.
    fn build_segment(
        &mut self,
        mut open: OpenSegment<E::Process>,
        to: i64,
    ) -> Result<Option<EncodedSegment>, EncodeError> {
        open.refine_still_picture(to)?;
        let OpenSegment { recording, from, kbps, first, quality, process, pictures, .. } = open;
        let duration_ms = to.saturating_sub(from);
        let mut frames = match (process, &self.still) {
            (Some(process), _) => process.finish_frames()?,
            (None, Some((_, still, _))) => vec![still.clone()],
            (None, None) => Vec::new(),
        };
        frames.retain(|frame| frame.ms < to_ms(duration_ms));
        if frames.is_empty() {
            return Ok(None);
        }
        let black_frame = Some(self.black_frame((first.width, first.height))?);
        let (width, height) = (first.width as u64, first.height as u64);
        let codec = self.encoder.codec_id().to_owned();
        let track = VideoTrack { codec, width, height };
        let mut segment = VideoSegment { track, frames, black_frame };
        let file = segment.to_bytes(APP);
        self.rate_control.add_sent(file.len(), duration_ms, kbps);
        let still = segment.frames.pop().filter(|_| pictures == 1);
        self.still = still.map(|frame| (first, frame, quality));
        Ok(Some(EncodedSegment { recording, from, duration_ms, file }))
    }

    fn black_frame(&mut self, size: (usize, usize)) -> Result<Vec<u8>, EncodeError> {
        if let Some((_, data)) = self.black.as_ref().filter(|(known, _)| *known == size) {
            return Ok(data.clone());
        }
        let mut process = self.encoder.start_process(size, BLACK_QUALITY)?;
        process.add_picture(0, &Picture::black(size.0, size.1))?;
        let data = process.finish_frames()?.pop().map(|frame| frame.data).unwrap_or_default();
        self.black = Some((size, data.clone()));
        Ok(data)
    }
}

/// A time from the start of a segment, which is never negative.
fn to_ms(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes a picture as its first byte and its time.
    #[derive(Default)]
    struct TestEncoder {
        processes: Arc<std::sync::atomic::AtomicUsize>,
        weight: usize,
    }

    struct TestProcess(Vec<VideoFrame>, usize);

    impl Encoder for TestEncoder {
        type Process = TestProcess;

        fn codec_id(&self) -> &'static str {
            "V_TEST"
        }

        fn start_process(&mut self, _: (usize, usize), _: u32) -> Result<TestProcess, EncodeError> {
            self.processes.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(TestProcess(Vec::new(), self.weight))
        }
    }

    impl EncoderProcess for TestProcess {
        fn add_picture(&mut self, ms: u64, picture: &Picture) -> Result<(), EncodeError> {
            let data = vec![picture.planes[0]; 8];
            self.0.push(VideoFrame { ms, is_key: self.0.is_empty(), data });
            Ok(())
        }

        fn encoded_bytes(&self) -> usize {
            self.0.len() * self.1
        }

        fn finish_frames(self) -> Result<Vec<VideoFrame>, EncodeError> {
            Ok(self.0)
        }
    }

    fn picture(shade: u8) -> Arc<Picture> {
        let mut picture = Picture::black(2, 2);
        picture.planes.fill(shade);
        Arc::new(picture)
    }

    fn part(from: i64, pictures: &[(i64, u8)], to: Option<i64>) -> SegmentPart {
        let pictures = pictures.iter().map(|(at, shade)| (*at, picture(*shade))).collect();
        SegmentPart { recording: "r".to_owned(), from, pictures, kbps: 100, to }
    }

    fn has(segment: &EncodedSegment, shade: u8) -> bool {
        segment.file.windows(8).any(|window| window == [shade; 8])
    }

    #[test]
    fn a_segment_has_its_parts_and_ends_at_the_last() {
        let mut encoder = SegmentEncoder::new(TestEncoder::default());
        assert!(encoder.encode_part(part(1000, &[(1000, 1), (1200, 2)], None)).is_empty());
        let ready = encoder.encode_part(part(1000, &[(1400, 3)], Some(1400)));
        assert_eq!((ready.len(), ready[0].from, ready[0].duration_ms), (1, 1000, 400));
        assert!(has(&ready[0], 1) && has(&ready[0], 2));
        assert!(!has(&ready[0], 3), "frames after the end are dropped");
        encoder.encode_part(part(2000, &[(2000, 4)], None));
        assert!(encoder.encode_part(part(2000, &[], Some(2000))).is_empty(), "no frame is left");
        assert!(encoder.open.is_none());
    }

    #[test]
    fn a_large_segment_continues_in_another() {
        let mut encoder = SegmentEncoder::new(TestEncoder {
            weight: SEGMENT_BYTES_MAX / 2,
            ..TestEncoder::default()
        });
        let ready =
            encoder.encode_part(part(0, &[(0, 1), (200, 2), (400, 3), (600, 4)], Some(900)));
        let spans: Vec<(i64, i64)> = ready.iter().map(|r| (r.from, r.duration_ms)).collect();
        assert_eq!(spans, [(0, 400), (400, 500)]);
        assert!(has(&ready[0], 2) && !has(&ready[0], 3) && has(&ready[1], 3));
    }

    #[test]
    fn a_still_picture_is_encoded_once() {
        let processes = Arc::default();
        let mut encoder =
            SegmentEncoder::new(TestEncoder { processes: Arc::clone(&processes), weight: 1 });
        let still = picture(7);
        let mut give = |from: i64, more: &[(i64, u8)]| {
            let mut part = part(from, more, Some(from + 1000));
            part.pictures.insert(0, (from, Arc::clone(&still)));
            encoder.encode_part(part).remove(0)
        };
        let files: Vec<EncodedSegment> = (0..4).map(|n| give(n * 1000, &[])).collect();
        assert!(files.iter().all(|ready| has(ready, 7)));
        let started = || processes.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(started(), 2, "the picture and the black frame");
        let moved = give(4000, &[(4500, 9)]);
        assert!(has(&moved, 7) && has(&moved, 9));
        assert_eq!(started(), 3);
    }

    #[test]
    fn a_coarse_still_picture_is_encoded_again() {
        let mut encoder = SegmentEncoder::new(TestEncoder::default());
        let pictures = [(0, 1), (200, 2), (1200, 3), (9000, 4), (9800, 5)];
        let count = |ready: &[EncodedSegment], shade: u8| {
            let file = &ready[0].file;
            file.windows(8).filter(|window| *window == [shade; 8]).count()
        };
        let ready = encoder.encode_part(part(0, &pictures, Some(10_000)));
        assert_eq!(
            [1, 2, 3, 4, 5].map(|shade| count(&ready, shade)),
            [1; 5],
            "the quality is good enough"
        );
        encoder.rate_control.excess_bits = i64::MAX;
        let ready = encoder.encode_part(part(0, &pictures, Some(10_000)));
        assert_eq!([1, 2, 3, 4, 5].map(|shade| count(&ready, shade)), [1, 1, 10, 1, 1]);
        encoder.rate_control.excess_bits = i64::MAX;
        let ready = encoder.encode_part(part(0, &pictures[..2], Some(2200)));
        assert_eq!(
            [1, 2].map(|shade| count(&ready, shade)),
            [1, 10],
            "also at the end of the segment"
        );
    }

    /// Random fine strokes.
    fn strokes(seed: u32) -> Arc<Picture> {
        let mut picture = Picture::black(640, 360);
        let mut state = seed;
        for (index, luma) in picture.planes[..640 * 360].iter_mut().enumerate() {
            if index % 2 == 0 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            }
            let is_line = index / 640 % 14 < 9;
            *luma = if is_line && state >> 29 == 0 { 60 } else { 225 };
        }
        Arc::new(picture)
    }

    /// The mean error of a file's last frame, in hundredths of a shade.
    fn mean_error(file: Vec<u8>, original: &Picture) -> usize {
        let mut player = std::process::Command::new("ffmpeg")
            .args(["-loglevel", "error", "-i", "-", "-f", "rawvideo", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("make setup installs ffmpeg");
        let mut stdin = player.stdin.take().expect("a pipe");
        let feed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &file));
        let shown = player.wait_with_output().expect("an end").stdout;
        feed.join().expect("a thread").expect("all bytes written");
        let (last, luma) = (shown.len() - original.planes.len(), original.width * original.height);
        let both = shown[last..][..luma].iter().zip(&original.planes);
        both.map(|(shown, original)| usize::from(shown.abs_diff(*original))).sum::<usize>() * 100
            / luma
    }

    #[test]
    fn a_still_picture_is_readable_at_the_lowest_rate() {
        let (before, text) = (strokes(1), strokes(2));
        let error = |to: i64| {
            let mut encoder = SegmentEncoder::new(crate::vpx::Vp9Encoder);
            encoder.rate_control.excess_bits = i64::MAX;
            let mut part = part(0, &[], Some(to));
            part.pictures = vec![(0, Arc::clone(&before)), (200, Arc::clone(&text))];
            let ready = encoder.encode_part(part);
            mean_error(ready[0].file.clone(), &text)
        };
        let (moving, still) = (error(1000), error(3000));
        assert!(still * 10 < moving * 8, "{still} hundredths of a shade, {moving} before");
    }

    #[test]
    fn quality_falls_while_too_much_is_sent() {
        let mut rate_control = RateControl::default();
        assert_eq!(rate_control.choose_quality(100), 32);
        (0..20).for_each(|_| rate_control.add_sent(1 << 20, 30_000, 100));
        assert_eq!(rate_control.choose_quality(100), 52);
        (0..10).for_each(|_| rate_control.add_sent(1000, 30_000, 100));
        assert_eq!(rate_control.choose_quality(100), 32, "quiet times compensate");
        rate_control.add_sent(2 << 20, 30_000, 100);
        assert_eq!(rate_control.choose_quality(100), 32, "one burst is permitted");
        assert_eq!(
            RateControl { excess_bits: 120_000 }.choose_quality(0),
            52,
            "no division by zero"
        );
    }
}
