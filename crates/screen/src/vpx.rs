//! VP9 by libvpx, behind a trait that any coder could stand behind.
//!
//! A run codes pictures so that they can be shown by themselves: its first is a key picture.
//! Nothing is kept from one run to the next. The library works in a process of its own, its own
//! program `vpxenc`: pictures go in and come out through pipes, never through a file, and what
//! must not be kept is taken out before. What it is told matters: `--tune-content=screen` finds
//! scrolled text again, a fixed quality saves coding the same letters better and better.

use crate::picture::Picture;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// The program that codes.
const PROGRAM: &str = "vpxenc";
/// Bytes in front of what it gives, and in front of each picture of it.
const IVF_HEAD_BYTES: usize = 32;
const IVF_PICTURE_BYTES: usize = 12;

/// One coded picture.
#[derive(Clone)]
pub struct Coded {
    /// Since the run's beginning.
    pub ms: i64,
    pub key: bool,
    pub data: Vec<u8>,
}

/// Why pictures could not be coded.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    #[error("{PROGRAM} cannot be started: {0}; install the package vpx-tools")]
    Start(std::io::Error),
    #[error("pictures cannot be handed to {PROGRAM}: {0}")]
    Write(std::io::Error),
    #[error("{PROGRAM} coded {got} of {given} pictures: {said}")]
    Short { given: usize, got: usize, said: String },
}

/// Something that codes pictures.
pub trait Coder {
    type Run: Run;

    /// Matroska's name of what it makes.
    fn codec(&self) -> &'static str;

    /// Begins a run of pictures of this size. `quality` is libvpx's: 0 is the best, 63 the worst.
    ///
    /// # Errors
    /// When there is no coder.
    fn begin(&mut self, size: (usize, usize), quality: u32) -> Result<Self::Run, CodeError>;
}

/// Pictures that belong together.
pub trait Run {
    /// The next one, so long after the run's beginning.
    ///
    /// # Errors
    /// When it is not taken.
    fn add(&mut self, ms: i64, picture: &Picture) -> Result<(), CodeError>;

    /// Bytes that are coded so far, at least.
    fn bytes(&self) -> usize;

    /// Everything coded.
    ///
    /// # Errors
    /// When something is missing.
    fn end(self) -> Result<Vec<Coded>, CodeError>;
}

/// libvpx.
pub struct Vp9;

impl Coder for Vp9 {
    type Run = Vp9Run;

    fn codec(&self) -> &'static str {
        "V_VP9"
    }

    fn begin(
        &mut self,
        (width, height): (usize, usize),
        quality: u32,
    ) -> Result<Vp9Run, CodeError> {
        let mut command = Command::new(PROGRAM);
        command.args(["--codec=vp9", "--rt", "--cpu-used=6", "--threads=1", "--lag-in-frames=0"]);
        command.args(["--end-usage=q", "--tune-content=screen", "--disable-kf", "--quiet"]);
        command.args(["--ivf", "--i420", "--timebase=1/5", "--fps=5/1", "--output=-", "-"]);
        command.arg(format!("--cq-level={quality}"));
        command.arg(format!("--width={width}")).arg(format!("--height={height}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(CodeError::Start)?;
        let coded = child.stdout.take().map(drain);
        let said = child.stderr.take().map(drain);
        Ok(Vp9Run { child, coded, said, times: Vec::new() })
    }
}

/// What comes out of a pipe, taken by a thread so that the writer never waits for its reader.
struct Drain {
    thread: JoinHandle<Vec<u8>>,
    bytes: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

fn drain(mut pipe: impl Read + Send + 'static) -> Drain {
    use std::sync::atomic::Ordering;
    let bytes = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&bytes);
    let take = move || {
        let (mut all, mut part) = (Vec::new(), [0; 8192]);
        while let Ok(count @ 1..) = pipe.read(&mut part) {
            all.extend_from_slice(&part[..count]);
            counted.store(all.len(), Ordering::Relaxed);
        }
        all
    };
    Drain { thread: std::thread::spawn(take), bytes }
}

/// A run under way: a process that ends when its input does.
pub struct Vp9Run {
    child: Child,
    coded: Option<Drain>,
    said: Option<Drain>,
    /// When each picture was seen.
    times: Vec<i64>,
}

impl Run for Vp9Run {
    fn add(&mut self, ms: i64, picture: &Picture) -> Result<(), CodeError> {
        let gone = || CodeError::Write(std::io::ErrorKind::BrokenPipe.into());
        let pipe = self.child.stdin.as_mut().ok_or_else(gone)?;
        pipe.write_all(&picture.planes).map_err(CodeError::Write)?;
        self.times.push(ms);
        Ok(())
    }

    fn bytes(&self) -> usize {
        let count = |drain: &Drain| drain.bytes.load(std::sync::atomic::Ordering::Relaxed);
        self.coded.as_ref().map_or(0, count)
    }

    fn end(mut self) -> Result<Vec<Coded>, CodeError> {
        drop(self.child.stdin.take());
        let all = |drain: Option<Drain>| {
            drain.and_then(|drain| drain.thread.join().ok()).unwrap_or_default()
        };
        let coded = pictures(&all(self.coded.take()), &self.times);
        if coded.len() == self.times.len() {
            return Ok(coded);
        }
        let said = String::from_utf8_lossy(&all(self.said.take())).trim().to_owned();
        Err(CodeError::Short { given: self.times.len(), got: coded.len(), said })
    }
}

impl Drop for Vp9Run {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The pictures of an IVF file, each with its time.
fn pictures(file: &[u8], times: &[i64]) -> Vec<Coded> {
    let (mut rest, mut coded) = (file.get(IVF_HEAD_BYTES..).unwrap_or_default(), Vec::new());
    for ms in times {
        let Some((head, after)) = rest.split_at_checked(IVF_PICTURE_BYTES) else { break };
        let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some((data, next)) = after.split_at_checked(size) else { break };
        coded.push(Coded { ms: *ms, key: coded.is_empty(), data: data.to_vec() });
        rest = next;
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_comes_out_in_order_and_the_first_is_a_key() {
        let mut run = Vp9.begin((64, 48), 30).expect("vpxenc is in make setup");
        for n in 0..7 {
            let mut picture = Picture::black(64, 48);
            picture.planes[..640].fill(20 * n);
            run.add(i64::from(n) * 130, &picture).expect("taken");
        }
        let coded = run.end().expect("all of them");
        let times: Vec<i64> = coded.iter().map(|picture| picture.ms).collect();
        assert_eq!(times, [0, 130, 260, 390, 520, 650, 780]);
        assert!(coded.iter().all(|picture| !picture.data.is_empty()));
        // A VP9 key picture says so in its fourth bit, and its size follows a sync code.
        assert_eq!(coded[0].data[1..4], [0x49, 0x83, 0x42]);
        assert!(coded[0].key && coded[1..].iter().all(|picture| !picture.key));
    }

    #[test]
    fn a_file_that_is_cut_gives_what_is_whole() {
        let mut file = vec![0; IVF_HEAD_BYTES];
        for size in [3_u32, 5] {
            file.extend(size.to_le_bytes());
            file.extend([0; 8]);
            file.resize(file.len() + 4, 7);
        }
        let coded = pictures(&file, &[0, 200]);
        assert_eq!(coded.len(), 1);
        assert_eq!(coded[0].data, [7; 3]);
        assert!(pictures(&[1, 2], &[0]).is_empty());
    }
}
