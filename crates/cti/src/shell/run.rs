//! The program: one task owns the session, the reporter and the connections.

use super::box_link::{BoxEvent, BoxLink};
use super::clock::{now, unix_seconds};
use super::exchange_link::{ExchangeCommand, ExchangeEvent, ExchangeLink};
use crate::config::{Config, Source};
use crate::session::ExchangeSession;
use crate::translate::reporter::{LineOutcome, Reporter};
use protocol::Code;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Events that wait for the program.
const QUEUE_EVENTS: usize = 64;
/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often the exchange is asked for a sign of life.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// A silent exchange is connected to again after this time.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long the end of the program waits for replies of the box.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// Faulty lines of a call log that are logged one by one; then every thousandth.
const FAULTY_LOGGED: u64 = 10;

/// Why the program cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("the system refuses a thread, a signal handler or an event queue: {0}")]
    System(#[from] std::io::Error),
    #[error("stdout cannot be written: {0}")]
    Stdout(std::io::Error),
}

/// Translates until SIGTERM, SIGINT, or the end of stdin.
///
/// # Errors
///
/// When the system refuses what the program needs to start.
pub fn run(config: Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (events, inbox) = mpsc::channel(QUEUE_EVENTS);
    let link = BoxLink::start(config.servers.clone(), &config.user, events)?;
    runtime.block_on(async { Program::start(config, Some((link, inbox)))?.serve().await })?;
    // A read of stdin may still block.
    runtime.shutdown_background();
    Ok(())
}

/// Translates as `run` does, but prints the lines to stdout, and needs no box.
///
/// # Errors
///
/// As `run`, and when stdout is closed.
pub fn run_dry(config: Config) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Program::start(config, None)?.serve().await })?;
    runtime.shutdown_background();
    Ok(())
}

struct Program {
    session: ExchangeSession,
    reporter: Reporter,
    devices_from_box: bool,
    /// `None` in a dry run.
    link: Option<BoxLink>,
    box_events: Option<Receiver<BoxEvent>>,
    /// Number of the connection to the box.
    connection: u64,
    exchange_events: Receiver<ExchangeEvent>,
    exchange: Sender<ExchangeCommand>,
    is_exchange_open: bool,
    confirmed: bool,
    started: Instant,
    last_bytes: Instant,
    last_keep_alive: Instant,
    /// Devices whose refusal was logged.
    refused_devices: BTreeSet<String>,
    faulty_rows: u64,
    ignored_channels: u64,
    ended_at: Option<Instant>,
}

impl Program {
    fn start(
        config: Config,
        link: Option<(BoxLink, Receiver<BoxEvent>)>,
    ) -> Result<Program, RunError> {
        let (events, exchange_events) = mpsc::channel(QUEUE_EVENTS);
        let (exchange, commands) = mpsc::channel(QUEUE_EVENTS);
        let source: Source = config.source;
        tokio::spawn(ExchangeLink { events, commands }.run(source));
        let mut reporter = Reporter::new(&config.prefix);
        let (link, box_events) = link.unzip();
        if link.is_none() {
            reporter.connect(Vec::new());
        }
        Ok(Program {
            session: config.session,
            reporter,
            devices_from_box: config.devices_from_box,
            link,
            box_events,
            connection: 0,
            exchange_events,
            exchange,
            is_exchange_open: false,
            confirmed: false,
            started: now(),
            last_bytes: now(),
            last_keep_alive: now(),
            refused_devices: BTreeSet::new(),
            faulty_rows: 0,
            ignored_channels: 0,
            ended_at: None,
        })
    }

    async fn serve(mut self) -> Result<(), RunError> {
        let mut stop = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                Some(event) = next_box_event(&mut self.box_events) => self.take_box_event(event),
                Some(event) = self.exchange_events.recv() => self.take_exchange_event(event)?,
                _ = tick.tick() => self.keep_alive(),
                () = any_signal(&mut stop) => break,
            }
            self.send_output();
            self.report_calls()?;
            if self.has_ended() {
                break;
            }
        }
        self.finish().await;
        Ok(())
    }

    fn take_box_event(&mut self, event: BoxEvent) {
        match event {
            BoxEvent::Up { connection, devices, calls } => {
                log::info!("connected to the box: {} devices", devices.len());
                self.connection = connection;
                self.refused_devices.clear();
                if self.devices_from_box {
                    self.session.set_devices(devices);
                    self.apply_changes();
                }
                if self.session.adopt(&calls) {
                    self.reporter.adopt(&calls);
                }
                self.reporter.connect(calls);
            }
            BoxEvent::Reply(refusal) => {
                let outcome = self.reporter.take_reply(self.now_ms(), refusal);
                self.log_outcome(&outcome, refusal.flatten());
            }
            BoxEvent::Down { reason } => {
                log::warn!("no connection to the box: {reason}");
                self.reporter.disconnect();
            }
        }
    }

    fn log_outcome(&mut self, outcome: &LineOutcome, code: Option<Code>) {
        let code = code.map_or("an unknown code", Code::as_str);
        match outcome {
            LineOutcome::Refused { key } => {
                if self.refused_devices.insert(key.device.clone()) {
                    let (call, device) = (&key.call, &key.device);
                    log::error!(
                        "the box refuses call {call} on device {device}: {code}; compare the \
                         devices of the box with [calls] devices"
                    );
                }
            }
            LineOutcome::Retried { key } => {
                log::warn!("the box cannot take call {} now: {code}; it is sent again", key.call);
            }
            LineOutcome::Repeated { key } => {
                log::info!("the box does not know call {} any more", key.call);
            }
            LineOutcome::Unexpected => log::error!("the box sent a reply to no line"),
            LineOutcome::Confirmed => {}
        }
    }

    fn take_exchange_event(&mut self, event: ExchangeEvent) -> Result<(), RunError> {
        match event {
            ExchangeEvent::Opened => {
                log::info!("connected to the exchange");
                self.session.begin();
                (self.is_exchange_open, self.confirmed) = (true, false);
                self.last_bytes = now();
            }
            ExchangeEvent::Bytes(bytes) => {
                self.last_bytes = now();
                self.session.receive(&bytes);
                self.take_messages()?;
            }
            ExchangeEvent::Lost { reason } => {
                log::warn!("no connection to the exchange: {reason}");
                self.is_exchange_open = false;
            }
            ExchangeEvent::Ended => {
                self.session.finish(unix_seconds());
                self.ended_at = Some(now());
            }
        }
        self.note_known_calls();
        self.apply_changes();
        self.log_faults();
        Ok(())
    }

    /// Handles the messages one by one, so that a short call is reported, too.
    fn take_messages(&mut self) -> Result<(), RunError> {
        loop {
            match self.session.take_next(unix_seconds()) {
                Ok(true) => {
                    self.note_known_calls();
                    self.apply_changes();
                    self.report_calls()?;
                }
                Ok(false) => return Ok(()),
                Err(error) => {
                    log::error!("{error}");
                    self.command(ExchangeCommand::Reopen);
                    return Ok(());
                }
            }
        }
    }

    fn note_known_calls(&mut self) {
        if self.is_exchange_open && self.session.knows_calls() {
            self.reporter.mark_exchange_known();
            if !self.confirmed {
                self.confirmed = true;
                self.command(ExchangeCommand::Confirm);
            }
        }
    }

    fn apply_changes(&mut self) {
        for change in self.session.take_changes() {
            self.reporter.apply(change);
        }
    }

    fn log_faults(&mut self) {
        for row in self.session.take_faulty_rows() {
            self.faulty_rows += 1;
            if self.faulty_rows <= FAULTY_LOGGED || self.faulty_rows.is_multiple_of(1000) {
                let (line, error, count) = (row.line, row.error, self.faulty_rows);
                log::warn!("line {line} of the call log is left out ({count} in all): {error}");
            }
        }
        let ignored = self.session.ignored_channels();
        if ignored > 0 && self.ignored_channels == 0 {
            log::error!(
                "the exchange has more channels than this program tracks; some are missing"
            );
        }
        self.ignored_channels = ignored;
    }

    fn keep_alive(&mut self) {
        if !self.is_exchange_open || !self.session.has_keep_alive() {
            return;
        }
        if self.last_bytes.elapsed() > SILENCE_MAX {
            log::warn!("the exchange has been silent for {SILENCE_MAX:?}");
            self.is_exchange_open = false;
            self.command(ExchangeCommand::Reopen);
        } else if self.last_keep_alive.elapsed() > KEEP_ALIVE_INTERVAL {
            self.last_keep_alive = now();
            self.session.queue_keep_alive();
        }
    }

    fn send_output(&mut self) {
        let output = self.session.take_output();
        if !output.is_empty() {
            self.command(ExchangeCommand::Send(output));
        }
    }

    fn command(&self, command: ExchangeCommand) {
        if self.exchange.try_send(command).is_err() {
            log::warn!("the connection to the exchange takes no command");
        }
    }

    /// Sends what the box should know, or prints it in a dry run.
    fn report_calls(&mut self) -> Result<(), RunError> {
        while let Some(line) = self.reporter.next_line(self.now_ms()) {
            match &self.link {
                Some(link) => link.send(self.connection, line),
                None => {
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(RunError::Stdout)?;
                    self.reporter.take_reply(self.now_ms(), None);
                }
            }
        }
        Ok(())
    }

    /// Whether the source has ended and the box has confirmed everything, or takes too long.
    fn has_ended(&self) -> bool {
        self.ended_at.is_some_and(|at| self.reporter.is_idle() || at.elapsed() > END_TIMEOUT)
    }

    /// Says `quit`, so that the box knows that the feed ends on purpose.
    async fn finish(mut self) {
        drop(self.link.take());
        if let Some(events) = &mut self.box_events {
            let ended = async { while events.recv().await.is_some() {} };
            drop(tokio::time::timeout(END_TIMEOUT, ended).await);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn next_box_event(events: &mut Option<Receiver<BoxEvent>>) -> Option<BoxEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn any_signal(signals: &mut [Signal; 2]) {
    let [first, second] = signals;
    tokio::select! {
        _ = first.recv() => {}
        _ = second.recv() => {}
    }
}
