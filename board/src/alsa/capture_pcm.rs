//! One open capture PCM: alsa-lib calls and their errors.
//!
//! Opening sets 16-bit interleaved frames at exactly the requested rate, and the nearest possible
//! period and buffer. Opening a hardware PCM does not block; a virtual one may wait for its sound
//! server. Reading never blocks.
//!
//! alsa-lib prints errors to stderr; here they are captured and added to the error. `alsa`
//! handles positions, losses and retries.

use super::setup::{self, PcmParams};
use crate::config::BoardConfig;
use crate::error::BoardError;
use crate::sample_clock::frames_of_us;
use alsa::pcm::{PCM, Status};
use alsa::poll::{Flags, pollfd};
use alsa::{Output, PollDescriptors};
use mio::unix::SourceFd;
use nix::errno::Errno;
use std::io;
use std::ops::Range;

/// Why a read returned no frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    /// All available frames have been read.
    WouldBlock,
    /// The card stopped because its buffer was full.
    Xrun,
    /// The machine was suspended.
    Suspended,
    /// The card was unplugged, its server exited, or another fatal error.
    Disconnected { text: String },
}

pub(super) struct CapturePcm {
    pcm: PCM,
    setup: PcmParams,
    poll_fds: Vec<pollfd>,
}

impl CapturePcm {
    /// Opens, configures and starts the PCM `name` for `model`.
    pub(super) fn open(model: &BoardConfig, name: &str) -> Result<CapturePcm, BoardError> {
        let heard = Output::local_error_handler().ok();
        let said = || heard.as_ref().map_or_else(String::new, |said| said.borrow().to_string());
        let pcm = setup::open_pcm(model, name, &said)?;
        let setup = setup::apply_params(model, name, &pcm)?;
        let start = || -> alsa::Result<Vec<pollfd>> {
            let polled = PollDescriptors::get(&pcm)?;
            pcm.start()?;
            Ok(polled)
        };
        match start() {
            Ok(polled) => Ok(CapturePcm { pcm, setup, poll_fds: polled }),
            Err(error) => Err(setup::pcm_error(model, name, "cannot be started", error)),
        }
    }

    pub(super) fn setup(&self) -> PcmParams {
        self.setup
    }

    pub(super) fn register(
        &self,
        registry: &mio::Registry,
        mut tokens: Range<usize>,
    ) -> io::Result<()> {
        for descriptor in self.unique_descriptors() {
            let Some(token) = tokens.next() else {
                let text = format!("the PCM has {} descriptors, too many", self.poll_fds.len());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            };
            let interest = poll_interest(descriptor.events);
            registry
                .register(&mut SourceFd(&descriptor.fd), mio::Token(token), interest)
                .map_err(|error| not_pollable(&error))?;
        }
        Ok(())
    }

    pub(super) fn deregister(&self, registry: &mio::Registry) {
        for descriptor in self.unique_descriptors() {
            // The descriptor may never have been registered, and it is closed next.
            registry.deregister(&mut SourceFd(&descriptor.fd)).unwrap_or_default();
        }
    }

    /// Lets a plugin handle its events; some do not wake again otherwise.
    pub(super) fn acknowledge_events(&mut self) {
        for descriptor in &mut self.poll_fds {
            descriptor.revents = 0;
        }
        // The next read reports any error.
        alsa::poll::poll(&mut self.poll_fds, 0).unwrap_or_default();
        self.pcm.revents(&self.poll_fds).unwrap_or(Flags::empty());
    }

    /// Reads whole frames into `bytes`, as many as fit. Returns their number, at least 1.
    pub(super) fn read(&self, bytes: &mut [u8]) -> Result<u64, ReadError> {
        // `io_bytes`, because `io_i16` queries the format on each call and allocates.
        match self.pcm.io_bytes().readi(bytes) {
            Ok(0) => Err(ReadError::WouldBlock),
            Ok(frames) => Ok(crate::to_count(frames)),
            Err(error) => Err(match to_errno(error) {
                Errno::EAGAIN | Errno::EINTR => ReadError::WouldBlock,
                Errno::EPIPE => ReadError::Xrun,
                Errno::ESTRPIPE => ReadError::Suspended,
                Errno::ENODEV => {
                    ReadError::Disconnected { text: "the card was unplugged".to_owned() }
                }
                other => {
                    ReadError::Disconnected { text: format!("reading failed: {}", other.desc()) }
                }
            }),
        }
    }

    /// Frames available but not read.
    pub(super) fn unread_frames(&self) -> u64 {
        self.pcm.avail_update().ok().and_then(|frames| u64::try_from(frames).ok()).unwrap_or(0)
    }

    /// Restarts a card after an overrun. Returns the frames lost between the last read one and
    /// the next, if the card's timestamps give it.
    pub(super) fn restart(&self) -> Result<Option<u64>, String> {
        // Also discards earlier messages of alsa-lib.
        drop(Output::local_error_handler());
        let stopped = self.pcm.status().ok();
        let again = self.pcm.prepare().and_then(|()| self.pcm.start());
        again.map_err(|error| format!("cannot be started again: {}", to_errno(error).desc()))?;
        let started = self.pcm.status().ok();
        Ok(stopped
            .zip(started)
            .and_then(|(stopped, started)| self.frames_lost_between(&stopped, &started)))
    }

    /// Stops a running card, drops its buffered frames and restarts it.
    pub(super) fn drop_and_restart(&self) -> Result<(), String> {
        let again = self.pcm.drop().and_then(|()| self.pcm.prepare());
        again
            .and_then(|()| self.pcm.start())
            .map_err(|error| format!("cannot be started again: {}", to_errno(error).desc()))
    }

    /// Resumes a suspended card, or restarts it if it cannot resume.
    pub(super) fn resume(&self) -> Result<(), String> {
        match self.pcm.resume() {
            Ok(()) => Ok(()),
            Err(_) => self.restart().map(drop),
        }
    }

    fn frames_lost_between(&self, stopped: &Status, started: &Status) -> Option<u64> {
        let held = u64::try_from(stopped.get_avail()).ok()?;
        let (stopped_us, started_us) = (stamp_us(stopped)?, stamp_us(started)?);
        lost_frames(held, started_us.checked_sub(stopped_us)?, &self.setup)
    }

    /// Returns every descriptor once: a plugin may list one twice, but a poll accepts it once.
    fn unique_descriptors(&self) -> impl Iterator<Item = &pollfd> {
        self.poll_fds.iter().enumerate().filter_map(|(at, descriptor)| {
            let first = self.poll_fds[..at].iter().all(|earlier| earlier.fd != descriptor.fd);
            first.then_some(descriptor)
        })
    }
}

/// Computes the frames lost in an overrun: those held when the card stopped, and those it would
/// have captured until the restart. An overrun card held a full buffer; if it reports otherwise,
/// its timestamps are unreliable.
fn lost_frames(held: u64, stood_us: u64, setup: &PcmParams) -> Option<u64> {
    (held >= setup.buffer_frames).then(|| held + frames_of_us(stood_us, setup.rate))
}

/// Time of the last start or stop of the PCM, in microseconds of its clock.
fn stamp_us(status: &Status) -> Option<u64> {
    let stamp = status.get_trigger_htstamp();
    let (seconds, nanos) = (u64::try_from(stamp.tv_sec).ok()?, u64::try_from(stamp.tv_nsec).ok()?);
    let us = seconds.checked_mul(1_000_000)? + nanos / 1000;
    (us > 0).then_some(us)
}

fn poll_interest(events: i16) -> mio::Interest {
    if Flags::from_bits_truncate(events).contains(Flags::OUT) {
        return mio::Interest::READABLE | mio::Interest::WRITABLE;
    }
    mio::Interest::READABLE
}

fn not_pollable(error: &io::Error) -> io::Error {
    let text = format!("the PCM's descriptor cannot be waited for (a null or file PCM?): {error}");
    io::Error::new(error.kind(), text)
}

/// Converts alsa-lib's error number, which some calls return negative.
pub(super) fn to_errno(error: alsa::Error) -> Errno {
    Errno::from_raw(error.errno().abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overrun_costs_what_was_held_and_what_was_missed() {
        let setup = PcmParams { rate: 8000, slots: 2, period_frames: 160, buffer_frames: 1600 };
        assert_eq!(lost_frames(1600, 12_500, &setup), Some(1700));
        assert_eq!(lost_frames(1599, 12_500, &setup), None, "that was no overrun");
    }
}
