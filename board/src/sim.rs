//! Simulated board: WAV files in a loop, in real time, as a card would deliver them.
//!
//! Sample 0 of each file is position 0. Frames fall due by the clock and are delivered in whole
//! periods of 20 ms; a timer of the same length wakes the loop. As with a card, frames not read
//! within `buffer_ms` are lost, oldest first, and counted.
//!
//! An unreadable file fails the board, which is retried; frames due meanwhile are lost. At most
//! one period of a file is in memory, and it is wiped after each visit.

mod wav;

use crate::backoff::Backoff;
use crate::config::{BoardConfig, ChannelConfig};
use crate::error::BoardError;
use crate::sample_clock::frames_of_us;
use crate::{BoardState, CaptureEvent, GapReason, Period, TestTone, to_count, to_index};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use wav::WavFile;
use zeroize::Zeroize;

/// Length of a period, in milliseconds.
const PERIOD_MS: u32 = 20;

pub struct SimBoard {
    name: String,
    rate: u32,
    channels: Vec<SimChannel>,
    period_frames: u64,
    buffer_frames: u64,
    start_us: u64,
    position: u64,
    lost_frames: u64,
    state: BoardState,
    backoff: Backoff,
    retry_us: Option<u64>,
    timer: TimerFd,
    token: Option<usize>,
    is_ready: bool,
    /// One period of one channel, as in the file.
    bytes: Vec<u8>,
}

struct SimChannel {
    id: u16,
    path: PathBuf,
    wav: WavFile,
    /// Test tone that replaces the file.
    tone: Option<TestTone>,
    /// One period of this channel's samples.
    scratch: Vec<i16>,
}

impl SimBoard {
    /// Opens all files; position 0 is now.
    pub(crate) fn open(model: &BoardConfig, now_us: u64) -> Result<SimBoard, BoardError> {
        let period_frames = model.frames_of_ms(PERIOD_MS);
        let open = |channel: &ChannelConfig| SimChannel::open(model, channel, period_frames);
        let channels = model.channels.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let timer =
            create_timer().map_err(|errno| BoardError::Timer { board: model.name.clone(), errno });
        Ok(SimBoard {
            name: model.name.clone(),
            rate: model.rate,
            channels,
            period_frames,
            buffer_frames: model.frames_of_ms(model.buffer_ms),
            start_us: now_us,
            position: 0,
            lost_frames: 0,
            state: BoardState::Waiting,
            backoff: Backoff::new(),
            retry_us: None,
            timer: timer?,
            token: None,
            is_ready: false,
            bytes: vec![0; to_index(period_frames) * wav::FRAME_BYTES_MAX],
        })
    }

    pub(crate) fn register(
        &mut self,
        registry: &mio::Registry,
        mut tokens: Range<usize>,
    ) -> io::Result<()> {
        let Some(token) = tokens.next() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no token for the timer"));
        };
        let descriptor = self.timer.as_fd().as_raw_fd();
        let mut source = mio::unix::SourceFd(&descriptor);
        registry.register(&mut source, mio::Token(token), mio::Interest::READABLE)?;
        self.token = Some(token);
        Ok(())
    }

    pub(crate) fn mark_ready(&mut self, token: usize) {
        if self.token == Some(token) {
            self.is_ready = true;
        }
    }

    pub(crate) fn read(
        &mut self,
        now_us: u64,
        budget_frames: u32,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> bool {
        if std::mem::take(&mut self.is_ready) {
            // Only re-arms the timer; the clock decides how many frames are due.
            self.timer.wait().unwrap_or_default();
        }
        let due = frames_of_us(now_us.saturating_sub(self.start_us), self.rate);
        if let Some(retry_us) = self.retry_us {
            if now_us < retry_us {
                return false;
            }
            if let Err(error) = self.reopen_files() {
                self.schedule_retry(now_us, error.to_string());
                return false;
            }
            self.skip_lost(due.saturating_sub(self.position), GapReason::Board, visit);
        }
        let waiting = due.saturating_sub(self.position);
        self.skip_lost(waiting.saturating_sub(self.buffer_frames), GapReason::Overrun, visit);
        let mut budget = u64::from(budget_frames);
        let whole = due - due % self.period_frames;
        while self.position < whole {
            if budget == 0 {
                return true;
            }
            let frames = self.period_frames.min(budget).min(whole - self.position);
            if let Err(text) = self.read_period(frames, visit) {
                self.schedule_retry(now_us, text);
                return false;
            }
            budget -= frames;
        }
        false
    }

    pub(crate) fn deadline_us(&self) -> Option<u64> {
        self.retry_us
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn state(&self) -> &BoardState {
        &self.state
    }

    pub(crate) fn lost_frames(&self) -> u64 {
        self.lost_frames
    }

    pub(crate) fn rate(&self) -> u32 {
        self.rate
    }

    pub(crate) fn set_test_tone(&mut self, channel: usize, tone: Option<TestTone>) -> bool {
        let Some(channel) = self.channels.get_mut(channel) else { return false };
        channel.tone = tone;
        true
    }

    /// Reads a period from all files first, so that all channels have it or none.
    fn read_period(
        &mut self,
        frames: u64,
        visit: &mut dyn FnMut(CaptureEvent<'_>),
    ) -> Result<(), String> {
        assert!(frames <= self.period_frames, "{frames} frames do not fit the scratch");
        let (name, position) = (&self.name, self.position);
        let read = self.channels.iter_mut().try_for_each(|channel| {
            let wanted = channel.wav.sides() * to_index(frames);
            let samples = &mut channel.scratch[..wanted];
            let done = channel.wav.read(position, &mut self.bytes, samples);
            if let Some(tone) = channel.tone {
                let frames = samples.chunks_exact_mut(channel.wav.sides());
                for (at, frame) in (position..).zip(frames) {
                    frame.fill(tone.sample_at(at, self.rate));
                }
            }
            done.map_err(|error| {
                let (id, path) = (channel.id, channel.path.display());
                format!("board `{name}`, channel {id}: {path}: cannot be read: {error}")
            })
        });
        for (at, channel) in self.channels.iter_mut().enumerate() {
            if read.is_ok() {
                let samples = &channel.scratch[..channel.wav.sides() * to_index(frames)];
                visit(CaptureEvent::Period(Period { channel: at, position, samples }));
            }
            channel.scratch.as_mut_slice().zeroize();
        }
        read?;
        self.position += frames;
        if self.state != BoardState::Running {
            self.state = BoardState::Running;
            self.backoff = Backoff::new();
        }
        Ok(())
    }

    fn skip_lost(&mut self, frames: u64, why: GapReason, visit: &mut dyn FnMut(CaptureEvent<'_>)) {
        if frames > 0 {
            visit(CaptureEvent::Lost { frames, position: self.position, why });
            self.position += frames;
            self.lost_frames += frames;
        }
    }

    fn schedule_retry(&mut self, now_us: u64, text: String) {
        self.state = BoardState::Failed { text, mute: false };
        self.retry_us = Some(self.backoff.next_retry_us(now_us));
    }

    fn reopen_files(&mut self) -> Result<(), BoardError> {
        for channel in &mut self.channels {
            let wanted = channel.wav.wanted();
            channel.wav =
                WavFile::open(&channel.path, wanted).map_err(|wrong| BoardError::Wav {
                    board: self.name.clone(),
                    channel: channel.id,
                    path: channel.path.clone(),
                    wrong,
                })?;
        }
        self.retry_us = None;
        self.state = BoardState::Waiting;
        Ok(())
    }
}

impl SimChannel {
    fn open(
        model: &BoardConfig,
        channel: &ChannelConfig,
        frames: u64,
    ) -> Result<SimChannel, BoardError> {
        let path = channel.source.clone().unwrap_or_default();
        let wanted = crate::error::ExpectedFormat { rate: model.rate, sides: channel.sides };
        match WavFile::open(&path, wanted) {
            Ok(wav) => {
                let scratch = vec![0; wav.sides() * to_index(frames)];
                assert!(to_count(scratch.len()) >= frames);
                Ok(SimChannel { id: channel.id, path, wav, tone: None, scratch })
            }
            Err(wrong) => {
                Err(BoardError::Wav { board: model.name.clone(), channel: channel.id, path, wrong })
            }
        }
    }
}

/// Checks that a simulated board can play a WAV file at this rate.
///
/// # Errors
/// What is wrong with the file, and how to correct it.
pub fn check_wav_file(path: &std::path::Path, rate: u32, sides: u8) -> Result<(), String> {
    match WavFile::open(path, crate::error::ExpectedFormat { rate, sides }) {
        Ok(_) => Ok(()),
        Err(wrong) => Err(format!("{}: {wrong}{}", path.display(), wrong.suggest_fix(path))),
    }
}

fn create_timer() -> nix::Result<TimerFd> {
    let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
    let period = TimeSpec::milliseconds(i64::from(PERIOD_MS));
    timer.set(Expiration::Interval(period), TimerSetTimeFlags::empty())?;
    Ok(timer)
}
