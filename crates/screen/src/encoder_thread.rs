//! A thread that codes pieces, so that looking at the screen never waits for it.
//!
//! Parts of pieces go in, pieces come out in order, as WebM files in memory. A picture that stands
//! still is coded once. A piece that grows too large for one message is ended early and goes on in
//! another. Quality is fixed within a piece, and gets worse from piece to piece while more is sent
//! than the box asked for; what then stands still is coded again until it can be read. (libvpx
//! gives most pictures less than a key picture has, and each eighth as much again.)

use crate::picture::Picture;
use crate::segment_builder::Part;
use crate::vpx::{CodeError, Coded, Coder, Run};
use crate::webm::Piece;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A piece that has so many bytes is ended: a message takes a megabyte, and what libvpx holds back
/// and the next picture come to it.
const PIECE_BYTES: usize = 400 << 10;

/// Parts that the thread may have before it; more wait in the film, whose room is bounded.
const UNDER_WAY_MAX: usize = 4;

/// A picture that nothing followed for so long stands still.
const STILL_MS: i64 = 2000;
/// It is coded again, so often, from so long after it was seen on, and so long after each other.
const AGAIN: i64 = 9;
const AGAIN_FROM_MS: i64 = 1000;
const AGAIN_MS: i64 = 100;
const _: () = assert!(AGAIN_FROM_MS + AGAIN * AGAIN_MS < STILL_MS);

/// A piece to be sent.
pub struct Ready {
    pub recording: String,
    pub from: i64,
    pub duration_ms: i64,
    pub file: Vec<u8>,
}

/// The other end of the thread.
pub struct Bench {
    parts: Sender<Part>,
    made: Receiver<Vec<Ready>>,
    ready: VecDeque<Ready>,
    /// Parts that were given and are not done with.
    pub under_way: usize,
}

impl Bench {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn start<C: Coder + Send + 'static>(coder: C) -> std::io::Result<Bench> {
        let (parts, inbox) = channel::<Part>();
        let (outbox, made) = channel();
        let work = move || {
            let mut desk = Desk::new(coder);
            while let Ok(part) = inbox.recv() {
                if outbox.send(desk.take(part)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("coder".to_owned()).spawn(work)?;
        Ok(Bench { parts, made, ready: VecDeque::new(), under_way: 0 })
    }

    /// Whether another part may be given now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.under_way < UNDER_WAY_MAX
    }

    pub fn give(&mut self, part: Part) {
        if self.parts.send(part).is_ok() {
            self.under_way += 1;
        }
    }

    /// The next piece that is ready.
    pub fn next(&mut self) -> Option<Ready> {
        while let Ok(made) = self.made.try_recv() {
            self.under_way -= 1;
            self.ready.extend(made);
        }
        self.ready.pop_front()
    }
}

/// A piece in the making.
struct Making<R> {
    recording: String,
    from: i64,
    kbps: u32,
    first: Arc<Picture>,
    /// The one before, and when it was seen.
    last: (i64, Arc<Picture>),
    quality: u32,
    /// None while its only picture is one that is coded already.
    run: Option<R>,
    pictures: usize,
}

impl<R: Run> Making<R> {
    /// The picture before stood still until then, and is to be read.
    fn sharpen(&mut self, until: i64) -> Result<(), CodeError> {
        let (at, picture) = &self.last;
        let stood = until.saturating_sub(*at) >= STILL_MS;
        // A first picture is a key picture.
        let coarse = i64::from(self.quality) > Thrift::SHARP && self.pictures > 1;
        let Some(run) = self.run.as_mut().filter(|_| stood && coarse) else { return Ok(()) };
        let from = at.saturating_sub(self.from).saturating_add(AGAIN_FROM_MS);
        (0..AGAIN).try_for_each(|n| run.add(from + n * AGAIN_MS, picture))
    }
}

/// How well is coded.
#[derive(Default)]
struct Thrift {
    /// Bits that were sent beyond what was asked for; negative if less.
    debt: i64,
}

impl Thrift {
    /// Letters are as good as the original.
    const BEST: i64 = 32;
    /// All of them can be read, whatever they stand on.
    const SHARP: i64 = 40;
    /// They can still be read where they stood still.
    const WORST: i64 = 52;
    /// What was not used counts for so long; so long after the debt quality is worst.
    const CREDIT_MS: i64 = 300_000;
    const DEBT_MS: i64 = 120_000;

    fn quality(&self, kbps: u32) -> u32 {
        let most = i64::from(kbps.max(1)) * Thrift::DEBT_MS;
        let worse = (Thrift::WORST - Thrift::BEST) * self.debt.clamp(0, most) / most;
        u32::try_from(Thrift::BEST + worse).unwrap_or(0)
    }

    fn spent(&mut self, bytes: usize, ms: i64, kbps: u32) {
        let kbps = i64::from(kbps);
        let bits = i64::try_from(bytes * 8).unwrap_or(i64::MAX);
        let debt = self.debt.saturating_add(bits).saturating_sub(kbps.saturating_mul(ms));
        self.debt = debt.clamp(-kbps * Thrift::CREDIT_MS, kbps * Thrift::DEBT_MS);
    }
}

/// What is remembered from piece to piece.
struct Desk<C: Coder> {
    coder: C,
    /// A black key picture, and of which size.
    black: Option<((usize, usize), Vec<u8>)>,
    /// A picture that stood still, coded, and how well.
    still: Option<(Arc<Picture>, Coded, u32)>,
    making: Option<Making<C::Run>>,
    thrift: Thrift,
}

impl<C: Coder> Desk<C> {
    fn new(coder: C) -> Desk<C> {
        Desk { coder, black: None, still: None, making: None, thrift: Thrift::default() }
    }

    /// Pieces that are complete with this part.
    fn take(&mut self, part: Part) -> Vec<Ready> {
        let mut ready = Vec::new();
        let mut from = part.from;
        for (at, picture) in &part.pictures {
            let full = |making: &Making<C::Run>| {
                making.run.as_ref().is_some_and(|run| run.bytes() >= PIECE_BYTES)
            };
            if self.making.as_ref().is_some_and(full) {
                ready.extend(self.finish(*at));
                from = *at;
            }
            if let Err(error) = self.add((&part, from), *at, picture) {
                log::error!("{error}");
                self.making = None;
                from = *at;
            }
        }
        if let Some(to) = part.to {
            ready.extend(self.finish(to));
        }
        ready
    }

    fn add(
        &mut self,
        (part, from): (&Part, i64),
        at: i64,
        picture: &Arc<Picture>,
    ) -> Result<(), CodeError> {
        let size = (picture.width, picture.height);
        let Some(making) = &mut self.making else {
            let quality = self.thrift.quality(part.kbps);
            let good = |(still, _, was): &(Arc<Picture>, Coded, u32)| {
                Arc::ptr_eq(still, picture) && *was <= quality
            };
            let known = self.still.as_ref().is_some_and(good);
            let mut run = if known { None } else { Some(self.coder.begin(size, quality)?) };
            // The first picture stands from the piece's beginning on.
            run.iter_mut().try_for_each(|run| run.add(0, picture))?;
            let (recording, first) = (part.recording.clone(), Arc::clone(picture));
            let (kbps, pictures, last) = (part.kbps, 1, (at, Arc::clone(picture)));
            let making = Making { recording, from, kbps, first, last, quality, run, pictures };
            self.making = Some(making);
            return Ok(());
        };
        if making.run.is_none() {
            let mut run = self.coder.begin(size, making.quality)?;
            run.add(0, &making.first)?;
            making.run = Some(run);
        }
        making.sharpen(at)?;
        making.pictures += 1;
        making.last = (at, Arc::clone(picture));
        let ms = at.saturating_sub(making.from);
        making.run.iter_mut().try_for_each(|run| run.add(ms, picture))
    }

    fn finish(&mut self, to: i64) -> Option<Ready> {
        let making = self.making.take()?;
        self.file(making, to).unwrap_or_else(|error| {
            log::error!("{error}");
            None
        })
    }

    /// The piece, as far as it lies before `to`.
    fn file(&mut self, mut making: Making<C::Run>, to: i64) -> Result<Option<Ready>, CodeError> {
        making.sharpen(to)?;
        let Making { recording, from, kbps, first, quality, run, pictures, .. } = making;
        let duration_ms = to.saturating_sub(from);
        let mut coded = match (run, &self.still) {
            (Some(run), _) => run.end()?,
            (None, Some((_, still, _))) => vec![still.clone()],
            (None, None) => Vec::new(),
        };
        coded.retain(|picture| picture.ms < duration_ms);
        if coded.is_empty() {
            return Ok(None);
        }
        let black = self.black((first.width, first.height))?;
        let (width, height) = (first.width, first.height);
        let codec = self.coder.codec();
        let file = Piece { codec, width, height, pictures: &coded, black: &black }.file();
        self.thrift.spent(file.len(), duration_ms, kbps);
        self.still = coded.pop().filter(|_| pictures == 1).map(|coded| (first, coded, quality));
        Ok(Some(Ready { recording, from, duration_ms, file }))
    }

    fn black(&mut self, size: (usize, usize)) -> Result<Vec<u8>, CodeError> {
        if let Some((_, data)) = self.black.as_ref().filter(|(known, _)| *known == size) {
            return Ok(data.clone());
        }
        let mut run = self.coder.begin(size, 40)?;
        run.add(0, &Picture::black(size.0, size.1))?;
        let data = run.end()?.pop().map(|coded| coded.data).unwrap_or_default();
        self.black = Some((size, data.clone()));
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes a picture as its first byte and its time.
    #[derive(Default)]
    struct Plain {
        runs: Arc<std::sync::atomic::AtomicUsize>,
        weight: usize,
    }

    struct PlainRun(Vec<Coded>, usize);

    impl Coder for Plain {
        type Run = PlainRun;

        fn codec(&self) -> &'static str {
            "V_PLAIN"
        }

        fn begin(&mut self, _: (usize, usize), _: u32) -> Result<PlainRun, CodeError> {
            self.runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(PlainRun(Vec::new(), self.weight))
        }
    }

    impl Run for PlainRun {
        fn add(&mut self, ms: i64, picture: &Picture) -> Result<(), CodeError> {
            let data = vec![picture.planes[0]; 8];
            self.0.push(Coded { ms, key: self.0.is_empty(), data });
            Ok(())
        }

        fn bytes(&self) -> usize {
            self.0.len() * self.1
        }

        fn end(self) -> Result<Vec<Coded>, CodeError> {
            Ok(self.0)
        }
    }

    fn picture(shade: u8) -> Arc<Picture> {
        let mut picture = Picture::black(2, 2);
        picture.planes.fill(shade);
        Arc::new(picture)
    }

    fn part(from: i64, pictures: &[(i64, u8)], to: Option<i64>) -> Part {
        let pictures = pictures.iter().map(|(at, shade)| (*at, picture(*shade))).collect();
        Part { recording: "r".to_owned(), from, pictures, kbps: 100, to }
    }

    fn has(ready: &Ready, shade: u8) -> bool {
        ready.file.windows(8).any(|window| window == [shade; 8])
    }

    #[test]
    fn a_piece_is_what_its_parts_are_and_ends_where_the_last_says() {
        let mut desk = Desk::new(Plain::default());
        assert!(desk.take(part(1000, &[(1000, 1), (1200, 2)], None)).is_empty());
        let ready = desk.take(part(1000, &[(1400, 3)], Some(1400)));
        assert_eq!((ready.len(), ready[0].from, ready[0].duration_ms), (1, 1000, 400));
        assert!(has(&ready[0], 1) && has(&ready[0], 2));
        assert!(!has(&ready[0], 3), "what is not before the end is not in it");
        desk.take(part(2000, &[(2000, 4)], None));
        assert!(desk.take(part(2000, &[], Some(2000))).is_empty(), "nothing is left of it");
        assert!(desk.making.is_none());
    }

    #[test]
    fn a_piece_that_grows_too_large_goes_on_in_another() {
        let mut desk = Desk::new(Plain { weight: PIECE_BYTES / 2, ..Plain::default() });
        let ready = desk.take(part(0, &[(0, 1), (200, 2), (400, 3), (600, 4)], Some(900)));
        let spans: Vec<(i64, i64)> = ready.iter().map(|r| (r.from, r.duration_ms)).collect();
        assert_eq!(spans, [(0, 400), (400, 500)]);
        assert!(has(&ready[0], 2) && !has(&ready[0], 3) && has(&ready[1], 3));
    }

    #[test]
    fn what_stands_still_is_coded_once() {
        let runs = Arc::default();
        let mut desk = Desk::new(Plain { runs: Arc::clone(&runs), weight: 1 });
        let still = picture(7);
        let mut give = |from: i64, more: &[(i64, u8)]| {
            let mut part = part(from, more, Some(from + 1000));
            part.pictures.insert(0, (from, Arc::clone(&still)));
            desk.take(part).remove(0)
        };
        let files: Vec<Ready> = (0..4).map(|n| give(n * 1000, &[])).collect();
        assert!(files.iter().all(|ready| has(ready, 7)));
        let coded = || runs.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(coded(), 2, "the picture, and black");
        let moved = give(4000, &[(4500, 9)]);
        assert!(has(&moved, 7) && has(&moved, 9));
        assert_eq!(coded(), 3);
    }

    #[test]
    fn what_is_coarse_and_stands_still_is_coded_again() {
        let mut desk = Desk::new(Plain::default());
        let pictures = [(0, 1), (200, 2), (1200, 3), (9000, 4), (9800, 5)];
        let count = |ready: &[Ready], shade: u8| {
            let file = &ready[0].file;
            file.windows(8).filter(|window| *window == [shade; 8]).count()
        };
        let ready = desk.take(part(0, &pictures, Some(10_000)));
        assert_eq!([1, 2, 3, 4, 5].map(|shade| count(&ready, shade)), [1; 5], "it is good enough");
        desk.thrift.debt = i64::MAX;
        let ready = desk.take(part(0, &pictures, Some(10_000)));
        assert_eq!([1, 2, 3, 4, 5].map(|shade| count(&ready, shade)), [1, 1, 10, 1, 1]);
        desk.thrift.debt = i64::MAX;
        let ready = desk.take(part(0, &pictures[..2], Some(2200)));
        assert_eq!([1, 2].map(|shade| count(&ready, shade)), [1, 10], "until the piece ends, too");
    }

    /// Fine strokes that nobody has seen before.
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

    /// How far the last picture of a file is from what was seen, a point.
    fn wrong_by(file: Vec<u8>, seen: &Picture) -> usize {
        let mut player = std::process::Command::new("ffmpeg")
            .args(["-loglevel", "error", "-i", "-", "-f", "rawvideo", "-"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("ffmpeg is in make setup");
        let mut stdin = player.stdin.take().expect("a pipe");
        let feed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &file));
        let shown = player.wait_with_output().expect("it ends").stdout;
        feed.join().expect("it was fed").expect("all of it");
        let (last, luma) = (shown.len() - seen.planes.len(), seen.width * seen.height);
        let both = shown[last..][..luma].iter().zip(&seen.planes);
        both.map(|(shown, seen)| usize::from(shown.abs_diff(*seen))).sum::<usize>() * 100 / luma
    }

    #[test]
    fn what_stands_still_can_be_read_however_little_may_be_sent() {
        let (before, text) = (strokes(1), strokes(2));
        let wrong = |to: i64| {
            let mut desk = Desk::new(crate::vpx::Vp9);
            desk.thrift.debt = i64::MAX;
            let mut part = part(0, &[], Some(to));
            part.pictures = vec![(0, Arc::clone(&before)), (200, Arc::clone(&text))];
            let ready = desk.take(part);
            wrong_by(ready[0].file.clone(), &text)
        };
        let (moving, still) = (wrong(1000), wrong(3000));
        assert!(still * 10 < moving * 8, "{still} hundredths of a shade, {moving} before");
    }

    #[test]
    fn who_sends_more_than_was_asked_for_sends_worse_pictures() {
        let mut thrift = Thrift::default();
        assert_eq!(thrift.quality(100), 32);
        (0..20).for_each(|_| thrift.spent(1 << 20, 30_000, 100));
        assert_eq!(thrift.quality(100), 52);
        (0..10).for_each(|_| thrift.spent(1000, 30_000, 100));
        assert_eq!(thrift.quality(100), 32, "quiet times make up for it");
        thrift.spent(2 << 20, 30_000, 100);
        assert_eq!(thrift.quality(100), 32, "a single burst is nothing");
        assert_eq!(Thrift { debt: 120_000 }.quality(0), 52, "and zero is not divided by");
    }
}
