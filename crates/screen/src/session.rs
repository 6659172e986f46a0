//! The session with a box: idle until the box requests captures.
//!
//! One thread receives the box's states, captures the screen while that is requested, gives parts
//! to the encoder, and sends encoded segments. It does not capture while it sends, so a slow
//! network costs frames, then segments, and nothing else. A lost connection discards all captured
//! frames. When the display is gone, or the desktop session ends, the client sends what it has
//! captured before it exits.

use crate::Args;
use crate::capture::{Capture, CaptureError, FrameChange};
use crate::clock::{BoxClock, MonotonicClock, Watchdog, sleep_for};
use crate::encoder_thread::EncoderThread;
use crate::picture::Picture;
use crate::segment_builder::SegmentBuilder;
use crate::shutdown::ShutdownSignal;
use crate::vpx::Vp9Encoder;
use crate::x11::X11Display;
use client::{
    Connection, ConnectionError, Login, Notification, RetryAction, RetryMode, RetryPolicy,
};
use protocol::{CaptureState, Code, Kind};
use std::sync::Arc;
use std::time::Duration;

/// The time for connecting and for the greeting, for each server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for the box while nothing is captured.
const IDLE_WAIT: Duration = Duration::from_secs(10);
/// The time in which a display must answer.
const DISPLAY_TIMEOUT: Duration = Duration::from_secs(30);
/// The time between two measurements of the box's clock.
const PING_MS: i64 = 20_000;
/// The number of measurements at the start, of which the best counts.
const FIRST_PINGS: usize = 4;
/// The time for sending the captured frames at the end, beyond the holdback.
const FLUSH_MS: i64 = 10_000;
/// The pause before the next attempt when the retry policy has none.
const STANDBY_PAUSE_MS: u64 = 60_000;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a session has ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error(transparent)]
    Link(#[from] ConnectionError),
    #[error("the box refused the login: {word}: {text}")]
    Refused { word: String, text: String },
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error("terminated by signal")]
    Signal,
}

/// Runs until the display is gone, or the desktop session ends.
pub fn run_client(args: &Args) -> Result<(), SessionError> {
    let shutdown = ShutdownSignal::watch_signals()?;
    let mut display = X11Display::open(args.display.as_deref())?;
    let mut retry = RetryPolicy::new(RetryMode::SelfHealing);
    let failure = "the display does not answer";
    let watchdog = Watchdog::start(DISPLAY_TIMEOUT, failure)?;
    loop {
        let encoder = EncoderThread::start(Vp9Encoder)?;
        let mut session = Session {
            watchdog: &watchdog,
            shutdown: &shutdown,
            clock: MonotonicClock::start(),
            box_clock: BoxClock::default(),
            builder: SegmentBuilder::default(),
            encoder,
            last_ping_ms: i64::MIN,
            last_picture: None,
            box_is_busy: false,
            skipped_last: false,
        };
        match Connection::open(&args.servers, CONNECT_TIMEOUT) {
            Ok(mut link) => match session.run_session(&mut link, args, &mut display, &mut retry) {
                SessionEnd::Capture(error) => return Err(error.into()),
                SessionEnd::Signal => return Ok(()),
                end => log::warn!("{}: {end}", link.address()),
            },
            Err(error) => log::warn!("cannot connect: {error}"),
        }
        display.wipe_frame();
        shutdown.set_busy(false);
        // The captured frames were lost with the connection, so there is nothing to send.
        if shutdown.is_requested() {
            log::warn!("terminated by signal; frames that were not sent yet are lost");
            return Ok(());
        }
        let pause_ms = match retry.record_failure(std::process::id()) {
            RetryAction::Retry { in_ms, .. } | RetryAction::Probe { in_ms } => in_ms,
            RetryAction::Standby => STANDBY_PAUSE_MS,
        };
        sleep_for(Duration::from_millis(pause_ms));
    }
}

struct Session<'a> {
    watchdog: &'a Watchdog,
    shutdown: &'a ShutdownSignal,
    clock: MonotonicClock,
    box_clock: BoxClock,
    builder: SegmentBuilder,
    encoder: EncoderThread,
    last_ping_ms: i64,
    last_picture: Option<Arc<Picture>>,
    /// The box has too much video: the client skips every other frame.
    box_is_busy: bool,
    skipped_last: bool,
}

impl Session<'_> {
    fn now_ms(&self) -> i64 {
        self.clock.elapsed_ms()
    }

    fn run_session(
        &mut self,
        link: &mut Connection,
        args: &Args,
        display: &mut impl Capture,
        retry: &mut RetryPolicy,
    ) -> SessionEnd {
        if let Err(end) = send_hello(link, args) {
            return end;
        }
        log::info!("connected to {} at {}", link.greeting().name, link.address());
        retry.record_success();
        loop {
            match self.run_turn(link, display) {
                Ok(()) => {}
                Err(end @ (SessionEnd::Capture(_) | SessionEnd::Signal)) => {
                    log::info!("{end}; sending the captured frames");
                    return self.flush_captured(link).err().unwrap_or(end);
                }
                Err(end) => return end,
            }
        }
    }

    fn run_turn(
        &mut self,
        link: &mut Connection,
        display: &mut impl Capture,
    ) -> Result<(), SessionEnd> {
        self.measure_box_clock(link)?;
        let started_ms = self.now_ms();
        if self.builder.is_capturing() {
            self.capture_screen(display)?;
        } else {
            if self.last_picture.take().is_some() {
                display.wipe_frame();
            }
            self.call_display(|| display.process_events())?;
        }
        self.send_segments(link)?;
        let busy = self.builder.is_capturing() || self.has_unsent();
        self.shutdown.set_busy(busy);
        if self.shutdown.is_requested() {
            return Err(SessionEnd::Signal);
        }
        let interval = Duration::from_millis(self.builder.frame_interval_ms());
        let pause = if busy { interval } else { IDLE_WAIT };
        let spent_ms = self.now_ms().saturating_sub(started_ms);
        let spent = Duration::from_millis(u64::try_from(spent_ms).unwrap_or(0));
        self.receive_states(link, pause.saturating_sub(spent))
    }

    fn has_unsent(&self) -> bool {
        self.builder.has_closed_segments() || self.encoder.in_flight > 0
    }

    /// Waits for the box, and applies all states that have come before the next capture.
    fn receive_states(&mut self, link: &mut Connection, wait: Duration) -> Result<(), SessionEnd> {
        let mut event = link.next_notification(wait)?;
        while let Some(received) = event {
            if let Notification::Capture(state) = received {
                self.apply_state(state);
            }
            event = link.next_notification(Duration::ZERO)?;
        }
        Ok(())
    }

    /// Sends what was captured. The frames still wait for the lead of a blackout, which may remove
    /// them.
    fn flush_captured(&mut self, link: &mut Connection) -> Result<(), SessionEnd> {
        self.builder.close_segment(self.box_now_ms());
        let limit_ms =
            self.now_ms().saturating_add(FLUSH_MS).saturating_add(self.builder.hold_ms());
        while self.has_unsent() {
            if self.now_ms() > limit_ms {
                log::warn!("not all captured frames could be sent in time");
                break;
            }
            self.send_segments(link)?;
            let interval = Duration::from_millis(self.builder.frame_interval_ms());
            self.receive_states(link, interval)?;
        }
        Ok(())
    }

    /// Calls the display, which may never answer, under the watchdog.
    fn call_display<T>(&self, call: impl FnOnce() -> T) -> T {
        self.watchdog.arm(self.now_ms());
        let result = call();
        self.watchdog.disarm();
        result
    }

    fn apply_state(&mut self, state: CaptureState) {
        let now_ms = self.box_now_ms();
        let since = state.since.parse::<jiff::Timestamp>();
        let since_ms = since.map_or(now_ms, jiff::Timestamp::as_millisecond);
        let capture = if state.capture { "capturing" } else { "not capturing" };
        log::info!("{capture}, blackout {}", protocol::state::format_on_off(state.blackout));
        self.builder.apply_state(state, since_ms, now_ms);
    }

    /// The box's time in milliseconds.
    fn box_now_ms(&self) -> i64 {
        self.box_clock.to_box_ms(self.now_ms()).unwrap_or(0)
    }

    fn measure_box_clock(&mut self, link: &mut Connection) -> Result<(), SessionEnd> {
        if self.now_ms().saturating_sub(self.last_ping_ms) < PING_MS {
            return Ok(());
        }
        self.last_ping_ms = self.now_ms();
        let count = if self.box_clock.to_box_ms(0).is_none() { FIRST_PINGS } else { 1 };
        for _ in 0..count {
            let sent_ms = self.now_ms();
            let reply = link.request("ping")?;
            let time = reply.outcome.ok().and_then(|pairs| pairs.get("time").map(str::to_owned));
            let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
            if let Some(time) = time {
                self.box_clock.add_measurement(sent_ms, time.as_millisecond(), self.now_ms());
            }
        }
        Ok(())
    }

    fn capture_screen(&mut self, display: &mut impl Capture) -> Result<(), SessionEnd> {
        let now_ms = self.box_now_ms();
        self.builder.close_long_segment(now_ms);
        if self.builder.check_blackout(now_ms) {
            // Frames from before the blackout are not shown after it.
            self.last_picture = None;
            display.wipe_frame();
            self.call_display(|| display.process_events())?;
            if self.builder.needs_picture() {
                let size = display.display_size();
                let black = Picture::black_for_canvas(size, self.builder.scale_percent());
                self.builder.add_picture(now_ms, Arc::new(black));
            }
            return Ok(());
        }
        self.skipped_last = self.box_is_busy && !self.skipped_last;
        if self.skipped_last {
            return Ok(());
        }
        let change = self.call_display(|| display.capture_frame())?;
        if change == FrameChange::Resizing {
            self.last_picture = None;
            self.builder.close_segment(now_ms);
            return Ok(());
        }
        // The frame was on the screen before it was fetched, so its time is that before the call.
        if change == FrameChange::Changed || self.last_picture.is_none() {
            let picture = Arc::new(display.canvas().to_picture(self.builder.scale_percent()));
            self.builder.add_picture(now_ms, Arc::clone(&picture));
            self.last_picture = Some(picture);
        } else if let Some(last) =
            self.last_picture.as_ref().filter(|_| self.builder.needs_picture())
        {
            self.builder.add_picture(now_ms, Arc::clone(last));
        }
        Ok(())
    }

    fn send_segments(&mut self, link: &mut Connection) -> Result<(), SessionEnd> {
        let now_ms = self.box_now_ms();
        while self.encoder.has_room() {
            let Some(part) = self.builder.take_due_part(now_ms) else { break };
            self.encoder.queue_part(part);
        }
        while let Some(segment) = self.encoder.next_segment() {
            if segment.file.is_empty() || segment.duration_ms <= 0 {
                continue;
            }
            let start = jiff::Timestamp::from_millisecond(segment.from).unwrap_or_default();
            let (recording, length) = (&segment.recording, segment.duration_ms);
            let line =
                format!("segment recording={recording} start={start:.3} duration_ms={length}");
            let file = zeroize::Zeroizing::new(segment.file);
            match link.request_with_data(&line, &file) {
                Ok(reply) => self.note_segment_reply(reply.outcome.err()),
                Err(ConnectionError::Send(error)) => log::warn!("a segment is lost: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn note_segment_reply(&mut self, refusal: Option<protocol::client::Failure>) {
        let is_busy = |refusal: &protocol::client::Failure| refusal.code() == Some(Code::Busy);
        self.box_is_busy = refusal.as_ref().is_some_and(is_busy);
        if let Some(refusal) = refusal {
            log::warn!("the box refused a segment: {}: {}", refusal.word, refusal.text);
        }
    }
}

fn send_hello(link: &mut Connection, args: &Args) -> Result<(), SessionEnd> {
    let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let logged_in_user = || {
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        user.map(|user| user.name)
    };
    // Over TLS the certificate names the machine.
    let machine = args.machine.clone().or_else(|| if link.is_tls() { None } else { host() });
    let login = Login {
        user: args.user.clone().or_else(logged_in_user),
        domain: args.domain.clone(),
        machine,
        client: Some(concat!("screen/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..Login::new(Kind::Screen)
    };
    let reply = link.request(&login.to_line())?;
    let refused = |failure: protocol::client::Failure| SessionEnd::Refused {
        word: failure.word,
        text: failure.text,
    };
    reply.outcome.map(|_| ()).map_err(refused)
}
