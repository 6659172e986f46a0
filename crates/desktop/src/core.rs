//! The state machine of the client: requests and lines of the box go in, actions come out.
//!
//! `Core` owns the connection's phases (requirements A7 to A9), the commands that wait for a reply,
//! the newest state, and the notifications. It is pure: time and random bits are arguments. A
//! connection is known by its epoch, so that late events of an old connection are ignored.
//!
//! A blackout is never queued silently (`core::pending_blackout`): while it is not active the
//! client warns the agent. The client sends every request, and the box decides (A13). The core
//! keeps, shows and logs no value of a field.

mod commands;
mod notifications;
mod pending_blackout;
mod snapshot;

#[cfg(test)]
mod tests;

use crate::agent_request::AgentRequest;
use crate::settings::Settings;
use crate::ui::client_state::{ClientState, Endpoint, LinkState};
use crate::ui::notification::{Notification, NotificationQueue, Topic};
use crate::ui::timeline::Timeline;
use client::{Address, Login, RetryAction, RetryPolicy};
use notifications::LinkFailure;
use pending_blackout::PendingBlackout;
use protocol::client::{Pairs, Reply};
use protocol::{Ability, AgentState, Kind};
use std::collections::{BTreeMap, VecDeque};

/// The time between two pings. The box closes a session that is silent for 90 s.
pub const PING_MS: u64 = 30_000;
/// The time within which the box must reply.
pub const REPLY_TIMEOUT_MS: u64 = 15_000;

/// The present time, and random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the program started; monotonic.
    pub ms: u64,
    /// Any 32 random bits.
    pub random: u32,
}

/// The user of this desktop session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedInUser {
    pub user: String,
    pub domain: Option<String>,
    /// The host name.
    pub machine: Option<String>,
}

/// An event of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// No server answered.
    Failed {
        reason: String,
    },
    /// A box sent its greeting.
    Opened {
        name: String,
        server: String,
        boot: u32,
        tls: bool,
    },
    Reply(Reply),
    State(AgentState),
    /// The connection is over.
    Lost {
        reason: String,
    },
}

/// An input of the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The program starts.
    Launch,
    /// An event of the connection with this epoch.
    Link(u64, LinkEvent),
    /// A request of the agent, and the number for its `Output::Reply`, if the requester waits.
    Request(AgentRequest, Option<u64>),
    /// The settings have changed.
    Settings(Settings),
    /// The button bar was opened or closed.
    BarOpen(bool),
    /// The deadline has passed.
    Tick,
}

/// An action for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Close the connection, and connect to the first of these servers that answers.
    Connect(u64, Vec<Address>),
    /// Close the connection.
    Close,
    /// Send a line to the box.
    Send(String),
    /// Show a notification.
    Notify(Notification),
    /// Reply to the requester with this number.
    Reply(u64, Result<String, String>),
}

/// Whether the time of the state's blackout grows: audio is masked only while there is a call.
pub(crate) fn counts_blackout(state: &AgentState) -> bool {
    state.blackout && (state.masked || state.call.is_some())
}

/// The phase of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// `standby`: why the client is in standby, while it probes for the box.
    Connecting {
        standby: Option<String>,
    },
    /// `hello` was sent.
    LoggingIn(Endpoint),
    Connected(Endpoint),
    /// The retry with this number starts at `at_ms`.
    Retrying {
        reason: String,
        retry: u32,
        at_ms: u64,
    },
    /// The next probe starts at `at_ms`.
    Standby {
        reason: String,
        at_ms: Option<u64>,
    },
}

/// A command that the box has not answered yet.
#[derive(Clone, Debug)]
struct PendingCommand {
    sent_ms: u64,
    kind: PendingKind,
}

#[derive(Clone, Debug)]
enum PendingKind {
    Hello,
    Ping,
    /// A command of the agent, and the number of the requester. The ability names the command
    /// without any field's value.
    Agent(Ability, Option<u64>),
}

/// The state machine.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    logged_in_user: LoggedInUser,
    /// How this run of the program names itself to the box.
    program: String,
    phase: Phase,
    epoch: u64,
    retry: RetryPolicy,
    pending: VecDeque<PendingCommand>,
    /// The newest state, and when it came.
    agent_state: Option<(AgentState, u64)>,
    /// How long the last blackout was active.
    last_blackout_ms: Option<u64>,
    /// The longest time that was shown for the present blackout.
    shown_blackout_ms: u64,
    /// What the agent must know of a blackout that came late, until the agent has seen it.
    late_blackout: Option<String>,
    /// Whether the last box that answered refused the login.
    login_refused: bool,
    field_labels: BTreeMap<u8, String>,
    /// The name and the boot number of the last box.
    last_boot: Option<(String, u32)>,
    next_ping_ms: u64,
    pending_blackout: Option<PendingBlackout>,
    /// Why the last blackout was refused, and until when that is shown.
    blackout_refusal: Option<(String, u64)>,
    bar_open: bool,
    timeline: Timeline,
    notifications: NotificationQueue,
    outputs: VecDeque<Output>,
}

impl Core {
    /// The state before `Input::Launch`.
    #[must_use]
    pub fn new(settings: Settings, logged_in_user: LoggedInUser, program: String) -> Core {
        let retry = RetryPolicy::with_interval(settings.mode.into(), settings.retry_ms);
        Core {
            settings,
            logged_in_user,
            program,
            phase: Phase::Connecting { standby: None },
            epoch: 0,
            retry,
            pending: VecDeque::new(),
            agent_state: None,
            last_blackout_ms: None,
            shown_blackout_ms: 0,
            late_blackout: None,
            login_refused: false,
            field_labels: BTreeMap::new(),
            last_boot: None,
            next_ping_ms: 0,
            pending_blackout: None,
            blackout_refusal: None,
            bar_open: false,
            timeline: Timeline::default(),
            notifications: NotificationQueue::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Handles an input, and everything that is due.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        match input {
            Input::Launch => self.start_connecting(now, true),
            Input::Link(epoch, event) if epoch == self.epoch => self.handle_link_event(now, event),
            Input::Link(..) | Input::Tick => {}
            Input::Request(request, requester) => self.handle_request(now, request, requester),
            Input::Settings(settings) => self.apply_settings(now, settings),
            Input::BarOpen(open) => self.bar_open = open,
        }
        self.run_timers(now);
        let client_state = self.client_state();
        self.timeline.record_change(now.ms, &client_state);
    }

    /// The next action for the shell.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When the shell must send `Input::Tick`.
    #[must_use]
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let phase = match &self.phase {
            Phase::Connecting { .. } | Phase::LoggingIn(_) => None,
            Phase::Connected(_) => Some(self.next_ping_ms),
            Phase::Retrying { at_ms, .. } => Some(*at_ms),
            Phase::Standby { at_ms, .. } => *at_ms,
        };
        let reply = self.pending.front().map(|command| command.sent_ms + REPLY_TIMEOUT_MS);
        let blackout = self.pending_blackout.as_ref().map(PendingBlackout::deadline_ms);
        let refusal = self.blackout_refusal.as_ref().map(|(_, until)| *until);
        let all = [phase, reply, blackout, refusal, self.notifications.deadline_ms()];
        all.into_iter().flatten().min()
    }

    /// What the client knows, for the views.
    #[must_use]
    pub fn client_state(&self) -> ClientState {
        let link = match &self.phase {
            Phase::Connecting { standby: Some(reason) } => {
                LinkState::Standby { reason: reason.clone(), probing: true }
            }
            Phase::Connecting { standby: None } | Phase::LoggingIn(_) => LinkState::Connecting,
            Phase::Connected(endpoint) => LinkState::Connected(endpoint.clone()),
            Phase::Retrying { reason, retry, .. } => {
                LinkState::Retrying { reason: reason.clone(), retry: *retry }
            }
            Phase::Standby { reason, at_ms } => {
                LinkState::Standby { reason: reason.clone(), probing: at_ms.is_some() }
            }
        };
        let warning = self.pending_blackout.as_ref().and_then(PendingBlackout::warning);
        let refusal = || self.blackout_refusal.as_ref().map(|(reason, _)| reason.clone());
        ClientState {
            link,
            agent_state: self.agent_state.as_ref().map(|(state, _)| state.clone()),
            unmasked: warning.map(str::to_owned).or_else(refusal),
            late: self.late_blackout.clone(),
            refused: self.login_refused,
            bar_open: self.bar_open,
        }
    }

    /// The effective settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How long the blackout has masked audio, in milliseconds. The time grows during calls only,
    /// and never decreases.
    #[must_use]
    pub fn blackout_ms(&self, now_ms: u64) -> Option<u64> {
        let (state, at_ms) = self.agent_state.as_ref().filter(|(state, _)| state.blackout)?;
        let since = if counts_blackout(state) { now_ms.saturating_sub(*at_ms) } else { 0 };
        Some((state.blackout_ms + since).max(self.shown_blackout_ms))
    }

    fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    fn start_connecting(&mut self, now: Now, notify: bool) {
        self.epoch += 1;
        let standby = match &self.phase {
            Phase::Standby { reason, .. } if !notify => Some(reason.clone()),
            _ => None,
        };
        self.phase = Phase::Connecting { standby };
        if notify {
            self.notify(now.ms, notifications::connecting_notification(&self.settings.servers));
        }
        let servers = self.settings.server_addresses();
        self.outputs.push_back(Output::Connect(self.epoch, servers));
    }

    fn handle_link_event(&mut self, now: Now, event: LinkEvent) {
        match event {
            LinkEvent::Failed { reason } => {
                self.login_refused = false;
                self.on_link_failed(now, &reason, false);
            }
            LinkEvent::Opened { name, server, boot, tls } => {
                let last = self.last_boot.replace((name.clone(), boot));
                if matches!(&last, Some((old, number)) if *old == name && *number != boot) {
                    log::info!("{name} has restarted");
                }
                let agent = self.user_name().to_owned();
                self.phase = Phase::LoggingIn(Endpoint { name, server, agent });
                self.login_refused = false;
                let hello = self.build_login(tls).to_line();
                self.send_line(now.ms, hello, PendingKind::Hello);
            }
            LinkEvent::Reply(reply) => self.handle_reply(now, reply),
            LinkEvent::State(state) => self.on_agent_state(now, state),
            LinkEvent::Lost { reason } => self.on_link_failed(now, &reason, true),
        }
    }

    fn user_name(&self) -> &str {
        self.settings.user.as_deref().unwrap_or(&self.logged_in_user.user)
    }

    /// Builds the `hello` (requirement A11). Over TLS the certificate names the machine, so the
    /// client sends a machine name only if the settings have one.
    fn build_login(&self, tls: bool) -> Login {
        let host = self.logged_in_user.machine.clone().filter(|_| !tls);
        let domain = self.settings.domain.clone();
        Login {
            user: Some(self.user_name().to_owned()),
            domain: domain.or_else(|| self.logged_in_user.domain.clone()),
            machine: self.settings.machine.clone().or(host),
            client: Some(self.program.clone()),
            ..Login::new(Kind::Agent)
        }
    }

    fn send_line(&mut self, now_ms: u64, line: String, kind: PendingKind) {
        self.pending.push_back(PendingCommand { sent_ms: now_ms, kind });
        self.next_ping_ms = now_ms + PING_MS;
        self.outputs.push_back(Output::Send(line));
    }

    fn handle_reply(&mut self, now: Now, reply: Reply) {
        let Some(PendingCommand { kind, .. }) = self.pending.pop_front() else { return };
        match (kind, reply.outcome) {
            (PendingKind::Hello, Ok(pairs)) => self.on_logged_in(now, &pairs),
            (PendingKind::Hello, Err(failure)) => {
                self.outputs.push_back(Output::Close);
                self.login_refused = true;
                let reason = format!("the recorder refused the login: {}", failure.text);
                self.on_link_failed(now, &reason, false);
            }
            (PendingKind::Ping, _) => {}
            (PendingKind::Agent(command, requester), Ok(pairs)) => {
                self.on_command_confirmed(now, (command, requester), &pairs, &reply.rows);
            }
            (PendingKind::Agent(command, requester), Err(failure)) => {
                self.on_command_refused(now, (command, requester), &failure);
            }
        }
    }

    fn on_logged_in(&mut self, now: Now, pairs: &Pairs) {
        let Phase::LoggingIn(endpoint) = &self.phase else { return };
        let mut endpoint = endpoint.clone();
        if let Some(agent) = pairs.get("agent") {
            agent.clone_into(&mut endpoint.agent);
        }
        let labels = pairs.0.iter().filter_map(|(key, label)| {
            Some((key.strip_prefix("field.")?.parse().ok()?, label.clone()))
        });
        self.field_labels = labels.collect();
        self.retry.record_success();
        self.notify(now.ms, notifications::connected_notification(&endpoint));
        self.phase = Phase::Connected(endpoint);
        self.next_ping_ms = now.ms + PING_MS;
        self.resend_blackout(now);
    }

    /// An attempt failed, or the connection is over (`lost`).
    fn on_link_failed(&mut self, now: Now, reason: &str, lost: bool) {
        let was_connected = self.is_connected();
        let had_blackout = self.agent_state.take().is_some_and(|(state, _)| state.blackout);
        self.shown_blackout_ms = 0;
        self.drop_pending_commands(now);
        self.mark_blackout_unsent(now);
        let was_standby = self.retry.is_standby();
        let next = self.retry.record_failure(now.random);
        let reason = notifications::strip_os_error(reason);
        let lost = lost && was_connected;
        match next {
            RetryAction::Retry { retry, in_ms } => {
                let failure = LinkFailure { lost, refused: self.login_refused, had_blackout };
                let notification =
                    notifications::retrying_notification(&reason, (retry, in_ms), failure);
                self.notify(now.ms, notification);
                let at_ms = now.ms + self.shorten_pause(in_ms);
                self.phase = Phase::Retrying { reason, retry, at_ms };
            }
            RetryAction::Probe { in_ms } => {
                let at_ms = Some(now.ms + self.shorten_pause(in_ms));
                self.enter_standby(now, reason, at_ms, was_standby);
            }
            RetryAction::Standby => {
                let has_blackout = self.pending_blackout.is_some();
                let at_ms = has_blackout.then(|| now.ms + self.shorten_pause(u64::MAX));
                self.enter_standby(now, reason, at_ms, was_standby);
            }
        }
    }

    fn drop_pending_commands(&mut self, now: Now) {
        for PendingCommand { kind, .. } in std::mem::take(&mut self.pending) {
            if let PendingKind::Agent(command, requester) = kind {
                self.on_command_lost(now, command, requester);
            }
        }
    }

    fn enter_standby(&mut self, now: Now, reason: String, at_ms: Option<u64>, was_standby: bool) {
        if !was_standby {
            self.notify(now.ms, notifications::standby_notification(&reason, at_ms.is_some()));
        }
        self.phase = Phase::Standby { reason, at_ms };
    }

    /// The box sent a state: the first of a session, or a changed one.
    fn on_agent_state(&mut self, now: Now, state: AgentState) {
        let shown = self.blackout_ms(now.ms);
        self.last_blackout_ms = shown.or(self.last_blackout_ms);
        self.shown_blackout_ms = shown.filter(|_| state.blackout).unwrap_or(0);
        let old = self.agent_state.replace((state.clone(), now.ms)).map(|(old, _)| old);
        // The receipt of a press says more than the change that it causes.
        let pressed = self.pending_blackout.is_some();
        if state.blackout || old.as_ref().is_some_and(|old| old.call != state.call) {
            self.blackout_refusal = None;
        }
        self.on_blackout_state(now, &state);
        for notification in notifications::state_change_notifications(old.as_ref(), &state) {
            if pressed && notification.topic == Topic::Blackout && !notification.is_urgent() {
                continue;
            }
            self.notify(now.ms, notification);
        }
    }

    fn apply_settings(&mut self, now: Now, settings: Settings) {
        let login = |s: &Settings| (s.server_addresses(), s.user.clone(), s.domain.clone());
        let retry = |s: &Settings| (s.mode, s.retry_ms);
        let same_login = login(&settings) == login(&self.settings);
        let same_retry = retry(&settings) == retry(&self.settings);
        self.settings = settings;
        if same_login && same_retry {
            return;
        }
        self.retry = RetryPolicy::with_interval(self.settings.mode.into(), self.settings.retry_ms);
        // New retry settings do not end a session.
        if !same_login || !self.is_connected() {
            self.end_session(now);
            self.start_connecting(now, true);
        }
    }

    fn end_session(&mut self, now: Now) {
        self.outputs.push_back(Output::Close);
        self.agent_state = None;
        self.drop_pending_commands(now);
        self.mark_blackout_unsent(now);
    }

    fn run_timers(&mut self, now: Now) {
        let oldest = self.pending.front();
        if oldest.is_some_and(|command| now.ms >= command.sent_ms + REPLY_TIMEOUT_MS) {
            self.outputs.push_back(Output::Close);
            let seconds = REPLY_TIMEOUT_MS / 1000;
            self.epoch += 1;
            let reason = format!("no reply from the recorder within {seconds} s");
            self.on_link_failed(now, &reason, true);
        }
        match &self.phase {
            Phase::Connected(_) if now.ms >= self.next_ping_ms => {
                self.send_line(now.ms, "ping".to_owned(), PendingKind::Ping);
            }
            Phase::Retrying { at_ms, .. } if now.ms >= *at_ms => self.start_connecting(now, false),
            Phase::Standby { at_ms: Some(at_ms), .. } if now.ms >= *at_ms => {
                self.start_connecting(now, false);
            }
            _ => {}
        }
        self.check_blackout_timeout(now);
        if self.blackout_refusal.as_ref().is_some_and(|(_, until)| now.ms >= *until) {
            self.blackout_refusal = None;
        }
        while let Some(notification) = self.notifications.take_due(now.ms) {
            self.outputs.push_back(Output::Notify(notification));
        }
    }

    fn notify(&mut self, now_ms: u64, notification: Notification) {
        if let Some(notification) = self.notifications.show_or_hold(now_ms, notification) {
            self.outputs.push_back(Output::Notify(notification));
        }
    }

    fn send_reply(&mut self, requester: Option<u64>, reply: Result<String, String>) {
        if let Some(requester) = requester {
            self.outputs.push_back(Output::Reply(requester, reply));
        }
    }
}
