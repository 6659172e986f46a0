//! VP9 encoding by libvpx, behind a trait for any encoder.
//!
//! An encoder process encodes the frames of one segment; its first frame is a key frame. The
//! library runs in its own program `vpxenc`: pictures and frames pass through pipes, never through
//! a file. `--tune-content=screen` finds scrolled text again. A fixed quality avoids encoding the
//! same letters again and again at growing quality.

use crate::picture::Picture;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use webm::VideoFrame;

/// The program of libvpx that encodes.
const PROGRAM: &str = "vpxenc";
/// The bytes of an IVF file's header, and of the header of each frame.
const IVF_HEADER_BYTES: usize = 32;
const IVF_FRAME_HEADER_BYTES: usize = 12;

/// Why pictures could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("cannot start {PROGRAM}: {0}; install the package vpx-tools")]
    Start(std::io::Error),
    #[error("cannot write pictures to {PROGRAM}: {0}")]
    Write(std::io::Error),
    #[error("{PROGRAM} encoded only {encoded} of {given} pictures: {message}")]
    Incomplete { given: usize, encoded: usize, message: String },
}

/// A video encoder.
pub trait Encoder {
    type Process: EncoderProcess;

    /// Matroska's name of the codec.
    fn codec_id(&self) -> &'static str;

    /// Starts a process for pictures of this size. `quality` is libvpx's: 0 is the best, 63 the
    /// worst.
    ///
    /// # Errors
    /// If the process cannot start.
    fn start_process(
        &mut self,
        size: (usize, usize),
        quality: u32,
    ) -> Result<Self::Process, EncodeError>;
}

/// A process that encodes the pictures of one segment.
pub trait EncoderProcess {
    /// Adds a picture, at `ms` from the start of the segment.
    ///
    /// # Errors
    /// If the process does not read it.
    fn add_picture(&mut self, ms: u64, picture: &Picture) -> Result<(), EncodeError>;

    /// The bytes that were encoded so far, at least.
    fn encoded_bytes(&self) -> usize;

    /// Ends the process, and returns all frames.
    ///
    /// # Errors
    /// If a frame is missing.
    fn finish_frames(self) -> Result<Vec<VideoFrame>, EncodeError>;
}

/// The VP9 encoder of libvpx.
pub struct Vp9Encoder;

impl Encoder for Vp9Encoder {
    type Process = VpxencProcess;

    fn codec_id(&self) -> &'static str {
        "V_VP9"
    }

    fn start_process(
        &mut self,
        (width, height): (usize, usize),
        quality: u32,
    ) -> Result<VpxencProcess, EncodeError> {
        let mut command = Command::new(PROGRAM);
        command.args(["--codec=vp9", "--rt", "--cpu-used=6", "--threads=1", "--lag-in-frames=0"]);
        command.args(["--end-usage=q", "--tune-content=screen", "--disable-kf", "--quiet"]);
        command.args(["--ivf", "--i420", "--timebase=1/5", "--fps=5/1", "--output=-", "-"]);
        command.arg(format!("--cq-level={quality}"));
        command.arg(format!("--width={width}")).arg(format!("--height={height}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(EncodeError::Start)?;
        let frames = child.stdout.take().map(PipeReader::start);
        let messages = child.stderr.take().map(PipeReader::start);
        Ok(VpxencProcess { child, frames, messages, times_ms: Vec::new() })
    }
}

/// Reads a pipe in a thread, so that the process never waits for its reader.
struct PipeReader {
    thread: JoinHandle<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl PipeReader {
    fn start(mut pipe: impl Read + Send + 'static) -> PipeReader {
        let bytes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&bytes);
        let read = move || {
            let (mut all, mut part) = (Vec::new(), [0; 8192]);
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                all.extend_from_slice(&part[..count]);
                counted.store(all.len(), Ordering::Relaxed);
            }
            all
        };
        PipeReader { thread: std::thread::spawn(read), bytes }
    }
}

/// A running `vpxenc`. It ends when its input ends.
pub struct VpxencProcess {
    child: Child,
    frames: Option<PipeReader>,
    messages: Option<PipeReader>,
    /// The time of each picture.
    times_ms: Vec<u64>,
}

impl EncoderProcess for VpxencProcess {
    fn add_picture(&mut self, ms: u64, picture: &Picture) -> Result<(), EncodeError> {
        let closed = || EncodeError::Write(std::io::ErrorKind::BrokenPipe.into());
        let pipe = self.child.stdin.as_mut().ok_or_else(closed)?;
        pipe.write_all(&picture.planes).map_err(EncodeError::Write)?;
        self.times_ms.push(ms);
        Ok(())
    }

    fn encoded_bytes(&self) -> usize {
        self.frames.as_ref().map_or(0, |reader| reader.bytes.load(Ordering::Relaxed))
    }

    fn finish_frames(mut self) -> Result<Vec<VideoFrame>, EncodeError> {
        drop(self.child.stdin.take());
        let read_all = |reader: Option<PipeReader>| {
            reader.and_then(|reader| reader.thread.join().ok()).unwrap_or_default()
        };
        let frames = parse_ivf(&read_all(self.frames.take()), &self.times_ms);
        if frames.len() == self.times_ms.len() {
            return Ok(frames);
        }
        let messages = read_all(self.messages.take());
        let message = String::from_utf8_lossy(&messages).trim().to_owned();
        let (given, encoded) = (self.times_ms.len(), frames.len());
        Err(EncodeError::Incomplete { given, encoded, message })
    }
}

impl Drop for VpxencProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Parses the frames of an IVF file. `times_ms` has the time of each frame.
fn parse_ivf(file: &[u8], times_ms: &[u64]) -> Vec<VideoFrame> {
    let (mut rest, mut frames) = (file.get(IVF_HEADER_BYTES..).unwrap_or_default(), Vec::new());
    for ms in times_ms {
        let Some((header, after)) = rest.split_at_checked(IVF_FRAME_HEADER_BYTES) else { break };
        let size = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some((data, next)) = after.split_at_checked(size) else { break };
        frames.push(VideoFrame { ms: *ms, is_key: frames.is_empty(), data: data.to_vec() });
        rest = next;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_is_encoded_and_the_first_is_a_key_frame() {
        let started = Vp9Encoder.start_process((64, 48), 30);
        let mut process = started.expect("make setup installs vpxenc");
        for n in 0..7 {
            let mut picture = Picture::black(64, 48);
            picture.planes[..640].fill(20 * n);
            process.add_picture(u64::from(n) * 130, &picture).expect("written");
        }
        let frames = process.finish_frames().expect("all frames");
        let times: Vec<u64> = frames.iter().map(|frame| frame.ms).collect();
        assert_eq!(times, [0, 130, 260, 390, 520, 650, 780]);
        assert!(frames.iter().all(|frame| !frame.data.is_empty()));
        // A VP9 key frame has a sync code before its size.
        assert_eq!(frames[0].data[1..4], [0x49, 0x83, 0x42]);
        assert!(frames[0].is_key && frames[1..].iter().all(|frame| !frame.is_key));
    }

    #[test]
    fn a_truncated_file_gives_its_complete_frames() {
        let mut file = vec![0; IVF_HEADER_BYTES];
        for size in [3_u32, 5] {
            file.extend(size.to_le_bytes());
            file.extend([0; 8]);
            file.resize(file.len() + 4, 7);
        }
        let frames = parse_ivf(&file, &[0, 200]);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].data, [7; 3]);
        assert!(parse_ivf(&[1, 2], &[0]).is_empty());
    }
}
